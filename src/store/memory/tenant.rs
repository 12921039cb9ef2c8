//! What one namespace holds.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::clock::Timestamp;
use crate::id::{GrantId, SessionId};
use crate::revocation::{Actor, Revocation, Revoked, Target};
use crate::secret::Secret;
use crate::store::memory::ledger::Ledger;
use crate::store::memory::shards::{FEW, MANY, Shards, read, write};
use crate::store::memory::table::{Due, Looked, Record, Table};
use crate::store::{Refused, Retention, Rotated, Rotation, Session, StoreError};
use crate::token::{
    DigestKey, Grant, NewToken, PresentedToken, TargetKind, TokenDigest, TokenKind, TokenRecord,
    TokenState,
};

/// How many steps a sweep of one tenant has.
pub(super) const STEPS: usize = MANY;

#[derive(Debug)]
pub(super) struct Tenant {
    key: DigestKey,
    keys: RandomState,
    pub(super) ledger: Ledger,
    tokens: Shards<Table<TokenRow>>,
    families: Shards<Table<Family>>,
    sessions: Shards<Table<Session>>,
    counterparts: Shards<Table<Counterpart>>,
    /// Hosts that keep no counterparts do not look for one either.
    counterparts_kept: AtomicUsize,
}

/// One token, in forty bytes.
#[derive(Debug)]
struct TokenRow {
    key: RowKey,
    grant: Arc<Grant>,
    expires_at: Timestamp,
    /// In seconds, which is all that introspection shows.
    issued_at: u32,
    stage: Stage,
}

/// The first half of a token's digest. A hundred and twenty-eight bits of a MAC are as unguessable as the token,
/// and no two of them are alike by accident.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct RowKey {
    hash: u64,
    rest: u64,
}

/// Kind, consumption, and how many exchanges led to the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stage(u32);

/// The refresh tokens of one grant that was rotated at least once.
#[derive(Debug)]
struct Family {
    grant: GrantId,
    /// The generation of the successors of the last exchange.
    generation: u32,
    rotated_at: Timestamp,
    latest_expiry: Timestamp,
}

#[derive(Debug)]
struct Counterpart {
    key: RowKey,
    counterpart: Arc<Secret>,
    expires_at: Timestamp,
}

/// What became of a refresh token that was presented for exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Spent {
    Expired,
    /// By this caller, first; its successors are of this generation.
    First(u32),
    /// Before, by the same client, a moment ago.
    InGrace(u32),
    /// Before.
    Reused,
}

impl Tenant {
    pub(super) fn new(key: DigestKey) -> Self {
        let keys = RandomState::new();
        Self {
            key,
            ledger: Ledger::new(&keys),
            tokens: Shards::new(MANY, || Table::new(keys.clone())),
            families: Shards::new(MANY, || Table::new(keys.clone())),
            sessions: Shards::new(MANY, || Table::new(keys.clone())),
            counterparts: Shards::new(FEW, || Table::new(keys.clone())),
            counterparts_kept: AtomicUsize::new(0),
            keys,
        }
    }

    pub(super) fn token_count(&self) -> usize {
        self.tokens.iter().map(|shard| read(shard).len()).sum()
    }

    pub(super) fn session_count(&self) -> usize {
        self.sessions.iter().map(|shard| read(shard).len()).sum()
    }

    pub(super) fn find(&self, token: PresentedToken<'_>) -> Option<TokenRecord> {
        let digest = self.key.digest(token);
        let key = RowKey::of(&digest);
        let (record, consumed) = {
            let rows = read(self.tokens.of(key.hash));
            let row = rows.get(key.hash, |row| row.key == key)?;
            let grant = Arc::clone(&row.grant);
            let record = TokenRecord::new(digest.into(), row.stage.kind(), grant, row.expires_at);
            let issued_at = Timestamp::from_unix_seconds(row.issued_at.into());
            (record.with_issued_at(issued_at), row.stage.is_consumed())
        };
        let record = match self.counterpart(key) {
            Some(counterpart) => record.with_counterpart(counterpart),
            None => record,
        };
        Some(match self.ledger.covering(record.id(), record.grant(), None) {
            Some(by) => record.with_state(TokenState::Revoked { by }),
            None if consumed => record.with_state(TokenState::Consumed),
            None => record,
        })
    }

