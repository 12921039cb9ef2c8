//! What runs beside a revocation: one step at a time, and on threads.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::store::{Layered, Rotation, TokenLedger, TokenStore};
use annul::{
    Authority, ClientId, FakeClock, MemoryStore, NewToken, PresentedToken, Request, Stopwatch,
    Target, TokenState, profile,
};

use crate::slow::{step, until_done};
use crate::{MINUTE, NOON, SECOND, Setting, YEAR, access, grant, is_good, key, operator, refresh};

#[tokio::test]
async fn an_answer_from_before_a_revocation_that_arrives_after_it_is_not_believed() {
    let setting = Setting::new().await;
    let mut find = setting.layer.find(PresentedToken::new("at-1"), None);
    until_done(&mut find);
    setting.layer.revoke(&operator(Target::Session("s1".into()))).await.unwrap();
    // It was asked before, so it may say so; but nobody who asks from now on is told the same.
    assert_eq!(find.await.unwrap().unwrap().state(), TokenState::Active);
    assert!(!setting.is_good("at-1").await);
}

#[tokio::test]
async fn an_answer_from_between_a_revocations_start_and_its_end_is_not_believed() {
    let setting = Setting::new().await;
    let revocation = operator(Target::Session("s1".into()));
    let mut revoke = setting.layer.revoke(&revocation);
    assert!(step(&mut revoke).is_pending());
    // Not applied yet: the token is good, and is kept.
    setting.advance(SECOND);
    assert!(setting.is_good("at-1").await);
    revoke.await.unwrap();
    assert!(!setting.is_good("at-1").await);
}

#[tokio::test]
async fn every_interleaving_of_a_find_and_a_revocation_ends_with_a_dead_token() {
    // Each bit says whose turn it is.
    for order in 0_u32..64 {
        let setting = Setting::new().await;
        let revocation = operator(Target::Grant("g1".into()));
        let mut find = Some(setting.layer.find(PresentedToken::new("at-1"), None));
        let mut revoke = Some(setting.layer.revoke(&revocation));
        for turn in 0..6 {
            setting.advance(SECOND);
            if order >> turn & 1 == 0 {
                if find.as_mut().is_some_and(|find| step(find).is_ready()) {
                    find = None;
                }
            } else if revoke.as_mut().is_some_and(|revoke| step(revoke).is_ready()) {
                revoke = None;
                assert!(!setting.is_good("at-1").await, "{order:06b}");
            }
        }
        if let Some(revoke) = revoke {
            revoke.await.unwrap();
        }
        if let Some(find) = find {
            find.await.unwrap();
        }
        assert!(!setting.is_good("at-1").await, "{order:06b}");
    }
}

/// A stopwatch that is slow to answer: meanwhile something happens, once.
struct Distracted {
    stopwatch: Arc<FakeClock>,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Stopwatch for Distracted {
    fn elapsed(&self) -> Duration {
        let elapsed = self.stopwatch.elapsed();
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        elapsed
    }
}

/// Whoever looks at the time first, and at the news then, finds a record fresh and the news gone.
#[test]
fn news_that_are_forgotten_while_somebody_looks_are_not_missed() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stopwatch = Arc::new(FakeClock::at(NOON));
    let distracted =
        Arc::new(Distracted { stopwatch: Arc::clone(&stopwatch), meanwhile: Mutex::default() });
    let memory = MemoryStore::new();
    let layer = Layered::new(memory.clone(), key(), MINUTE)
        .clock(FakeClock::at(NOON))
        .stopwatch(Arc::clone(&distracted));
    let layer = Arc::new(layer);
    runtime().block_on(async {
        memory.issue(grant("g1"), &[access("at-1")], NOON).await.unwrap();
        assert!(is_good(&layer, "at-1").await);
        layer.revoke(&operator(Target::Session("s1".into()))).await.unwrap();
    });
    let later = {
        let layer = Arc::clone(&layer);
        move || {
            let revocations = async {
                for _ in 0..4 {
                    stopwatch.advance(MINUTE * 2);
                    let unrelated = operator(Target::Subject("nobody".into()));
                    layer.revoke(&unrelated).await.unwrap();
                }
            };
            thread::scope(|scope| scope.spawn(|| runtime().block_on(revocations)).join().unwrap());
        }
    };
    *distracted.meanwhile.lock().unwrap() = Some(Box::new(later));
    assert!(!runtime().block_on(is_good(&layer, "at-1")));
}

