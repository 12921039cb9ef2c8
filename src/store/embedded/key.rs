//! The keys under which the entries of the ledger stand.

use crate::id::Namespace;
use crate::revocation::Target;
use crate::token::{DigestKey, Grant, TargetKind, TokenId};

/// The key of one entry: a keyed digest of its target. All are of one length, however long the names, and none tells
/// a name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct TargetKey([u8; 32]);

impl TargetKey {
    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Makes the keys of one namespace: no key of one is a key of another.
#[derive(Clone)]
pub(super) struct TargetKeys {
    key: [u8; 32],
    everything: TargetKey,
}

/// The keys of every entry that can cover the tokens of one grant, whichever token it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct GrantKeys {
    pub(super) grant: TargetKey,
    pub(super) session: Option<TargetKey>,
    pub(super) subject_at_client: Option<TargetKey>,
    pub(super) subject: Option<TargetKey>,
    pub(super) client: TargetKey,
    pub(super) everything: TargetKey,
}

impl GrantKeys {
    /// Each with the kind of its target, in the order in which a record names them: the narrowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TargetKind, TargetKey)> {
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
    pub(super) fn new(key: &DigestKey, namespace: &Namespace) -> Self {
        let key = key.for_namespace(namespace).derive("annul targets", "");
        let everything = keyed(&key, TargetKind::Everything, &[]);
        Self { key, everything }
    }

    pub(super) fn of(&self, target: &Target) -> TargetKey {
        let kind = target.kind();
        match target {
            Target::Token(id) => self.token(id),
            Target::Grant(id) => self.named(kind, id.as_str()),
            Target::Session(id) => self.named(kind, id.as_str()),
            Target::SubjectAtClient(subject, client) => {
                keyed(&self.key, kind, &[subject.as_str().as_bytes(), client.as_str().as_bytes()])
            }
            Target::Subject(subject) => self.named(kind, subject.as_str()),
            Target::Client(client) => self.named(kind, client.as_str()),
            Target::Everything => self.everything,
        }
    }

    pub(super) fn token(&self, id: &TokenId) -> TargetKey {
        // A name of the host's own is never taken for a digest, whatever it says.
        match (id.digest(), id.name()) {
            (Some(digest), _) => keyed(&self.key, TargetKind::Token, &[digest.as_bytes()]),
            (None, name) => {
                let name = name.unwrap_or_default().as_bytes();
                keyed(&self.key, TargetKind::Token, &[b"named", name])
            }
        }
    }

    pub(super) fn of_grant(&self, grant: &Grant) -> GrantKeys {
        let client = grant.client_id().as_str();
        let subject = grant.subject_id().map(|subject| subject.as_str());
        GrantKeys {
            grant: self.named(TargetKind::Grant, grant.id().as_str()),
            session: grant
                .session_id()
                .map(|session| self.named(TargetKind::Session, session.as_str())),
            subject_at_client: subject.map(|subject| {
                let names = [subject.as_bytes(), client.as_bytes()];
                keyed(&self.key, TargetKind::SubjectAtClient, &names)
            }),
            subject: subject.map(|subject| self.named(TargetKind::Subject, subject)),
            client: self.named(TargetKind::Client, client),
            everything: self.everything,
        }
    }

    fn named(&self, kind: TargetKind, name: &str) -> TargetKey {
        keyed(&self.key, kind, &[name.as_bytes()])
    }
}

/// The lengths keep `("a", "bc")` and `("ab", "c")` apart.
fn keyed(key: &[u8; 32], kind: TargetKind, names: &[&[u8]]) -> TargetKey {
    let kind = match kind {
        TargetKind::Token => b't',
        TargetKind::Grant => b'g',
        TargetKind::Session => b's',
        TargetKind::SubjectAtClient => b'a',
        TargetKind::Subject => b'u',
        TargetKind::Client => b'c',
        TargetKind::Everything => b'e',
    };
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[kind]);
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
        }
        assert_eq!(seen.len(), 30);
    }

    #[test]
    fn a_grant_has_the_keys_of_the_targets_that_cover_it() {
        let keys = keys("");
        let grant = Grant::new("g", "web", Timestamp::default()).subject("alice").session("s");
        let targets = [
            Target::Grant("g".into()),
            Target::Session("s".into()),
            Target::SubjectAtClient("alice".into(), "web".into()),
            Target::Subject("alice".into()),
            Target::Client("web".into()),
            Target::Everything,
        ];
        let expected: Vec<_> = targets.iter().map(|t| (t.kind(), keys.of(t))).collect();
        assert_eq!(keys.of_grant(&grant).iter().collect::<Vec<_>>(), expected);
        let offline = keys.of_grant(&grant.offline());
        assert!(offline.session.is_none());
    }
}
