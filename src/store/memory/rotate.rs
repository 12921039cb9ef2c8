//! Rotates a refresh token.

use std::hash::BuildHasher as _;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::{Revocation, TargetKind};
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::records::{FamilyRow, RowKey};
use crate::store::memory::shards::write;
use crate::store::rules::issuing::check;
use crate::store::rules::rotation::{Decision, Family, Generation, Presented, decide};
use crate::store::{Refused, Rotated, Rotation};
use crate::token::{NewToken, TokenState};

/// What was decided about a token that was presented, and done to it and its family.
struct Consumption {
    decision: Decision,
    /// Of the successors.
    next: Generation,
    /// Until when the token is kept now.
    until: Timestamp,
}

impl NamespaceState {
    pub(super) fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        check(rotation.successors())?;
        let unknown = Ok(Rotated::Refused(Refused::Unknown));
        let Some(record) = self.find(rotation.presented()) else {
            return unknown;
        };
        let covered_by = match record.state() {
            TokenState::Revoked { by } => Some(by),
            TokenState::Active | TokenState::Consumed => None,
        };
        let key = record.id().digest().map(RowKey::of);
        let Some(consumption) = key.and_then(|key| self.consume(rotation, key, covered_by)) else {
            return unknown;
        };
        let grant = record.grant();
        match consumption.decision {
            Decision::Refuse(why) => return Ok(Rotated::Refused(why)),
            Decision::Reuse => {
                self.ledger.revoke(&Revocation::by_reuse(grant.id().clone(), rotation.now()));
                return Ok(Rotated::Reused(record));
            }
            Decision::First(_) | Decision::InGrace => {}
        }
        // Covered meanwhile, perhaps alone: then its successors would not be.
        if let Some(by) = self.ledger.covering(record.id(), grant, Some(consumption.until)) {
            return Ok(Rotated::Refused(Refused::Revoked { by }));
        }
        let (successors, next) = (rotation.successors(), consumption.next);
        // Revoked during the rotation: the successors are born dead.
        if let Some(by) = self.issue_generation(grant, successors, next, rotation.now())? {
            return Ok(Rotated::Refused(Refused::Revoked { by }));
        }
        Ok(match consumption.decision {
            Decision::InGrace => Rotated::AppliedInGrace(record),
            Decision::First(_) | Decision::Refuse(_) | Decision::Reuse => Rotated::Applied(record),
        })
    }

    /// The compare-and-swap: of all callers with the same token, one finds it unconsumed.
    fn consume(
        &self,
        rotation: &Rotation<'_>,
        key: RowKey,
        covered_by: Option<TargetKind>,
    ) -> Option<Consumption> {
        let now = rotation.now();
        // Token before family, here and in `sweep`.
        let mut rows = write(self.tokens.of(key.hash));
        let row = rows.get_mut(key.hash, |row| row.key == key)?;
        let grant = row.grant.id();
        let hash = self.keys.hash_one(grant);
        let mut families = write(self.families.of(hash));
        let known = families.get_mut(hash, |family| family.grant == *grant);
        let presented = Presented {
            kind: row.stage.kind(),
            is_own: row.grant.client_id() == rotation.client(),
            covered_by,
            is_consumed: row.stage.is_consumed(),
            generation: row.stage.generation(),
            expires_at: row.expires_at,
        };
        let family = known
            .as_deref()
            .map(|known| Family { generation: known.generation, rotated_at: known.rotated_at });
        let decision = decide(&presented, family, now, rotation.grace());
        let successors = rotation.successors().iter().map(NewToken::expires_at);
        let before = known.as_deref().map_or(row.expires_at, |known| known.latest_expiry);
        let latest_expiry = successors.fold(before.max(row.expires_at), Timestamp::max);
        let until = self.shared.lifetimes().family_until(latest_expiry);
        let family = match decision {
            Decision::First(family) => Some(family),
            Decision::InGrace => family,
            Decision::Refuse(_) | Decision::Reuse => None,
        };
        if let Some(Family { generation, rotated_at }) = family {
            self.ledger.expect_until(until);
            row.stage = row.stage.consumed();
            let family = FamilyRow { grant: grant.clone(), generation, rotated_at, latest_expiry };
            match known {
                Some(known) => *known = family,
                None => families.insert(family, now, until),
            }
        }
        Some(Consumption { decision, next: presented.generation.next(), until })
    }
}
