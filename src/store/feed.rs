//! What was revoked, in order, for those who keep a copy.

use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::{Actor, Reason, Target};
use crate::token::TokenRecord;

/// The ledger, read in order: for replicas in resource servers, for logout notifications, for audit.
///
/// A reader begins with nothing, is given what is in force, and then what comes after, for as long as it likes:
///
/// ```
/// use annul::store::{Changes, RevocationFeed, StoreError, TokenStore};
/// use annul::{MemoryStore, Reason, Revocation, Target, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StoreError> {
/// let store = MemoryStore::new();
/// let now = Timestamp::from_unix_seconds(1_800_000_000);
/// let logout = Revocation::by_operator(Target::Session("s1".into()), Reason::Logout, now);
/// store.revoke(&logout).await?;
///
/// let mut copy = Vec::new();
/// let mut cursor = None; // or what was kept from an earlier run
/// loop {
///     match store.changes(cursor.as_ref(), 1_000).await? {
///         Changes::Page(page) => {
///             let more = page.more();
///             cursor = Some(page.next().clone());
///             copy.extend(page.into_entries());
///             if !more {
///                 break; // up to date; ask again soon, or when `changed` is ready
///             }
///         }
///         Changes::Gap => {
///             copy.clear();
///             cursor = None;
///         }
///     }
/// }
/// assert_eq!(copy[0].target(), logout.target());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait RevocationFeed: Send + Sync {
    /// What was revoked after `after`: at most `limit` entries of it, where zero counts as one.
    ///
    /// Called by every reader, again and again. `None` is a reader that knows nothing: it is given everything in force,
    /// page by page, and then goes on like the others.
    ///
    /// - **Complete.** A revocation that was acknowledged before the call is in this page, or in those that follow while
    ///   [`FeedPage::more`] says so, be they empty or not.
    /// - **In order.** Nothing ever appears behind a cursor that was handed out. Where a store has several shards, the
    ///   order is that of each shard: entries only ever add up, so any order comes to the same.
    /// - **At least once.** An entry may come twice. One whose cutoff has moved comes again.
    /// - **No silent loss.** [`Changes::Gap`] where the cursor is another feed's, the store went back to a backup, or an
    ///   entry after the cursor has been swept before this reader saw it. While a reader that began with `None` catches up
    ///   with where the feed stood then, what is swept before its eyes is no gap: that covered nothing any more.
    ///
    /// A cursor is good across restarts, of the reader and of the store.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`](crate::store::StoreErrorKind::Unavailable): not known now. The cursor stays
    ///   good; what the reader has is getting old.
    /// - [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt): the feed makes no sense, and to ask again does
    ///   not help. Do not take what the reader has for everything.
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError>;

    /// Ready when there may be something after `after`: a hint that saves waiting, where a store can give one.
    ///
    /// It may be ready for nothing, and it may never be: so poll as well, and wait for this beside your timer. Unless a
    /// store says otherwise it is never ready.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`](crate::store::StoreErrorKind::Unavailable): no hints now.
    async fn changed(&self, after: &FeedCursor) -> Result<(), StoreError> {
        let _ = after;
        std::future::pending().await
    }
}

/// How far a reader has come: text that only the store understands, for the reader to keep.
///
/// ```
/// use annul::store::FeedCursor;
///
/// let kept = FeedCursor::new("a-line-in-my-database");
/// assert_eq!(kept.as_str(), "a-line-in-my-database");
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FeedCursor(Box<str>);

impl FeedCursor {
    /// A cursor as it was kept, or as a store makes one.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text, to be kept.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What [`RevocationFeed::changes`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a reader that overlooked a third would lose entries")]
pub enum Changes {
    /// Something may be missing between the cursor and what is left: begin again, with `None`.
    Gap,
    /// What came after the cursor, perhaps nothing.
    Page(FeedPage),
}

/// A part of the feed.
///
/// ```
/// use annul::store::{FeedCursor, FeedPage};
///
/// let nothing_new = FeedPage::new(Vec::new(), FeedCursor::new("17"), false);
/// assert!(nothing_new.entries().is_empty());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedPage {
    entries: Vec<FeedEntry>,
    next: FeedCursor,
    more: bool,
}

impl FeedPage {
    /// A page that ends at `next`; `more` where the store knows of entries beyond it.
    pub const fn new(entries: Vec<FeedEntry>, next: FeedCursor, more: bool) -> Self {
        Self { entries, next, more }
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[FeedEntry] {
        &self.entries
    }

    /// The entries, to be kept.
    pub fn into_entries(self) -> Vec<FeedEntry> {
        self.entries
    }

    /// Where the next page begins. Keep it once the entries are dealt with, and not before.
    pub const fn next(&self) -> &FeedCursor {
        &self.next
    }

    /// Whether to ask again at once. If not, this reader knows everything that was acknowledged before it asked.
    pub const fn more(&self) -> bool {
        self.more
    }
}

/// One entry of the ledger as the feed tells it: data, and no [`Revocation`](crate::Revocation), which is a proof.
///
/// ```
/// use std::time::Duration;
/// use annul::store::FeedEntry;
/// use annul::{Actor, Reason, Target, Timestamp};
///
/// let at = Timestamp::from_unix_seconds(1_800_000_000);
/// let until = at + Duration::from_secs(86_400);
/// let logout =
///     FeedEntry::new(Target::Session("s1".into()), at, Reason::Logout, Actor::Operator, until);
/// assert_eq!(logout.reason(), Reason::Logout);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedEntry {
    target: Target,
    at: Timestamp,
    reason: Reason,
    actor: Actor,
    until: Timestamp,
}

impl FeedEntry {
    /// What was revoked, its cutoff, why, by whom, and from when on nobody needs to know any more.
    pub const fn new(
        target: Target,
        at: Timestamp,
        reason: Reason,
        actor: Actor,
        until: Timestamp,
    ) -> Self {
        Self { target, at, reason, actor, until }
    }

    /// What it points at.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The cutoff.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Why.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Who.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// From when on it may be forgotten, as far as the store knew when it was asked.
    ///
    /// The store may keep it for longer, because of tokens that were born dead under it and never handed out.
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether it ends `token`; see [`Target::covers`].
    pub fn covers(&self, token: &TokenRecord) -> bool {
        self.target.covers(self.at, token)
    }
}
