//! What is kept, for how long, and how much of it.

use std::sync::Arc;
use std::time::Duration;

use annul::store::{Layered, Rotated, Rotation, StoreErrorKind, TokenLedger, TokenStore};
use annul::{
    ClientId, Grant, NewToken, PresentedToken, Reason, Revocation, Revoked, Target, TokenState,
};

use crate::{MINUTE, NOON, SECOND, Setting, access, grant, is_good, key, operator, refresh};

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_token_that_was_found_is_not_asked_for_again_until_it_is_stale() {
    let setting = Setting::new().await;
    assert_eq!(setting.asks("at-1").await, (true, 1));
    setting.advance(MINUTE - MILLISECOND);
    assert_eq!(setting.asks("at-1").await, (true, 0));
    setting.advance(MILLISECOND);
    assert_eq!(setting.asks("at-1").await, (true, 1));
    assert_eq!(setting.asks("at-1").await, (true, 0));
}

/// A target of each kind, which covers `at-1`.
fn targets(id: annul::TokenId) -> [Target; 7] {
    [
        Target::Token(id),
        Target::Grant("g1".into()),
        Target::Session("s1".into()),
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::Everything,
    ]
}

#[tokio::test]
async fn what_is_revoked_through_the_layer_is_dead_at_once_at_every_target() {
    for n in 0..7 {
        let setting = Setting::new().await;
        let found = setting.layer.find(PresentedToken::new("at-1"), None).await.unwrap().unwrap();
        let target = targets(found.id().clone())[n].clone();
        let kind = target.kind();
        let other = Grant::new("g2", "api", NOON + MINUTE).subject("bob").session("s2");
        setting.layer.issue(other, &[access("bob")], NOON).await.unwrap();
        assert_eq!(setting.asks("bob").await, (true, 1));
        setting.advance(SECOND);
        assert_eq!(setting.layer.revoke(&operator(target)).await.unwrap(), Revoked::Newly);
        let dead = setting.layer.find(PresentedToken::new("at-1"), None).await.unwrap().unwrap();
        assert_eq!(dead.state(), TokenState::Revoked { by: kind });
        // What the revocation does not cover is kept as before.
        assert_eq!(setting.asks("bob").await, (true, 0), "{kind}");
        // That it is dead is kept too, once the store has said so after the revocation.
        setting.advance(SECOND);
        assert_eq!(setting.asks("at-1").await, (false, 1));
        assert_eq!(setting.asks("at-1").await, (false, 0));
    }
}

#[tokio::test]
async fn what_another_handle_revoked_is_dead_after_max_staleness() {
    let setting = Setting::new().await;
    let other = Layered::new(setting.memory.clone(), key(), MINUTE);
    assert!(setting.is_good("at-1").await);
    setting.advance(MINUTE / 2);
    other.revoke(&operator(Target::Session("s1".into()))).await.unwrap();
    assert!(!is_good(&other, "at-1").await);
    // This is what a cache costs.
    setting.advance(MINUTE / 2 - MILLISECOND);
    assert!(setting.is_good("at-1").await);
    setting.advance(MILLISECOND);
    assert!(!setting.is_good("at-1").await);
    // A token that nobody had asked for was never hidden.
    assert!(!setting.is_good("at-2").await);
}

#[tokio::test]
async fn the_age_of_a_record_counts_from_before_the_store_was_asked() {
    let setting = Setting::new().await;
    let token = PresentedToken::new("at-1");
    let mut find = setting.layer.find(token, None);
    crate::slow::until_done(&mut find);
    // The answer takes its time, and the token is revoked elsewhere meanwhile.
    setting.advance(MINUTE / 2);
    setting.memory.revoke(&operator(Target::Everything)).await.unwrap();
    assert_eq!(find.await.unwrap().unwrap().state(), TokenState::Active);
    setting.advance(MINUTE / 2);
    assert!(!setting.is_good("at-1").await);
}

#[tokio::test]
async fn a_clock_that_is_set_back_prolongs_nothing() {
    let setting = Setting::new().await;
    assert!(setting.is_good("at-1").await);
    setting.memory.revoke(&operator(Target::Everything)).await.unwrap();
    // At once: the record is from the future.
    setting.clock.set(NOON - MINUTE);
    setting.stopwatch.advance(MILLISECOND);
    assert!(!setting.is_good("at-1").await);

    let setting = Setting::new().await;
    assert!(setting.is_good("at-1").await);
    setting.memory.revoke(&operator(Target::Everything)).await.unwrap();
    // While nobody asked: by the clock the record is a second old.
    setting.clock.set(NOON + SECOND);
    setting.stopwatch.advance(MINUTE);
    assert!(!setting.is_good("at-1").await);
}

