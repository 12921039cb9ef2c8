//! What a revocation ends, and what it leaves alone.

use std::sync::Arc;

use crate::policy::Cascade;
use crate::revocation::{Revoked, Target};
use crate::testkit::fixture::Subject;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::scene::{
    DAY, HOUR, MILLI, MINUTE, Scene, Seen, by_operator, endpoint, revoke_at,
    targets_beyond_a_token, targets_of,
};
use crate::token::{Grant, NewToken, PresentedToken};

/// Grant, client, user, session: everything is shared with some and not with others.
const GRANTS: [(&str, &str, &str, &str); 6] = [
    ("g", "web", "alice", "s"),
    ("g2", "web", "alice", "s"),
    ("g3", "spa", "alice", "s"),
    ("g4", "web", "alice", "s2"),
    ("g5", "web", "bob", "s3"),
    ("g6", "spa", "bob", "s3"),
];

pub(super) async fn each_target_ends_what_it_covers_and_nothing_else(
    subject: &dyn Subject,
) -> Proof {
    for n in 0..7 {
        let scene = Scene::new(subject).await?;
        for (id, client, user, session) in GRANTS {
            let grant = Grant::new(id, client, scene.start()).subject(user).session(session);
            scene.put_pair(&grant, id).await?;
        }
        let record = scene.record("at-g").await?;
        let Some(target) = targets_of(&scene.grant("g"), &record).into_iter().nth(n) else {
            continue;
        };
        let now = scene.at(scene.start() + MINUTE);
        let revoked = scene.revoke(target.clone(), now).await?;
        ensure!(
            revoked == Revoked::Newly,
            "the first revocation of a {} is no news",
            target.kind()
        );
        for (id, client, user, session) in GRANTS {
            for token in [format!("at-{id}"), format!("rt-{id}")] {
                let covered = match &target {
                    Target::Token(_) => token == "at-g",
                    Target::Grant(_) => id == "g",
                    Target::Session(_) => session == "s",
                    Target::SubjectAtClient(..) => user == "alice" && client == "web",
                    Target::Subject(_) => user == "alice",
                    Target::Client(_) => client == "web",
                    Target::Everything => true,
                };
                let expected = if covered { Seen::Revoked(target.kind()) } else { Seen::Active };
                let found = scene.seen(&token, now).await?;
                ensure!(
                    found == expected,
                    "after a revocation of {target:?}, `{token}` of {user} at {client} in {session} \
                     is {found} and should be {expected}"
                );
            }
        }
    }
    Ok(())
}

/// The targets that come back, so that time decides.
fn cutoffs() -> [Target; 4] {
    [
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::Everything,
    ]
}

fn login(scene: &Scene, id: &str, minutes: u32) -> Grant {
    Grant::new(id, "web", scene.start() + minutes * MINUTE).subject("alice").session(id)
}

pub(super) async fn a_cutoff_spares_who_logs_in_after_it(subject: &dyn Subject) -> Proof {
    for target in cutoffs() {
        let scene = Scene::new(subject).await?;
        let cutoff = scene.start() + 10 * MINUTE;
        let logins = [
            ("before", cutoff - MILLI, true),
            ("at the instant", cutoff, true),
            ("after", cutoff + MILLI, false),
        ];
        // Some are there when the revocation comes, the others later: it makes no difference.
        for when in ["early", "late"] {
            for (id, authenticated_at, _) in logins {
                let id = format!("{when}-{id}").replace(' ', "-");
                let grant = Grant::new(id.as_str(), "web", authenticated_at);
                scene.put_pair(&grant.subject("alice").session("s"), &id).await?;
            }
            scene.at(cutoff);
            scene.revoke(target.clone(), cutoff).await?;
        }
        for when in ["early", "late"] {
            for (id, _, dies) in logins {
                let token = format!("rt-{when}-{id}").replace(' ', "-");
                let expected = if dies { Seen::Revoked(target.kind()) } else { Seen::Active };
                let found = scene.seen(&token, cutoff + MINUTE).await?;
                ensure!(
                    found == expected,
                    "`{token}` of a login {id} a revocation of {target:?} is {found} and should be \
                     {expected}"
                );
            }
        }
    }
    Ok(())
}

