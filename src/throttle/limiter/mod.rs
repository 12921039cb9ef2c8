//! The shipped throttle: quotas, and buckets that are counted in.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::throttle::{Caller, Misuse, SlowDown, Throttle};

mod buckets;
mod quota;

pub use quota::Quota;

use buckets::Buckets;
use quota::Rate;

/// What a [`RateLimiter`] forgives, and how much it remembers.
///
/// Why failures are counted three times: who only knows a client's identifier must not be able to shut that client
/// out with a handful of requests. So the tight quota is for a client *and* a peer, and the two that count a client
/// or a peer alone are wide.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use annul::throttle::{Quota, Quotas, RateLimiter};
///
/// let mut quotas = Quotas::default();
/// quotas.per_client_and_peer = Quota::new(NonZeroU32::new(5).unwrap(), Duration::from_secs(30));
/// let limiter = RateLimiter::new(quotas);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Quotas {
    /// Failed authentications under one client identifier from one peer. Default: 30, one regained every 2 s.
    pub per_client_and_peer: Quota,
    /// Failed authentications under one client identifier, from anywhere. Default: 300, 5 regained a second.
    pub per_client: Quota,
    /// Failed authentications from one peer, under any client identifier or none. Default: 300, 5 regained a second.
    pub per_peer: Quota,
    /// Unknown tokens that one client presents; from one peer, if it is a public client, whose name anybody can use.
    /// Default: 300, 10 regained a second.
    pub unknown_tokens: Quota,
    /// How many buckets are remembered, at 16 bytes each; rounded down by less than 128, and at least 8. A failure
    /// is counted in up to three. Default: 65 536, a megabyte.
    pub capacity: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        let quota = |burst, millis| {
            let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
            Quota::new(burst, Duration::from_millis(millis))
        };
        Self {
            per_client_and_peer: quota(30, 2_000),
            per_client: quota(300, 200),
            per_peer: quota(300, 200),
            unknown_tokens: quota(300, 100),
            capacity: 65_536,
        }
    }
}

/// The shipped [`Throttle`]: counts misuse by client and by peer, in memory that never grows.
///
/// Only misuse counts. A client that authenticates and presents tokens that exist is never slowed down by its own
/// requests, however many they are. Who has used up a quota is answered 429, before anything is looked up, until one
/// of its requests is regained.
///
/// ```
/// use annul::client::RegisteredClients;
/// use annul::throttle::RateLimiter;
/// use annul::{Authority, FakeClock, MemoryStore, Request, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let authority = Authority::new(MemoryStore::new(), RegisteredClients::default())
///     .clock(FakeClock::at(Timestamp::from_unix_seconds(1_800_000_000)))
///     .throttle(RateLimiter::default());
/// let request = Request::post(b"token=t&client_id=web&client_secret=a-guess")
///     .header("content-type", b"application/x-www-form-urlencoded")
///     .peer([192, 0, 2, 1].into());
/// for _ in 0..30 {
///     assert_eq!(annul::handle_revoke(&authority, &request).await.status(), 401);
/// }
/// let response = annul::handle_revoke(&authority, &request).await;
/// assert_eq!(response.status(), 429);
/// assert_eq!(response.header("retry-after"), Some("2"));
/// # }
/// ```
///
/// # What counts as the same caller
///
/// A client is the identifier in its credentials, whether such a client exists or not: the two cannot be told apart
/// here either. A peer is an IPv4 address, or the first 64 bits of an IPv6 address, which is the least that
/// anybody has. An IPv4 address written as IPv6 is that IPv4 address.
///
/// # Security
///
/// - **Pass the peer's address** ([`Request::peer`](crate::Request::peer)), and pass the caller's: behind a proxy
///   that is what the proxy says, not the proxy's own. With the proxy's, all callers are one peer, and anybody can
///   use up its quota. Without any, only the wide quota of each client stands between a guesser and its secret,
///   and failures that name no client count nowhere.
/// - Who knows a client's identifier can have it refused: at its own address with thirty failures, everywhere with
///   three hundred and five more each second, from many addresses. That is the price of a bound on guesses from
///   many addresses. To be free of both, set [`Quotas::per_client`] to nothing (`per` zero) and keep secrets that
///   nobody can guess.
/// - **Memory is bounded by forgetting, not by refusing.** If nothing could be remembered any more, and whoever is new
///   were refused for it, a million made-up identifiers would shut everybody out. Instead the bucket that lacks least
///   gives way: full ones first, exhausted ones last. What that costs: for about [`Quotas::capacity`] failing
///   requests under other names, sent before a bucket has regained anything, a guesser has ten guesses at one client
///   forgotten, or one at one client from one peer.
/// - It looks before the secret is checked and counts after: requests that are under way at the same time are all
///   heard. Bound how many you serve at once.
/// - If the clock is set back, an exhausted bucket is exhausted from then on: it regains from the first look. If it is
///   set forward, quotas are regained.
/// - Each process counts for itself: behind a load balancer, guesses are as many times what is said here.
pub struct RateLimiter {
    quotas: Quotas,
    rates: Rates,
    buckets: Buckets,
    /// Nobody outside of this process can choose two names that count in the same bucket.
    keys: RandomState,
}