#[tokio::test]
async fn a_machine_that_slept_wakes_up_with_nothing() {
    let setting = Setting::new().await;
    assert!(setting.is_good("at-1").await);
    setting.memory.revoke(&operator(Target::Everything)).await.unwrap();
    // The stopwatch stood still.
    setting.clock.advance(MINUTE);
    assert!(!setting.is_good("at-1").await);
}

#[tokio::test]
async fn that_a_token_is_unknown_is_not_kept() {
    let setting = Setting::new().await;
    assert_eq!(setting.asks("later").await, (false, 1));
    assert_eq!(setting.asks("later").await, (false, 1));
    // Issued at another node.
    setting.memory.issue(grant("g1"), &[access("later")], NOON).await.unwrap();
    assert!(setting.is_good("later").await);
}

#[tokio::test]
async fn an_error_is_passed_on_and_not_kept() {
    let setting = Setting::new().await;
    setting.behind.is_broken(true);
    let find = setting.layer.find(PresentedToken::new("at-1"), None).await;
    assert_eq!(find.unwrap_err().kind(), StoreErrorKind::Unavailable);
    let revoke = setting.layer.revoke(&operator(Target::Everything)).await;
    assert_eq!(revoke.unwrap_err().kind(), StoreErrorKind::Unavailable);
    setting.behind.is_broken(false);
    assert!(setting.is_good("at-1").await);
}

#[tokio::test]
async fn a_stale_record_is_no_answer_while_the_store_is_unavailable() {
    let setting = Setting::new().await;
    assert!(setting.is_good("at-1").await);
    setting.behind.is_broken(true);
    assert!(setting.is_good("at-1").await);
    setting.advance(MINUTE);
    assert!(setting.layer.find(PresentedToken::new("at-1"), None).await.is_err());
}

#[tokio::test]
async fn after_a_revocation_that_failed_the_store_is_asked_again() {
    let setting = Setting::new().await;
    assert!(setting.is_good("at-1").await);
    // It was applied, and nobody knows.
    setting.behind.loses_answers(true);
    assert!(setting.layer.revoke(&operator(Target::Session("s1".into()))).await.is_err());
    setting.behind.loses_answers(false);
    assert!(!setting.is_good("at-1").await);
}

#[tokio::test]
async fn after_a_revocation_that_nobody_waited_for_the_store_is_asked_again() {
    let setting = Setting::new().await;
    assert!(setting.is_good("at-1").await);
    let revocation = operator(Target::Session("s1".into()));
    let mut revoke = setting.layer.revoke(&revocation);
    crate::slow::until_done(&mut revoke);
    drop(revoke);
    assert!(!setting.is_good("at-1").await);
}

#[tokio::test]
async fn refresh_tokens_are_asked_for_every_time() {
    let setting = Setting::new().await;
    assert_eq!(setting.asks("rt-1").await, (true, 1));
    assert_eq!(setting.asks("rt-1").await, (true, 1));
    // Exchanged at another node: whoever presents it here is told.
    let client = ClientId::new("web");
    let successors = [refresh("rt-2")];
    let rotation = Rotation::new(PresentedToken::new("rt-1"), &client, &successors, NOON);
    let rotated = setting.memory.rotate(&rotation).await.unwrap();
    assert!(matches!(rotated, Rotated::Applied(_)));
    let spent = setting.layer.find(PresentedToken::new("rt-1"), None).await.unwrap().unwrap();
    assert_eq!(spent.state(), TokenState::Consumed);
}

#[tokio::test]
async fn reuse_that_is_noticed_through_the_layer_ends_the_family_at_once() {
    let setting = Setting::new().await;
    let client = ClientId::new("web");
    let (first, second) = ([refresh("rt-2"), access("at-3")], [refresh("rt-3")]);
    let rotate = |successors| Rotation::new(PresentedToken::new("rt-1"), &client, successors, NOON);
    let rotated = setting.layer.rotate(&rotate(&first)).await.unwrap();
    assert!(matches!(rotated, Rotated::Applied(_)));
    for token in ["at-1", "at-3"] {
        assert!(setting.is_good(token).await);
        assert_eq!(setting.asks(token).await, (true, 0));
    }
    let rotated = setting.layer.rotate(&rotate(&second)).await.unwrap();
    assert!(matches!(rotated, Rotated::Reused(_)));
    for token in ["at-1", "at-3", "rt-2"] {
        assert!(!setting.is_good(token).await, "{token}");
    }
}

#[tokio::test]
async fn an_expired_token_is_asked_for_again() {
    let setting = Setting::new().await;
    let short = NewToken::access(PresentedToken::new("short"), NOON + SECOND);
    setting.layer.issue(grant("g1"), &[short], NOON).await.unwrap();
    assert_eq!(setting.asks("short").await, (true, 1));
    assert_eq!(setting.asks("short").await, (true, 0));
    setting.advance(SECOND);
    assert_eq!(setting.asks("short").await.1, 1);
}

