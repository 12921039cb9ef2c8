//! Rotates a refresh token.

use std::hash::BuildHasher as _;

use crate::clock::Timestamp;
use crate::id::GrantId;
use crate::revocation::Revocation;
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::records::{FamilyRow, RowKey};
use crate::store::memory::shards::write;
use crate::store::{Refused, Retention, Rotated, Rotation, StoreError};
use crate::token::{NewToken, TokenKind, TokenState};

/// What became of a refresh token that was presented for rotation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Consumption {
    Expired,
    /// By this caller, first; its successors are of this generation.
    First(u32),
    /// Before, by the same client, a moment ago.
    InGrace(u32),
    /// Before.
    Reused,
}

impl NamespaceState {
    pub(super) fn rotate(
        &self,
        rotation: &Rotation<'_>,
        retention: Retention,
    ) -> Result<Rotated, StoreError> {
        let Some(record) = self.find(rotation.presented()) else {
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
        let consumption = match record.id().digest() {
            Some(digest) => self.consume(rotation, RowKey::of(digest), grant.id()),
            None => Consumption::Expired,
        };
        let generation = match consumption {
            Consumption::First(generation) | Consumption::InGrace(generation) => generation,
            Consumption::Expired => return Ok(Rotated::Refused(Refused::Expired)),
            Consumption::Reused => {
                self.ledger.revoke(&Revocation::by_reuse(grant.id().clone(), rotation.now()));
                return Ok(Rotated::Reused(record));
            }
        };
        // Covered meanwhile, perhaps alone: then its successors would not be.
        if let Some(by) = self.ledger.covering(record.id(), grant, None) {
            return Ok(Rotated::Refused(Refused::Revoked { by }));
        }
        let successors = rotation.successors();
        let dead =
            self.issue_generation(grant, successors, generation, rotation.now(), retention)?;
        Ok(match (dead, consumption) {
            // Revoked during the rotation: the successors are born dead.
            (Some(by), _) => Rotated::Refused(Refused::Revoked { by }),
            (None, Consumption::InGrace(_)) => Rotated::AppliedInGrace(record),
            (None, Consumption::First(_) | Consumption::Expired | Consumption::Reused) => {
                Rotated::Applied(record)
            }
        })
    }

    /// The compare-and-swap: of all callers with the same token, one finds it unconsumed.
    fn consume(&self, rotation: &Rotation<'_>, key: RowKey, grant: &GrantId) -> Consumption {
        let now = rotation.now();
        // Token before family, here and in `sweep`.
        let mut rows = write(self.tokens.of(key.hash));
        let Some(row) = rows.get_mut(key.hash, |row| row.key == key) else {
            return Consumption::Expired;
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
                Some(_) if row.expires_at <= now => Consumption::Expired,
                Some(family) => {
                    family.latest_expiry = family.latest_expiry.max(latest_expiry);
                    Consumption::InGrace(generation)
                }
                None => Consumption::Reused,
            };
        }
        if row.expires_at <= now {
            return Consumption::Expired;
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
                let family = FamilyRow { grant, generation, rotated_at: now, latest_expiry };
                families.insert(family, now, latest_expiry);
            }
        }
        Consumption::First(generation)
    }
}