#[derive(Clone, Copy)]
struct Rates {
    client_and_peer: Option<Rate>,
    client: Option<Rate>,
    peer: Option<Rate>,
    unknown_tokens: Option<Rate>,
}

/// What is counted, of whom. Clients are hashes: a name may be long, and is read once.
#[derive(Clone, Copy, Hash)]
enum Count {
    FailuresByPair(u64, Peer),
    FailuresOfClient(u64),
    FailuresOfPeer(Peer),
    UnknownTokensByPair(u64, Option<Peer>),
    UnknownTokensOfClient(u64),
}

#[derive(Clone, Copy, Hash)]
enum Peer {
    V4(Ipv4Addr),
    /// A network of 64 bits: within it, addresses cost nothing.
    V6([u16; 4]),
}

impl Peer {
    fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl RateLimiter {
    /// Forgives this much. All memory is taken now.
    pub fn new(quotas: Quotas) -> Self {
        let rates = Rates {
            client_and_peer: Rate::new(quotas.per_client_and_peer),
            client: Rate::new(quotas.per_client),
            peer: Rate::new(quotas.per_peer),
            unknown_tokens: Rate::new(quotas.unknown_tokens),
        };
        let all = [rates.client_and_peer, rates.client, rates.peer, rates.unknown_tokens];
        let most = all.iter().flatten().map(|rate| rate.most).max().unwrap_or_default();
        let buckets = Buckets::new(quotas.capacity, most);
        Self { quotas, rates, buckets, keys: RandomState::new() }
    }

    fn parts(&self, caller: Caller<'_>) -> (Option<u64>, Option<Peer>) {
        (caller.client.map(|client| self.keys.hash_one(client)), caller.peer.map(Peer::new))
    }

    const fn rate(&self, count: Count) -> Option<Rate> {
        match count {
            Count::FailuresByPair(..) => self.rates.client_and_peer,
            Count::FailuresOfClient(_) => self.rates.client,
            Count::FailuresOfPeer(_) => self.rates.peer,
            Count::UnknownTokensByPair(..) | Count::UnknownTokensOfClient(_) => {
                self.rates.unknown_tokens
            }
        }
    }

    /// How long until one more would be forgiven; none if it would be now.
    fn wait(&self, count: Count, now: u64) -> Option<Duration> {
        let rate = self.rate(count)?;
        let lacks = self.buckets.lacks(self.keys.hash_one(count), now, rate.most);
        // Only a look: what the bucket would lack is not kept.
        rate.take(lacks).err()
    }

    fn count(&self, count: Count, now: u64) {
        if let Some(rate) = self.rate(count) {
            // What is exhausted stays as it is: a refused caller gets no debts on top.
            let take = |lacks| rate.take(lacks).ok();
            self.buckets.change(self.keys.hash_one(count), now, rate.most, take);
        }
    }
}

fn failures(client: Option<u64>, peer: Option<Peer>) -> [Option<Count>; 3] {
    [
        client.zip(peer).map(|(client, peer)| Count::FailuresByPair(client, peer)),
        client.map(Count::FailuresOfClient),
        peer.map(Count::FailuresOfPeer),
    ]
}

const fn nanos(time: Timestamp) -> u64 {
    time.as_unix_millis().saturating_mul(1_000_000)
}

impl Throttle for RateLimiter {
    fn admit(&self, caller: Caller<'_>, now: Timestamp) -> Result<(), SlowDown> {
        let (client, peer) = self.parts(caller);
        // Whether the client is public is not known yet: one of the two is always full.
        let unknown_tokens = [
            client.map(Count::UnknownTokensOfClient),
            client.map(|client| Count::UnknownTokensByPair(client, peer)),
        ];
        let counts = failures(client, peer).into_iter().chain(unknown_tokens).flatten();
        let longest = counts.filter_map(|count| self.wait(count, nanos(now))).max();
        longest.map_or(Ok(()), |retry_after| Err(SlowDown { retry_after }))
    }

