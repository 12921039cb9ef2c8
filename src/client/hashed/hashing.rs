//! Checks secrets against hashes without letting strangers burn the processor.

use std::sync::Arc;
use std::{fmt, io, iter};

use async_trait::async_trait;

use crate::client::hashed::hash::{LONGEST_SECRET, SecretHash};
use crate::client::hashed::limits::HashingLimits;
use crate::client::hashed::pool::{Asked, HashingStats, Pool, Task};
use crate::client::hashed::proven::{Fingerprint, FingerprintKey};
use crate::client::registered::{HashCheck, RegisteredClients};
use crate::clock::{Clock, SystemClock};
use crate::error::StoreError;
use crate::secret::{PresentedSecret, Secret};

/// Checks secrets against [`SecretHash`]es, on threads of its own.
///
/// A hash costs tens of milliseconds of a processor, and whoever can send a request can ask for one before anybody
/// knows who they are. So there are few threads that hash, and no others ever do; a short queue before them, and a
/// secret that finds it full is answered at once: not known now, 503. A secret that matched is remembered for a
/// minute, so that a client at work costs one hash in that time and is answered while others fill the queue. The
/// threads are plain ones, and the futures run on any executor.
///
/// ```
/// use annul::PresentedSecret;
/// use annul::client::{HashingLimits, SecretHash, SecretHashing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hashing = SecretHashing::start(HashingLimits::default())?;
/// let registered = [SecretHash::of("correct horse")];
///
/// let presented = PresentedSecret::new("correct horse");
/// assert!(hashing.verify("web", presented, &registered).await?);
/// assert!(hashing.verify("web", presented, &registered).await?);
/// assert_eq!(hashing.stats().computed, 1);
///
/// // An unknown client: no hashes, and yet as slow as a wrong secret.
/// assert!(!hashing.verify("nobody", presented, &[]).await?);
/// assert_eq!(hashing.stats().computed, 3);
/// # Ok(())
/// # }
/// ```
///
/// # Security
///
/// - Every secret that fails costs two hashes, however many its client has: as many as a client has while it
///   rotates its secret. What the client lacks is made up with decoys. With more than two live hashes, a client's
///   failures are slower than others', and its existence shows.
/// - A decoy costs what [`SecretHash::of`] costs. Where the registered hashes have other parameters, give it
///   theirs with [`SecretHashing::decoy`]. Clients whose parameters differ from it, and so from each other, can be
///   told apart by how long a wrong secret takes.
/// - A secret that matches is answered sooner: its owner learns that, and nobody else.
/// - A flood of wrong secrets fills the queue, and clients that have not authenticated within the last minute are
///   answered 503 while it lasts. Which callers are heard at all is the [`Throttle`]'s to say.
///
/// [`Throttle`]: crate::throttle::Throttle
pub struct SecretHashing {
    pool: Pool,
    key: FingerprintKey,
    decoy: SecretHash,
    clock: Arc<dyn Clock>,
}

/// How many hashes a secret costs that fails: a client has two while one is rotated.
const COMPARISONS: usize = 2;

impl SecretHashing {
    /// Starts the threads. They end when the value is dropped.
    ///
    /// # Errors
    ///
    /// - The operating system has no threads to give.
    ///
    /// # Panics
    ///
    /// Where the operating system has no randomness to give, as [`SecretHash::of`].
    pub fn start(limits: HashingLimits) -> io::Result<Self> {
        Ok(Self {
            pool: Pool::start(limits)?,
            key: FingerprintKey::random(),
            decoy: SecretHash::decoy(),
            clock: Arc::new(SystemClock),
        })
    }

    /// Asks another clock how long a secret is remembered.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What is computed where there is no hash to compare with. Only its parameters matter: they should be those
    /// of the registered hashes. Default: those of [`SecretHash::of`].
    #[must_use]
    pub fn decoy(mut self, decoy: SecretHash) -> Self {
        self.decoy = decoy;
        self
    }

