//! K8: what the contract suites did not see, and stores did in as many ways as there are.

use annul::Grant;
use annul::store::{Issued, Lifetimes, StoreErrorKind};

use crate::stories::{HOUR, START, on_every_store, record, refresh, verdict};

/// The same grant id with another client, another subject, or none: a clash, and nothing is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k8_a_grant_id_of_another_client_or_subject_is_a_conflict() {
    on_every_store(Lifetimes::default(), async |name, store| {
        let owner = Grant::new("g", "web", START).subject("alice");
        store.issue(owner.clone(), &[refresh("rt", START + HOUR)], START).await.unwrap();
        let others = [
            Grant::new("g", "app", START).subject("alice"),
            Grant::new("g", "web", START).subject("bob"),
            Grant::new("g", "web", START),
        ];
        for (n, other) in others.into_iter().enumerate() {
            let token = format!("other-{n}");
            let clash = store.issue(other, &[refresh(&token, START + HOUR)], START).await;
            assert_eq!(clash.map_err(|e| e.kind()), Err(StoreErrorKind::Conflict), "{name}: {n}");
            assert!(record(store, &token).await.is_none(), "{name}: {n} is stored");
        }
        let more = store.issue(owner, &[refresh("rt-2", START + HOUR)], START).await.unwrap();
        assert_eq!(more, Issued::Live, "{name}");
        assert!(verdict(store, "rt", START).await.is_active(), "{name}");
    })
    .await;
}
