//! A store that keeps its feed in a table of its own, as a host would that adds one to what it has. It keeps the contract,
//! unless it is given one of the [`FeedBug`]s that such feeds have.

use std::collections::BTreeMap;
use std::future::ready;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annul::store::rules::is_due;
use annul::store::{
    Changes, FeedCursor, FeedEntry, FeedPage, Issued, Lifetimes, RevocationFeed, Rotated, Rotation,
    Session, StoreError, Sweep, SweepBudget, Swept, TokenLedger, TokenStore,
};
use annul::testkit::Fixture;
use annul::{
    Actor, Grant, MemoryStore, Namespace, NewToken, PresentedToken, Reason, Revocation, Revoked,
    SessionId, Timestamp, TokenRecord, TokenTypeHint,
};
use async_trait::async_trait;

/// One mistake; [`Journal`] makes it when told to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FeedBug {
    DrawsAPlaceBeforeItCommits,
    ForgetsWhereItWasAtTheEnd,
    ForgetsWho,
    ForgetsWhy,
    KnowsOnlyItsOwn,
    LosesTheLastOfAPage,
    MarksWhatWasTold,
    MovedCutoffsAreOld,
    NeverTellsOfAGap,
    PublishesLater,
    PublishesSecond,
    ReuseIsInternal,
    SaysThereIsNoMore,
    StartsWithWhatComes,
    TakesAnyCursor,
    TellsAllTenants,
    TellsEverythingAgain,
    TellsOfAGapTooSoon,
    UntilIsTheCutoff,
}

/// Each with the cases that must notice it. Others may.
pub(crate) const FEED: &[(FeedBug, &[&str])] = &[
    (FeedBug::ForgetsWhy, &["each_revocation_is_told_as_it_was_made"]),
    (FeedBug::ForgetsWho, &["a_clients_revocation_is_told_with_its_name"]),
    (FeedBug::ReuseIsInternal, &["the_end_of_a_family_is_told"]),
    (
        FeedBug::MovedCutoffsAreOld,
        &["a_cutoff_that_moved_is_told_again", "a_copy_agrees_with_the_store"],
    ),
    (FeedBug::UntilIsTheCutoff, &["what_is_told_lasts_as_long_as_what_it_covers"]),
    (FeedBug::StartsWithWhatComes, &["a_reader_that_begins_is_told_what_is_in_force"]),
    (FeedBug::TellsEverythingAgain, &["a_reader_that_knows_everything_is_told_nothing"]),
    (
        FeedBug::LosesTheLastOfAPage,
        &["a_reader_that_begins_is_told_what_is_in_force", "a_reader_goes_on_where_it_stopped"],
    ),
    (
        FeedBug::SaysThereIsNoMore,
        &["a_reader_that_begins_is_told_what_is_in_force", "a_copy_agrees_with_the_store"],
    ),
    (
        FeedBug::PublishesLater,
        &["what_was_acknowledged_is_told_to_who_asks_next", "a_copy_agrees_with_the_store"],
    ),
    (FeedBug::DrawsAPlaceBeforeItCommits, &["nothing_appears_behind_a_reader"]),
    (FeedBug::KnowsOnlyItsOwn, &["every_handle_tells_the_same"]),
    (FeedBug::ForgetsWhereItWasAtTheEnd, &["a_cursor_survives_a_restart"]),
    (FeedBug::TellsAllTenants, &["a_neighbour_is_told_nothing"]),
    (FeedBug::PublishesSecond, &["dropping_a_revocation_at_any_await_never_leaves_it_untold"]),
    (FeedBug::MarksWhatWasTold, &["dropping_a_reader_at_any_await_loses_nothing"]),
    (FeedBug::NeverTellsOfAGap, &["what_was_swept_unread_is_a_gap"]),
    (FeedBug::TellsOfAGapTooSoon, &["a_sweep_is_no_gap_to_who_still_reads_itself_in"]),
    (FeedBug::TakesAnyCursor, &["a_cursor_of_another_feed_is_a_gap"]),
];

/// The database: it outlives its handles.
struct Engine {
    epoch: u64,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    lines: BTreeMap<u64, Line>,
    last: u64,
    swept: u64,
    horizon: Timestamp,
    told: u64,
}

impl Tables {
    /// Tokens are about to be recorded, and to be kept until then.
    fn expect(&mut self, tokens: &[NewToken<'_>]) {
        for token in tokens {
            let until = lifetimes().token_until(token.kind(), token.expires_at());
            self.horizon = self.horizon.max(until);
        }
    }
}

/// The cases jump in time, so no clock leaps.
fn lifetimes() -> Lifetimes {
    Lifetimes::default().with_clock_leap(Duration::MAX)
}

#[derive(Clone)]
struct Line {
    tenant: &'static str,
    writer: u64,
    entry: FeedEntry,
}

/// One connection.
pub(crate) struct Journal {
    engine: Arc<Engine>,
    tokens: MemoryStore,
    tenant: &'static str,
    bug: Option<FeedBug>,
    handle: u64,
    unpublished: Mutex<Vec<FeedEntry>>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The memory store's futures are ready at once: so a statement of it is a part of our transaction.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the memory store never waits"),
    }
}