    /// Writes one entry. A client's entry for a refresh token alone is for its grant too if the token has been exchanged
    /// since it was looked up: by then revoking it means that, and its successors would live.
    pub(super) fn revoke(&self, revocation: &Revocation) -> Revoked {
        let outcome = self.ledger.apply(revocation);
        let (Target::Token(id), Actor::Client(client)) = (revocation.target(), revocation.actor())
        else {
            return outcome;
        };
        // After the entry was written, as `rotate` looks for one after the token was spent: one of the two sees the other.
        let Some(grant) = id.digest().and_then(|digest| self.consumed_of(digest)) else {
            return outcome;
        };
        let target = Target::Grant(grant.id().clone());
        let (at, reason) = (revocation.at(), revocation.reason());
        let of_grant = Revocation::by_client(target, reason, at, client.clone());
        match self.ledger.apply(&of_grant) {
            Revoked::Newly => Revoked::Newly,
            Revoked::Already => outcome,
        }
    }

    /// The grant of a token, if that was exchanged.
    fn consumed_of(&self, digest: &TokenDigest) -> Option<Arc<Grant>> {
        let key = RowKey::of(digest);
        let rows = read(self.tokens.of(key.hash));
        let row = rows.get(key.hash, |row| row.key == key)?;
        row.stage.is_consumed().then(|| Arc::clone(&row.grant))
    }