/// `rt-1` is exchanged while its client, which has no cascade, revokes it: the store ends the grant, and not only the
/// token that the revocation names.
#[tokio::test]
async fn a_family_that_a_revoked_token_takes_along_is_dead_through_the_layer_too() {
    let flood: Vec<String> = (0..1_000).map(|n| format!("other-{n}")).collect();
    // Where it is remembered whose the token is, and where there is so little room that it is not.
    for capacity in [10_000, 64] {
        let setting = Setting::with(|layer| layer.capacity(capacity)).await;
        let others: Vec<NewToken<'_>> = flood.iter().map(|name| access(name)).collect();
        setting.memory.issue(grant("g2"), &others, NOON).await.unwrap();
        let spa = ClientMetadata::new("web", AuthMethod::None);
        let clients = RegisteredClients::new(ClientTable::from_iter([Client::new(spa)]));
        let authority = Authority::new(Arc::clone(&setting.layer), clients)
            .policy(profile::asgardeo().policy)
            .clock(Arc::clone(&setting.clock));
        let request = Request::post(b"token=rt-1&client_id=web")
            .header("content-type", b"application/x-www-form-urlencoded");
        let mut revoking = Box::pin(annul::handle_revoke(&authority, &request));
        // The token is found, and is good; the revocation is on its way.
        for _ in 0..3 {
            assert!(step(&mut revoking).is_pending());
        }
        let client = ClientId::new("web");
        let successors = [refresh("rt-2"), access("at-3")];
        let rotation = Rotation::new(PresentedToken::new("rt-1"), &client, &successors, NOON);
        setting.layer.rotate(&rotation).await.unwrap();
        for token in &flood {
            assert!(setting.is_good(token).await);
        }
        for token in ["at-1", "at-3"] {
            assert!(setting.is_good(token).await);
            assert_eq!(setting.asks(token).await, (true, 0));
        }
        let response = revoking.await;
        assert_eq!(response.status(), 200);
        for token in ["at-1", "at-3", "rt-2"] {
            assert!(!setting.is_good(token).await, "{token} with room for {capacity}");
        }
    }
}

/// Readers look a token up without a pause, while it is revoked: once `revoke` has returned, every `find` that begins
/// says that it is dead.
#[test]
fn on_threads_no_find_that_begins_after_a_revocation_finds_the_token_good() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let memory = MemoryStore::new();
    let layer = Arc::new(Layered::new(memory.clone(), key(), YEAR).capacity(40));
    for round in 0..300 {
        let name = format!("token-{round}");
        let (id, session) = (format!("grant-{round}"), format!("session-{round}"));
        let issued = grant(&id).session(&*session);
        runtime().block_on(memory.issue(issued, &[access(&name)], NOON)).unwrap();
        let target = match round % 3 {
            0 => Target::Grant(id.as_str().into()),
            1 => Target::Session(session.as_str().into()),
            _ => {
                let find = memory.find(PresentedToken::new(&name), None);
                Target::Token(runtime().block_on(find).unwrap().unwrap().id().clone())
            }
        };
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let runtime = runtime();
                    loop {
                        // In this order: it is known to be revoked before it is asked for.
                        let was_over = is_over.load(SeqCst);
                        let is_good = runtime.block_on(is_good(&layer, &name));
                        assert!(!(was_over && is_good), "{name} came back");
                        if was_over {
                            break;
                        }
                    }
                });
            }
            for _ in 0..round % 50 {
                std::hint::spin_loop();
            }
            runtime().block_on(layer.revoke(&operator(target))).unwrap();
            is_over.store(true, SeqCst);
        });
    }
}