pub(super) async fn a_cutoff_only_moves_forward(subject: &dyn Subject) -> Proof {
    for target in cutoffs() {
        let scene = Scene::new(subject).await?;
        for (id, minutes) in [("first", 0), ("second", 2), ("third", 4)] {
            scene.put_pair(&login(&scene, id, minutes), id).await?;
        }
        let at = |minutes: u32| scene.start() + minutes * MINUTE;
        let now = scene.at(at(5));
        // Later ones move it, earlier and equal ones are no news.
        let steps = [
            (1, Revoked::Newly, "rt-first"),
            (3, Revoked::Newly, "rt-second"),
            (1, Revoked::Already, "rt-second"),
            (3, Revoked::Already, "rt-second"),
        ];
        for (minutes, expected, dead) in steps {
            let revoked = scene.revoke(target.clone(), at(minutes)).await?;
            ensure!(
                revoked == expected,
                "a revocation of {target:?} after minute {minutes} brought {revoked:?} instead of \
                 {expected:?}"
            );
            let found = scene.seen(dead, now).await?;
            ensure!(
                found == Seen::Revoked(target.kind()),
                "`{dead}` is {found} after a revocation of {target:?} at minute {minutes}"
            );
            scene.live(&["rt-third"], now).await?;
        }
        scene.dead(&["rt-first", "rt-second"], now).await?;
    }
    Ok(())
}

pub(super) async fn a_replayed_revocation_changes_nothing(subject: &dyn Subject) -> Proof {
    for n in 0..7 {
        let scene = Scene::new(subject).await?;
        let grant = scene.grant("g");
        let tokens = scene.put_pair(&grant, "g").await?;
        let bystander = Grant::new("g2", "web", scene.start() + HOUR).subject("bob").session("s2");
        let bystanders = scene.put_pair(&bystander, "g2").await?;
        let record = scene.record("at-g").await?;
        let Some(target) = targets_of(&grant, &record).into_iter().nth(n) else {
            continue;
        };
        let now = scene.at(scene.start() + MINUTE);
        scene.revoke(target.clone(), now).await?;
        let mut before = Vec::new();
        for token in tokens.iter().chain(&bystanders) {
            before.push(scene.seen(token, now).await?);
        }
        for time in 0..3 {
            let revoked = scene.revoke(target.clone(), now).await?;
            ensure!(revoked == Revoked::Already, "replay {time} of {target:?} brought news");
            for (token, before) in tokens.iter().chain(&bystanders).zip(&before) {
                let after = scene.seen(token, now).await?;
                ensure!(after == *before, "a replay of {target:?} made `{token}` {after}");
            }
        }
        ensure!(before.first().is_some_and(|seen| seen.is_revoked()), "{target:?} did nothing");
        scene.live(&bystanders, now).await?;
    }
    Ok(())
}

pub(super) async fn a_token_that_comes_after_its_revocation_is_dead(
    subject: &dyn Subject,
) -> Proof {
    for known_before in [false, true] {
        for n in 0..6 {
            let scene = Scene::new(subject).await?;
            let grant = scene.grant("g");
            let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(n) else {
                continue;
            };
            if known_before {
                scene.put_pair(&grant, "g").await?;
            }
            let now = scene.at(scene.start() + MINUTE);
            scene.revoke(target.clone(), now).await?;
            for token in scene.put_pair(&grant, "late").await? {
                let found = scene.seen(&token, now).await?;
                ensure!(
                    found == Seen::Revoked(target.kind()),
                    "a token that was in flight when {target:?} was revoked is {found}"
                );
            }
        }
    }
    Ok(())
}

pub(super) async fn an_offline_grant_outlives_its_session(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let online = scene.put_pair(&scene.grant("online"), "online").await?;
    let offline = scene.put_pair(&scene.grant("offline").offline(), "offline").await?;
    scene.revoke(Target::Session("s".into()), scene.start()).await?;
    scene.dead(&online, scene.start()).await?;
    scene.live(&offline, scene.start()).await?;
    scene.revoke(Target::Subject("alice".into()), scene.start()).await?;
    scene.dead(&offline, scene.start()).await
}

