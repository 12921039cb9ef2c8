//! The name under which a target is kept: a keyed digest, so that no key tells a name and all are of one length.

use std::fmt;

use crate::id::{Namespace, SessionId};
use crate::revocation::{Target, TargetKind};
use crate::store::rules::codes;
use crate::token::{DigestKey, Grant, TokenId};

/// The keyed name of one target. Stores keep all of it, or its first half.
///
/// ```
/// use annul::store::rules::keys::TargetKeys;
/// use annul::{DigestKey, Namespace, Target};
///
/// let keys = TargetKeys::new(&DigestKey::new(&[7; 32]), &Namespace::default());
/// let alice = keys.of(&Target::Subject("alice".into()));
/// assert_eq!(alice.as_bytes()[..16], alice.first_half());
/// assert_ne!(alice, keys.of(&Target::Client("alice".into())));
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TargetKey([u8; 32]);

impl TargetKey {
    /// The whole name.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its first half. A hundred and twenty-eight bits of a keyed digest are as unguessable as the whole, and no two are alike
    /// by accident.
    #[must_use]
    pub fn first_half(&self) -> [u8; 16] {
        self.0.first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "TargetKey({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// Makes the keys of one namespace: no key of one is a key of another.
#[derive(Clone)]
pub struct TargetKeys {
    key: [u8; 32],
    everything: TargetKey,
}

/// The keys of every entry that can cover the tokens of one grant, whichever token it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GrantKeys {
    /// Of the grant itself.
    pub grant: TargetKey,
    /// Of its session; an offline grant has none.
    pub session: Option<TargetKey>,
    /// Of its subject at its client.
    pub subject_at_client: Option<TargetKey>,
    /// Of its subject.
    pub subject: Option<TargetKey>,
    /// Of its client.
    pub client: TargetKey,
    /// Of everything.
    pub everything: TargetKey,
}

impl GrantKeys {
    /// Each with the kind of its target, narrowest first.
    pub fn iter(&self) -> impl Iterator<Item = (TargetKind, TargetKey)> + use<> {
        let Self { grant, session, subject_at_client, subject, client, everything } = *self;
        [
            (TargetKind::Grant, Some(grant)),
            (TargetKind::Session, session),
            (TargetKind::SubjectAtClient, subject_at_client),
            (TargetKind::Subject, subject),
            (TargetKind::Client, Some(client)),
            (TargetKind::Everything, Some(everything)),
        ]
        .into_iter()
        .filter_map(|(kind, key)| Some((kind, key?)))
    }
}

impl TargetKeys {
    /// The keys of a namespace under a deployment's key.
    #[must_use]
    pub fn new(key: &DigestKey, namespace: &Namespace) -> Self {
        let key = key.for_namespace(namespace).derive("annul targets", "");
        let everything = keyed(&key, codes::target_letter(TargetKind::Everything), &[]);
        Self { key, everything }
    }

    /// The key of a target.
    #[must_use]
    pub fn of(&self, target: &Target) -> TargetKey {
        let kind = target.kind();
        match target {
            Target::Token(id) => self.token(id),
            Target::Grant(id) => self.named(kind, id.as_str()),
            Target::Session(id) => self.session(id),
            Target::SubjectAtClient(subject, client) => {
                self.pair(kind, subject.as_str(), client.as_str())
            }
            Target::Subject(subject) => self.named(kind, subject.as_str()),
            Target::Client(client) => self.named(kind, client.as_str()),
            Target::Everything => self.everything,
        }
    }

    /// The key of one token alone.
    ///
    /// A digest is digested once more: it may be another namespace's, and then it names nothing here.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> TargetKey {
        let letter = codes::target_letter(TargetKind::Token);
        // A name of the host's own is never taken for a digest, whatever it says.
        match (id.digest(), id.name()) {
            (Some(digest), _) => keyed(&self.key, letter, &[digest.as_bytes()]),
            (None, name) => {
                keyed(&self.key, letter, &[b"named", name.unwrap_or_default().as_bytes()])
            }
        }
    }