    fn report(&self, caller: Caller<'_>, misuse: Misuse, now: Timestamp) {
        let (client, peer) = self.parts(caller);
        let unknown_tokens = |client| match caller.authenticated {
            true => Count::UnknownTokensOfClient(client),
            // Who only says that it is this client must not use up what others of that name have.
            false => Count::UnknownTokensByPair(client, peer),
        };
        let counts = match misuse {
            Misuse::AuthenticationFailed => failures(client, peer),
            Misuse::UnknownToken => [client.map(unknown_tokens), None, None],
        };
        for count in counts.into_iter().flatten() {
            self.count(count, nanos(now));
        }
    }
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self::new(Quotas::default())
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("quotas", &self.quotas).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn peer(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    fn caller<'a>(peer: Option<IpAddr>, client: &'a str) -> Caller<'a> {
        Caller::new(peer, Some(client))
    }

    fn fail(limiter: &RateLimiter, caller: Caller<'_>, times: usize, now: Timestamp) {
        for _ in 0..times {
            limiter.report(caller, Misuse::AuthenticationFailed, now);
        }
    }

    fn wait(limiter: &RateLimiter, caller: Caller<'_>, now: Timestamp) -> Option<Duration> {
        limiter.admit(caller, now).err().map(|slow| slow.retry_after)
    }

    /// How many failures are forgiven before this caller is refused.
    fn patience(limiter: &RateLimiter, caller: Caller<'_>, now: Timestamp) -> usize {
        let heard = |_: &usize| limiter.admit(caller, now).is_ok();
        let failures = (0..1_000).take_while(heard);
        failures.map(|_| fail(limiter, caller, 1, now)).count()
    }

    #[test]
    fn looking_takes_nothing() {
        let limiter = RateLimiter::default();
        for _ in 0..10_000 {
            assert!(limiter.admit(caller(peer(1), "web"), START).is_ok());
        }
        assert_eq!(limiter.buckets.in_use(nanos(START)), 0);
        assert_eq!(patience(&limiter, caller(peer(1), "web"), START), 30);
        // Nor does being refused.
        for _ in 0..10_000 {
            assert!(limiter.admit(caller(peer(1), "web"), START).is_err());
        }
        assert!(limiter.admit(caller(peer(1), "web"), START + Duration::from_secs(2)).is_ok());
    }