async fn pause() {
    let mut asked = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Journal {
    /// An empty database with this bug, and all that a feed's cases need of it.
    pub(crate) fn fixture(bug: Option<FeedBug>) -> Fixture {
        let epoch = NUMBERS.fetch_add(1, Ordering::SeqCst);
        let engine = Arc::new(Engine { epoch, tables: Mutex::default() });
        let tokens = MemoryStore::new().with_lifetimes(lifetimes());
        let other = tokens.namespace(&Namespace::new("other"));
        let open = {
            let engine = Arc::clone(&engine);
            move |tenant, tokens: &MemoryStore| {
                let journal = Arc::new(Self {
                    engine: Arc::clone(&engine),
                    tokens: tokens.clone(),
                    tenant,
                    bug,
                    handle: NUMBERS.fetch_add(1, Ordering::SeqCst),
                    unpublished: Mutex::default(),
                });
                Fixture::ledger(Arc::clone(&journal)).sweep(Arc::clone(&journal)).feed(journal)
            }
        };
        let (again, reopen) = (open.clone(), open.clone());
        let (tokens_again, tokens_reopened) = (tokens.clone(), tokens.clone());
        open("a", &tokens)
            .neighbour(open("b", &other))
            .second_handle(move || ready(Ok(again("a", &tokens_again))))
            .restarting(move || {
                if bug == Some(FeedBug::ForgetsWhereItWasAtTheEnd) {
                    let mut tables = engine.tables.lock().unwrap();
                    let lines = std::mem::take(&mut tables.lines);
                    tables.lines = (1..).zip(lines.into_values().rev()).collect();
                }
                ready(Ok(reopen("a", &tokens_reopened)))
            })
    }

    fn has(&self, bug: FeedBug) -> bool {
        self.bug == Some(bug)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.engine.tables.lock().unwrap()
    }

    fn publish(&self, tables: &mut Tables, place: Option<u64>, entry: FeedEntry) {
        let place = place.unwrap_or_else(|| {
            tables.last += 1;
            tables.last
        });
        let target = entry.target();
        let known = |line: &Line| line.tenant == self.tenant && line.entry.target() == target;
        let old = tables.lines.iter().find(|(_, line)| known(line)).map(|(place, _)| *place);
        if let Some(old) = old {
            tables.lines.remove(&old);
        }
        tables.lines.insert(place, Line { tenant: self.tenant, writer: self.handle, entry });
    }

    fn entry_of(&self, tables: &Tables, revocation: &Revocation) -> FeedEntry {
        let at = revocation.at();
        let until = match self.bug {
            Some(FeedBug::UntilIsTheCutoff) => at,
            _ => lifetimes().entry_until(tables.horizon, revocation.recorded_at()),
        };
        let reason = match self.bug {
            Some(FeedBug::ForgetsWhy) => Reason::Administrative,
            _ => revocation.reason(),
        };
        let actor = match self.bug {
            Some(FeedBug::ForgetsWho) => Actor::Operator,
            _ => revocation.actor().clone(),
        };
        FeedEntry::new(revocation.target().clone(), at, reason, actor, until)
    }
}

#[async_trait]
impl TokenStore for Journal {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        pause().await;
        self.tokens.find(token, hint).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        pause().await;
        if self.has(FeedBug::DrawsAPlaceBeforeItCommits) {
            let place = {
                let mut tables = self.tables();
                tables.last += 1;
                tables.last
            };
            // Longer for some than for others.
            for _ in 0..place % 4 {
                pause().await;
            }
            let mut tables = self.tables();
            let outcome = at_once(self.tokens.revoke(revocation))?;
            let entry = self.entry_of(&tables, revocation);
            self.publish(&mut tables, Some(place), entry);
            return Ok(outcome);
        }
        if self.has(FeedBug::PublishesSecond) {
            let outcome = at_once(self.tokens.revoke(revocation))?;
            pause().await;
            let mut tables = self.tables();
            let entry = self.entry_of(&tables, revocation);
            self.publish(&mut tables, None, entry);
            return Ok(outcome);
        }
        let outcome = {
            let mut tables = self.tables();
            let moved = {
                let target = revocation.target();
                let mut lines = tables.lines.values();
                lines.any(|line| line.tenant == self.tenant && line.entry.target() == target)
            };
            let outcome = at_once(self.tokens.revoke(revocation))?;
            let entry = self.entry_of(&tables, revocation);
            match (outcome, self.bug) {
                (Revoked::Already, _) => {}
                (Revoked::Newly, Some(FeedBug::MovedCutoffsAreOld)) if moved => {}
                (Revoked::Newly, Some(FeedBug::PublishesLater)) => {
                    let mut unpublished = self.unpublished.lock().unwrap();
                    for entry in unpublished.drain(..) {
                        self.publish(&mut tables, None, entry);
                    }
                    unpublished.push(entry);
                }
                (Revoked::Newly, _) => self.publish(&mut tables, None, entry),
            }
            outcome
        };
        pause().await;
        Ok(outcome)
    }
}

