//! Tokens to be recorded, as parameters of a statement.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::postgres::horizon::to_the_hour;
use crate::store::postgres::keys::Key;
use crate::store::postgres::records::{self, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::rules::issuing;
use crate::store::rules::rotation::Generation;
use crate::token::{NewToken, TokenDigest};

/// Tokens to be recorded, column by column, in the order of their digests.
pub(super) struct Columns<'a> {
    digests: Vec<TokenDigest>,
    keys: Vec<Key>,
    pub(super) kinds: Vec<String>,
    pub(super) consumed: Vec<bool>,
    pub(super) expiries: Vec<i64>,
    pub(super) dues: Vec<i64>,
    pub(super) counterparts: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    /// Each token once; an error if they may not be recorded.
    pub(super) fn new(
        store: &PostgresStore,
        tokens: &'a [NewToken<'a>],
    ) -> Result<Self, StoreError> {
        issuing::check(tokens)?;
        let keys = store.keys();
        let mut unique: BTreeMap<TokenDigest, &NewToken<'_>> = BTreeMap::new();
        for token in tokens {
            let first = unique.entry(keys.digests().digest(token.token())).or_insert(token);
            if first.kind() != token.kind() {
                return Err(issuing::taken());
            }
        }
        let lifetimes = store.lifetimes();
        let due = |token: &NewToken<'_>| lifetimes.token_until(token.kind(), token.expires_at());
        let tokens = || unique.values().copied();
        Ok(Self {
            keys: unique.keys().map(|digest| keys.token(&(*digest).into())).collect(),
            kinds: tokens().map(|token| records::kind_letter(token.kind())).collect(),
            consumed: tokens().map(NewToken::is_consumed).collect(),
            expiries: tokens().map(|token| millis(token.expires_at())).collect(),
            dues: tokens().map(|token| millis(due(token))).collect(),
            counterparts: tokens()
                .map(|token| Some(token.counterpart()?.expose_secret().as_bytes()))
                .collect(),
            digests: unique.into_keys().collect(),
        })
    }

    pub(super) fn digests(&self) -> Vec<&[u8]> {
        self.digests.iter().map(|digest| digest.as_bytes().as_slice()).collect()
    }

    pub(super) fn keys(&self) -> Vec<&[u8]> {
        self.keys.iter().map(Key::as_bytes).collect()
    }

    /// The generation of each, or the one that the others share.
    pub(super) fn generations(&self, shared: Option<Generation>) -> Vec<Option<i32>> {
        let of = |consumed: &bool| if *consumed { Some(Generation::IMPORTED) } else { shared };
        self.consumed.iter().map(|consumed| of(consumed).map(records::generation)).collect()
    }

    /// Until when the grant of these tokens is kept: for longer than any of them.
    pub(super) fn grant_until(&self) -> i64 {
        to_the_hour(self.dues.iter().copied().max().unwrap_or_default())
    }

    /// The same for the successors of a rotation: and for as long as the family is kept.
    pub(super) fn family_until(&self, store: &PostgresStore) -> i64 {
        let latest = self.expiries.iter().copied().max();
        let latest = latest.map_or_else(Timestamp::default, records::time);
        let family = millis(store.lifetimes().family_until(latest));
        to_the_hour(self.dues.iter().copied().fold(family, i64::max))
    }
}
