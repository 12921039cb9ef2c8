//! One call at a time for each handle, on a copy of the tables: what some stores have in the place of a transaction.

use std::sync::atomic::Ordering;

use crate::bugs::Bug;
use crate::rows::{Rows, pause};

/// One call of this handle. If it is dropped, nothing was saved.
pub(super) struct Alone<'r>(Option<&'r Rows>);

impl Rows {
    /// Waits for the other calls of this handle, and loads the tables: under that bug. An honest store has transactions.
    pub(super) async fn alone(&self) -> Alone<'_> {
        if !self.has(Bug::LocksItsHandleAlone) {
            return Alone(None);
        }
        while self.is_busy.swap(true, Ordering::SeqCst) {
            pause().await;
        }
        let alone = Alone(Some(self));
        let loaded = self.committed(|tables| tables.clone());
        self.own.lock().unwrap().loaded = Some(loaded);
        pause().await;
        alone
    }
}

impl Alone<'_> {
    /// Writes the tables back.
    pub(super) async fn save(self) {
        let Some(rows) = self.0 else {
            return;
        };
        pause().await;
        let loaded = rows.own.lock().unwrap().loaded.take();
        rows.committed(|tables| *tables = loaded.unwrap_or_default());
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if let Some(rows) = self.0 {
            rows.own.lock().unwrap().loaded = None;
            rows.is_busy.store(false, Ordering::SeqCst);
        }
    }
}