    /// Records tokens, and says whether a revocation covers them already.
    pub(super) fn record(
        &self,
        grant: &Arc<Grant>,
        tokens: &[NewToken<'_>],
        generation: u32,
        now: Timestamp,
        retention: Retention,
    ) -> Result<Option<TargetKind>, StoreError> {
        let mut dead = None;
        for token in tokens {
            let digest = self.key.digest(token.token());
            let expires_at = token.expires_at();
            self.ledger.expect_until(expires_at);
            let generation = if token.is_consumed() { Stage::IMPORTED } else { generation };
            let row = TokenRow {
                key: RowKey::of(&digest),
                grant: Arc::clone(grant),
                expires_at,
                issued_at: u32::try_from(now.as_unix_seconds()).unwrap_or(u32::MAX),
                stage: Stage::new(token.kind(), generation, token.is_consumed()),
            };
            let key = row.key;
            self.insert(row, now, retention)?;
            // Not before: the token may turn out to be another grant's, which must not learn this one.
            if let Some(counterpart) = token.counterpart() {
                self.keep(key, Arc::clone(counterpart), expires_at, now);
            }
            let covering = self.ledger.covering(&digest.into(), grant, Some(expires_at));
            dead = dead.or(covering);
        }
        Ok(dead)
    }

    /// Adds a row; a row that is there already stays as it is, so nothing is ever revived.
    fn insert(
        &self,
        row: TokenRow,
        now: Timestamp,
        retention: Retention,
    ) -> Result<(), StoreError> {
        let mut rows = write(self.tokens.of(row.key.hash));
        let Some(known) = rows.get(row.key.hash, |known| known.key == row.key) else {
            let due = row.expires_at + retention.of(row.stage.kind());
            rows.insert(row, now, due);
            return Ok(());
        };
        if known.grant.id() == row.grant.id() && known.stage.kind() == row.stage.kind() {
            Ok(())
        } else {
            Err(StoreError::conflict("a token of this value exists under another grant"))
        }
    }

    fn keep(&self, key: RowKey, counterpart: Arc<Secret>, expires_at: Timestamp, now: Timestamp) {
        let mut kept = write(self.counterparts.of(key.hash));
        if kept.get(key.hash, |kept| kept.key == key).is_none() {
            self.counterparts_kept.fetch_add(1, Relaxed);
            kept.insert(Counterpart { key, counterpart, expires_at }, now, expires_at);
        }
    }

    fn counterpart(&self, key: RowKey) -> Option<Arc<Secret>> {
        if self.counterparts_kept.load(Relaxed) == 0 {
            return None;
        }
        let kept = read(self.counterparts.of(key.hash));
        kept.get(key.hash, |kept| kept.key == key).map(|kept| Arc::clone(&kept.counterpart))
    }

    pub(super) fn rotate(
        &self,
        rotation: &Rotation<'_>,
        retention: Retention,
    ) -> Result<Rotated, StoreError> {
        let Some(record) = self.find(rotation.spent()) else {
            return Ok(Rotated::Refused(Refused::Unknown));
        };
        if record.kind() != TokenKind::RefreshToken {
            return Ok(Rotated::Refused(Refused::NotARefreshToken));
        }
        if record.grant().client_id() != rotation.client() {
            return Ok(Rotated::Refused(Refused::ForeignClient));
        }
        if let TokenState::Revoked { by } = record.state() {
            return Ok(Rotated::Refused(Refused::Revoked { by }));
        }
        let grant = record.grant();
        let spent = match record.id().digest() {
            Some(digest) => self.spend(rotation, RowKey::of(digest), grant.id()),
            None => Spent::Expired,
        };
        let generation = match spent {
            Spent::First(generation) | Spent::InGrace(generation) => generation,
            Spent::Expired => return Ok(Rotated::Refused(Refused::Expired)),
            Spent::Reused => {
                self.ledger.apply(&Revocation::by_reuse(grant.id().clone(), rotation.now()));
                return Ok(Rotated::Reused(record));
            }
        };
        // Covered meanwhile, perhaps alone: then its successors would not be.
        if let Some(by) = self.ledger.covering(record.id(), grant, None) {
            return Ok(Rotated::Refused(Refused::Revoked { by }));
        }
        let successors = rotation.successors();
        let dead = self.record(grant, successors, generation, rotation.now(), retention)?;
        Ok(match (dead, spent) {
            // Revoked while the exchange was under way: the successors are born dead.
            (Some(by), _) => Rotated::Refused(Refused::Revoked { by }),
            (None, Spent::InGrace(_)) => Rotated::AppliedInGrace(record),
            (None, Spent::First(_) | Spent::Expired | Spent::Reused) => Rotated::Applied(record),
        })
    }

    /// The compare-and-swap: of all callers with the same token, one finds it unspent.
    fn spend(&self, rotation: &Rotation<'_>, key: RowKey, grant: &GrantId) -> Spent {
        let now = rotation.now();
        // Token before family, here and in `sweep`.
        let mut rows = write(self.tokens.of(key.hash));
        let Some(row) = rows.get_mut(key.hash, |row| row.key == key) else {
            return Spent::Expired;
        };
        let successors = rotation.successors().iter().map(NewToken::expires_at);
        let latest_expiry = successors.fold(row.expires_at, Timestamp::max);
        let generation = row.stage.generation() + 1;
        let hash = self.keys.hash_one(grant);
        let mut families = write(self.families.of(hash));
        let family = families.get_mut(hash, |family| family.grant == *grant);
        if row.stage.is_consumed() {
            // Only the generation before the present one, only for so long, and only while the token would still
            // live. Deliberate revocation was looked for before: the window never revives what was revoked.
            let in_grace = family.filter(|family| {
                // Without a window none is open, though the clock were set back since.
                family.generation == generation
                    && !rotation.grace().is_zero()
                    && now < family.rotated_at + rotation.grace()
            });
            return match in_grace {
                Some(_) if row.expires_at <= now => Spent::Expired,
                Some(family) => {
                    family.latest_expiry = family.latest_expiry.max(latest_expiry);
                    Spent::InGrace(generation)
                }
                None => Spent::Reused,
            };
        }
        if row.expires_at <= now {
            return Spent::Expired;
        }
        row.stage = row.stage.consumed();
        match family {
            Some(family) => {
                family.latest_expiry = family.latest_expiry.max(latest_expiry);
                if family.generation < generation {
                    family.generation = generation;
                    family.rotated_at = now;
                }
            }
            None => {
                let grant = grant.clone();
                let family = Family { grant, generation, rotated_at: now, latest_expiry };
                families.insert(family, now, latest_expiry);
            }
        }
        Spent::First(generation)
    }

    pub(super) fn open_session(
        &self,
        session: Session,
        retention: Retention,
    ) -> Result<(), StoreError> {
        self.ledger.expect_until(session.expires_at());
        if self.ledger.is_logged_out(session.id()) {
            return Err(StoreError::conflict("the session was logged out"));
        }
        let hash = self.keys.hash_one(session.id());
        let mut sessions = write(self.sessions.of(hash));
        match sessions.get_mut(hash, |known| known.id() == session.id()) {
            Some(known) => {
                known.join(&session)?;
                self.ledger.hold(known);
            }
            None => {
                let due = session.expires_at() + retention.refresh_tokens;
                let opened = session.started_at();
                self.ledger.hold(&session);
                sessions.insert(session, opened, due);
            }
        }
        Ok(())
    }

    pub(super) fn session(&self, id: &SessionId) -> Option<Session> {
        let hash = self.keys.hash_one(id);
        read(self.sessions.of(hash)).get(hash, |session| session.id() == id).cloned()
    }

    /// One step: a shard of every table. Locks are held for one table's share of the budget at a time.
    pub(super) fn sweep(
        &self,
        now: Timestamp,
        step: usize,
        budget: usize,
        retention: Retention,
    ) -> Looked {
        let kept = retention.refresh_tokens;
        let mut looked = write(self.tokens.at(step)).sweep(
            now,
            budget,
            |row| self.token_due(row, now, retention),
            drop,
        );
        looked += self.ledger.sweep(now, step, budget.saturating_sub(looked.at));
        looked += write(self.families.at(step)).sweep(
            now,
            budget.saturating_sub(looked.at),
            |family| Due::after(family.latest_expiry + kept, now),
            drop,
        );
        looked += write(self.sessions.at(step)).sweep(
            now,
            budget.saturating_sub(looked.at),
            |session| Due::after(session.expires_at() + kept, now),
            drop,
        );
        looked += write(self.counterparts.at(step)).sweep(
            now,
            budget.saturating_sub(looked.at),
            |counterpart| Due::after(counterpart.expires_at + kept, now),
            |_| {
                self.counterparts_kept.fetch_sub(1, Relaxed);
            },
        );
        looked
    }

    pub(super) fn has_due(&self, now: Timestamp) -> bool {
        (0..STEPS).any(|step| {
            read(self.tokens.at(step)).has_due(now)
                || self.ledger.has_due(now, step)
                || read(self.families.at(step)).has_due(now)
                || read(self.sessions.at(step)).has_due(now)
                || read(self.counterparts.at(step)).has_due(now)
        })
    }

    /// A consumed refresh token is remembered for as long as its family can live: it may come back.
    fn token_due(&self, row: &TokenRow, now: Timestamp, retention: Retention) -> Due {
        let family = if row.stage.is_consumed() {
            let grant = row.grant.id();
            let hash = self.keys.hash_one(grant);
            let families = read(self.families.of(hash));
            families.get(hash, |family| family.grant == *grant).map(|family| family.latest_expiry)
        } else {
            None
        };
        let needed = row.expires_at.max(family.unwrap_or_default());
        Due::after(needed + retention.of(row.stage.kind()), now)
    }
}

impl RowKey {
    fn of(digest: &TokenDigest) -> Self {
        let (words, _) = digest.as_bytes().as_chunks::<8>();
        let word = |index: usize| words.get(index).copied().map(u64::from_le_bytes);
        Self { hash: word(0).unwrap_or_default(), rest: word(1).unwrap_or_default() }
    }
}

impl Stage {
    const CONSUMED: u32 = 1 << 31;
    const REFRESH: u32 = 1 << 30;

