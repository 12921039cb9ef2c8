//! Stores full of live tokens that look like real ones.

use std::sync::Arc;
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::store::{Lifetimes, Session, Sweep, SweepBudget, TokenLedger};
use annul::wire::basic;
use annul::{
    Authority, Clock, Grant, MemoryStore, NewToken, Policy, PresentedToken, Request, SystemClock,
    Timestamp,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{CLIENT_ID, CLIENT_SECRET, FORM, processor_time, run};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// What one user holds. Each grant has one refresh token.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    pub(crate) grants: u64,
    pub(crate) access_tokens: u64,
    pub(crate) sessions: bool,
}

/// Two applications, each refreshed a few times within an access token's life.
pub(crate) const A: Layout = Layout::of("A: 2 grants of 1 refresh + 4 access", 2, 4);
/// Five applications, each with its latest tokens.
pub(crate) const B: Layout = Layout::of("B: 5 grants of 1 refresh + 1 access", 5, 1);
/// One application that refreshes often.
pub(crate) const C: Layout = Layout::of("C: 1 grant of 1 refresh + 9 access", 1, 9);

impl Layout {
    const fn of(name: &'static str, grants: u64, access_tokens: u64) -> Self {
        Self { name, grants, access_tokens, sessions: false }
    }

    /// The same with a record of each user's session, and the clients in it.
    pub(crate) const fn with_sessions(mut self) -> Self {
        self.sessions = true;
        self
    }

    pub(crate) const fn tokens_per_grant(&self) -> u64 {
        self.access_tokens + 1
    }

    pub(crate) const fn tokens_per_user(&self) -> u64 {
        self.grants * self.tokens_per_grant()
    }
}

/// From one to the next where neighbours in time are not to be neighbours in the store: a prime, and no factor of
/// any size here.
const STRIDE: u64 = 7_368_787;

/// The finalizer of SplitMix64: a bijection, so no two names below are the same.
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Which kind of name a number stands for.
const TOKEN: u64 = 0;
const GRANT: u64 = 1;
const SESSION: u64 = 2;
const SUBJECT: u64 = 3;
const STRANGER: u64 = 4;

const fn words(kind: u64, epoch: u64, serial: u64) -> [u64; 4] {
    let base = (kind << 60) | (epoch << 40) | (serial << 2);
    [mix(base), mix(base | 1), mix(base | 2), mix(base | 3)]
}

/// 32 bytes in base64url: 43 characters.
fn opaque(kind: u64, epoch: u64, serial: u64) -> String {
    let mut bytes = [0; 32];
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (chunk, word) in chunks.iter_mut().zip(words(kind, epoch, serial)) {
        *chunk = word.to_le_bytes();
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn uuid(kind: u64, epoch: u64, serial: u64) -> String {
    let [a, b, ..] = words(kind, epoch, serial);
    let (time, node) = (a >> 32, b & 0xffff_ffff_ffff);
    let (mid, version) = (a >> 16 & 0xffff, 0x4000 | a & 0xfff);
    let variant = 0x8000 | b >> 48 & 0x3fff;
    format!("{time:08x}-{mid:04x}-{version:04x}-{variant:04x}-{node:012x}")
}

/// A token that nobody was issued.
pub(crate) fn stranger(serial: u64) -> String {
    opaque(STRANGER, 0, serial)
}

/// The `Authorization` header of the one client.
pub(crate) fn authorization() -> String {
    basic::header_value(CLIENT_ID, CLIENT_SECRET)
}

pub(crate) fn clients() -> RegisteredClients {
    let metadata = ClientMetadata::new(CLIENT_ID, AuthMethod::ClientSecretBasic);
    let client = Client::new(metadata).secret(CLIENT_SECRET);
    RegisteredClients::new(ClientTable::from_iter([client]))
}

/// What is done to the store, once for each request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    Check,
    Introspect,
    /// Revokes by a refresh token.
    RevokeByRefresh,
    /// Revokes by an access token.
    RevokeLive,
    RevokeUnknown,
    Logout,
}

pub(crate) const OPERATIONS: [Operation; 6] = [
    Operation::RevokeUnknown,
    Operation::RevokeLive,
    Operation::RevokeByRefresh,
    Operation::Logout,
    Operation::Introspect,
    Operation::Check,
];

impl Operation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Introspect => "handle_introspect",
            Self::RevokeByRefresh => "handle_revoke/cascade",
            Self::RevokeLive => "handle_revoke/live",
            Self::RevokeUnknown => "handle_revoke/unknown",
            Self::Logout => "handle_logout",
        }
    }

    /// Whether it leaves the store as it was.
    const fn is_read(self) -> bool {
        matches!(self, Self::Check | Self::Introspect | Self::RevokeUnknown)
    }
}

