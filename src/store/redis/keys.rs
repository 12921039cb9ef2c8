//! Where everything is: ids, shards and key names.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::id::{Namespace, SessionId};
use crate::revocation::{Target, TargetKind};
use crate::store::redis::config::MOST_SHARDS;
use crate::store::rules::codes;
use crate::store::rules::keys::{GrantKeys, TargetKey, TargetKeys};
use crate::token::{DigestKey, Grant, PresentedToken, TokenDigest};

/// The first half of a target's key, which names a token, or what a revocation points at. The namespace is part of it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Id([u8; 16]);

impl Id {
    pub(super) const BYTES: usize = 16;

    pub(super) const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<TargetKey> for Id {
    fn from(key: TargetKey) -> Self {
        Self(key.first_half())
    }
}

/// What a key holds: the letter behind its hash tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Entry,
    Feed,
    Grant,
    Session,
    Token,
}

impl Part {
    const fn letter(self) -> u8 {
        match self {
            Self::Entry => b'e',
            Self::Feed => b'x',
            Self::Grant => b'g',
            Self::Session => b's',
            Self::Token => b't',
        }
    }
}

/// The keys of one namespace.
#[derive(Clone, Debug)]
pub(super) struct NamespaceKeys {
    digest: DigestKey,
    targets: TargetKeys,
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
        codes::target_letter(self.kind)
    }
}

/// What the record of a token has of its grant.
pub(super) struct GrantIds {
    /// The grant itself.
    pub(super) grant: Id,
    /// Whose it is.
    pub(super) owner: [u8; 16],
    /// What may cover its tokens, except each token alone; the narrowest first.
    pub(super) targets: Vec<NamedTarget>,
}

impl NamespaceKeys {
    /// The keys of a namespace in the data under `prefix`. No name of a namespace is in any key: it may be a customer's.
    pub(super) fn new(prefix: &str, shards: u16, key: &DigestKey, namespace: &Namespace) -> Self {
        let targets = TargetKeys::new(key, namespace);
        let digest = key.for_namespace(namespace);
        let [a, b, c, d, e, f, ..] = digest.derive("annul redis namespace", "");
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
        Self { digest, targets, tags }
    }

    pub(super) fn shard_count(&self) -> usize {
        self.tags.len()
    }

    pub(super) fn digest(&self, token: PresentedToken<'_>) -> TokenDigest {
        self.digest.digest(token)
    }

    /// The record of a token, and a revocation of it alone: one id, one shard.
    pub(super) fn token(&self, digest: &TokenDigest) -> Id {
        self.targets.token(&(*digest).into()).into()
    }

    pub(super) fn session(&self, id: &SessionId) -> Id {
        self.targets.session(id).into()
    }

    pub(super) fn target(&self, target: &Target) -> Id {
        self.targets.of(target).into()
    }

    /// The target as scripts know it.
    pub(super) fn named(&self, target: &Target) -> NamedTarget {
        NamedTarget { kind: target.kind(), id: self.target(target) }
    }

    /// What may cover the tokens of a grant, except each token alone; the narrowest first.
    pub(super) fn targets(&self, grant: &Grant) -> Vec<NamedTarget> {
        named_targets(&self.targets.of_grant(grant))
    }

    /// The ids that a record of a token of this grant has.
    pub(super) fn of_grant(&self, grant: &Grant) -> GrantIds {
        let keys = self.targets.of_grant(grant);
        GrantIds {
            grant: keys.grant.into(),
            owner: self.targets.owner(grant).first_half(),
            targets: named_targets(&keys),
        }
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

fn named_targets(keys: &GrantKeys) -> Vec<NamedTarget> {
    keys.iter().map(|(kind, key)| NamedTarget { kind, id: key.into() }).collect()
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