    #[test]
    fn what_is_used_up_is_regained_one_by_one() {
        let limiter = RateLimiter::default();
        let web = caller(peer(1), "web");
        fail(&limiter, web, 1_000, START);
        assert_eq!(wait(&limiter, web, START), Some(Duration::from_secs(2)));
        let almost = START + Duration::from_millis(1_999);
        assert_eq!(wait(&limiter, web, almost), Some(Duration::from_millis(1)));
        assert_eq!(patience(&limiter, web, START + Duration::from_secs(2)), 1);
        assert_eq!(patience(&limiter, web, START + Duration::from_secs(12)), 5);
        assert_eq!(patience(&limiter, web, START + Duration::from_secs(72)), 30);
    }

    #[test]
    fn a_client_is_refused_where_it_was_guessed_at_and_nowhere_else() {
        let limiter = RateLimiter::default();
        assert_eq!(patience(&limiter, caller(peer(1), "web"), START), 30);
        assert!(limiter.admit(caller(peer(2), "web"), START).is_ok());
        assert!(limiter.admit(caller(None, "web"), START).is_ok());
        assert!(limiter.admit(caller(peer(1), "other"), START).is_ok());
    }

    #[test]
    fn guesses_from_many_peers_add_up_to_the_clients_quota() {
        let limiter = RateLimiter::default();
        for last in 0..10 {
            assert_eq!(patience(&limiter, caller(peer(last), "web"), START), 30);
        }
        assert_eq!(
            wait(&limiter, caller(peer(99), "web"), START),
            Some(Duration::from_millis(200))
        );
        assert!(limiter.admit(caller(peer(99), "other"), START).is_ok());
        // The longest wait is the one that counts.
        assert_eq!(wait(&limiter, caller(peer(1), "web"), START), Some(Duration::from_secs(2)));
    }

    #[test]
    fn guesses_under_many_names_add_up_to_the_peers_quota() {
        let limiter = RateLimiter::default();
        for client in 0..300 {
            fail(&limiter, caller(peer(1), &format!("client-{client}")), 1, START);
        }
        let refused = Some(Duration::from_millis(200));
        assert_eq!(wait(&limiter, caller(peer(1), "web"), START), refused);
        assert_eq!(wait(&limiter, Caller::new(peer(1), None), START), refused);
        assert!(limiter.admit(caller(peer(2), "web"), START).is_ok());
    }

    #[test]
    fn without_a_peer_the_clients_quota_is_the_only_one() {
        let limiter = RateLimiter::default();
        assert_eq!(patience(&limiter, caller(None, "web"), START), 300);
        assert!(limiter.admit(caller(None, "other"), START).is_ok());
        // Who is nobody from nowhere cannot be told from anybody else like that.
        assert_eq!(patience(&limiter, Caller::new(None, None), START), 1_000);
    }

    #[test]
    fn a_network_of_64_bits_is_one_peer_and_a_mapped_address_is_what_it_maps() {
        let limiter = RateLimiter::default();
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        fail(&limiter, caller(address("2001:db8:0:1::1"), "web"), 30, START);
        for (text, heard) in [
            ("2001:db8:0:1::2", false),
            ("2001:db8:0:1:ffff:ffff:ffff:ffff", false),
            ("2001:db8:0:2::1", true),
            ("2001:db8::1", true),
        ] {
            let admitted = limiter.admit(caller(address(text), "web"), START);
            assert_eq!(admitted.is_ok(), heard, "{text}");
        }
        fail(&limiter, caller(address("::ffff:192.0.2.1"), "web"), 30, START);
        assert!(limiter.admit(caller(peer(1), "web"), START).is_err());
        // All of IPv4 is one network of 64 bits in this writing, and still not one peer.
        assert!(limiter.admit(caller(address("::ffff:192.0.2.2"), "web"), START).is_ok());
        assert!(limiter.admit(caller(address("::192.0.2.1"), "web"), START).is_ok());
    }

