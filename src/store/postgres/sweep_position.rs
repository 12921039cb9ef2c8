//! Where the next sweep begins, in each table.

use std::sync::atomic::{AtomicI64, AtomicUsize};

/// What is swept, in turns.
pub(super) const TABLES: [Table; 4] =
    [Table::Entries, Table::Tokens, Table::Families, Table::Sessions];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Table {
    Entries,
    Families,
    Sessions,
    Tokens,
}

/// Where the next sweep begins.
#[derive(Debug, Default)]
pub(super) struct SweepPosition {
    /// With which table, so that none is always last.
    pub(super) first: AtomicUsize,
    /// In each table. The index still lists what was taken, until the table is vacuumed: the next batch begins behind it.
    pub(super) reached: [AtomicI64; TABLES.len()],
}
