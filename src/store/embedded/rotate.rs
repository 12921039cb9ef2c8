//! Rotates a refresh token.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::ClientId;
use crate::store::embedded::deciding::Deciding;
use crate::store::embedded::engine::{Reads as _, Space};
use crate::store::embedded::find::find;
use crate::store::embedded::grants::{GrantName, KeptGrant};
use crate::store::embedded::issue::{self, DigestedToken};
use crate::store::embedded::records::{TokenRow, decode};
use crate::store::embedded::revoke;
use crate::store::rules::rotation::{Decision, Presented, decide};
use crate::store::{Refused, Rotated, Rotation};
use crate::token::{DigestKey, TokenDigest, TokenState};

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

/// The rotation. Only one thread writes, so the first to be decided is the one who wins.
pub(super) fn rotate(
    deciding: &mut Deciding<'_, '_>,
    rotation: &DigestedRotation,
) -> Result<Rotated, StoreError> {
    let unknown = Ok(Rotated::Refused(Refused::Unknown));
    let Some(record) = find(deciding.batch, deciding.namespace, &rotation.token)? else {
        return unknown;
    };
    let key = rotation.token.as_bytes();
    let Some(bytes) = deciding.batch.read(Space::Tokens, key)? else {
        return unknown;
    };
    let mut row: TokenRow<'_> = decode(&bytes)?;
    let (grant, lifetimes) = (Arc::clone(record.grant()), deciding.lifetimes);
    let name = GrantName::of(&grant, deciding.namespace);
    let mut kept = KeptGrant::read(deciding.batch, name)?;
    let presented = Presented {
        kind: row.kind()?,
        is_own: *grant.client_id() == rotation.client,
        covered_by: match record.state() {
            TokenState::Revoked { by } => Some(by),
            TokenState::Active | TokenState::Consumed => None,
        },
        is_consumed: row.consumed.is_some(),
        generation: row.generation(),
        expires_at: record.expires_at(),
    };
    let decision = decide(&presented, kept.family(), deciding.now, rotation.grace);
    match decision {
        Decision::Refuse(why) => return Ok(Rotated::Refused(why)),
        Decision::Reuse => {
            let (batch, namespace) = (&mut *deciding.batch, deciding.namespace);
            revoke::revoke_reused(batch, namespace, &lifetimes, (&grant, deciding.now))?;
            return Ok(Rotated::Reused(record));
        }
        Decision::First(family) => {
            kept.set_family(family);
            row.consumed = Some(name.key);
            deciding.batch.put(Space::Tokens, key, &row)?;
        }
        Decision::InGrace => {}
    }
    let successors = &rotation.successors;
    let expiries = successors.iter().map(|successor| successor.expires_at);
    let latest_expiry = expiries.fold(record.expires_at(), Timestamp::max);
    kept.keep_until(lifetimes.family_until(latest_expiry));
    kept.write(deciding.batch, deciding.namespace)?;
    let next = presented.generation.next();
    // A revocation already covers one of the successors.
    if let Some(by) = issue::issue_generation(deciding, (&grant, name), successors, next)? {
        return Ok(Rotated::Refused(Refused::Revoked { by }));
    }
    Ok(match decision {
        Decision::InGrace => Rotated::AppliedInGrace(record),
        Decision::First(_) | Decision::Refuse(_) | Decision::Reuse => Rotated::Applied(record),
    })
}