/// A store with `size` live tokens, and the authority over it. The clock is the system's: asking it is part of
/// the cost.
pub(crate) struct Population {
    pub(crate) authority: Authority,
    pub(crate) store: Arc<MemoryStore>,
    layout: Layout,
    users: u64,
    /// Which tokens there are: no two fillings have one in common.
    epoch: u64,
    /// How many users have lost something.
    turn: u64,
    /// How many have been asked about only. They are of the other half, whose tokens all live.
    read: u64,
}

/// It is swept by a clock that leaps.
fn store() -> MemoryStore {
    MemoryStore::new().with_lifetimes(Lifetimes::default().with_clock_leap(Duration::MAX))
}

impl Population {
    pub(crate) fn new(layout: Layout, size: u64) -> Self {
        Self::with_policy(layout, size, Policy::default())
    }

    pub(crate) fn with_policy(layout: Layout, size: u64, policy: Policy) -> Self {
        let store = Arc::new(store());
        let authority = Authority::new(Arc::clone(&store), clients()).policy(policy);
        let population = Self::empty(authority, store, layout, size / layout.tokens_per_user(), 0);
        population.fill();
        population
    }

    /// One population of each layout, `users` of each, in one store.
    pub(crate) fn together(layouts: &[Layout], users: u64) -> Vec<Self> {
        let store = Arc::new(store());
        let authority = Authority::new(Arc::clone(&store), clients());
        let populations: Vec<Self> = (0..)
            .zip(layouts)
            .map(|(epoch, layout)| {
                Self::empty(authority.clone(), Arc::clone(&store), *layout, users, epoch)
            })
            .collect();
        populations.iter().for_each(Self::fill);
        populations
    }

    const fn empty(
        authority: Authority,
        store: Arc<MemoryStore>,
        layout: Layout,
        users: u64,
        epoch: u64,
    ) -> Self {
        Self { authority, store, layout, users, epoch, turn: 0, read: 0 }
    }

    pub(crate) const fn users(&self) -> u64 {
        self.users
    }

    /// Issues everybody's tokens.
    fn fill(&self) {
        let now = SystemClock.now();
        for user in 0..self.users {
            let session = uuid(SESSION, self.epoch, user);
            let subject = uuid(SUBJECT, 0, user);
            if self.layout.sessions {
                let ends = now + Duration::from_secs(DAY);
                let session = Session::new(&*session, &*subject, now, ends).client(CLIENT_ID);
                run(self.store.open_session(session)).expect("the session is new");
            }
            for nth in 0..self.layout.grants {
                let serial = user * self.layout.grants + nth;
                let grant = Grant::new(uuid(GRANT, self.epoch, serial), CLIENT_ID, now)
                    .subject(&*subject)
                    .session(&*session)
                    .scope("openid profile email");
                let texts: Vec<String> = (0..self.layout.tokens_per_grant())
                    .map(|token| self.token(user, nth, token))
                    .collect();
                let tokens: Vec<NewToken<'_>> = (0..)
                    .zip(&texts)
                    .map(|(token, text)| {
                        // Refresh tokens live a month and access tokens two hours; each is somewhere in its life.
                        let age = mix(serial << 8 | token);
                        let text = PresentedToken::new(text);
                        match token {
                            0 => NewToken::refresh(text, later(now, DAY + age % (29 * DAY))),
                            _ => NewToken::access(text, later(now, HOUR + age % HOUR)),
                        }
                    })
                    .collect();
                run(self.store.issue(grant, &tokens, now)).expect("the tokens are new");
            }
        }
    }

