//! What one namespace holds.

use std::hash::RandomState;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use crate::store::Session;
use crate::store::memory::grants::Grants;
use crate::store::memory::ledger::Ledger;
use crate::store::memory::records::{CounterpartRow, FamilyRow, TokenRow};
use crate::store::memory::shards::{FEW, MANY, Shards, read};
use crate::store::memory::shared::Shared;
use crate::store::memory::table::Table;
use crate::store::rules::OpenLogins;
use crate::token::DigestKey;

#[derive(Debug)]
pub(super) struct NamespaceState {
    pub(super) shared: Arc<Shared>,
    pub(super) key: DigestKey,
    pub(super) keys: RandomState,
    pub(super) ledger: Ledger,
    /// Locked before the shards of tokens, and those before the ones of families.
    pub(super) grants: Shards<Grants>,
    pub(super) tokens: Shards<Table<TokenRow>>,
    pub(super) families: Shards<Table<FamilyRow>>,
    pub(super) sessions: Shards<Table<Session>>,
    /// Written before a session is.
    pub(super) open_logins: Mutex<OpenLogins>,
    pub(super) counterparts: Shards<Table<CounterpartRow>>,
    /// Hosts that keep no counterparts do not look for one either.
    pub(super) counterparts_kept: AtomicUsize,
}

impl NamespaceState {
    pub(super) fn new(key: DigestKey, shared: Arc<Shared>) -> Self {
        let keys = RandomState::new();
        Self {
            key,
            ledger: Ledger::new(&keys, Arc::clone(&shared)),
            shared,
            grants: Shards::new(MANY, || Grants::new(keys.clone())),
            tokens: Shards::new(MANY, || Table::new(keys.clone())),
            families: Shards::new(MANY, || Table::new(keys.clone())),
            sessions: Shards::new(MANY, || Table::new(keys.clone())),
            open_logins: Mutex::default(),
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
}
