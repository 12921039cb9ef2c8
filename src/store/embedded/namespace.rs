//! One namespace: its name in keys, and the keys that it makes.

use crate::id::{Namespace, SessionId};
use crate::store::rules::keys::TargetKeys;
use crate::token::DigestKey;

/// A namespace as keys name it.
pub(super) type NamespaceId = [u8; 16];

/// One namespace.
pub(super) struct NamespaceState {
    pub(super) id: NamespaceId,
    pub(super) key: DigestKey,
    pub(super) targets: TargetKeys,
}

impl NamespaceState {
    pub(super) fn new(key: &DigestKey, namespace: &Namespace) -> Self {
        let targets = TargetKeys::new(key, namespace);
        let key = key.for_namespace(namespace);
        // Half of a derived key is as unlike all others as the whole.
        let id = key.derive("annul embedded", "").first_chunk().copied().unwrap_or_default();
        Self { id, key, targets }
    }

    pub(super) fn session_key(&self, session: &SessionId) -> [u8; 32] {
        *self.targets.session(session).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_a_name_of_its_own() {
        let key = DigestKey::new(&[7; 32]);
        let of = |name| NamespaceState::new(&key, &Namespace::new(name)).id;
        assert_ne!(of("a"), of("b"));
        assert_ne!(of("a"), NamespaceId::default());
        assert_eq!(of("a"), of("a"));
    }
}
