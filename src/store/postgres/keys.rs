//! The keys of one namespace's rows.

use std::fmt;

use crate::id::{Namespace, SessionId};
use crate::revocation::Target;
use crate::store::rules::keys::{GrantKeys, TargetKey, TargetKeys};
use crate::token::{DigestKey, Grant, TokenId};

/// What a row is found by: the first half of a target's key.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Key([u8; 16]);

impl Key {
    pub(super) const fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl From<TargetKey> for Key {
    fn from(key: TargetKey) -> Self {
        Self(key.first_half())
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
    targets: TargetKeys,
    /// The namespace's number in the rows that are looked up by namespace.
    namespace: i64,
    everything: Key,
}

impl Keys {
    pub(super) fn new(root: &DigestKey, namespace: &Namespace) -> Self {
        let digests = root.for_namespace(namespace);
        let targets = TargetKeys::new(root, namespace);
        let number = digests.derive("annul number", "");
        let number = number.first_chunk().copied().unwrap_or_default();
        let everything = targets.of(&Target::Everything).into();
        Self { digests, targets, namespace: i64::from_be_bytes(number), everything }
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

    pub(super) fn token(&self, id: &TokenId) -> Key {
        self.targets.token(id).into()
    }

    pub(super) fn session(&self, id: &SessionId) -> Key {
        self.targets.session(id).into()
    }

    pub(super) fn of(&self, target: &Target) -> Key {
        self.targets.of(target).into()
    }

    pub(super) fn of_grant(&self, grant: &Grant) -> GrantKeys {
        self.targets.of_grant(grant)
    }
}