#[async_trait]
impl TokenLedger for Journal {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        let mut tables = self.tables();
        tables.expect(tokens);
        at_once(self.tokens.issue(grant, tokens, now))
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        let mut tables = self.tables();
        tables.expect(rotation.successors());
        let rotated = at_once(self.tokens.rotate(rotation))?;
        if let Rotated::Reused(record) = &rotated
            && !self.has(FeedBug::ReuseIsInternal)
        {
            let family = Revocation::by_reuse(record.grant().id().clone(), rotation.now());
            let entry = self.entry_of(&tables, &family);
            self.publish(&mut tables, None, entry);
        }
        Ok(rotated)
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.tokens.open_session(session).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.tokens.session(id).await
    }
}

#[async_trait]
impl Sweep for Journal {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        pause().await;
        let mut tables = self.tables();
        let due = |line: &Line| is_due(line.entry.until(), now);
        let due: Vec<u64> =
            tables.lines.iter().filter(|(_, line)| due(line)).map(|(place, _)| *place).collect();
        for place in due {
            tables.lines.remove(&place);
            tables.swept = tables.swept.max(place);
        }
        at_once(self.tokens.sweep(now + Duration::from_secs(60), budget))
    }
}

/// `epoch.place.mark`, as in a URL.
fn parse(cursor: &FeedCursor) -> Option<[u64; 3]> {
    let parts: Option<Vec<u64>> =
        cursor.as_str().split('.').map(|part| part.parse().ok()).collect();
    parts?.try_into().ok()
}

#[async_trait]
impl RevocationFeed for Journal {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        pause().await;
        let page = {
            let mut tables = self.tables();
            let last = tables.last;
            let (mut from, mark) = match after.map(parse) {
                None if self.has(FeedBug::StartsWithWhatComes) => (last, last),
                None => (0, last),
                Some(Some([epoch, place, mark])) if epoch == self.engine.epoch && place <= last => {
                    (place, mark)
                }
                Some(_) if self.has(FeedBug::TakesAnyCursor) => (last, last),
                Some(_) => return Ok(Changes::Gap),
            };
            let catches_up = from < mark && !self.has(FeedBug::TellsOfAGapTooSoon);
            let missed = tables.swept > from && !self.has(FeedBug::NeverTellsOfAGap);
            if missed && !catches_up && after.is_some() {
                return Ok(Changes::Gap);
            }
            match self.bug {
                Some(FeedBug::TellsEverythingAgain) if from == last => from = 0,
                Some(FeedBug::MarksWhatWasTold) if after.is_some() => from = from.max(tables.told),
                _ => {}
            }
            let to = if from < mark { mark } else { last };
            let tells = |line: &Line| match self.bug {
                Some(FeedBug::TellsAllTenants) => true,
                Some(FeedBug::KnowsOnlyItsOwn) => line.writer == self.handle,
                _ => line.tenant == self.tenant,
            };
            let lines = tables.lines.range(from + 1..);
            let lines = lines.filter(|(place, line)| **place <= to && tells(line));
            let mut lines: Vec<(u64, FeedEntry)> =
                lines.map(|(place, line)| (*place, line.entry.clone())).collect();
            let limit = limit.max(1);
            let cut = lines.len() > limit;
            lines.truncate(limit);
            let next = match lines.last() {
                Some((place, _)) if cut => *place,
                _ => to,
            };
            if cut && self.has(FeedBug::LosesTheLastOfAPage) && limit > 1 {
                lines.pop();
            }
            tables.told = next;
            let more = next < last && !self.has(FeedBug::SaysThereIsNoMore);
            let (next, mark) = match self.bug {
                Some(FeedBug::TellsEverythingAgain) if next == last => (last, last),
                _ => (next, mark),
            };
            let next = FeedCursor::new(format!("{}.{next}.{mark}", self.engine.epoch));
            FeedPage::new(lines.into_iter().map(|(_, entry)| entry).collect(), next, more)
        };
        pause().await;
        Ok(Changes::Page(page))
    }
}
