//! K2: acknowledged, and not effective.

use std::time::Duration;

use annul::store::{Lifetimes, Rotated, StoreErrorKind};
use annul::{NewToken, PresentedToken, Reason, Revocation, Target, Timestamp, TokenId};

use crate::stories::{
    HOUR, SECOND, START, grant, on_every_store, record, refresh, rotate, verdict,
};

/// K2.3: what `/revoke` answers without looking is not issued, and no rotation leads to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k2_3_what_cannot_be_presented_is_not_issued() {
    on_every_store(Lifetimes::default(), async |name, store| {
        let too_long = "x".repeat(PresentedToken::MAX_BYTES + 1);
        let longest = "x".repeat(PresentedToken::MAX_BYTES);
        for (n, odd) in [too_long.as_str(), "", "a\0b", "a\nb", "a\u{7f}"].into_iter().enumerate() {
            let tokens = [refresh("beside", START + HOUR), refresh(odd, START + HOUR)];
            let refused =
                store.issue(grant("g", START), &tokens, START).await.map_err(|e| e.kind());
            assert_eq!(refused, Err(StoreErrorKind::Unsupported), "{name}: {n}");
            assert!(record(store, "beside").await.is_none(), "{name}: {n} stored a part");
            let rt = format!("rt-{n}");
            store.issue(grant("g", START), &[refresh(&rt, START + HOUR)], START).await.unwrap();
            let refused = rotate(store, &rt, odd, START + SECOND, Duration::ZERO).await;
            assert!(matches!(refused, Err(StoreErrorKind::Unsupported)), "{name}: {n} {refused:?}");
            assert!(
                verdict(store, &rt, START + SECOND).await.is_active(),
                "{name}: {n} was consumed"
            );
        }
        store.issue(grant("g", START), &[refresh(&longest, START + HOUR)], START).await.unwrap();
        assert!(verdict(store, &longest, START).await.is_active(), "{name}");
    })
    .await;
}

/// K2.4: a name that no token has. `Ok` would look like a revocation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k2_4_to_revoke_by_a_name_that_no_token_has_is_an_error() {
    on_every_store(Lifetimes::default(), async |name, store| {
        let target = Target::Token(TokenId::named("jti-1"));
        let revocation = Revocation::by_operator(target, Reason::Administrative, START);
        let refused = store.revoke(&revocation).await.map_err(|error| error.kind());
        assert_eq!(refused, Err(StoreErrorKind::Unsupported), "{name}");
    })
    .await;
}

/// K2.5: a rotation onto a taken value. To undo it would let two callers rotate one token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k2_5_a_rotation_onto_a_taken_value_leaves_the_token_consumed() {
    on_every_store(Lifetimes::default(), async |name, store| {
        store.issue(grant("g", START), &[refresh("rt", Timestamp::MAX)], START).await.unwrap();
        store
            .issue(grant("other", START), &[refresh("taken", Timestamp::MAX)], START)
            .await
            .unwrap();
        let conflict = rotate(store, "rt", "taken", START, Duration::from_secs(10)).await;
        assert!(matches!(conflict, Err(StoreErrorKind::Conflict)), "{name}: {conflict:?}");
        assert!(!verdict(store, "rt", START).await.is_active(), "{name}: it can be rotated twice");
        assert!(verdict(store, "taken", START).await.is_active(), "{name}");
        let again = rotate(store, "rt", "rt-2", START + SECOND, Duration::from_secs(10)).await;
        assert!(matches!(again, Ok(Rotated::AppliedInGrace(_))), "{name}: {again:?}");
    })
    .await;
}

/// A relative of K2: of two tokens one is taken. None may be left behind, live and in nobody's hands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k2_tokens_are_issued_all_or_none() {
    on_every_store(Lifetimes::default(), async |name, store| {
        store
            .issue(grant("other", START), &[refresh("taken", Timestamp::MAX)], START)
            .await
            .unwrap();
        let tokens: [NewToken<'_>; 2] =
            [refresh("first", Timestamp::MAX), refresh("taken", Timestamp::MAX)];
        let conflict = store.issue(grant("g", START), &tokens, START).await.map_err(|e| e.kind());
        assert_eq!(conflict, Err(StoreErrorKind::Conflict), "{name}");
        assert!(record(store, "first").await.is_none(), "{name}");
    })
    .await;
}
