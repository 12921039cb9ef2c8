//! The grants that tokens are recorded under. Each is kept once, for as long as one of its tokens is recorded.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::error::StoreError;
use crate::store::rules::issuing::foreign_grant;
use crate::token::Grant;

/// One shard of them: a pointer for each grant, which the rows of its tokens share.
#[derive(Debug)]
pub(super) struct Grants {
    table: HashTable<Arc<Grant>>,
    keys: RandomState,
    /// How many tokens were swept whose grant had another owner: a token, or a reader. No reader forgets a grant afterwards.
    in_doubt: usize,
}

impl Grants {
    pub(super) fn new(keys: RandomState) -> Self {
        Self { table: HashTable::new(), keys, in_doubt: 0 }
    }

    /// The grant as it is kept; kept from now on, where it is new.
    ///
    /// The same id with another login or scope is kept as well: it is the same owner's.
    pub(super) fn intern(
        &mut self,
        hash: u64,
        grant: &Arc<Grant>,
    ) -> Result<Arc<Grant>, StoreError> {
        // One that only this table has is over.
        let known = self
            .table
            .iter_hash(hash)
            .filter(|known| known.id() == grant.id() && Arc::strong_count(known) > 1);
        let mut same = None;
        for known in known {
            if !known.is_of_same_owner(grant) {
                return Err(foreign_grant());
            }
            if known == grant {
                same = Some(Arc::clone(known));
            }
        }
        Ok(same.unwrap_or_else(|| {
            let keys = &self.keys;
            let rehash = |known: &Arc<Grant>| keys.hash_one(known.id());
            self.table.insert_unique(hash, Arc::clone(grant), rehash);
            Arc::clone(grant)
        }))
    }

    /// Forgets a grant if the caller has the last handle of it.
    pub(super) fn release(&mut self, hash: u64, grant: &Arc<Grant>) {
        let is_it = |known: &Arc<Grant>| Arc::ptr_eq(known, grant);
        let Ok(entry) = self.table.find_entry(hash, is_it) else {
            return;
        };
        // One is the table's, one the caller's.
        if Arc::strong_count(grant) <= 2 {
            entry.remove();
        } else {
            self.in_doubt += 1;
        }
        if self.in_doubt > self.table.len() / 2 + 16 {
            self.in_doubt = 0;
            self.table.retain(|known| Arc::strong_count(known) > 1);
        }
        if self.table.len() * 4 < self.table.capacity() {
            let keys = &self.keys;
            self.table.shrink_to(self.table.len() * 2, |known| keys.hash_one(known.id()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn grant(id: &str, client: &str) -> Arc<Grant> {
        Arc::new(Grant::new(id, client, Timestamp::default()))
    }

    #[test]
    fn a_grant_is_kept_once_and_its_id_is_its_owners() {
        let mut grants = Grants::new(RandomState::new());
        let first = grants.intern(7, &grant("g", "web")).unwrap();
        let again = grants.intern(7, &grant("g", "web")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(grants.intern(7, &grant("g", "other")).is_err());
        assert!(grants.intern(7, &grant("h", "other")).is_ok());
        let of_alice = Arc::new(Grant::new("g", "web", Timestamp::default()).subject("alice"));
        assert!(grants.intern(7, &of_alice).is_err());
        drop(again);
        grants.release(7, &first);
        drop(first);
        assert!(grants.intern(7, &grant("g", "other")).is_ok());
    }

    #[test]
    fn a_grant_that_somebody_looked_at_when_it_went_is_forgotten_later() {
        let mut grants = Grants::new(RandomState::new());
        for n in 0..1_000 {
            let kept = grants.intern(n, &grant(&n.to_string(), "web")).unwrap();
            let looked_at = Arc::clone(&kept);
            grants.release(n, &kept);
            drop(looked_at);
        }
        assert!(grants.table.len() < 40, "{}", grants.table.len());
        assert!(grants.table.capacity() < 200);
    }
}