#[tokio::test]
async fn what_was_issued_through_the_layer_is_asked_for() {
    let setting = Setting::new().await;
    assert_eq!(setting.asks("at-1").await, (true, 1));
    setting.layer.issue(grant("g1"), &[access("at-1")], NOON).await.unwrap();
    assert_eq!(setting.asks("at-1").await, (true, 1));
}

#[tokio::test]
async fn no_more_records_are_kept_than_there_is_room_for() {
    let setting = Setting::with(|layer| layer.capacity(64)).await;
    let names: Vec<String> = (0..1_000).map(|n| format!("token-{n}")).collect();
    let tokens: Vec<NewToken<'_>> = names.iter().map(|name| access(name)).collect();
    setting.memory.issue(grant("g2"), &tokens, NOON).await.unwrap();
    for name in &names {
        assert_eq!(setting.asks(name).await, (true, 1));
        assert_eq!(setting.asks(name).await, (true, 0));
    }
    let before = setting.behind.finds();
    for name in names.iter().rev().take(64) {
        assert!(setting.is_good(name).await);
    }
    assert!(setting.behind.finds() > before, "more than 64 were kept");
}

#[tokio::test]
async fn too_many_revocations_to_remember_cost_records_and_hide_nothing() {
    // Up to the brim and over it, before and after the one that matters.
    for (before, after) in (0..140_u32).map(|n| (n, 140 - n)) {
        let setting = Setting::with(|layer| layer.capacity(64)).await;
        let flood = async |count: u32, name: &str| {
            for n in 0..count {
                let unrelated = Target::Subject(format!("{name}-{n}").as_str().into());
                setting.layer.revoke(&operator(unrelated)).await.unwrap();
            }
        };
        flood(before, "before").await;
        setting.advance(MILLISECOND);
        assert_eq!(setting.asks("at-1").await, (true, 1));
        assert_eq!(setting.asks("at-1").await, (true, 0));
        setting.layer.revoke(&operator(Target::Grant("g1".into()))).await.unwrap();
        flood(after, "after").await;
        assert!(!setting.is_good("at-1").await, "{before} before it");
    }
}

#[tokio::test]
async fn a_revocation_is_remembered_for_as_long_as_any_record_from_before_it() {
    // Wherever in a generation of the news it is told, and however often others are told after it.
    for gap in [0, 20, 40, 59, 60, 61] {
        for step in [1, 2, 7, 20, 29, 30, 58] {
            for steps in 1..60_u32.div_ceil(step) {
                let setting = Setting::new().await;
                let unrelated = operator(Target::Subject("nobody".into()));
                setting.layer.revoke(&unrelated).await.unwrap();
                setting.advance(SECOND * gap);
                assert!(setting.is_good("at-1").await);
                setting.layer.revoke(&operator(Target::Session("s1".into()))).await.unwrap();
                for _ in 0..steps {
                    setting.advance(SECOND * step);
                    setting.layer.revoke(&unrelated).await.unwrap();
                }
                assert!(!setting.is_good("at-1").await, "{gap}, {steps} times {step}");
            }
        }
    }
}

#[tokio::test]
async fn of_two_cutoffs_of_one_target_the_later_counts_whichever_came_first() {
    let cutoff = |second: u32| {
        let alice = Target::Subject("alice".into());
        Revocation::by_operator(alice, Reason::PasswordChanged, NOON + SECOND * second)
    };
    for cutoffs in [[1, 3], [3, 1]] {
        let setting = Setting::new().await;
        let between = Grant::new("g3", "web", NOON + SECOND * 2).subject("alice");
        setting.memory.issue(between, &[access("between")], NOON).await.unwrap();
        for second in cutoffs {
            // Found before each of them: what the first said is not to stand in the way of the second.
            setting.is_good("between").await;
            setting.advance(MILLISECOND);
            // Of the store's own word nobody is in doubt: this is about what is kept.
            setting.layer.revoke(&cutoff(second)).await.unwrap();
        }
        assert!(!setting.is_good("between").await, "{cutoffs:?}");
    }
    // Both before anybody asks again: a record from before both is met by the later one.
    let setting = Setting::new().await;
    let between = Grant::new("g3", "web", NOON + SECOND * 2).subject("alice");
    setting.memory.issue(between, &[access("between")], NOON).await.unwrap();
    assert!(setting.is_good("between").await);
    setting.advance(MILLISECOND);
    setting.layer.revoke(&cutoff(3)).await.unwrap();
    setting.layer.revoke(&cutoff(1)).await.unwrap();
    assert!(!setting.is_good("between").await);
}

#[tokio::test]
async fn a_pointer_to_it_is_a_store_too() {
    let setting = Setting::new().await;
    let shared: Arc<dyn TokenLedger> = Arc::<Layered<_>>::clone(&setting.layer);
    assert!(is_good(&shared, "at-1").await);
    let shown = format!("{:?}", setting.layer);
    assert!(shown.contains("60s") && !shown.contains("at-1"), "{shown}");
}