    /// The key of a session, which is also that of its record.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> TargetKey {
        self.named(TargetKind::Session, id.as_str())
    }

    /// The keys of all that can cover a grant, beside an entry for one of its tokens.
    #[must_use]
    pub fn of_grant(&self, grant: &Grant) -> GrantKeys {
        let client = grant.client_id().as_str();
        let subject = grant.subject_id().map(|subject| subject.as_str());
        GrantKeys {
            grant: self.named(TargetKind::Grant, grant.id().as_str()),
            session: grant.session_id().map(|session| self.session(session)),
            subject_at_client: subject
                .map(|subject| self.pair(TargetKind::SubjectAtClient, subject, client)),
            subject: subject.map(|subject| self.named(TargetKind::Subject, subject)),
            client: self.named(TargetKind::Client, client),
            everything: self.everything,
        }
    }

    /// Tells whose a grant is: alike for two grants of one client and one subject, or of one client without a subject.
    ///
    /// A store that keeps it with the grant sees that another client or subject comes with the same grant id.
    #[must_use]
    pub fn owner(&self, grant: &Grant) -> TargetKey {
        let client = grant.client_id().as_str().as_bytes();
        match grant.subject_id() {
            Some(subject) => keyed(&self.key, b'o', &[client, subject.as_str().as_bytes()]),
            None => keyed(&self.key, b'o', &[client]),
        }
    }

    fn named(&self, kind: TargetKind, name: &str) -> TargetKey {
        keyed(&self.key, codes::target_letter(kind), &[name.as_bytes()])
    }

    fn pair(&self, kind: TargetKind, subject: &str, client: &str) -> TargetKey {
        keyed(&self.key, codes::target_letter(kind), &[subject.as_bytes(), client.as_bytes()])
    }
}

impl fmt::Debug for TargetKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TargetKeys([redacted])")
    }
}

/// The lengths keep `("a", "bc")` and `("ab", "c")` apart.
fn keyed(key: &[u8; 32], letter: u8, names: &[&[u8]]) -> TargetKey {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[letter]);
    for name in names {
        let length = u64::try_from(name.len()).unwrap_or(u64::MAX);
        hasher.update(&length.to_le_bytes());
        hasher.update(name);
    }
    TargetKey(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clock::Timestamp;
    use crate::token::PresentedToken;

    fn keys(namespace: &str) -> TargetKeys {
        TargetKeys::new(&DigestKey::new(&[7; 32]), &Namespace::new(namespace))
    }

    #[test]
    fn no_two_targets_share_a_key_and_no_two_namespaces() {
        let digest = DigestKey::new(&[7; 32]).digest(PresentedToken::new("a"));
        let targets = [
            Target::Token(digest.into()),
            Target::Token(TokenId::named("a")),
            Target::Grant("a".into()),
            Target::Session("a".into()),
            Target::SubjectAtClient("a".into(), "bc".into()),
            Target::SubjectAtClient("ab".into(), "c".into()),
            Target::Subject("a".into()),
            Target::Subject("abc".into()),
            Target::Client("a".into()),
            Target::Everything,
        ];
        let mut seen = BTreeSet::new();
        for namespace in ["", "a", "b"] {
            let keys = keys(namespace);
            assert!(targets.iter().all(|target| seen.insert(keys.of(target))));
            let bare = Grant::new("g", "a", Timestamp::default());
            for grant in [bare.clone(), bare.clone().subject(""), bare.subject("a")] {
                assert!(seen.insert(keys.owner(&grant)));
            }
        }
        assert_eq!(seen.len(), 39);
    }

    #[test]
    fn a_grant_has_the_keys_of_the_targets_that_cover_it() {
        let keys = keys("");
        let grant = Grant::new("g", "web", Timestamp::default()).subject("alice").session("s");
        let expected: Vec<_> =
            grant.targets().map(|target| (target.kind(), keys.of(&target))).collect();
        assert_eq!(keys.of_grant(&grant).iter().collect::<Vec<_>>(), expected);
        assert_eq!(expected.len(), 6);
        assert!(keys.of_grant(&grant.offline()).session.is_none());
    }
}
