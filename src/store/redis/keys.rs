//! Where everything is: ids, shards and key names.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::{GrantId, Namespace, SessionId};
use crate::revocation::Target;
use crate::store::redis::config::MOST_SHARDS;
use crate::token::{DigestKey, Grant, PresentedToken, TargetKind, TokenDigest};

/// Half a keyed digest, which names a token, or what a revocation points at. A hundred and twenty-eight bits of a MAC are as
/// unguessable as the whole, and no two of them are alike by accident. The namespace is part of the key.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Id([u8; 16]);

impl Id {
    pub(super) const BYTES: usize = 16;

    fn of(digest: &[u8; 32]) -> Self {
        let (half, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        Self(*half)
    }

    pub(super) const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What a key holds: the letter behind its hash tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Entry,
    Family,
    Feed,
    Session,
    Token,
}

impl Part {
    const fn letter(self) -> u8 {
        match self {
            Self::Entry => b'e',
            Self::Family => b'n',
            Self::Feed => b'x',
            Self::Session => b's',
            Self::Token => b't',
        }
    }
}

/// The keys of one namespace.
#[derive(Clone, Debug)]
pub(super) struct NamespaceKeys {
    key: DigestKey,
    /// The hash tag of each shard.
    tags: Arc<[Box<[u8]>]>,
}

/// Something that a revocation may point at, as a grant or a session names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NamedTarget {
    pub(super) kind: TargetKind,
    pub(super) id: Id,
}

impl NamedTarget {
    /// The letter that scripts know the kind by.
    pub(super) const fn letter(&self) -> u8 {
        match self.kind {
            TargetKind::Token => b't',
            TargetKind::Grant => b'g',
            TargetKind::Session => b's',
            TargetKind::SubjectAtClient => b'a',
            TargetKind::Subject => b'u',
            TargetKind::Client => b'c',
            TargetKind::Everything => b'x',
        }
    }

    /// What the cutoff of its entry is compared with: a token, grant or session is named once and never again, so there
    /// the name alone decides.
    pub(super) const fn granted(&self, login: Timestamp) -> Timestamp {
        match self.kind {
            TargetKind::Token | TargetKind::Grant | TargetKind::Session => {
                Timestamp::from_unix_millis(0)
            }
            TargetKind::SubjectAtClient
            | TargetKind::Subject
            | TargetKind::Client
            | TargetKind::Everything => login,
        }
    }
}

/// The kind that a script means by its letter.
pub(super) const fn kind_of_letter(letter: u8) -> Option<TargetKind> {
    Some(match letter {
        b't' => TargetKind::Token,
        b'g' => TargetKind::Grant,
        b's' => TargetKind::Session,
        b'a' => TargetKind::SubjectAtClient,
        b'u' => TargetKind::Subject,
        b'c' => TargetKind::Client,
        b'x' => TargetKind::Everything,
        _ => return None,
    })
}