    #[test]
    fn unknown_tokens_count_for_the_client_and_failures_do_not() {
        let limiter = RateLimiter::default();
        let web = caller(peer(1), "web").with_authenticated(true);
        for last in 0..=255 {
            limiter.report(
                caller(peer(last), "web").with_authenticated(true),
                Misuse::UnknownToken,
                START,
            );
        }
        for _ in 256..300 {
            assert!(limiter.admit(caller(peer(1), "web"), START).is_ok());
            limiter.report(web, Misuse::UnknownToken, START);
        }
        // From anywhere: it is this client that guesses.
        for last in [1, 77] {
            let refused = Some(Duration::from_millis(100));
            assert_eq!(wait(&limiter, caller(peer(last), "web"), START), refused);
        }
        assert!(limiter.admit(caller(peer(1), "other"), START).is_ok());
        let later = START + Duration::from_millis(100);
        assert!(limiter.admit(caller(peer(1), "web"), later).is_ok());
        assert_eq!(patience(&limiter, caller(peer(1), "web"), later), 30);
    }

    #[test]
    fn nobody_uses_up_the_unknown_tokens_of_a_public_client_for_others() {
        let limiter = RateLimiter::default();
        for _ in 0..1_000 {
            limiter.report(caller(peer(1), "spa"), Misuse::UnknownToken, START);
        }
        assert!(limiter.admit(caller(peer(1), "spa"), START).is_err());
        assert!(limiter.admit(caller(peer(2), "spa"), START).is_ok());
        assert!(limiter.admit(caller(peer(1), "web"), START).is_ok());
    }

    #[test]
    fn a_clock_that_goes_back_refuses_nobody_longer_than_the_quota_says() {
        let (day, period) = (Duration::from_secs(86_400), Duration::from_secs(2));
        let limiter = RateLimiter::default();
        let web = caller(peer(1), "web");
        fail(&limiter, web, 30, START);
        let back = START - day;
        assert_eq!(wait(&limiter, web, back), Some(period));
        assert_eq!(patience(&limiter, web, back + period), 1);
        // Nor is it forgotten: setting the clock back is no pardon.
        assert!(limiter.admit(web, back + period).is_err());
        // Counting settles it as looking does.
        let limiter = RateLimiter::default();
        fail(&limiter, web, 30, START);
        fail(&limiter, web, 30, back);
        assert_eq!(patience(&limiter, web, back + period), 1);
        for now in [Timestamp::default(), Timestamp::MAX, START] {
            fail(&limiter, web, 100, now);
            assert!(wait(&limiter, web, now).is_none_or(|wait| wait <= period));
        }
    }

    #[test]
    fn a_million_identifiers_take_no_more_places_than_there_are() {
        let limiter = RateLimiter::default();
        let target = caller(peer(1), "web");
        fail(&limiter, target, 30, START);
        let places = limiter.buckets.places();
        assert_eq!(places, 65_536);
        for n in 0..1_000_000_u32 {
            let address = IpAddr::from(n.wrapping_mul(2_654_435_761).to_be_bytes());
            let client = format!("client-{n}");
            let stranger = caller(Some(address), &client);
            if n % 16 == 0 {
                assert!(limiter.admit(stranger, START).is_ok(), "{n} is refused for others");
            }
            fail(&limiter, stranger, 1, START);
        }
        assert_eq!(limiter.buckets.places(), places);
        // All of them are taken, by strangers who lack little: who lacks much is not forgotten.
        assert_eq!(limiter.buckets.in_use(nanos(START)), places);
        assert!(limiter.admit(target, START).is_err());
        assert!(limiter.admit(caller(peer(2), "web"), START).is_ok());
        // What has been regained leaves its place without being asked.
        let minute = START + Duration::from_secs(60);
        assert_eq!(limiter.buckets.in_use(nanos(minute)), 0);
    }

    #[test]
    fn a_quota_without_a_period_counts_nothing() {
        let mut quotas = Quotas::default();
        quotas.per_client_and_peer.per = Duration::ZERO;
        quotas.capacity = 0;
        let limiter = RateLimiter::new(quotas);
        assert_eq!(patience(&limiter, caller(peer(1), "web"), START), 300);
        assert!(format!("{limiter:?}").starts_with("RateLimiter { quotas: Quotas {"));
    }
}
