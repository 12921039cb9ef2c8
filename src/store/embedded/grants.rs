//! The record of each grant: whose it is, and how often its refresh tokens were rotated.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::Target;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::covering::expect_until;
use crate::store::embedded::engine::Space;
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::records::{Due, DueKind, GrantRow, read_row};
use crate::store::rules::rotation::Family;
use crate::token::Grant;

/// Under which key a grant is kept, and whose it is.
#[derive(Clone, Copy)]
pub(super) struct GrantName {
    pub(super) key: [u8; 32],
    owner: [u8; 16],
}

impl GrantName {
    pub(super) fn of(grant: &Grant, namespace: &NamespaceState) -> Self {
        let targets = &namespace.targets;
        Self {
            key: *targets.of(&Target::Grant(grant.id().clone())).as_bytes(),
            owner: targets.owner(grant).first_half(),
        }
    }
}

/// A grant as it is on disk, and as it will be.
pub(super) struct KeptGrant {
    name: GrantName,
    known: Option<GrantRow>,
    row: GrantRow,
}

impl KeptGrant {
    pub(super) fn read(batch: &Batch<'_>, name: GrantName) -> Result<Self, StoreError> {
        let known: Option<GrantRow> = read_row(batch, Space::Grants, &name.key)?;
        let new = GrantRow { owner: name.owner, generation: 0, rotated_at: 0, until: 0 };
        Ok(Self { name, known, row: known.unwrap_or(new) })
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.row.owner != self.name.owner
    }

    pub(super) fn family(&self) -> Option<Family> {
        self.row.family()
    }

    pub(super) fn set_family(&mut self, family: Family) {
        self.row.generation = family.generation.get();
        self.row.rotated_at = family.rotated_at.as_unix_millis();
    }

    /// Until when it is kept.
    pub(super) const fn until(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.row.until)
    }

    /// Keeps it until then at least, with its consumed tokens.
    pub(super) fn keep_until(&mut self, until: Timestamp) {
        self.row.until = self.row.until.max(until.as_unix_millis());
    }

    pub(super) fn write(
        self,
        batch: &mut Batch<'_>,
        namespace: &NamespaceState,
    ) -> Result<(), StoreError> {
        let key = self.name.key;
        if self.known == Some(self.row) {
            return Ok(());
        }
        expect_until(batch, namespace, self.until())?;
        if self.known.is_none() {
            batch.schedule(Due { at: self.until(), kind: DueKind::Grant, key });
        }
        batch.put(Space::Grants, &key, &self.row)
    }
}
