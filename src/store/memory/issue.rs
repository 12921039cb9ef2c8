//! Records tokens.

use std::hash::BuildHasher as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLockWriteGuard};

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::TargetKind;
use crate::secret::Secret;
use crate::store::Issued;
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::records::{CounterpartRow, RowKey, Stage, TokenRow};
use crate::store::memory::shards::{read, write};
use crate::store::memory::table::Table;
use crate::store::rules::issuing::{check, taken};
use crate::store::rules::rotation::Generation;
use crate::token::{Grant, NewToken, TokenDigest};

impl NamespaceState {
    /// Records the tokens of a new grant, or more of one that is known.
    pub(super) fn issue(
        &self,
        grant: &Arc<Grant>,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        check(tokens)?;
        let dead = self.issue_generation(grant, tokens, Generation::FIRST, now)?;
        Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
    }

    /// Records tokens of one generation, all of them or none, and says whether a revocation covers them already.
    pub(super) fn issue_generation(
        &self,
        grant: &Arc<Grant>,
        tokens: &[NewToken<'_>],
        generation: Generation,
        now: Timestamp,
    ) -> Result<Option<TargetKind>, StoreError> {
        self.shared.note(now, &self.shared.lifetimes());
        let digests: Vec<(TokenDigest, Timestamp)> = tokens
            .iter()
            .map(|token| (self.key.digest(token.token()), self.new_until(grant, token)))
            .collect();
        for (_, until) in &digests {
            self.ledger.expect_until(*until);
        }
        let hash = self.keys.hash_one(grant.id());
        let grant = {
            let mut grants = write(self.grants.of(hash));
            let grant = grants.intern(hash, grant)?;
            let rows = tokens.iter().zip(&digests).map(|(token, (digest, until))| {
                let generation =
                    if token.is_consumed() { Generation::IMPORTED } else { generation };
                let row = TokenRow {
                    key: RowKey::of(digest),
                    grant: Arc::clone(&grant),
                    expires_at: token.expires_at(),
                    issued_at: u32::try_from(now.as_unix_seconds()).unwrap_or(u32::MAX),
                    stage: Stage::new(token.kind(), generation, token.is_consumed()),
                };
                (row, *until)
            });
            let inserted = self.insert_all(rows.collect(), now);
            if !matches!(inserted, Ok(true)) {
                grants.release(hash, &grant);
            }
            inserted?;
            grant
        };
        let mut dead = None;
        for (token, (digest, until)) in tokens.iter().zip(digests) {
            // Not before: the token may turn out to be another grant's, which must not learn this one.
            if let Some(counterpart) = token.counterpart() {
                let key = RowKey::of(&digest);
                self.keep_counterpart(key, Arc::clone(counterpart), token.expires_at(), now);
            }
            let covering = self.ledger.covering(&digest.into(), &grant, Some(until));
            dead = dead.or(covering);
        }
        Ok(dead)
    }

    /// Until when the record of a new token is kept. One that comes in consumed is kept for as long as its family.
    fn new_until(&self, grant: &Grant, token: &NewToken<'_>) -> Timestamp {
        let until = self.shared.lifetimes().token_until(token.kind(), token.expires_at());
        if token.is_consumed() { until.max(self.family_until(grant)) } else { until }
    }

    /// Until when the family of a grant is kept, where it was rotated.
    pub(super) fn family_until(&self, grant: &Grant) -> Timestamp {
        let hash = self.keys.hash_one(grant.id());
        let families = read(self.families.of(hash));
        let family = families.get(hash, |family| family.grant == *grant.id());
        let lifetimes = self.shared.lifetimes();
        family
            .map_or_else(Timestamp::default, |family| lifetimes.family_until(family.latest_expiry))
    }

    /// Adds rows, all of them or none, and says whether any was new. A row that is there already stays as it is, so nothing is
    /// ever revived.
    fn insert_all(
        &self,
        mut rows: Vec<(TokenRow, Timestamp)>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let shard_of = |row: &TokenRow| self.tokens.index_of(row.key.hash);
        // In one order for all callers, so that no two wait for each other.
        rows.sort_by_key(|(row, _)| (shard_of(row), row.key));
        let mut shards: Vec<(usize, RwLockWriteGuard<'_, Table<TokenRow>>)> = Vec::new();
        let mut previous: Option<&TokenRow> = None;
        for (row, _) in &rows {
            let index = shard_of(row);
            if shards.last().is_none_or(|(last, _)| *last != index) {
                shards.push((index, write(self.tokens.at(index))));
            }
            let table = shards.last().map(|(_, table)| table);
            let known = table.and_then(|table| find(table, row.key));
            let twice = previous.filter(|previous| previous.key == row.key);
            if known.into_iter().chain(twice).any(|other| !other.is_same(row)) {
                return Err(taken());
            }
            previous = Some(row);
        }
        let mut any_new = false;
        for (row, until) in rows {
            let index = shard_of(&row);
            let Some((_, table)) = shards.iter_mut().find(|(shard, _)| *shard == index) else {
                continue;
            };
            if find(table, row.key).is_none() {
                table.insert(row, now, until);
                any_new = true;
            }
        }
        Ok(any_new)
    }

    fn keep_counterpart(
        &self,
        key: RowKey,
        counterpart: Arc<Secret>,
        expires_at: Timestamp,
        now: Timestamp,
    ) {
        let mut kept = write(self.counterparts.of(key.hash));
        if kept.get(key.hash, |kept| kept.key == key).is_none() {
            self.counterparts_kept.fetch_add(1, Relaxed);
            kept.insert(CounterpartRow { key, counterpart, expires_at }, now, expires_at);
        }
    }
}

fn find(table: &Table<TokenRow>, key: RowKey) -> Option<&TokenRow> {
    table.get(key.hash, |row| row.key == key)
}