pub(super) async fn a_grant_without_a_user_is_no_users(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let machine = Grant::new("machine", "web", scene.start());
    let new = NewToken::access(PresentedToken::new("at-machine"), scene.start() + HOUR);
    scene.put(&machine, &new).await?;
    let found = scene.record("at-machine").await?;
    let (user, session) = (found.grant().subject_id(), found.grant().session_id());
    ensure!(user.is_none(), "it was found as user {user:?}'s");
    ensure!(session.is_none(), "it was found in session {session:?}");
    for target in [
        Target::Subject("alice".into()),
        Target::Subject("".into()),
        Target::Session("".into()),
        Target::SubjectAtClient("".into(), "web".into()),
    ] {
        scene.revoke(target.clone(), scene.start() + MINUTE).await?;
        scene
            .live(&["at-machine"], scene.start())
            .await
            .map_err(|unproven| unproven.within(format!("{target:?}")))?;
    }
    scene.revoke(Target::Client("web".into()), scene.start()).await?;
    scene.dead(&["at-machine"], scene.start()).await
}

pub(super) async fn names_are_compared_byte_for_byte(subject: &dyn Subject) -> Proof {
    let long = "x".repeat(60);
    let longer = format!("{long}y");
    let names = ["a", "A", "a ", " a", "%61", "a%", "a_", "ａ", "é", "e\u{0301}", &long, &longer];
    let kinds: [fn(&str) -> Target; 4] = [
        |name| Target::Grant(name.into()),
        |name| Target::Session(name.into()),
        |name| Target::Subject(name.into()),
        |name| Target::Client(name.into()),
    ];
    for (kind, target) in kinds.into_iter().enumerate() {
        let scene = Scene::new(subject).await?;
        for (n, name) in names.iter().enumerate() {
            // The name stands where the target looks; everything else is the token's own.
            let own = format!("own{n}");
            let place = |of: usize| if of == kind { *name } else { own.as_str() };
            let grant = Grant::new(place(0), place(3), scene.start());
            scene.put_pair(&grant.session(place(1)).subject(place(2)), &n.to_string()).await?;
        }
        for (revoked, name) in names.iter().enumerate() {
            let brought = scene.revoke(target(name), scene.start()).await?;
            ensure!(brought == Revoked::Newly, "{:?} was revoked before", target(name));
            for (n, other) in names.iter().enumerate() {
                let found = scene.seen(&format!("rt-{n}"), scene.start()).await?;
                let expected =
                    if n <= revoked { Seen::Revoked(target(name).kind()) } else { Seen::Active };
                ensure!(
                    found == expected,
                    "after {:?} was revoked, a token of {:?} is {found}",
                    target(name),
                    target(other)
                );
            }
        }
    }
    let scene = Scene::new(subject).await?;
    let pairs = [":", "|", "/", ",", " ", "-", "_", "::"];
    for (n, glue) in pairs.iter().enumerate() {
        let (user, client) = (format!("a{glue}b"), "c".to_owned());
        let grant = Grant::new(format!("glued{n}"), client, scene.start()).subject(user);
        let token =
            scene.put_pair(&grant.session(format!("glued{n}")), &format!("glued{n}")).await?;
        let target = Target::SubjectAtClient("a".into(), format!("b{glue}c").into());
        scene.revoke(target.clone(), scene.start()).await?;
        let within = |unproven: NotProven| unproven.within(format!("{target:?}"));
        scene.live(&token, scene.start()).await.map_err(within)?;
    }
    Ok(())
}

pub(super) async fn targets_of_different_kinds_do_not_mix(subject: &dyn Subject) -> Proof {
    let kinds = [
        Target::Grant("same".into()),
        Target::Session("same".into()),
        Target::Subject("same".into()),
        Target::Client("same".into()),
    ];
    for target in kinds {
        let scene = Scene::new(subject).await?;
        let start = scene.start();
        let other = |id: &str, client: &str| Grant::new(id, client, start);
        let grants = [
            other("same", "c0").subject("u0").session("s0"),
            other("g1", "c1").subject("u1").session("same"),
            other("g2", "c2").subject("same").session("s2"),
            other("g3", "same").subject("u3").session("s3"),
        ];
        for (n, grant) in grants.iter().enumerate() {
            scene.put_pair(grant, &n.to_string()).await?;
        }
        scene.revoke(target.clone(), start).await?;
        for (n, grant) in grants.iter().enumerate() {
            let covered = match &target {
                Target::Grant(id) => grant.id() == id,
                Target::Session(id) => grant.session_id() == Some(id),
                Target::Subject(id) => grant.subject_id() == Some(id),
                Target::Client(id) => grant.client_id() == id,
                Target::Token(_) | Target::SubjectAtClient(..) | Target::Everything => false,
            };
            let expected = if covered { Seen::Revoked(target.kind()) } else { Seen::Active };
            let found = scene.seen(&format!("rt-{n}"), start).await?;
            ensure!(found == expected, "{target:?} made a token of {grant:?} {found}");
        }
    }
    Ok(())
}