    /// The generation of a token that was rotated out elsewhere, before it was recorded. No family gets so far, so no
    /// grace window covers it.
    const IMPORTED: u32 = Self::REFRESH - 1;

    const fn new(kind: TokenKind, generation: u32, consumed: bool) -> Self {
        let kind = match kind {
            TokenKind::AccessToken => 0,
            TokenKind::RefreshToken => Self::REFRESH,
        };
        let consumed = if consumed { Self::CONSUMED } else { 0 };
        // A thousand million exchanges of one grant: a century of them at one every three seconds.
        Self(generation & (Self::REFRESH - 1) | kind | consumed)
    }

    const fn consumed(self) -> Self {
        Self(self.0 | Self::CONSUMED)
    }

    const fn is_consumed(self) -> bool {
        self.0 & Self::CONSUMED != 0
    }

    const fn kind(self) -> TokenKind {
        if self.0 & Self::REFRESH == 0 { TokenKind::AccessToken } else { TokenKind::RefreshToken }
    }

    const fn generation(self) -> u32 {
        self.0 & (Self::REFRESH - 1)
    }
}

impl Record for TokenRow {
    fn hash(&self, _keys: &RandomState) -> u64 {
        self.key.hash
    }
}

impl Record for Counterpart {
    fn hash(&self, _keys: &RandomState) -> u64 {
        self.key.hash
    }
}

impl Record for Family {
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
            for generation in [0, 1, Stage::REFRESH - 1] {
                let stage = Stage::new(kind, generation, false);
                assert_eq!((stage.kind(), stage.generation()), (kind, generation));
                assert!(!stage.is_consumed() && stage.consumed().is_consumed());
                assert_eq!(stage.consumed(), Stage::new(kind, generation, true));
            }
        }
    }
}
