//! Where the next sweep begins, in each table.

use std::sync::atomic::AtomicI64;

/// What is swept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Table {
    Entries,
    Grants,
    Sessions,
    Tokens,
}

/// Where the next sweep begins. The index still lists what was taken, until the table is vacuumed: the next batch begins
/// behind it.
#[derive(Debug, Default)]
pub(super) struct SweepPosition {
    entries: AtomicI64,
    grants: AtomicI64,
    sessions: AtomicI64,
    tokens: AtomicI64,
}

impl SweepPosition {
    pub(super) const fn of(&self, table: Table) -> &AtomicI64 {
        match table {
            Table::Entries => &self.entries,
            Table::Grants => &self.grants,
            Table::Sessions => &self.sessions,
            Table::Tokens => &self.tokens,
        }
    }
}
