//! What could not be revoked is not recorded, and an identifier that is taken is an error.

use annul::store::{Issued, Rotated, StoreErrorKind, TokenLedger, TokenStore};
use annul::{Grant, NewToken, PresentedToken, Reason, Revocation, Target, TokenId, TokenState};

use crate::rules::{
    DAY, HOUR, NOW, SECOND, grant, issue, revocations, rotate, state, store, sweep_all,
};

/// K2.3: for an issue and for a rotation, and nothing is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_presented_is_not_recorded() {
    let long = "x".repeat(PresentedToken::MAX_BYTES + 1);
    for odd in ["", "a\u{7}b", &long] {
        let store = store();
        let tokens = [
            NewToken::access(PresentedToken::new("fine"), NOW + HOUR),
            NewToken::refresh(PresentedToken::new(odd), NOW + HOUR),
        ];
        let refused = store.issue(grant("g"), &tokens, NOW).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unsupported);
        assert_eq!(state(&*store, "fine").await, None);
        issue(&*store, grant("g"), HOUR, NOW).await.unwrap();
        let refused = rotate(&*store, ("g", odd), HOUR, (NOW, SECOND)).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unsupported);
        assert_eq!(state(&*store, "g").await, Some(TokenState::Active));
    }
}

/// K2.4.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_token_has_is_an_error_and_no_entry() {
    let store = store();
    let target = Target::Token(TokenId::named("jti-1"));
    let revocation = Revocation::by_operator(target, Reason::Administrative, NOW);
    let refused = store.revoke(&revocation).await.unwrap_err();
    assert_eq!((refused.kind(), revocations(&*store).await), (StoreErrorKind::Unsupported, 0));
}

/// K8: the id of a grant is its client's and its subject's for as long as one of its tokens is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_of_this_id_and_another_owner_is_a_conflict() {
    let store = store();
    let web = Grant::new("g", "web", NOW).subject("alice");
    let name = |n: u32| format!("t{n}");
    let token = |n: u32, lasts| (name(n), NOW + lasts);
    let put = async |grant: Grant, (name, until): (String, _)| {
        let new = [NewToken::access(PresentedToken::new(&name), until)];
        store.issue(grant, &new, NOW).await
    };
    assert_eq!(put(web.clone(), token(0, HOUR)).await.unwrap(), Issued::Live);
    assert_eq!(put(web.clone(), token(1, DAY)).await.unwrap(), Issued::Live);
    // Another login, another scope: the same owner.
    let later = Grant::new("g", "web", NOW + HOUR).subject("alice").scope("openid");
    assert_eq!(put(later.clone(), token(2, DAY)).await.unwrap(), Issued::Live);
    let found = store.find(PresentedToken::new("t2"), None).await.unwrap().unwrap();
    assert_eq!(**found.grant(), later);
    let others = [
        Grant::new("g", "spa", NOW).subject("alice"),
        Grant::new("g", "web", NOW).subject("bob"),
        Grant::new("g", "web", NOW),
    ];
    for now in [NOW, NOW + HOUR * 3, NOW + DAY + HOUR / 2] {
        sweep_all(&*store, now).await;
        for (n, other) in (10..).zip(&others) {
            let refused = put(other.clone(), token(n, DAY)).await.unwrap_err();
            assert_eq!(refused.kind(), StoreErrorKind::Conflict);
            assert_eq!(state(&*store, &name(n)).await, None);
        }
    }
    drop(found);
    sweep_all(&*store, NOW + DAY * 2).await;
    assert_eq!(state(&*store, "t2").await, None);
    assert_eq!(put(others[0].clone(), token(20, DAY * 3)).await.unwrap(), Issued::Live);
}

/// All or none: also where the second token is taken, and where the two of one call are at odds.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_recorded_together_or_not_at_all() {
    let store = store();
    issue(&*store, grant("taken"), HOUR, NOW).await.unwrap();
    let [new, taken, twice] = ["new", "taken", "twice"].map(PresentedToken::new);
    let until = NOW + HOUR;
    let attempts = [
        vec![NewToken::access(new, until), NewToken::refresh(taken, until)],
        vec![NewToken::refresh(taken, until), NewToken::access(new, until)],
        vec![
            NewToken::access(new, until),
            NewToken::access(twice, until),
            NewToken::refresh(twice, until),
        ],
    ];
    for tokens in attempts {
        let refused = store.issue(grant("g"), &tokens, NOW).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
        assert_eq!((state(&*store, "new").await, state(&*store, "twice").await), (None, None));
        // The id was not taken by what was not stored.
        let other = Grant::new("g", "spa", NOW);
        let fits = store.issue(other, &[NewToken::access(twice, until)], NOW).await;
        assert!(fits.is_ok());
        sweep_all(&*store, NOW + HOUR * 3).await;
    }
}

/// K2.5: to undo it would let two callers rotate one token.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_is_taken_leaves_the_token_consumed() {
    let store = store();
    issue(&*store, grant("taken"), HOUR, NOW).await.unwrap();
    issue(&*store, grant("g"), HOUR, NOW).await.unwrap();
    let refused = rotate(&*store, ("g", "taken"), HOUR, (NOW, SECOND * 10)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    assert_eq!(state(&*store, "g").await, Some(TokenState::Consumed));
    let again = rotate(&*store, ("g", "next"), HOUR, (NOW, SECOND * 10)).await.unwrap();
    assert!(matches!(again, Rotated::AppliedInGrace(_)), "{again:?}");
}
