//! Tokens to be recorded, as parameters of a statement.

use crate::store::StoreError;
use crate::store::postgres::keys::Key;
use crate::store::postgres::records::{self, millis};
use crate::store::postgres::store::PostgresStore;
use crate::token::{NewToken, TokenDigest};

/// The generation of a token that was rotated out elsewhere, before it was recorded. No family gets so far, so no grace
/// window covers it.
const IMPORTED: i32 = i32::MAX - 1;

/// Tokens to be recorded, column by column.
pub(super) struct Columns<'a> {
    digests: Vec<TokenDigest>,
    keys: Vec<Key>,
    pub(super) kinds: Vec<i16>,
    pub(super) consumed: Vec<bool>,
    pub(super) expiries: Vec<i64>,
    pub(super) dues: Vec<i64>,
    pub(super) counterparts: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(store: &PostgresStore, tokens: &'a [NewToken<'a>]) -> Self {
        let keys = store.keys();
        let digests: Vec<TokenDigest> =
            tokens.iter().map(|token| keys.digests().digest(token.token())).collect();
        let retention = store.retention();
        let due = |token: &NewToken<'_>| millis(token.expires_at() + retention.of(token.kind()));
        Self {
            keys: digests.iter().map(|digest| keys.token(&(*digest).into())).collect(),
            digests,
            kinds: tokens.iter().map(|token| records::kind_number(token.kind())).collect(),
            consumed: tokens.iter().map(NewToken::is_consumed).collect(),
            expiries: tokens.iter().map(|token| millis(token.expires_at())).collect(),
            dues: tokens.iter().map(due).collect(),
            counterparts: tokens
                .iter()
                .map(|token| Some(token.counterpart()?.expose_secret().as_bytes()))
                .collect(),
        }
    }

    pub(super) fn digests(&self) -> Vec<&[u8]> {
        self.digests.iter().map(|digest| digest.as_bytes().as_slice()).collect()
    }

    pub(super) fn keys(&self) -> Vec<&[u8]> {
        self.keys.iter().map(Key::as_bytes).collect()
    }

    /// The generation of each, or the one that the others share.
    pub(super) fn generations(&self, shared: Option<i32>) -> Vec<Option<i32>> {
        let of = |consumed: &bool| if *consumed { Some(IMPORTED) } else { shared };
        self.consumed.iter().map(of).collect()
    }

    pub(super) fn latest(&self) -> i64 {
        self.expiries.iter().copied().max().unwrap_or_default()
    }
}

/// One of the tokens exists already, and is not this grant's.
pub(super) fn another_grants() -> StoreError {
    StoreError::conflict("a token of this value exists under another grant")
}
