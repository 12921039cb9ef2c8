//! Reads the ledger in order.

use crate::revocation::{Target, TargetKind};
use crate::store::memory::ledger::Ledger;
use crate::store::memory::log::Line;
use crate::store::{Changes, FeedCursor, FeedEntry, FeedPage};

impl Ledger {
    /// What was written after `after`; see [`Places`](crate::store::memory::log::Places).
    pub(super) fn changes(&self, after: Option<&FeedCursor>, limit: usize) -> Changes {
        let Some(from) = self.places.position(after) else {
            return Changes::Gap;
        };
        let limit = limit.max(1);
        let last = self.places.last();
        // Both are places of this feed, which are counted in 64 bits.
        let place = |place: u128| u64::try_from(place).unwrap_or(last);
        let (after, mark) = (place(from.after), place(from.mark));
        let to = if from.catches_up() { mark } else { last };
        let mut found = Vec::new();
        if after < to {
            let between = (after, to);
            for kind in TargetKind::ALL {
                let found = &mut found;
                match kind {
                    TargetKind::Token => self.tokens.list(between, limit, kind, found),
                    TargetKind::Grant => self.grants.list(between, limit, kind, found),
                    TargetKind::Session => self.sessions.list(between, limit, kind, found),
                    TargetKind::SubjectAtClient => {
                        self.subjects_at_clients.list(between, limit, kind, found);
                    }
                    TargetKind::Subject => self.subjects.list(between, limit, kind, found),
                    TargetKind::Client => self.clients.list(between, limit, kind, found),
                    TargetKind::Everything => self.everything.list(between, limit, kind, found),
                }
            }
            found.sort_unstable_by_key(|(line, _)| line.place);
        }
        let next = match found.get(limit - 1) {
            Some((line, _)) if found.len() > limit => line.place,
            Some(_) | None => to,
        };
        found.retain(|(line, _)| line.place <= next);
        let entries =
            found.into_iter().filter_map(|(line, kind)| self.entry_at(line, kind)).collect();
        if self.places.lost_to(from) {
            return Changes::Gap;
        }
        let cursor = self.places.cursor(from.at(next.into()));
        Changes::Page(FeedPage::new(entries, cursor, next < last))
    }

    /// The entry of a line, unless it is gone, or has moved to a place that comes later.
    fn entry_at(&self, line: Line, kind: TargetKind) -> Option<FeedEntry> {
        match kind {
            TargetKind::Token => self.tokens.entry_at(line, |id| Target::Token(id.clone())),
            TargetKind::Grant => self.grants.entry_at(line, |id| Target::Grant(id.clone())),
            TargetKind::Session => self.sessions.entry_at(line, |id| Target::Session(id.clone())),
            TargetKind::SubjectAtClient => {
                self.subjects_at_clients.entry_at(line, |(subject, client)| {
                    Target::SubjectAtClient(subject.clone(), client.clone())
                })
            }
            TargetKind::Subject => self.subjects.entry_at(line, |id| Target::Subject(id.clone())),
            TargetKind::Client => self.clients.entry_at(line, |id| Target::Client(id.clone())),
            TargetKind::Everything => self.everything.entry_at(line, |()| Target::Everything),
        }
    }
}