/// What a foreign client tries: either kind of token, as either kind of client, with either cascade.
async fn foreign_attempts(scene: &Scene) -> Proof {
    let now = scene.at(scene.start() + MINUTE);
    for cascade in [Cascade::Grant, Cascade::Token] {
        let endpoint = endpoint(Arc::clone(scene.fixture.tokens()), cascade, now);
        for client in ["spa", "public", "WEB", "web2", "we"] {
            for token in ["at-g", "rt-g"] {
                let status = revoke_at(&endpoint, client, token).await;
                let expected = if client == "public" { 200 } else { 400 };
                ensure!(
                    status == expected,
                    "client `{client}` was answered {status} for `{token}` of `web`"
                );
            }
        }
    }
    Ok(())
}

pub(super) async fn a_foreign_client_ends_nothing(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let tokens = scene.put_pair(&scene.grant("g"), "g").await?;
    let spa = Grant::new("theirs", "spa", scene.start()).subject("alice").session("s");
    let theirs = scene.put_pair(&spa, "theirs").await?;
    foreign_attempts(&scene).await?;
    let now = scene.start() + MINUTE;
    scene.live(&tokens, now).await?;
    scene.live(&theirs, now).await?;
    // And the owner still can.
    let endpoint = endpoint(Arc::clone(scene.fixture.tokens()), Cascade::Grant, now);
    let status = revoke_at(&endpoint, "web", "at-g").await;
    ensure!(status == 200, "the owner was answered {status}");
    scene.dead(&tokens, now).await?;
    scene.live(&theirs, now).await
}

pub(super) async fn a_foreign_client_changes_no_byte(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let tokens = scene.put_pair(&scene.grant("g"), "g").await?;
    let before = scene.fixture.show_contents().await?;
    foreign_attempts(&scene).await?;
    let after = scene.fixture.show_contents().await?;
    ensure!(before == after, "the contents were {before:.200} and are now {after:.200}");
    // Contents that never change would prove nothing.
    scene.revoke(Target::Grant("g".into()), scene.start() + MINUTE).await?;
    let revoked = scene.fixture.show_contents().await?;
    ensure!(revoked != before, "the contents do not show a revocation");
    scene.dead(&tokens, scene.start() + MINUTE).await
}

const MANY: usize = 10_000;

async fn put_many(scene: &Scene, grant: &Grant, count: usize) -> Proof {
    for n in 0..count {
        let name = format!("many-{n}");
        let token = PresentedToken::new(&name);
        let new = NewToken::access(token, scene.start() + DAY);
        scene.put(grant, &new).await?;
    }
    Ok(())
}

pub(super) async fn one_revocation_ends_ten_thousand_tokens(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    put_many(&scene, &scene.grant("g"), MANY).await?;
    let bystanders = scene.put_pair(&scene.grant("g2"), "g2").await?;
    scene.revoke(Target::Grant("g".into()), scene.start()).await?;
    for n in 0..MANY {
        let found = scene.seen(&format!("many-{n}"), scene.start()).await?;
        ensure!(found.is_revoked(), "token {n} of {MANY} is {found} after its grant was revoked");
    }
    scene.live(&bystanders, scene.start()).await
}

pub(super) async fn revoking_ten_thousand_tokens_costs_what_revoking_one_costs(
    subject: &dyn Subject,
) -> Proof {
    for n in 0..6 {
        let mut costs = Vec::new();
        for count in [1, MANY] {
            let scene = Scene::new(subject).await?;
            // Before ten thousand are put in for nothing.
            scene.fixture.count_operations().await?;
            let grant = scene.grant("g");
            put_many(&scene, &grant, count).await?;
            let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(n) else {
                continue;
            };
            let before = scene.fixture.count_operations().await?;
            scene.store().revoke(&by_operator(target, scene.start())).await?;
            let after = scene.fixture.count_operations().await?;
            costs.push(after.saturating_sub(before));
            scene.dead(&["many-0"], scene.start()).await?;
        }
        if let [one, many] = *costs {
            ensure!(one > 0, "a revocation that asks nothing of the engine was not counted");
            // A page more or less is no enumeration.
            ensure!(
                many <= 2 * one + 2,
                "revoking one token took {one} operations, revoking {MANY} took {many}"
            );
        }
    }
    Ok(())
}
