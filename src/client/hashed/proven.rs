//! What was proven lately: which secret is whose.

use std::collections::HashMap;
use std::time::Duration;

use crate::client::hashed::hash::SecretHash;
use crate::clock::Timestamp;

/// A client, a secret and the hashes it is compared with, in one keyed digest. Without the key, which lives and
/// dies with the process, a guess cannot be tested against it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Fingerprint([u8; 32]);

/// The key for fingerprints.
pub(super) struct FingerprintKey([u8; 32]);

impl FingerprintKey {
    /// A key of the operating system's making.
    ///
    /// # Panics
    ///
    /// Where there is no randomness, as [`SecretHash::of`].
    pub(super) fn random() -> Self {
        let mut key = [0; 32];
        #[expect(clippy::expect_used, reason = "a predictable key would be worse than no server")]
        getrandom::fill(&mut key).expect("the operating system provides randomness");
        Self(key)
    }

    pub(super) fn fingerprint<'h>(
        &self,
        client_id: &str,
        secret: &str,
        hashes: impl IntoIterator<Item = &'h SecretHash>,
    ) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        let mut add = |text: &str| {
            // The length keeps what belongs to one text from being read as the next one's beginning.
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            hasher.update(&length.to_le_bytes()).update(text.as_bytes());
        };
        add(client_id);
        add(secret);
        hashes.into_iter().map(SecretHash::as_str).for_each(add);
        Fingerprint(*hasher.finalize().as_bytes())
    }
}

/// Fingerprints of secrets that matched, each for a while. Failures are never here: they are any number.
#[derive(Debug, Default)]
pub(super) struct Proven(HashMap<Fingerprint, Timestamp>);

impl Proven {
    pub(super) fn contains(&self, fingerprint: &Fingerprint, now: Timestamp) -> bool {
        self.0.get(fingerprint).is_some_and(|expiry| now < *expiry)
    }

    /// Keeps a fingerprint, in the place of an expired one, or else of any other: they are as good as each other.
    pub(super) fn insert(
        &mut self,
        fingerprint: Fingerprint,
        now: Timestamp,
        lifetime: Duration,
        most: usize,
    ) {
        if most == 0 {
            return;
        }
        if !self.0.contains_key(&fingerprint) && self.0.len() >= most {
            self.0.retain(|_, expiry| now < *expiry);
            if self.0.len() >= most
                && let Some(any) = self.0.keys().next().copied()
            {
                self.0.remove(&any);
            }
        }
        self.0.insert(fingerprint, now + lifetime);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn every_text_and_where_it_ends_is_in_the_fingerprint() {
        let key = FingerprintKey::random();
        let (one, other) = (SecretHash::decoy(), SecretHash::of("other"));
        let fingerprints = [
            key.fingerprint("web", "secret", [&one]),
            key.fingerprint("we", "bsecret", [&one]),
            key.fingerprint("webs", "ecret", [&one]),
            key.fingerprint("web", "secret ", [&one]),
            key.fingerprint("web", "secret", [&other]),
            key.fingerprint("web", "secret", [&one, &other]),
            key.fingerprint("web", "secret", [&other, &one]),
            key.fingerprint("web", "secret", []),
            FingerprintKey::random().fingerprint("web", "secret", [&one]),
        ];
        for (at, fingerprint) in fingerprints.iter().enumerate() {
            assert!(!fingerprints[..at].contains(fingerprint), "{at}");
        }
        assert_eq!(key.fingerprint("web", "secret", [&one]), fingerprints[0]);
    }

    #[test]
    fn what_is_proven_expires_and_its_number_is_bounded() {
        let of = |n: u8| Fingerprint([n; 32]);
        let mut proven = Proven::default();
        proven.insert(of(1), START, MINUTE, 2);
        proven.insert(of(2), START + MINUTE / 2, MINUTE, 2);
        assert!(proven.contains(&of(1), START + MINUTE - Duration::from_millis(1)));
        assert!(!proven.contains(&of(1), START + MINUTE));
        assert!(!proven.contains(&of(3), START));
        // The expired one makes way.
        proven.insert(of(3), START + MINUTE, MINUTE, 2);
        assert!(proven.contains(&of(2), START + MINUTE));
        assert!(proven.contains(&of(3), START + MINUTE));
        // Where none has expired, another one does.
        proven.insert(of(4), START + MINUTE, MINUTE, 2);
        assert!(proven.contains(&of(4), START + MINUTE));
        assert_eq!(proven.0.len(), 2);
        // One that is there already takes nobody's place.
        let mut again = Proven::default();
        again.insert(of(1), START, MINUTE, 2);
        again.insert(of(2), START, MINUTE, 2);
        again.insert(of(2), START + MINUTE / 2, MINUTE, 2);
        assert!(again.contains(&of(1), START));
        assert!(again.contains(&of(2), START + MINUTE));
        // And where none is wanted, none is kept.
        again.insert(of(5), START, MINUTE, 0);
        assert!(!again.contains(&of(5), START));
    }
}