    /// Forgets everything and fills the store anew, with other tokens. The room stays.
    pub(crate) fn refill(&mut self) {
        Self::refill_together(std::slice::from_mut(self));
    }

    /// As [`refill`](Self::refill), where all of `populations` are in one store.
    pub(crate) fn refill_together(populations: &mut [Self]) {
        if let Some(first) = populations.first() {
            first.forget();
        }
        let epochs = u64::try_from(populations.len()).unwrap_or(u64::MAX);
        for population in populations {
            population.epoch += epochs;
            population.turn = 0;
            population.read = 0;
            population.fill();
        }
    }

    fn forget(&self) {
        // Later each time: what is revoked after a sweep is kept for a while from that sweep's time on.
        let doomsday = later(SystemClock.now(), (400 + self.epoch) * DAY);
        let all = SweepBudget::rows(usize::MAX);
        run(self.store.sweep(doomsday, all)).expect("the memory store never fails");
        let usage = self.store.usage();
        assert_eq!((usage.tokens, usage.revocations), (0, 0), "all was swept");
    }

    /// The refresh token of a grant is its token 0.
    pub(crate) fn token(&self, user: u64, grant: u64, token: u64) -> String {
        let serial = (user * self.layout.grants + grant) * self.layout.tokens_per_grant() + token;
        opaque(TOKEN, self.epoch, serial)
    }

    /// An access token of every grant, in no order.
    pub(crate) fn live(&self) -> impl Iterator<Item = String> {
        let grants = self.users * self.layout.grants;
        (0..grants).map(move |turn| {
            let grant = (turn * STRIDE) % grants;
            self.token(grant / self.layout.grants, grant % self.layout.grants, 1)
        })
    }

    /// Does `operation` so many times, each by another user's first grant, and says how long it took. Only the
    /// requests are timed; when half of the users have had their turn, the store is filled anew.
    pub(crate) fn time(&mut self, operation: Operation, times: u64) -> Duration {
        let mut took = Duration::ZERO;
        let mut left = times;
        let half = self.users / 2;
        while left > 0 {
            let used = if operation.is_read() { self.read } else { self.turn };
            let spare = half.saturating_sub(used);
            if spare == 0 {
                if operation.is_read() {
                    self.read = 0;
                } else {
                    self.refill();
                }
                continue;
            }
            let step = left.min(spare).min(20_000);
            took += self.step(operation, step);
            left -= step;
        }
        took
    }

    fn step(&mut self, operation: Operation, times: u64) -> Duration {
        let requests = self.requests(operation, times);
        let before = self.store.usage().revocations;
        let (took, good) = self.send(operation, &requests);
        let revoked = self.store.usage().revocations - before;
        let expected = if operation.is_read() { 0 } else { requests.len() };
        assert_eq!(good, requests.len(), "every request succeeds: {operation:?}");
        assert_eq!(revoked, expected, "what was to be revoked is: {operation:?}");
        took
    }

    /// The bodies of the next requests, or the tokens to check.
    pub(crate) fn requests(&mut self, operation: Operation, times: u64) -> Vec<String> {
        let first = if operation.is_read() {
            self.read += times;
            self.users / 2 + self.read - times
        } else {
            self.turn += times;
            self.turn - times
        };
        (first..first + times).map(|turn| self.request(operation, self.shuffled(turn))).collect()
    }

    fn request(&self, operation: Operation, user: u64) -> String {
        let access = self.token(user, 0, 1 % self.layout.tokens_per_grant());
        match operation {
            Operation::Check => access,
            Operation::Introspect => format!("token={access}"),
            Operation::RevokeByRefresh => {
                let refresh = self.token(user, 0, 0);
                format!("token={refresh}&token_type_hint=refresh_token")
            }
            Operation::RevokeLive => format!("token={access}&token_type_hint=access_token"),
            Operation::RevokeUnknown => {
                format!("token={}&token_type_hint=access_token", stranger(user))
            }
            Operation::Logout => format!("refresh_token={}", self.token(user, 0, 0)),
        }
    }

