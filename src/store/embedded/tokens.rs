//! Tokens and sessions, as the one thread that writes decides about them.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{ClientId, SessionId};
use crate::revocation::{Actor, Revocation, Revoked, Target};
use crate::secret::Secret;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::engine::{Reads, Space};
use crate::store::embedded::key::TargetKey;
use crate::store::embedded::ledger;
use crate::store::embedded::rows::{
    Due, DueKind, FamilyRow, IMPORTED, Tenant, TokenRow, decode, read_row,
};
use crate::store::embedded::stored::StoredSession;
use crate::store::{Issued, Refused, Retention, Rotated, Rotation, Session, StoreError};
use crate::token::{
    DigestKey, Grant, NewToken, TargetKind, TokenDigest, TokenKind, TokenRecord, TokenState,
};

/// A token to record, with its digest in its place.
pub(super) struct Fresh {
    digest: TokenDigest,
    kind: TokenKind,
    expires_at: Timestamp,
    consumed: bool,
    counterpart: Option<Arc<Secret>>,
}

impl Fresh {
    pub(super) fn of(token: &NewToken<'_>, key: &DigestKey) -> Self {
        Self {
            digest: key.digest(token.token()),
            kind: token.kind(),
            expires_at: token.expires_at(),
            consumed: token.is_consumed(),
            counterpart: token.counterpart().cloned(),
        }
    }
}

/// An exchange that nothing is borrowed for.
pub(super) struct Exchange {
    spent: TokenDigest,
    client: ClientId,
    successors: Vec<Fresh>,
    now: Timestamp,
    grace: Duration,
}

impl Exchange {
    pub(super) fn of(rotation: &Rotation<'_>, key: &DigestKey) -> Self {
        Self {
            spent: key.digest(rotation.spent()),
            client: rotation.client().clone(),
            successors: rotation.successors().iter().map(|new| Fresh::of(new, key)).collect(),
            now: rotation.now(),
            grace: rotation.grace(),
        }
    }
}

/// What became of a refresh token that was presented for exchange.
enum Spent {
    Expired,
    /// First; its successors are of this generation.
    First(u32),
    /// Before, by the same client, a moment ago.
    InGrace(u32),
    /// Before.
    Reused,
}

/// A token, and the ledger's word about it.
pub(super) fn find(
    reads: &impl Reads,
    tenant: &Tenant,
    digest: &TokenDigest,
) -> Result<Option<TokenRecord>, StoreError> {
    let Some(bytes) = reads.read(Space::Tokens, digest.as_bytes())? else {
        return Ok(None);
    };
    let row: TokenRow<'_> = decode(&bytes)?;
    let expires_at = Timestamp::from_unix_millis(row.expires_at);
    let grant = Grant::from(row.grant);
    let mut record = TokenRecord::new((*digest).into(), row.kind.into(), grant, expires_at)
        .with_issued_at(Timestamp::from_unix_millis(row.issued_at));
    if let Some(counterpart) = row.counterpart {
        record = record.with_counterpart(Arc::new(Secret::new(counterpart)));
    }
    Ok(Some(match ledger::covering(reads, tenant, record.id(), record.grant())? {
        Some(by) => record.with_state(TokenState::Revoked { by }),
        None if row.consumed.is_some() => record.with_state(TokenState::Consumed),
        None => record,
    }))
}

/// Writes one entry. A client's entry for a refresh token alone is for its grant too if the token has been exchanged
/// since it was looked up: by then revoking it means that, and its successors would live.
pub(super) fn revoke(
    batch: &mut Batch<'_>,
    tenant: &Tenant,
    key: TargetKey,
    revocation: &Revocation,
) -> Result<Revoked, StoreError> {
    let outcome = ledger::apply(batch, tenant, key, revocation)?;
    let (Target::Token(id), Actor::Client(client)) = (revocation.target(), revocation.actor())
    else {
        return Ok(outcome);
    };
    let Some(digest) = id.digest() else {
        return Ok(outcome);
    };
    let Some(bytes) = batch.read(Space::Tokens, digest.as_bytes())? else {
        return Ok(outcome);
    };
    let row: TokenRow<'_> = decode(&bytes)?;
    if row.consumed.is_none() {
        return Ok(outcome);
    }
    let target = Target::Grant(Grant::from(row.grant).id().clone());
    let key = tenant.targets.of(&target);
    let (at, reason) = (revocation.at(), revocation.reason());
    let of_grant = Revocation::by_client(target, reason, at, client.clone());
    Ok(match ledger::apply(batch, tenant, key, &of_grant)? {
        Revoked::Newly => Revoked::Newly,
        Revoked::Already => outcome,
    })
}

