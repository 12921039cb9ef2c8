//! The words that the tests here are written in.

use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::policy::CascadePolicy;
use annul::store::{
    Changes, FeedCursor, FeedEntry, PostgresStore, RevocationFeed, Session, StoreError, TokenStore,
};
use annul::{
    Authority, Cascade, FakeClock, Grant, NewToken, Policy, PresentedToken, Reason, Request,
    Revocation, Target, Timestamp, Verdict,
};

/// Minutes after the beginning of all tests.
pub(crate) fn at(minutes: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000) + Duration::from_secs(60 * minutes)
}

/// Alice's, at `web`, in a session that is named after it.
pub(crate) fn grant(id: &str) -> Grant {
    Grant::new(id, "web", at(0)).subject("alice").session(id.replacen('g', "s", 1))
}

pub(crate) fn access(token: &str, hours: u64) -> NewToken<'_> {
    NewToken::access(PresentedToken::new(token), at(60 * hours))
}

pub(crate) fn refresh(token: &str, hours: u64) -> NewToken<'_> {
    NewToken::refresh(PresentedToken::new(token), at(60 * hours))
}

pub(crate) fn session(id: &str, hours: u64) -> Session {
    Session::new(id, "alice", at(0), at(60 * hours)).client("web")
}

pub(crate) const fn operator(target: Target, at: Timestamp) -> Revocation {
    Revocation::by_operator(target, Reason::Administrative, at)
}

pub(crate) fn of_grant(id: impl AsRef<str>) -> Revocation {
    operator(Target::Grant(id.as_ref().into()), at(0))
}

pub(crate) async fn verdict(
    store: &PostgresStore,
    token: &str,
    now: Timestamp,
) -> Result<Verdict, StoreError> {
    let found = store.find(PresentedToken::new(token), None).await?;
    Ok(found.map_or(Verdict::Unknown, |record| record.verdict(now)))
}

pub(crate) async fn is_revoked(store: &PostgresStore, token: &str) -> bool {
    matches!(verdict(store, token, at(0)).await.unwrap(), Verdict::Revoked { .. })
}

pub(crate) async fn is_known(store: &PostgresStore, token: &str) -> bool {
    store.find(PresentedToken::new(token), None).await.unwrap().is_some()
}

/// Everything after the cursor, which moves on. A gap fails the test.
pub(crate) async fn follow(
    store: &PostgresStore,
    cursor: &mut Option<FeedCursor>,
) -> Result<Vec<FeedEntry>, StoreError> {
    let mut entries = Vec::new();
    loop {
        match store.changes(cursor.as_ref(), 100).await? {
            Changes::Gap => panic!("a gap after {cursor:?}"),
            Changes::Page(page) => {
                let more = page.more();
                *cursor = Some(page.next().clone());
                entries.extend(page.into_entries());
                if !more {
                    return Ok(entries);
                }
            }
        }
    }
}

/// As client `web`, at the endpoint, the token alone.
pub(crate) async fn revoke_own(store: &PostgresStore, token: &str, now: Timestamp) {
    let web = ClientMetadata::new("web", AuthMethod::None);
    let clients = ClientTable::from_iter([Client::new(web)]);
    let mut policy = Policy::default();
    policy.cascade = CascadePolicy::both(Cascade::Token);
    let authority = Authority::new(store.clone(), RegisteredClients::new(clients))
        .policy(policy)
        .clock(FakeClock::at(now));
    let body = format!("token={token}&client_id=web");
    let request =
        Request::post(body.as_bytes()).header("content-type", b"application/x-www-form-urlencoded");
    assert_eq!(annul::handle_revoke(&authority, &request).await.status(), 200);
}
