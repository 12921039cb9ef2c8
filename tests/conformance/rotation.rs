//! Refresh token rotation (RFC 6749 section 10.4, RFC 9700 section 4.14, OAuth 2.1 section 4.3.1), as far as the
//! ledger decides it. Races between threads are cases of `testkit::issuance`.

use std::time::Duration;

use annul::store::{
    Issued, Refused, Rotated, Rotation, Sweep, SweepBudget, TokenLedger, TokenStore,
};
use annul::{
    ClientId, Grant, NewToken, PresentedToken, Reason, Revocation, Target, TargetKind, Verdict,
};

use crate::index::{Index, Status};
use crate::support::Server;

pub(crate) const INDEX: Index = Index {
    source: include_str!("rotation.rs"),
    requirements: &[
        (
            "ROT-01",
            Status::NotDone(
                "whether a public client's refresh token is rotated or sender-constrained is decided by the host's \
                 token endpoint; the ledger rotates for whoever asks and cannot see who never asks",
            ),
        ),
        (
            "ROT-02",
            Status::Tested(&[
                "rot_02_a_rotated_out_token_is_consumed_and_still_leads_to_its_grant",
                "rot_02_a_rotated_out_token_is_remembered_for_as_long_as_its_family_lives",
            ]),
        ),
        (
            "ROT-03",
            Status::Tested(&["rot_03_a_token_of_an_older_generation_ends_the_whole_family"]),
        ),
        ("ROT-04", Status::Tested(&["rot_04_reuse_is_one_entry_however_long_the_family"])),
        (
            "ROT-05",
            Status::Tested(&[
                "rot_05_without_a_grace_window_the_second_use_is_reuse",
                "rot_05_the_previous_generation_is_exchanged_again_within_the_window",
                "rot_05_the_window_does_not_cover_the_generation_before_the_previous_one",
                "rot_05_the_window_ends_on_time_and_is_not_prolonged_by_use",
                "rot_05_the_window_does_not_outlast_the_token",
                "rot_05_the_window_does_not_cover_a_token_that_was_consumed_before_it_was_imported",
                "rot_05_the_window_never_revives_a_token_revoked_on_purpose",
            ]),
        ),
        (
            "ROT-06",
            Status::Tested(&[
                "rot_06_a_token_minted_after_its_family_was_revoked_is_born_dead",
                "rot_06_a_successor_of_a_revoked_family_is_never_handed_out",
            ]),
        ),
        (
            "ROT-07",
            Status::Tested(&[
                "rot_07_a_password_change_ends_old_logins_and_their_future_tokens_only",
                "rot_07_logging_a_session_out_ends_its_refresh_tokens",
            ]),
        ),
        (
            "ROT-08",
            Status::Tested(&["rot_08_an_idle_refresh_token_expires_and_one_in_use_lives_on"]),
        ),
        ("ROT-09", Status::Tested(&["rot_09_a_tampered_token_is_unknown_and_reaches_no_grant"])),
        (
            "ROT-10",
            Status::Tested(&[
                "rot_10_another_client_can_neither_exchange_nor_spend_a_refresh_token",
                "rot_10_another_client_cannot_end_a_family_with_a_consumed_token",
            ]),
        ),
        (
            "ROT-11",
            // Codes are the host's: it knows which grant a code was exchanged for, and makes the one call.
            Status::Tested(&["rot_11_one_call_ends_what_a_replayed_code_was_exchanged_for"]),
        ),
        (
            "ROT-12",
            Status::NotDone(
                "whether to rotate is the host's choice; the FAPI 2.0 profile comes later",
            ),
        ),
        (
            "ROT-13",
            Status::NotDone(
                "`Target::Grant` by the operator revokes a grant, but nothing lists them: the ledger is asked about \
                 one token and never enumerates what it holds",
            ),
        ),
        (
            "ROT-14",
            Status::NotDone(
                "there is no grant management endpoint; the call it would make is the one that ROT-11 tests",
            ),
        ),
    ],
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Exchanges `spent` for the access token `at-NEXT` (ten minutes) and the refresh token `NEXT` (a day).
async fn rotate_as(
    server: &Server,
    client: &str,
    spent: &str,
    next: &str,
    grace: Duration,
) -> Rotated {
    let now = server.authority.now();
    let client = ClientId::new(client);
    let access = format!("at-{next}");
    let successors = [
        NewToken::access(PresentedToken::new(&access), now + 10 * MINUTE),
        NewToken::refresh(PresentedToken::new(next), now + DAY),
    ];
    let rotation =
        Rotation::new(PresentedToken::new(spent), &client, &successors, now).with_grace(grace);
    server.store.rotate(&rotation).await.unwrap()
}

pub(crate) async fn rotate(server: &Server, spent: &str, next: &str) -> Rotated {
    rotate_as(server, "web", spent, next, Duration::ZERO).await
}

/// Grant `g` of client `web` with refresh token `r1`, exchanged for `r2`, `r3`, … up to `r{generations}`.
async fn family(server: &Server, generations: usize) {
    let now = server.authority.now();
    let grant = Grant::new("g", "web", now).subject("alice").session("s1");
    server.issue(grant, "at-r1", "r1").await;
    for n in 1..generations {
        let (spent, next) = (format!("r{n}"), format!("r{}", n + 1));
        let rotated = rotate(server, &spent, &next).await;
        assert!(matches!(rotated, Rotated::Applied(_)), "{rotated:?}");
    }
}

/// A grant that must survive whatever happens to family `g`: same client, same user, same session.
async fn bystander(server: &Server) {
    server.grant("bystander", "web").await;
}

async fn assert_bystander_lives(server: &Server) {
    assert!(server.is_active("at-bystander").await);
    assert!(server.is_active("rt-bystander").await);
}

async fn assert_family_is_dead(server: &Server, generations: usize) {
    for n in 1..=generations {
        for token in [format!("r{n}"), format!("at-r{n}")] {
            let verdict = server.check(&token).await;
            let by_grant = matches!(verdict, Verdict::Revoked { by: TargetKind::Grant });
            assert!(by_grant, "{token}: {verdict:?}");
        }
    }
}

async fn sweep_everything(server: &Server) {
    let budget = SweepBudget::rows(usize::MAX);
    let swept = server.store.sweep(server.authority.now(), budget).await;
    assert!(!swept.unwrap().more);
}

#[tokio::test]
async fn rot_02_a_rotated_out_token_is_consumed_and_still_leads_to_its_grant() {
    let server = Server::new();
    family(&server, 2).await;
    assert!(matches!(server.check("r1").await, Verdict::Consumed));
    let found = server.store.find(PresentedToken::new("r1"), None).await;
    assert_eq!(found.unwrap().unwrap().grant().id().as_str(), "g");
    assert!(server.is_active("r2").await);
    assert!(server.is_active("at-r2").await);
}

#[tokio::test]
async fn rot_02_a_rotated_out_token_is_remembered_for_as_long_as_its_family_lives() {
    let server = Server::new();
    family(&server, 1).await;
    // Used every twelve hours for a month, the family outlives its first token many times over.
    for n in 1..60 {
        server.clock.advance(DAY / 2);
        let rotated = rotate(&server, &format!("r{n}"), &format!("r{}", n + 1)).await;
        assert!(matches!(rotated, Rotated::Applied(_)), "{rotated:?}");
        sweep_everything(&server).await;
    }
    assert!(server.is_active("r60").await);
    let rotated = rotate(&server, "r1", "stolen").await;
    assert!(matches!(rotated, Rotated::Reused(_)), "{rotated:?}");
    assert!(!server.is_active("r60").await);
    assert!(!server.is_active("stolen").await);
}

#[tokio::test]
async fn rot_03_a_token_of_an_older_generation_ends_the_whole_family() {
    for stolen in ["r1", "r2"] {
        let server = Server::new();
        bystander(&server).await;
        family(&server, 3).await;
        assert!(server.is_active("r3").await && server.is_active("at-r1").await);
        let rotated = rotate(&server, stolen, "stolen").await;
        assert!(matches!(rotated, Rotated::Reused(_)), "{rotated:?}");
        assert_family_is_dead(&server, 3).await;
        assert!(matches!(server.check("stolen").await, Verdict::Unknown));
        assert!(matches!(
            rotate(&server, "r3", "r4").await,
            Rotated::Refused(Refused::Revoked { by: TargetKind::Grant })
        ));
        assert_bystander_lives(&server).await;
    }
}

#[tokio::test]
async fn rot_04_reuse_is_one_entry_however_long_the_family() {
    let server = Server::new();
    let generations = 2_000;
    family(&server, generations).await;
    assert_eq!(server.store.usage().revocations, 0);
    let rotated = rotate(&server, "r1", "stolen").await;
    assert!(matches!(rotated, Rotated::Reused(_)), "{rotated:?}");
    assert_eq!(server.store.usage().revocations, 1);
    assert_family_is_dead(&server, generations).await;
    // Nor does the loop of a client that does not give up write a second one.
    for _ in 0..100 {
        rotate(&server, "r1", "stolen").await;
    }
    assert_eq!(server.store.usage().revocations, 1);
}

#[tokio::test]
async fn rot_05_without_a_grace_window_the_second_use_is_reuse() {
    let server = Server::new();
    family(&server, 2).await;
    let rotated = rotate(&server, "r1", "again").await;
    assert!(matches!(rotated, Rotated::Reused(_)), "{rotated:?}");
    assert_family_is_dead(&server, 2).await;
}

#[tokio::test]
async fn rot_05_the_previous_generation_is_exchanged_again_within_the_window() {
    let server = Server::new();
    family(&server, 2).await;
    server.clock.advance(MINUTE - Duration::from_millis(1));
    let rotated = rotate_as(&server, "web", "r1", "again", MINUTE).await;
    assert!(matches!(rotated, Rotated::AppliedInGrace(_)), "{rotated:?}");
    for token in ["r2", "at-r2", "again", "at-again"] {
        assert!(server.is_active(token).await, "{token}");
    }
    // Both lines may go on: that is what two tabs of one browser do.
    for (spent, next) in [("r2", "r3"), ("again", "again-3")] {
        let rotated = rotate_as(&server, "web", spent, next, MINUTE).await;
        assert!(matches!(rotated, Rotated::Applied(_)), "{rotated:?}");
        assert!(server.is_active(next).await);
    }
}

#[tokio::test]
async fn rot_05_the_window_does_not_cover_the_generation_before_the_previous_one() {
    let server = Server::new();
    bystander(&server).await;
    family(&server, 3).await;
    let rotated = rotate_as(&server, "web", "r1", "again", MINUTE).await;
    assert!(matches!(rotated, Rotated::Reused(_)), "{rotated:?}");
    assert_family_is_dead(&server, 3).await;
    assert_bystander_lives(&server).await;
}

#[tokio::test]
async fn rot_05_the_window_ends_on_time_and_is_not_prolonged_by_use() {
    let server = Server::new();
    family(&server, 2).await;
    server.clock.advance(MINUTE / 2);
    let rotated = rotate_as(&server, "web", "r1", "again", MINUTE).await;
    assert!(matches!(rotated, Rotated::AppliedInGrace(_)), "{rotated:?}");
    server.clock.advance(MINUTE / 2);
    let rotated = rotate_as(&server, "web", "r1", "late", MINUTE).await;
    assert!(matches!(rotated, Rotated::Reused(_)), "{rotated:?}");
    assert_family_is_dead(&server, 2).await;
    assert!(!server.is_active("again").await);
}

#[tokio::test]
async fn rot_05_the_window_does_not_outlast_the_token() {
    let server = Server::new();
    family(&server, 1).await;
    let grace = MINUTE;
    server.clock.advance(DAY - Duration::from_secs(1));
    let first = rotate_as(&server, "web", "r1", "r2", grace).await;
    assert!(matches!(first, Rotated::Applied(_)), "{first:?}");
    server.clock.advance(Duration::from_secs(1));
    let again = rotate_as(&server, "web", "r1", "r2b", grace).await;
    assert!(matches!(again, Rotated::Refused(Refused::Expired)), "{again:?}");
    assert!(!server.is_active("r2b").await);
    // A client that is a little late is no thief.
    assert!(server.is_active("r2").await);
    server.clock.advance(grace);
    let replayed = rotate_as(&server, "web", "r1", "r2c", grace).await;
    assert!(matches!(replayed, Rotated::Reused(_)), "{replayed:?}");
    assert!(!server.is_active("r2").await);
}

#[tokio::test]
async fn rot_05_the_window_does_not_cover_a_token_that_was_consumed_before_it_was_imported() {
    let server = Server::new();
    let now = server.authority.now();
    let grant = || Grant::new("g", "web", now).subject("alice").session("s1");
    let imported = NewToken::refresh(PresentedToken::new("r0"), now + DAY).already_consumed();
    server.store.issue(grant(), &[imported], now).await.unwrap();
    server.issue(grant(), "at-r1", "r1").await;
    let grace = MINUTE;
    let first = rotate_as(&server, "web", "r1", "r2", grace).await;
    assert!(matches!(first, Rotated::Applied(_)), "{first:?}");
    // Who still has the one before the present one's predecessor is not the client.
    let older = rotate_as(&server, "web", "r0", "r2b", grace).await;
    assert!(matches!(older, Rotated::Reused(_)), "{older:?}");
    assert!(!server.is_active("r2b").await);
    assert!(!server.is_active("r2").await);
}

#[tokio::test]
async fn rot_05_the_window_never_revives_a_token_revoked_on_purpose() {
    // The client revokes its newest token, or the one it has just exchanged; then somebody uses the older one.
    for revoked in ["r1", "r2", "at-r2"] {
        let server = Server::new();
        family(&server, 2).await;
        let response = server.revoke_as("web", &format!("token={revoked}")).await;
        assert_eq!(response.status(), 200);
        let rotated = rotate_as(&server, "web", "r1", "again", MINUTE).await;
        let refused =
            matches!(rotated, Rotated::Refused(Refused::Revoked { by: TargetKind::Grant }));
        assert!(refused, "{revoked}: {rotated:?}");
        assert!(matches!(server.check("again").await, Verdict::Unknown));
        assert_family_is_dead(&server, 2).await;
    }
}

#[tokio::test]
async fn rot_06_a_token_minted_after_its_family_was_revoked_is_born_dead() {
    let targets = [
        Target::Grant("g".into()),
        Target::Session("s1".into()),
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::Everything,
    ];
    for target in targets {
        let server = Server::new();
        let login = server.authority.now();
        let grant = || Grant::new("g", "web", login).subject("alice").session("s1");
        server.clock.advance(MINUTE);
        let now = server.authority.now();
        let revocation = Revocation::by_operator(target.clone(), Reason::Administrative, now);
        server.authority.revoke(revocation).await.unwrap();
        server.clock.advance(Duration::from_millis(1));
        let now = server.authority.now();
        let late = [NewToken::refresh(PresentedToken::new("late"), now + DAY)];
        let issued = server.store.issue(grant(), &late, now).await.unwrap();
        let by = target.kind();
        assert_eq!(issued, Issued::BornDead { by });
        assert!(
            matches!(server.check("late").await, Verdict::Revoked { by } if by == target.kind())
        );
    }
}

#[tokio::test]
async fn rot_06_a_successor_of_a_revoked_family_is_never_handed_out() {
    let server = Server::new();
    family(&server, 2).await;
    let now = server.authority.now();
    let logout = Revocation::by_operator(Target::Session("s1".into()), Reason::Logout, now);
    server.authority.revoke(logout).await.unwrap();
    let rotated = rotate(&server, "r2", "r3").await;
    let refused = matches!(rotated, Rotated::Refused(Refused::Revoked { by: TargetKind::Session }));
    assert!(refused, "{rotated:?}");
    for token in ["r2", "at-r2", "r3", "at-r3"] {
        assert!(!server.is_active(token).await, "{token}");
    }
}

#[tokio::test]
async fn rot_07_a_password_change_ends_old_logins_and_their_future_tokens_only() {
    let server = Server::new();
    family(&server, 2).await;
    let thief = Grant::new("thief", "web", server.authority.now()).subject("alice");
    server.issue(thief.clone(), "at-thief", "rt-thief").await;
    let bob = Grant::new("bob", "web", server.authority.now()).subject("bob");
    server.issue(bob, "at-bob", "rt-bob").await;

    server.clock.advance(MINUTE);
    let now = server.authority.now();
    let alice = Target::Subject("alice".into());
    let changed = Revocation::by_operator(alice, Reason::PasswordChanged, now);
    server.authority.revoke(changed).await.unwrap();
    for token in ["r2", "at-r1", "at-r2", "rt-thief", "at-thief"] {
        assert!(!server.is_active(token).await, "{token}");
    }

    // The same second, a millisecond later: the new login lives, the old one mints nothing more.
    server.clock.advance(Duration::from_millis(1));
    let login = Grant::new("new", "web", server.authority.now()).subject("alice");
    server.issue(login, "at-new", "rt-new").await;
    server.issue(thief, "at-thief-2", "rt-thief-2").await;
    assert!(server.is_active("at-new").await && server.is_active("rt-new").await);
    assert!(!server.is_active("at-thief-2").await && !server.is_active("rt-thief-2").await);
    assert!(server.is_active("at-bob").await && server.is_active("rt-bob").await);
}

#[tokio::test]
async fn rot_07_logging_a_session_out_ends_its_refresh_tokens() {
    let server = Server::new();
    family(&server, 2).await;
    let response = server.logout("refresh_token=r2&client_id=spa&client_secret=x").await;
    assert_ne!(response.status(), 200);
    assert!(server.is_active("r2").await);

    let spa = Grant::new("spa", "spa", server.authority.now());
    let spa = spa.subject("alice").session("s1");
    server.issue(spa, "at-spa", "rt-spa").await;
    let response = server.logout("refresh_token=rt-spa&client_id=spa").await;
    assert_eq!(response.status(), 200);
    for token in ["r2", "at-r1", "at-r2", "rt-spa", "at-spa"] {
        assert!(!server.is_active(token).await, "{token}");
    }
}

#[tokio::test]
async fn rot_08_an_idle_refresh_token_expires_and_one_in_use_lives_on() {
    let server = Server::new();
    server.grant("idle", "web").await;
    family(&server, 1).await;
    server.clock.advance(DAY - MINUTE);
    assert!(matches!(rotate(&server, "r1", "r2").await, Rotated::Applied(_)));
    server.clock.advance(MINUTE);
    assert!(server.is_active("r2").await);
    assert!(matches!(server.check("rt-idle").await, Verdict::Expired));
    assert!(matches!(
        rotate(&server, "rt-idle", "revived").await,
        Rotated::Refused(Refused::Expired)
    ));
    assert!(matches!(server.check("revived").await, Verdict::Unknown));
    let inactive = server.introspect_as("rs", "token=rt-idle").await;
    assert_eq!(inactive.body(), br#"{"active":false}"#);
    assert_eq!(server.revoke_as("web", "token=rt-idle").await.status(), 200);
}

#[tokio::test]
async fn rot_09_a_tampered_token_is_unknown_and_reaches_no_grant() {
    // Tokens that spell their grant out; here nobody reads it.
    let server = Server::new();
    for id in ["g1", "g2"] {
        let grant = Grant::new(id, "web", server.authority.now()).subject("alice");
        server.issue(grant, &format!("at.{id}.secret{id}"), &format!("rt.{id}.secret{id}")).await;
    }
    for tampered in ["rt.g2.secretg1", "rt.g1.secretg", "rt.g1.secretg1x", "RT.g1.secretg1", "g1"] {
        let response = server.revoke_as("web", &format!("token={tampered}")).await;
        assert_eq!(response.status(), 200);
        assert!(matches!(
            rotate(&server, tampered, "next").await,
            Rotated::Refused(Refused::Unknown)
        ));
    }
    assert_eq!(server.store.usage().revocations, 0);
    for id in ["g1", "g2"] {
        assert!(server.is_active(&format!("at.{id}.secret{id}")).await);
        assert!(server.is_active(&format!("rt.{id}.secret{id}")).await);
    }
}

#[tokio::test]
async fn rot_10_another_client_can_neither_exchange_nor_spend_a_refresh_token() {
    let server = Server::new();
    family(&server, 1).await;
    for stranger in ["other", "spa", "WEB", ""] {
        let rotated = rotate_as(&server, stranger, "r1", "stolen", MINUTE).await;
        let refused = matches!(rotated, Rotated::Refused(Refused::ForeignClient));
        assert!(refused, "{stranger}: {rotated:?}");
        assert!(matches!(server.check("stolen").await, Verdict::Unknown));
    }
    // Not spent either: the owner's exchange is still the first.
    assert!(matches!(rotate(&server, "r1", "r2").await, Rotated::Applied(_)));
    assert!(server.is_active("r2").await);
}

#[tokio::test]
async fn rot_10_another_client_cannot_end_a_family_with_a_consumed_token() {
    let server = Server::new();
    family(&server, 3).await;
    let rotated = rotate_as(&server, "other", "r1", "stolen", Duration::ZERO).await;
    assert!(matches!(rotated, Rotated::Refused(Refused::ForeignClient)));
    server.revoke_as("other", "token=r1").await;
    assert_eq!(server.store.usage().revocations, 0);
    assert!(server.is_active("r3").await);
    assert!(server.is_active("at-r3").await);
}

#[tokio::test]
async fn rot_11_one_call_ends_what_a_replayed_code_was_exchanged_for() {
    let server = Server::new();
    bystander(&server).await;
    family(&server, 3).await;
    let now = server.authority.now();
    let code_replayed =
        Revocation::by_operator(Target::Grant("g".into()), Reason::CredentialLeaked, now);
    server.authority.revoke(code_replayed).await.unwrap();
    assert_family_is_dead(&server, 3).await;
    // The first exchange may still be on its way.
    let grant = Grant::new("g", "web", now).subject("alice").session("s1");
    server.issue(grant, "at-in-flight", "rt-in-flight").await;
    assert!(!server.is_active("at-in-flight").await);
    assert!(!server.is_active("rt-in-flight").await);
    assert_bystander_lives(&server).await;
}