    /// Neighbours in time are not neighbours in the store.
    const fn shuffled(&self, turn: u64) -> u64 {
        (turn * STRIDE) % self.users
    }

    /// How much processor time the requests took, and how many had the effect they should have.
    pub(crate) fn send(&self, operation: Operation, requests: &[String]) -> (Duration, usize) {
        let authority = &self.authority;
        let authorization = authorization();
        let mut good = 0;
        let start = processor_time();
        for text in requests {
            let request = || {
                Request::post(text.as_bytes())
                    .header("content-type", FORM)
                    .header("authorization", authorization.as_bytes())
            };
            good += usize::from(match operation {
                Operation::Check => run(authority.check(PresentedToken::new(text)))
                    .is_ok_and(|verdict| verdict.is_active()),
                Operation::Introspect => {
                    let response = run(annul::handle_introspect(authority, &request()));
                    response.body().starts_with(br#"{"active":true"#)
                }
                Operation::RevokeByRefresh | Operation::RevokeLive | Operation::RevokeUnknown => {
                    run(annul::handle_revoke(authority, &request())).status() == 200
                }
                Operation::Logout => {
                    run(annul::handle_logout(authority, &request())).status() == 200
                }
            });
        }
        (processor_time() - start, good)
    }
}

fn later(now: Timestamp, seconds: u64) -> Timestamp {
    now + Duration::from_secs(seconds)
}

/// The straight composition with the same number of live tokens.
pub(crate) struct StraightPopulation {
    straight: crate::support::straight::Straight,
    size: u64,
    turn: u64,
    epoch: u64,
    authorization: String,
}

impl StraightPopulation {
    pub(crate) fn new(size: u64) -> Self {
        let straight = crate::support::straight::Straight::new();
        for serial in 0..size {
            straight.issue(&opaque(TOKEN, 0, serial), serial);
        }
        Self { straight, size, turn: 0, epoch: 0, authorization: authorization() }
    }

    /// As [`Population::time`]; when a twentieth of the tokens are gone, as many new ones are issued.
    pub(crate) fn time(&mut self, live: bool, times: u64) -> Duration {
        let mut took = Duration::ZERO;
        let mut left = times;
        while left > 0 {
            let spare = (self.size / 20).saturating_sub(self.turn);
            if spare == 0 {
                if live {
                    for turn in 0..self.turn {
                        let serial = self.shuffled(turn);
                        self.straight.issue(&opaque(TOKEN, self.epoch + 1, serial), serial);
                    }
                    self.epoch += 1;
                }
                self.turn = 0;
                continue;
            }
            let step = left.min(spare).min(20_000);
            took += self.step(live, step);
            left -= step;
        }
        took
    }

    fn step(&mut self, live: bool, times: u64) -> Duration {
        let first = self.turn;
        self.turn += times;
        let requests: Vec<String> = (first..first + times)
            .map(|turn| {
                let serial = self.shuffled(turn);
                let token = match live {
                    true => opaque(TOKEN, self.epoch, serial),
                    false => stranger(serial),
                };
                format!("token={token}&token_type_hint=access_token")
            })
            .collect();
        let before = self.straight.len();
        let mut good = 0;
        let start = processor_time();
        for body in &requests {
            let status = self.straight.revoke(self.authorization.as_bytes(), body.as_bytes());
            good += usize::from(status == 200);
        }
        let took = processor_time() - start;
        assert_eq!(good, requests.len(), "every request succeeds");
        let revoked = before - self.straight.len();
        assert_eq!(revoked, if live { requests.len() } else { 0 }, "live tokens are removed");
        took
    }

    const fn shuffled(&self, turn: u64) -> u64 {
        (turn * STRIDE) % self.size
    }
}