pub(super) fn issue(
    batch: &mut Batch<'_>,
    tenant: &Tenant,
    grant: &Grant,
    tokens: &[Fresh],
    now: Timestamp,
    retention: Retention,
) -> Result<Issued, StoreError> {
    let dead = record(batch, tenant, grant, tokens, 0, now, retention)?;
    Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
}

/// Records tokens, all or none, and says whether a revocation covers them already.
fn record(
    batch: &mut Batch<'_>,
    tenant: &Tenant,
    grant: &Grant,
    tokens: &[Fresh],
    generation: u32,
    now: Timestamp,
    retention: Retention,
) -> Result<Option<TargetKind>, StoreError> {
    for token in tokens {
        let known = batch.read(Space::Tokens, token.digest.as_bytes())?;
        let known: Option<TokenRow<'_>> = known.as_deref().map(decode).transpose()?;
        let foreign = known.is_some_and(|known| {
            let kind: TokenKind = known.kind.into();
            kind != token.kind || Grant::from(known.grant).id() != grant.id()
        });
        if foreign {
            return Err(StoreError::conflict("a token of this value exists under another grant"));
        }
    }
    let mut dead = None;
    for token in tokens {
        ledger::expect_until(batch, tenant, token.expires_at)?;
        insert(batch, tenant, grant, token, generation, now, retention)?;
        let id = token.digest.into();
        let covering = ledger::covering_and_held(batch, tenant, &id, grant, token.expires_at)?;
        dead = dead.or(covering);
    }
    Ok(dead)
}

/// Adds a row; one that is there already stays as it is, so nothing is ever revived.
fn insert(
    batch: &mut Batch<'_>,
    tenant: &Tenant,
    grant: &Grant,
    token: &Fresh,
    generation: u32,
    now: Timestamp,
    retention: Retention,
) -> Result<(), StoreError> {
    let key = token.digest.as_bytes();
    let counterpart = token.counterpart.as_ref().map(|kept| kept.expose_secret());
    if let Some(known) = batch.read(Space::Tokens, key)? {
        let mut known: TokenRow<'_> = decode(&known)?;
        let kind: TokenKind = known.kind.into();
        if kind != token.kind {
            // Twice in one call, as two things.
            return Err(StoreError::conflict("a token of this value is of another kind"));
        }
        if known.counterpart.is_none() && counterpart.is_some() {
            known.counterpart = counterpart;
            batch.put(Space::Tokens, key, &known)?;
        }
        return Ok(());
    }
    let row = TokenRow {
        kind: token.kind.into(),
        consumed: token.consumed.then(|| family_key(tenant, grant)),
        generation: if token.consumed { IMPORTED } else { generation },
        issued_at: now.as_unix_millis(),
        expires_at: token.expires_at.as_unix_millis(),
        grant: grant.into(),
        counterpart,
    };
    batch.put(Space::Tokens, key, &row)?;
    let at = token.expires_at + retention.of(token.kind);
    batch.schedule(Due { at, kind: token.kind.into(), key: *key });
    Ok(())
}

/// The exchange. Nobody else writes meanwhile, so the first to be decided is the one who wins.
pub(super) fn rotate(
    batch: &mut Batch<'_>,
    tenant: &Tenant,
    exchange: &Exchange,
    retention: Retention,
) -> Result<Rotated, StoreError> {
    let Some(record) = find(batch, tenant, &exchange.spent)? else {
        return Ok(Rotated::Refused(Refused::Unknown));
    };
    if record.kind() != TokenKind::RefreshToken {
        return Ok(Rotated::Refused(Refused::NotARefreshToken));
    }
    if *record.grant().client_id() != exchange.client {
        return Ok(Rotated::Refused(Refused::ForeignClient));
    }
    if let TokenState::Revoked { by } = record.state() {
        return Ok(Rotated::Refused(Refused::Revoked { by }));
    }
    let grant = Arc::clone(record.grant());
    let spent = spend(batch, tenant, exchange, &grant, retention)?;
    let generation = match spent {
        Spent::First(generation) | Spent::InGrace(generation) => generation,
        Spent::Expired => return Ok(Rotated::Refused(Refused::Expired)),
        Spent::Reused => {
            let reuse = Revocation::by_reuse(grant.id().clone(), exchange.now);
            ledger::apply(batch, tenant, tenant.targets.of(reuse.target()), &reuse)?;
            return Ok(Rotated::Reused(record));
        }
    };
    let successors = &exchange.successors;
    let dead =
        self::record(batch, tenant, &grant, successors, generation, exchange.now, retention)?;
    Ok(match (dead, spent) {
        // The entry names a successor.
        (Some(by), _) => Rotated::Refused(Refused::Revoked { by }),
        (None, Spent::InGrace(_)) => Rotated::AppliedInGrace(record),
        (None, Spent::First(_) | Spent::Expired | Spent::Reused) => Rotated::Applied(record),
    })
}