impl NamespaceKeys {
    /// The keys of a namespace in the data under `prefix`. No name of a namespace is in any key: it may be a customer's.
    pub(super) fn new(prefix: &str, shards: u16, key: &DigestKey, namespace: &Namespace) -> Self {
        let key = key.for_namespace(namespace);
        let [a, b, c, d, e, f, ..] = key.derive("annul redis namespace", "");
        let mut name = String::new();
        for byte in [a, b, c, d, e, f] {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        let shards = shards.clamp(1, MOST_SHARDS);
        // With their number in it: processes that disagree about that share no key, and know no token of each other's.
        let tags = (0..shards)
            .map(|shard| {
                format!("{{{prefix}:{name}:{shard}/{shards}}}").into_bytes().into_boxed_slice()
            })
            .collect();
        Self { key, tags }
    }

    pub(super) fn shard_count(&self) -> usize {
        self.tags.len()
    }

    pub(super) fn digest(&self, token: PresentedToken<'_>) -> TokenDigest {
        self.key.digest(token)
    }

    /// The record of a token, and a revocation of it alone: one id, one shard.
    pub(super) fn token(&self, digest: &TokenDigest) -> Id {
        Id::of(digest.as_bytes())
    }

    pub(super) fn session(&self, id: &SessionId) -> Id {
        Id::of(&self.key.derive("annul session", id.as_str()))
    }

    pub(super) fn grant(&self, id: &GrantId) -> Id {
        Id::of(&self.key.derive("annul grant", id.as_str()))
    }

    pub(super) fn target(&self, target: &Target) -> Id {
        match target {
            Target::Token(id) => match id.digest() {
                Some(digest) => self.token(digest),
                None => {
                    Id::of(&self.key.derive("annul named token", id.name().unwrap_or_default()))
                }
            },
            Target::Grant(id) => self.grant(id),
            Target::Session(id) => self.session(id),
            Target::SubjectAtClient(subject, client) => {
                // The length keeps user `a` at client `b:c` apart from user `a:b` at client `c`.
                let (subject, client) = (subject.as_str(), client.as_str());
                let pair = format!("{}:{subject}{client}", subject.len());
                Id::of(&self.key.derive("annul subject at client", &pair))
            }
            Target::Subject(id) => Id::of(&self.key.derive("annul subject", id.as_str())),
            Target::Client(id) => Id::of(&self.key.derive("annul client", id.as_str())),
            Target::Everything => Id::of(&self.key.derive("annul everything", "")),
        }
    }

    /// What may cover the tokens of a grant, beyond each token alone; the narrowest first.
    pub(super) fn targets(&self, grant: &Grant) -> Vec<NamedTarget> {
        let client = grant.client_id();
        let subject = grant.subject_id();
        [
            Some(Target::Grant(grant.id().clone())),
            grant.session_id().cloned().map(Target::Session),
            subject.map(|subject| Target::SubjectAtClient(subject.clone(), client.clone())),
            subject.cloned().map(Target::Subject),
            Some(Target::Client(client.clone())),
            Some(Target::Everything),
        ]
        .into_iter()
        .flatten()
        .map(|target| NamedTarget { kind: target.kind(), id: self.target(&target) })
        .collect()
    }

    pub(super) fn shard(&self, id: &Id) -> usize {
        let [.., a, b] = id.0;
        usize::from(u16::from_be_bytes([a, b])) % self.tags.len().max(1)
    }

    fn tag(&self, shard: usize) -> &[u8] {
        self.tags.get(shard).map(AsRef::as_ref).unwrap_or_default()
    }

    /// The shard's own record, by which every script that writes knows its tag.
    pub(super) fn shard_key(&self, shard: usize) -> Vec<u8> {
        [self.tag(shard), b"m"].concat()
    }

    /// The key of something in the shard of its id.
    pub(super) fn key(&self, part: Part, id: &Id) -> Vec<u8> {
        [self.tag(self.shard(id)), &[part.letter()], id.as_bytes().as_slice()].concat()
    }

    /// The feed of a shard.
    pub(super) fn feed_key(&self, shard: usize) -> Vec<u8> {
        [self.tag(shard), &[Part::Feed.letter()]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(shards: u16) -> NamespaceKeys {
        NamespaceKeys::new("annul", shards, &DigestKey::new(&[7; 32]), &Namespace::default())
    }

    #[test]
    fn a_token_and_its_revocation_share_a_shard() {
        let keys = keys(64);
        for n in 0..100 {
            let name = format!("t{n}");
            let digest = keys.digest(PresentedToken::new(&name));
            let alone = keys.target(&Target::Token(digest.into()));
            assert_eq!(keys.token(&digest), alone);
        }
    }

    #[test]
    fn every_key_of_a_shard_has_its_hash_tag_and_no_name() {
        let keys = keys(16);
        let id = keys.target(&Target::Subject("alice".into()));
        let tag = keys.tag(keys.shard(&id));
        assert!(tag.starts_with(b"{annul:") && tag.ends_with(b"}"));
        let keys = [
            keys.key(Part::Entry, &id),
            keys.shard_key(keys.shard(&id)),
            keys.feed_key(keys.shard(&id)),
        ];
        for key in keys {
            assert!(key.starts_with(tag));
            assert!(!String::from_utf8_lossy(&key).contains("alice"));
        }
    }

    #[test]
    fn shards_are_used_alike() {
        let keys = keys(16);
        let mut used = [0; 16];
        for n in 0..1_600 {
            let id = keys.target(&Target::Grant(format!("g{n}").into()));
            used[keys.shard(&id)] += 1;
        }
        assert!(used.iter().all(|count| (50..200).contains(count)), "{used:?}");
    }

    #[test]
    fn namespaces_share_no_key() {
        let key = DigestKey::new(&[7; 32]);
        let other = NamespaceKeys::new("annul", 1, &key, &Namespace::new("other"));
        assert_ne!(keys(1).shard_key(0), other.shard_key(0));
    }
}
