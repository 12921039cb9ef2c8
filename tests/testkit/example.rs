//! `examples/custom_store.rs`: what a host writes to run the suite over tables of its own.

use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use annul::store::StoreError;
use annul::testkit::{Ability, Fixture, Put, PutToken, store};
use annul::{DigestKey, Grant, NewToken, Timestamp};
use async_trait::async_trait;

use crate::custom_store::{HostStore, TokenRow};

/// The example's tables are written for names that stand in its source.
fn leaked(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

static ROWS: AtomicU64 = AtomicU64::new(1);

#[async_trait]
impl PutToken for HostStore {
    async fn put(
        &self,
        grant: &Grant,
        token: &NewToken<'_>,
        _now: Timestamp,
    ) -> Result<Put, StoreError> {
        // It has no column for these.
        if grant.is_offline() || token.is_consumed() {
            return Ok(Put::NoPlace);
        }
        let (Some(user), Some(session)) = (grant.subject_id(), grant.session_id()) else {
            return Ok(Put::NoPlace);
        };
        let row = TokenRow {
            id: ROWS.fetch_add(1, Ordering::Relaxed),
            kind: token.kind(),
            grant_id: leaked(grant.id().as_str()),
            client_id: leaked(grant.client_id().as_str()),
            user_id: leaked(user.as_str()),
            session_id: leaked(session.as_str()),
            logged_in_at: grant.authenticated_at(),
            expires_at: token.expires_at(),
        };
        self.insert(token.token().expose_secret(), row)?;
        Ok(Put::Done)
    }
}

#[tokio::test]
async fn the_examples_store_keeps_the_contract() {
    let fresh = || {
        let tables = Mutex::default();
        let store = Arc::new(HostStore { key: DigestKey::new(&[7; 32]), tables });
        ready(Ok(Fixture::store(Arc::clone(&store), store).on_threads()))
    };
    store::suite().run(&fresh).await.assert_held_except_for(&[
        Ability::Contents,
        Ability::Namespaces,
        Ability::Operations,
        Ability::Place,
        Ability::Restart,
        Ability::SecondHandle,
    ]);
}
