//! The keys of one namespace's rows.

use std::fmt;

use crate::id::{Namespace, SessionId, Subject};
use crate::revocation::Target;
use crate::token::{DigestKey, Grant, TokenId};

/// The first half of a keyed digest, as in the store in memory: no two are alike by accident, and nobody without the key
/// makes two alike.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key([u8; 16]);

impl Key {
    pub(super) const fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "Key({a:02x}{b:02x}..)")
    }
}

/// What one namespace's keys are made with.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    digests: DigestKey,
    /// The namespace's number in the rows that are looked up by namespace.
    namespace: i64,
    everything: Key,
}

/// The keys of the targets that may cover a grant, beside one for everything.
#[derive(Clone, Debug)]
pub(super) struct GrantKeys {
    pub(super) grant: Key,
    pub(super) session: Option<Key>,
    pub(super) pair: Option<Key>,
    pub(super) subject: Option<Key>,
    pub(super) client: Key,
}

impl Keys {
    pub(super) fn new(root: &DigestKey, namespace: &Namespace) -> Self {
        let digests = root.for_namespace(namespace);
        let number = first_half(digests.derive("annul number", ""));
        let everything = Key(first_half(digests.derive("annul everything", "")));
        let [number, _] = halves(number);
        Self { digests, namespace: i64::from_be_bytes(number), everything }
    }

    pub(super) const fn digests(&self) -> &DigestKey {
        &self.digests
    }

    pub(super) const fn namespace(&self) -> i64 {
        self.namespace
    }

    pub(super) const fn everything(&self) -> &Key {
        &self.everything
    }

    fn key(&self, purpose: &str, name: &str) -> Key {
        Key(first_half(self.digests.derive(purpose, name)))
    }

    pub(super) fn token(&self, id: &TokenId) -> Key {
        match id.digest() {
            // Once more under this namespace's key: a digest may be another namespace's, and then it is nothing here.
            Some(digest) => {
                let words = digest.as_bytes().as_chunks::<8>().0.iter();
                let words = words.map(|word| format!("{:016x}", u64::from_be_bytes(*word)));
                self.key("annul token digest", &words.collect::<String>())
            }
            None => self.key("annul token", id.name().unwrap_or_default()),
        }
    }

    pub(super) fn session(&self, id: &SessionId) -> Key {
        self.key("annul session", id.as_str())
    }

    pub(super) fn subject(&self, subject: &Subject) -> Key {
        self.key("annul subject", subject.as_str())
    }

    pub(super) fn client(&self, client: &str) -> Key {
        self.key("annul client", client)
    }

    pub(super) fn pair(&self, subject: &Subject, client: &str) -> Key {
        // The length tells where the one name ends and the other begins.
        let subject = subject.as_str();
        self.key("annul pair", &format!("{}:{subject}{client}", subject.len()))
    }

    pub(super) fn of(&self, target: &Target) -> Key {
        match target {
            Target::Token(id) => self.token(id),
            Target::Grant(id) => self.key("annul grant", id.as_str()),
            Target::Session(id) => self.session(id),
            Target::SubjectAtClient(subject, client) => self.pair(subject, client.as_str()),
            Target::Subject(subject) => self.subject(subject),
            Target::Client(client) => self.client(client.as_str()),
            Target::Everything => self.everything,
        }
    }

    pub(super) fn of_grant(&self, grant: &Grant) -> GrantKeys {
        let client = grant.client_id().as_str();
        let subject = grant.subject_id();
        GrantKeys {
            grant: self.key("annul grant", grant.id().as_str()),
            session: grant.session_id().map(|id| self.session(id)),
            pair: subject.map(|subject| self.pair(subject, client)),
            subject: subject.map(|subject| self.subject(subject)),
            client: self.client(client),
        }
    }
}

impl GrantKeys {
    /// All of them, those that there are.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        let rest = [&self.session, &self.pair, &self.subject];
        [&self.grant, &self.client].into_iter().chain(rest.into_iter().flatten())
    }
}

fn first_half(digest: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(digest) {
        *to = from;
    }
    half
}

fn halves(bytes: [u8; 16]) -> [[u8; 8]; 2] {
    let (words, _) = bytes.as_chunks::<8>();
    let mut halves = [[0; 8]; 2];
    for (to, from) in halves.iter_mut().zip(words) {
        *to = *from;
    }
    halves
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_targets_of_any_two_namespaces_have_one_key() {
        let root = DigestKey::new(&[7; 32]);
        let mut seen = BTreeSet::new();
        for namespace in ["", "a", "b"] {
            let keys = Keys::new(&root, &Namespace::new(namespace));
            let targets = [
                Target::Token(TokenId::named("x")),
                Target::Grant("x".into()),
                Target::Session("x".into()),
                Target::Subject("x".into()),
                Target::Client("x".into()),
                Target::SubjectAtClient("x".into(), "xx".into()),
                Target::SubjectAtClient("xx".into(), "x".into()),
                Target::Everything,
            ];
            for target in &targets {
                assert!(seen.insert(keys.of(target)), "{target:?} of `{namespace}`");
            }
        }
    }
}