    /// Whether `secret` is that of one of these hashes: those of the client that have not expired. For an unknown
    /// client, or one that may not authenticate so, there are none; ask all the same, so that it takes as long.
    ///
    /// Dropping the future takes the question back, if no thread has begun with it.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`](crate::store::StoreErrorKind::Unavailable): not known now, because the
    ///   queue is full or there is no memory; the endpoint answers 503.
    pub async fn verify(
        &self,
        client_id: &str,
        secret: PresentedSecret<'_>,
        hashes: &[SecretHash],
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        // What no request can hold matches nothing, and is not worth keeping.
        let (secret, hashes) = match secret.expose_secret() {
            long if long.len() > LONGEST_SECRET => ("", &[][..]),
            secret => (secret, hashes),
        };
        let fingerprints: Vec<Fingerprint> =
            hashes.iter().map(|hash| self.key.fingerprint(client_id, secret, [hash])).collect();
        if self.pool.remembers(&fingerprints, now) {
            return Ok(true);
        }
        let missing = COMPARISONS.saturating_sub(hashes.len());
        let task = Task {
            id: self.key.fingerprint(client_id, secret, hashes),
            secret: Secret::new(secret),
            candidates: fingerprints.into_iter().zip(hashes.iter().cloned()).collect(),
            decoys: iter::repeat_n(self.decoy.clone(), missing).collect(),
            at: now,
        };
        let answer = match self.pool.ask(task) {
            Asked::Proven => return Ok(true),
            Asked::Queued(answer) => answer,
            Asked::Refused => return Err(StoreError::unavailable("too many secrets to check")),
        };
        match answer.await {
            Ok(outcome) => outcome.map_err(StoreError::unavailable),
            // The threads are gone.
            Err(gone) => Err(StoreError::unavailable(gone)),
        }
    }

    /// What was done so far, for an operator to watch.
    pub fn stats(&self) -> HashingStats {
        self.pool.stats()
    }
}

#[async_trait]
impl HashCheck for SecretHashing {
    async fn matches_any(
        &self,
        client_id: &str,
        secret: PresentedSecret<'_>,
        hashes: &[&Secret],
    ) -> Result<bool, StoreError> {
        let hashes: Vec<SecretHash> =
            hashes.iter().map(|text| SecretHash::from_text(text)).collect();
        self.verify(client_id, secret, &hashes).await
    }
}

impl<R> RegisteredClients<R> {
    /// Checks secrets that are kept as hashes, with these threads.
    ///
    /// From then on every secret that fails costs hashes, whether the client is unknown, disabled, has only digests, an
    /// expired secret or another method. A right secret that is kept as a digest costs none. Without this, a secret that
    /// is kept as a hash authenticates nobody.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use annul::client::{
    ///     AuthMethod, Client, ClientMetadata, ClientTable, HashingLimits, RegisteredClients, SecretHash,
    ///     SecretHashing,
    /// };
    ///
    /// let web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    /// let web = Client::new(web).secret_hash(SecretHash::of("correct horse"), None);
    /// // Shared, so that an operator can look at its `stats`.
    /// let hashing = Arc::new(SecretHashing::start(HashingLimits::default())?);
    /// let clients = RegisteredClients::new(ClientTable::from_iter([web]))
    ///     .secret_hashing(Arc::clone(&hashing));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn secret_hashing(mut self, hashing: impl Into<Arc<SecretHashing>>) -> Self {
        let hashing: Arc<SecretHashing> = hashing.into();
        self.hashes = Some(hashing);
        self
    }
}

