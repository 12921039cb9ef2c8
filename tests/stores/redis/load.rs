//! Callers that issue, revoke and look, for as long as a fault lasts, and remember what they were told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use annul::store::{StoreError, StoreErrorKind, TokenLedger, TokenStore};
use annul::{
    Clock, Grant, NewToken, PresentedToken, Reason, RedisStore, Revocation, SystemClock, Target,
};
use tokio::task::JoinHandle;

/// Longer than the store's own time-out by what a busy machine takes, and far shorter than any fault lasts.
const LIMIT: Duration = Duration::from_secs(3);

/// What the callers were told.
#[derive(Default)]
pub(crate) struct Told {
    /// Tokens whose revocation was acknowledged.
    dead: Mutex<Vec<String>>,
    served: AtomicU64,
    unavailable: AtomicU64,
    stop: AtomicBool,
}

pub(crate) struct Load {
    pub(crate) told: Arc<Told>,
    lanes: Vec<JoinHandle<()>>,
}

pub(crate) fn grant(name: &str) -> Grant {
    Grant::new(format!("g-{name}"), "web", SystemClock.now()).subject(format!("u-{name}"))
}

/// Issues a refresh token for a day.
pub(crate) async fn issue(store: &RedisStore, name: &str) -> Result<(), StoreError> {
    let now = SystemClock.now();
    let expiry = now + Duration::from_secs(86_400);
    let new = [NewToken::refresh(PresentedToken::new(name), expiry)];
    store.issue(grant(name), &new, now).await.map(drop)
}

pub(crate) async fn revoke(store: &RedisStore, name: &str) -> Result<(), StoreError> {
    let target = Target::Grant(format!("g-{name}").into());
    let revocation = Revocation::by_operator(target, Reason::Administrative, SystemClock.now());
    store.revoke(&revocation).await.map(drop)
}

/// Whether a token is good; unknown is not.
pub(crate) async fn is_good(store: &RedisStore, name: &str) -> Result<bool, StoreError> {
    let found = store.find(PresentedToken::new(name), None).await?;
    Ok(found.is_some_and(|found| found.verdict(SystemClock.now()).is_active()))
}

impl Told {
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    pub(crate) fn unavailable(&self) -> u64 {
        self.unavailable.load(Ordering::SeqCst)
    }

    /// Counts an answer, and sees to it that a failure is the right one, in time.
    async fn count<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        let start = Instant::now();
        let answer = asked.await;
        let took = start.elapsed();
        assert!(took < LIMIT, "an answer took {took:?}");
        match answer {
            Ok(answer) => {
                self.served.fetch_add(1, Ordering::SeqCst);
                Some(answer)
            }
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
                self.unavailable.fetch_add(1, Ordering::SeqCst);
                None
            }
        }
    }
}

impl Load {
    pub(crate) fn start(store: &RedisStore, lanes: usize) -> Self {
        let told = Arc::new(Told::default());
        let lane = |lane: usize| {
            let (store, told) = (store.clone(), Arc::clone(&told));
            tokio::spawn(async move {
                for n in 0.. {
                    if told.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let name = format!("t-{lane}-{n}");
                    if told.count(issue(&store, &name)).await.is_none() {
                        continue;
                    }
                    if told.count(revoke(&store, &name)).await.is_some() {
                        told.dead.lock().unwrap().push(name);
                    }
                    // One of those that are dead for good.
                    let dead = {
                        let dead = told.dead.lock().unwrap();
                        dead.get(n * 7 % dead.len().max(1)).cloned()
                    };
                    if let Some(dead) = dead {
                        let good = told.count(is_good(&store, &dead)).await;
                        assert_ne!(good, Some(true), "`{dead}` is good after its revocation");
                    }
                }
            })
        };
        let lanes = (0..lanes).map(lane).collect();
        Self { told, lanes }
    }

    /// Waits until so many more calls were served.
    pub(crate) async fn goes_on(&self, calls: u64) {
        let from = self.told.served();
        let start = Instant::now();
        while self.told.served() < from + calls {
            assert!(start.elapsed() < Duration::from_secs(60), "service does not resume");
            assert!(self.lanes.iter().all(|lane| !lane.is_finished()), "a caller gave up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until calls fail.
    pub(crate) async fn fails(&self) {
        let from = self.told.unavailable();
        let start = Instant::now();
        while self.told.unavailable() == from {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing fails");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the callers, and looks at everything they were told.
    pub(crate) async fn ends(self, store: &RedisStore) {
        self.told.stop.store(true, Ordering::SeqCst);
        for lane in self.lanes {
            lane.await.unwrap();
        }
        let dead = self.told.dead.lock().unwrap().clone();
        assert!(dead.len() > 20, "only {} revocations were acknowledged", dead.len());
        for name in &dead {
            let good = is_good(store, name).await.unwrap();
            assert!(!good, "`{name}` is good after its revocation was acknowledged");
        }
        // And tokens that live do.
        issue(store, "after").await.unwrap();
        assert!(is_good(store, "after").await.unwrap());
    }
}
