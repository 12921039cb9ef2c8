//! Somebody who follows a feed.

use std::sync::Arc;

use crate::revocation::Target;
use crate::store::{Changes, FeedCursor, FeedEntry, RevocationFeed};
use crate::testkit::fixture::{Fixture, Subject};
use crate::testkit::proof::{NotProven, ensure};
use crate::testkit::scene::Scene;

/// More pages than any case has entries; a feed that always says "more" would keep it for ever.
const MOST_PAGES: usize = 20_000;

/// What a reader knows, and how far it has come.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) cursor: Option<FeedCursor>,
    pub(super) limit: usize,
    pub(super) entries: Vec<FeedEntry>,
}

impl Reader {
    /// One that knows nothing.
    pub(super) const fn new(limit: usize) -> Self {
        Self { cursor: None, limit, entries: Vec::new() }
    }

    /// One that knows everything so far, and forgets it for what comes.
    pub(super) async fn up_to_date(feed: &dyn RevocationFeed) -> Result<Self, NotProven> {
        let mut reader = Self::new(100);
        reader.read(feed).await?;
        reader.entries.clear();
        Ok(reader)
    }

    /// One page; whether there is more, or nothing where there is a gap.
    pub(super) async fn turn(
        &mut self,
        feed: &dyn RevocationFeed,
    ) -> Result<Option<bool>, NotProven> {
        match feed.changes(self.cursor.as_ref(), self.limit).await? {
            Changes::Gap => Ok(None),
            Changes::Page(page) => {
                let (count, limit) = (page.entries().len(), self.limit.max(1));
                ensure!(count <= limit, "{count} entries were told at once, of at most {limit}");
                // As somebody does who keeps it in a file.
                self.cursor = Some(FeedCursor::new(page.next().as_str()));
                let more = page.more();
                self.entries.extend(page.into_entries());
                Ok(Some(more))
            }
        }
    }

    /// Reads on to the end; whether there was no gap.
    pub(super) async fn reads_on(&mut self, feed: &dyn RevocationFeed) -> Result<bool, NotProven> {
        for _ in 0..MOST_PAGES {
            match self.turn(feed).await? {
                None => return Ok(false),
                Some(true) => {}
                Some(false) => return Ok(true),
            }
        }
        Err(NotProven::seen(format!("{MOST_PAGES} pages, and there was more")))
    }

    /// Reads on to the end, where there must be no gap.
    pub(super) async fn read(&mut self, feed: &dyn RevocationFeed) -> Result<(), NotProven> {
        let whole = self.reads_on(feed).await?;
        ensure!(whole, "a reader that missed nothing was told of a gap");
        Ok(())
    }

    pub(super) fn told(&self, target: &Target) -> Option<&FeedEntry> {
        self.entries.iter().rev().find(|entry| entry.target() == target)
    }

    pub(super) fn knows(&self, target: &Target) -> bool {
        self.told(target).is_some()
    }
}

/// A scene with a feed.
pub(super) async fn feeding(
    subject: &dyn Subject,
) -> Result<(Scene, Arc<dyn RevocationFeed>), NotProven> {
    let scene = Scene::new(subject).await?;
    let feed = feed_of(&scene.fixture)?;
    Ok((scene, feed))
}

pub(super) fn feed_of(fixture: &Fixture) -> Result<Arc<dyn RevocationFeed>, NotProven> {
    fixture.feeds().map(Arc::clone)
}

pub(super) fn grant_of(id: impl AsRef<str>) -> Target {
    Target::Grant(id.as_ref().into())
}
