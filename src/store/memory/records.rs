//! What a namespace keeps, a table for each kind of record.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::GrantId;
use crate::secret::Secret;
use crate::store::Session;
use crate::store::memory::table::Record;
use crate::store::rules::rotation::Generation;
use crate::token::{Grant, TokenDigest, TokenKind};

/// One token, in forty bytes.
#[derive(Debug)]
pub(super) struct TokenRow {
    pub(super) key: RowKey,
    pub(super) grant: Arc<Grant>,
    pub(super) expires_at: Timestamp,
    /// In seconds, which is all that introspection shows.
    pub(super) issued_at: u32,
    pub(super) stage: Stage,
}

/// The first half of a token's digest. A hundred and twenty-eight bits of a MAC are as unguessable as the token,
/// and no two of them are alike by accident.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct RowKey {
    pub(super) hash: u64,
    pub(super) rest: u64,
}

/// Kind, consumption, and how many rotations led to the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stage(u32);

/// The refresh tokens of one grant that was rotated at least once.
#[derive(Debug)]
pub(super) struct FamilyRow {
    pub(super) grant: GrantId,
    /// The generation of the successors of the last rotation.
    pub(super) generation: Generation,
    pub(super) rotated_at: Timestamp,
    pub(super) latest_expiry: Timestamp,
}

#[derive(Debug)]
pub(super) struct CounterpartRow {
    pub(super) key: RowKey,
    pub(super) counterpart: Arc<Secret>,
    pub(super) expires_at: Timestamp,
}

impl TokenRow {
    /// Whether `other`, of the same value, is the same token issued again.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.grant.id() == other.grant.id() && self.stage.kind() == other.stage.kind()
    }
}

impl RowKey {
    pub(super) fn of(digest: &TokenDigest) -> Self {
        let (words, _) = digest.as_bytes().as_chunks::<8>();
        let word = |index: usize| words.get(index).copied().map(u64::from_le_bytes);
        Self { hash: word(0).unwrap_or_default(), rest: word(1).unwrap_or_default() }
    }
}

impl Stage {
    const CONSUMED: u32 = 1 << 31;
    const REFRESH: u32 = 1 << 30;

    pub(super) const fn new(kind: TokenKind, generation: Generation, consumed: bool) -> Self {
        let kind = match kind {
            TokenKind::AccessToken => 0,
            TokenKind::RefreshToken => Self::REFRESH,
        };
        let consumed = if consumed { Self::CONSUMED } else { 0 };
        Self(generation.get() | kind | consumed)
    }

    pub(super) const fn consumed(self) -> Self {
        Self(self.0 | Self::CONSUMED)
    }

    pub(super) const fn is_consumed(self) -> bool {
        self.0 & Self::CONSUMED != 0
    }

    pub(super) const fn kind(self) -> TokenKind {
        if self.0 & Self::REFRESH == 0 { TokenKind::AccessToken } else { TokenKind::RefreshToken }
    }

    pub(super) const fn generation(self) -> Generation {
        Generation::new(self.0 & (Self::REFRESH - 1))
    }
}

impl Record for TokenRow {
    fn hash(&self, _keys: &RandomState) -> u64 {
        self.key.hash
    }
}

impl Record for CounterpartRow {
    fn hash(&self, _keys: &RandomState) -> u64 {
        self.key.hash
    }
}

impl Record for FamilyRow {
    fn hash(&self, keys: &RandomState) -> u64 {
        keys.hash_one(&self.grant)
    }
}

impl Record for Session {
    fn hash(&self, keys: &RandomState) -> u64 {
        keys.hash_one(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_costs_forty_bytes() {
        assert_eq!(size_of::<TokenRow>(), 40);
    }

    #[test]
    fn a_stage_keeps_kind_generation_and_consumption_apart() {
        for kind in [TokenKind::AccessToken, TokenKind::RefreshToken] {
            for generation in [Generation::FIRST, Generation::LAST, Generation::IMPORTED] {
                let stage = Stage::new(kind, generation, false);
                assert_eq!((stage.kind(), stage.generation()), (kind, generation));
                assert!(!stage.is_consumed() && stage.consumed().is_consumed());
                assert_eq!(stage.consumed(), Stage::new(kind, generation, true));
            }
        }
    }
}
