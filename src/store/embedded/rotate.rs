//! Rotates a refresh token.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::ClientId;
use crate::revocation::Revocation;
use crate::store::embedded::deciding::Deciding;
use crate::store::embedded::engine::{Reads as _, Space};
use crate::store::embedded::find::find;
use crate::store::embedded::issue::{self, DigestedToken};
use crate::store::embedded::records::{
    Due, DueKind, FamilyRow, IMPORTED, TokenRow, decode, read_row,
};
use crate::store::embedded::revoke;
use crate::store::{Refused, Rotated, Rotation, StoreError};
use crate::token::{DigestKey, Grant, TokenDigest, TokenKind, TokenState};

/// A rotation that nothing is borrowed for, with the digests of its tokens.
pub(super) struct DigestedRotation {
    token: TokenDigest,
    client: ClientId,
    successors: Vec<DigestedToken>,
    grace: Duration,
}

impl DigestedRotation {
    pub(super) fn of(rotation: &Rotation<'_>, key: &DigestKey) -> Self {
        Self {
            token: key.digest(rotation.presented()),
            client: rotation.client().clone(),
            successors: rotation
                .successors()
                .iter()
                .map(|new| DigestedToken::of(new, key))
                .collect(),
            grace: rotation.grace(),
        }
    }
}

/// What became of a refresh token that was presented for rotation.
enum Consumption {
    Expired,
    /// First; its successors are of this generation.
    First(u32),
    /// Before, by the same client, a moment ago.
    InGrace(u32),
    /// Before.
    Reused,
}

/// The rotation. Only one thread writes, so the first to be decided is the one who wins.
pub(super) fn rotate(
    deciding: &mut Deciding<'_, '_>,
    rotation: &DigestedRotation,
) -> Result<Rotated, StoreError> {
    let Some(record) = find(deciding.batch, deciding.namespace, &rotation.token)? else {
        return Ok(Rotated::Refused(Refused::Unknown));
    };
    if record.kind() != TokenKind::RefreshToken {
        return Ok(Rotated::Refused(Refused::NotARefreshToken));
    }
    if *record.grant().client_id() != rotation.client {
        return Ok(Rotated::Refused(Refused::ForeignClient));
    }
    if let TokenState::Revoked { by } = record.state() {
        return Ok(Rotated::Refused(Refused::Revoked { by }));
    }
    let grant = Arc::clone(record.grant());
    let consumption = consume(deciding, rotation, &grant)?;
    let generation = match consumption {
        Consumption::First(generation) | Consumption::InGrace(generation) => generation,
        Consumption::Expired => return Ok(Rotated::Refused(Refused::Expired)),
        Consumption::Reused => {
            let reuse = Revocation::by_reuse(grant.id().clone(), deciding.now);
            revoke::revoke_target(
                deciding.batch,
                deciding.namespace,
                deciding.namespace.targets.of(reuse.target()),
                &reuse,
            )?;
            return Ok(Rotated::Reused(record));
        }
    };
    let successors = &rotation.successors;
    let dead = issue::issue_generation(deciding, &grant, successors, generation)?;
    Ok(match (dead, consumption) {
        // The entry names a successor.
        (Some(by), _) => Rotated::Refused(Refused::Revoked { by }),
        (None, Consumption::InGrace(_)) => Rotated::AppliedInGrace(record),
        (None, Consumption::First(_) | Consumption::Expired | Consumption::Reused) => {
            Rotated::Applied(record)
        }
    })
}

fn consume(
    deciding: &mut Deciding<'_, '_>,
    rotation: &DigestedRotation,
    grant: &Grant,
) -> Result<Consumption, StoreError> {
    let now = deciding.now;
    let key = rotation.token.as_bytes();
    let Some(bytes) = deciding.batch.read(Space::Tokens, key)? else {
        return Ok(Consumption::Expired);
    };
    let mut row: TokenRow<'_> = decode(&bytes)?;
    let expires_at = Timestamp::from_unix_millis(row.expires_at);
    let successors = rotation.successors.iter().map(|successor| successor.expires_at);
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
                && !rotation.grace.is_zero()
                && now < rotated_at + rotation.grace
        });
        let Some(mut family) = in_grace else {
            return Ok(Consumption::Reused);
        };
        if expires_at <= now {
            return Ok(Consumption::Expired);
        }
        if family.latest_expiry < latest_expiry {
            family.latest_expiry = latest_expiry;
            deciding.batch.put(Space::Families, family_key, &family)?;
        }
        return Ok(Consumption::InGrace(generation));
    }
    if expires_at <= now {
        return Ok(Consumption::Expired);
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
    Ok(Consumption::First(generation))
}
