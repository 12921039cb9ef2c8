//! Rotates a refresh token.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::ClientId;
use crate::revocation::Revocation;
use crate::store::embedded::deciding::Deciding;
use crate::store::embedded::engine::{Reads as _, Space};
use crate::store::embedded::find::find;
use crate::store::embedded::issue::{self, Fresh};
use crate::store::embedded::records::{
    Due, DueKind, FamilyRow, IMPORTED, TokenRow, decode, read_row,
};
use crate::store::embedded::revoke;
use crate::store::{Refused, Rotated, Rotation, StoreError};
use crate::token::{DigestKey, Grant, TokenDigest, TokenKind, TokenState};

/// An exchange that nothing is borrowed for.
pub(super) struct Exchange {
    spent: TokenDigest,
    client: ClientId,
    successors: Vec<Fresh>,
    grace: Duration,
}

impl Exchange {
    pub(super) fn of(rotation: &Rotation<'_>, key: &DigestKey) -> Self {
        Self {
            spent: key.digest(rotation.spent()),
            client: rotation.client().clone(),
            successors: rotation.successors().iter().map(|new| Fresh::of(new, key)).collect(),
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

/// The exchange. Nobody else writes meanwhile, so the first to be decided is the one who wins.
pub(super) fn rotate(
    deciding: &mut Deciding<'_, '_>,
    exchange: &Exchange,
) -> Result<Rotated, StoreError> {
    let Some(record) = find(deciding.batch, deciding.namespace, &exchange.spent)? else {
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
    let spent = spend(deciding, exchange, &grant)?;
    let generation = match spent {
        Spent::First(generation) | Spent::InGrace(generation) => generation,
        Spent::Expired => return Ok(Rotated::Refused(Refused::Expired)),
        Spent::Reused => {
            let reuse = Revocation::by_reuse(grant.id().clone(), deciding.now);
            revoke::apply(
                deciding.batch,
                deciding.namespace,
                deciding.namespace.targets.of(reuse.target()),
                &reuse,
            )?;
            return Ok(Rotated::Reused(record));
        }
    };
    let successors = &exchange.successors;
    let dead = issue::record(deciding, &grant, successors, generation)?;
    Ok(match (dead, spent) {
        // The entry names a successor.
        (Some(by), _) => Rotated::Refused(Refused::Revoked { by }),
        (None, Spent::InGrace(_)) => Rotated::AppliedInGrace(record),
        (None, Spent::First(_) | Spent::Expired | Spent::Reused) => Rotated::Applied(record),
    })
}

fn spend(
    deciding: &mut Deciding<'_, '_>,
    exchange: &Exchange,
    grant: &Grant,
) -> Result<Spent, StoreError> {
    let now = deciding.now;
    let key = exchange.spent.as_bytes();
    let Some(bytes) = deciding.batch.read(Space::Tokens, key)? else {
        return Ok(Spent::Expired);
    };
    let mut row: TokenRow<'_> = decode(&bytes)?;
    let expires_at = Timestamp::from_unix_millis(row.expires_at);
    let successors = exchange.successors.iter().map(|successor| successor.expires_at);
    let latest_expiry = successors.fold(expires_at, Timestamp::max).as_unix_millis();
    let generation = row.generation.saturating_add(1);
    let family_key = &deciding.namespace.family_key(grant);
    let family: Option<FamilyRow> = read_row(deciding.batch, Space::Families, family_key)?;
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
            deciding.batch.put(Space::Families, family_key, &family)?;
        }
        return Ok(Spent::InGrace(generation));
    }
    if expires_at <= now {
        return Ok(Spent::Expired);
    }
    row.consumed = Some(*family_key);
    deciding.batch.put(Space::Tokens, key, &row)?;
    let rotated_at = now.as_unix_millis();
    let family = match family {
        Some(known) => FamilyRow {
            generation: known.generation.max(generation),
            rotated_at: if known.generation < generation { rotated_at } else { known.rotated_at },
            latest_expiry: known.latest_expiry.max(latest_expiry),
        },
        None => {
            let at = Timestamp::from_unix_millis(latest_expiry) + deciding.retention.refresh_tokens;
            deciding.batch.schedule(Due { at, kind: DueKind::Family, key: *family_key });
            FamilyRow { generation, rotated_at, latest_expiry }
        }
    };
    deciding.batch.put(Space::Families, family_key, &family)?;
    Ok(Spent::First(generation))
}