fn spend(
    batch: &mut Batch<'_>,
    tenant: &Tenant,
    exchange: &Exchange,
    grant: &Grant,
    retention: Retention,
) -> Result<Spent, StoreError> {
    let now = exchange.now;
    let key = exchange.spent.as_bytes();
    let Some(bytes) = batch.read(Space::Tokens, key)? else {
        return Ok(Spent::Expired);
    };
    let mut row: TokenRow<'_> = decode(&bytes)?;
    let expires_at = Timestamp::from_unix_millis(row.expires_at);
    let successors = exchange.successors.iter().map(|successor| successor.expires_at);
    let latest_expiry = successors.fold(expires_at, Timestamp::max).as_unix_millis();
    let generation = row.generation.saturating_add(1);
    let family_key = &family_key(tenant, grant);
    let family: Option<FamilyRow> = read_row(batch, Space::Families, family_key)?;
    if row.consumed.is_some() {
        // Only the generation before the present one, only for so long, and only while the token would still live.
        // Deliberate revocation was looked for before: the window never revives what was revoked.
        let in_grace = family.filter(|family| {
            let rotated_at = Timestamp::from_unix_millis(family.rotated_at);
            row.generation != IMPORTED
                && family.generation == generation
                // Without a window none is open, though the clock were set back since.
                && !exchange.grace.is_zero()
                && now < rotated_at + exchange.grace
        });
        let Some(mut family) = in_grace else {
            return Ok(Spent::Reused);
        };
        if expires_at <= now {
            return Ok(Spent::Expired);
        }
        if family.latest_expiry < latest_expiry {
            family.latest_expiry = latest_expiry;
            batch.put(Space::Families, family_key, &family)?;
        }
        return Ok(Spent::InGrace(generation));
    }
    if expires_at <= now {
        return Ok(Spent::Expired);
    }
    row.consumed = Some(*family_key);
    batch.put(Space::Tokens, key, &row)?;
    let rotated_at = now.as_unix_millis();
    let family = match family {
        Some(known) => FamilyRow {
            generation: known.generation.max(generation),
            rotated_at: if known.generation < generation { rotated_at } else { known.rotated_at },
            latest_expiry: known.latest_expiry.max(latest_expiry),
        },
        None => {
            let at = Timestamp::from_unix_millis(latest_expiry) + retention.refresh_tokens;
            batch.schedule(Due { at, kind: DueKind::Family, key: *family_key });
            FamilyRow { generation, rotated_at, latest_expiry }
        }
    };
    batch.put(Space::Families, family_key, &family)?;
    Ok(Spent::First(generation))
}

pub(super) fn open_session(
    batch: &mut Batch<'_>,
    tenant: &Tenant,
    session: &Session,
    retention: Retention,
) -> Result<(), StoreError> {
    if ledger::is_logged_out(batch, tenant, session.id())? {
        return Err(StoreError::conflict("the session was logged out"));
    }
    let key = session_key(tenant, session.id());
    let known = find_session(batch, &key)?;
    let is_new = known.is_none();
    let session = match known {
        Some(mut known) => {
            known.join(session)?;
            known
        }
        None => session.clone(),
    };
    ledger::expect_until(batch, tenant, session.expires_at())?;
    ledger::hold(batch, tenant, &session)?;
    if is_new {
        let at = session.expires_at() + retention.refresh_tokens;
        batch.schedule(Due { at, kind: DueKind::Session, key });
    }
    batch.put(Space::Sessions, &key, &StoredSession::from(&session))
}

fn family_key(tenant: &Tenant, grant: &Grant) -> [u8; 32] {
    *tenant.targets.of(&Target::Grant(grant.id().clone())).as_bytes()
}

pub(super) fn session_key(tenant: &Tenant, session: &SessionId) -> [u8; 32] {
    *tenant.targets.of(&Target::Session(session.clone())).as_bytes()
}

pub(super) fn find_session(
    reads: &impl Reads,
    key: &[u8; 32],
) -> Result<Option<Session>, StoreError> {
    let Some(bytes) = reads.read(Space::Sessions, key)? else {
        return Ok(None);
    };
    let stored: StoredSession<'_> = decode(&bytes)?;
    Ok(Some(stored.into()))
}