impl fmt::Debug for SecretHashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretHashing").field("pool", &self.pool).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::clock::{FakeClock, Timestamp};
    use crate::error::StoreErrorKind;

    const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    /// Of `password`, from the test vectors of the reference implementation: as cheap as they come.
    const CHEAP: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    const CHEAP_TOO: &str =
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";

    fn cheap() -> SecretHash {
        SecretHash::parse(CHEAP).unwrap()
    }

    fn hashing(limits: HashingLimits) -> (SecretHashing, Arc<FakeClock>) {
        let clock = Arc::new(FakeClock::at(START));
        let hashing = SecretHashing::start(limits).unwrap();
        (hashing.clock(Arc::clone(&clock)).decoy(cheap()), clock)
    }

    impl SecretHashing {
        /// Whether it is one of these, and how many hashes that took.
        async fn cost(&self, id: &str, secret: &str, hashes: &[SecretHash]) -> (bool, u64) {
            let before = self.stats().computed;
            let found = self.verify(id, PresentedSecret::new(secret), hashes).await.unwrap();
            (found, self.stats().computed - before)
        }
    }

    #[tokio::test]
    async fn cli_15_any_live_hash_will_do_and_cli_16_every_failure_costs_the_same() {
        let (hashing, _) = hashing(HashingLimits::default());
        let other = SecretHash::of("other");
        let live = [cheap(), other];
        assert_eq!(hashing.cost("web", "password", &live).await, (true, 1));
        assert_eq!(hashing.cost("web", "other", &live).await, (true, 2));
        for known in [&[][..], &live[..1], &live[..]] {
            assert_eq!(hashing.cost("web", "wrong", known).await, (false, 2), "{}", known.len());
        }
        let long = "s".repeat(LONGEST_SECRET + 1);
        assert_eq!(hashing.cost("web", &long, &live).await, (false, 2));
    }

    #[tokio::test]
    async fn what_matched_is_remembered_for_this_client_this_secret_and_this_hash() {
        let (hashing, clock) = hashing(HashingLimits::default());
        let again = SecretHash::parse(CHEAP_TOO).unwrap();
        let one = [cheap()];
        assert_eq!(hashing.cost("web", "password", &one).await, (true, 1));
        assert_eq!(hashing.cost("web", "password", &one).await, (true, 0));
        assert_eq!(hashing.cost("web", "password", &[again.clone(), cheap()]).await, (true, 0));
        // Another client, another secret, another hash of the same secret, and none at all.
        assert_eq!(hashing.cost("spa", "password", &one).await, (true, 1));
        assert_eq!(hashing.cost("web", "passwor", &one).await, (false, 2));
        assert_eq!(hashing.cost("web", "password", &[again]).await, (true, 1));
        assert_eq!(hashing.cost("web", "password", &[]).await, (false, 2));
        // A failure is never remembered.
        assert_eq!(hashing.cost("web", "passwor", &one).await, (false, 2));
        clock.advance(Duration::from_millis(59_999));
        assert_eq!(hashing.cost("web", "password", &one).await, (true, 0));
        clock.advance(Duration::from_millis(1));
        assert_eq!(hashing.cost("web", "password", &one).await, (true, 1));
        // The second look does not depend on how often the first was asked for.
        assert_eq!(hashing.stats().remembered, 3);
    }

    #[tokio::test]
    async fn nothing_is_remembered_where_nothing_is_to_be() {
        let limits = HashingLimits { remembered: 0, ..HashingLimits::default() };
        let (hashing, _) = hashing(limits);
        for _ in 0..2 {
            assert_eq!(hashing.cost("web", "password", &[cheap()]).await, (true, 1));
        }
    }

    #[tokio::test]
    async fn a_full_queue_is_an_unavailable_store_and_what_was_queued_is_still_answered() {
        let limits = HashingLimits { workers: 1, queue: 2, ..HashingLimits::default() };
        let hashing = Arc::new(SecretHashing::start(limits).unwrap());
        let mut queued = Vec::new();
        let mut refused = None;
        // Each takes two hashes of the default cost; the queue fills long before the first is done.
        for number in 0..1_000 {
            let secret = format!("guess-{number}");
            let asking = Arc::clone(&hashing);
            let mut asked =
                Box::pin(
                    async move { asking.verify("web", PresentedSecret::new(&secret), &[]).await },
                );
            match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => queued.push(asked),
                Poll::Ready(answer) => {
                    refused = answer.err();
                    break;
                }
            }
        }
        assert_eq!(refused.unwrap().kind(), StoreErrorKind::Unavailable);
        assert_eq!(hashing.stats().refused, 1);
        assert!(queued.len() >= 2);
        for asked in queued {
            assert!(!asked.await.unwrap());
        }
    }

    #[test]
    fn no_runtime_is_needed() {
        struct Unpark(thread::Thread);

        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }

        let (hashing, _) = hashing(HashingLimits::default());
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let hashes = [cheap()];
        let mut asked = pin!(hashing.verify("web", PresentedSecret::new("password"), &hashes));
        loop {
            match asked.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(answer) => break assert!(answer.unwrap()),
                Poll::Pending => thread::park(),
            }
        }
    }
}
