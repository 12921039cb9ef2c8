//! What happens, to the store and to the model alike.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::ClientId;
use crate::policy::Cascade;
use crate::revocation::Target;
use crate::store::{Issued, Refused, Rotated, Session, StoreErrorKind, SweepBudget};
use crate::testkit::model::Steps;
use crate::testkit::model::world::{Goal, History, Opened, Token};
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::random::Random;
use crate::testkit::scene::{
    DAY, HOUR, MILLI, MINUTE, Scene, Seen, Told, endpoint, exchange_as, revoke_at,
};
use crate::token::{Grant, NewToken, PresentedToken, TargetKind, TokenKind};

const CLIENTS: [&str; 2] = ["web", "spa"];
const USERS: [&str; 2] = ["alice", "bob"];
/// None of them ends together with a grace window: the last instant of one is another case's.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(1),
    Duration::from_secs(41),
    Duration::from_secs(41),
    Duration::from_secs(301),
    Duration::from_secs(1_201),
    Duration::from_secs(7_201),
    Duration::from_secs(100_001),
];

pub(super) struct World {
    scene: Scene,
    random: Random,
    steps: Steps,
    now: Timestamp,
    history: History,
    names: usize,
    /// The last few steps, for who has to understand a violation.
    told: Vec<String>,
}

impl World {
    pub(super) fn new(scene: Scene, seed: u64, steps: Steps) -> Self {
        let now = scene.start();
        Self {
            scene,
            random: Random::new(seed),
            steps,
            now,
            history: History::default(),
            names: 0,
            told: Vec::new(),
        }
    }

    pub(super) fn told(&self) -> String {
        let from = self.told.len().saturating_sub(4);
        self.told.get(from..).unwrap_or_default().join("; ")
    }

    pub(super) async fn step(&mut self) -> Proof {
        match self.random.below(20) {
            0..=2 => self.wait(),
            3..=6 => self.issue().await?,
            7 => self.issue_again().await?,
            8 => self.issue_late().await?,
            9 | 10 => self.revoke_by_client().await?,
            11 | 12 => self.revoke_by_operator().await?,
            13 if self.steps.rotates => self.open_session().await?,
            14 | 15 if self.steps.sweeps => self.sweep().await?,
            _ if self.steps.rotates => self.rotate().await?,
            13..=15 => self.revoke_by_operator().await?,
            _ => self.issue().await?,
        }
        Ok(())
    }

    /// Finds some tokens, or all, and compares.
    pub(super) async fn compare(&mut self, all: bool) -> Proof {
        let count = self.history.tokens.len();
        let few: Vec<usize> = (0..8).map(|_| self.random.below(count)).collect();
        let chosen = if all { (0..count).collect() } else { few };
        for n in chosen {
            self.look(n).await?;
        }
        Ok(())
    }

    /// What the store says of a token, which the model has agreed to.
    async fn look(&mut self, n: usize) -> Result<Seen, NotProven> {
        let allowed = self.history.allowed(n, self.now);
        let Some(token) = self.history.tokens.get_mut(n) else {
            return Ok(Seen::Unknown);
        };
        let seen = self.scene.seen(&token.name, self.now).await?;
        let expected: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        ensure!(
            allowed.contains(&seen),
            "`{}` of {:?} is {seen} and should be {}",
            token.name,
            token.grant,
            expected.join(" or "),
        );
        let revived = seen == Seen::Active && token.was_dead;
        ensure!(!revived, "`{}` was dead and is alive again", token.name);
        token.was_dead |= seen != Seen::Active;
        Ok(seen)
    }

    fn say(&mut self, what: String) {
        self.told.push(what);
    }

    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}{}", self.names)
    }

    fn wait(&mut self) {
        let pause = self.random.pick(&PAUSES).copied().unwrap_or(MILLI);
        self.now = self.scene.at(self.now + pause);
        self.say(format!("wait {pause:?}"));
    }

    /// A token, and of those that something is going on with more often.
    fn pick(&mut self, wanted: impl Fn(&Token) -> bool) -> Option<usize> {
        let tokens = self.history.tokens.iter().enumerate();
        let all: Vec<usize> = tokens.filter(|(_, token)| wanted(token)).map(|(n, _)| n).collect();
        let recent = all.get(all.len().saturating_sub(6)..).unwrap_or_default();
        let from = if self.random.one_in(3) { &all } else { recent };
        self.random.pick(from).copied()
    }

    fn login(&mut self) -> Grant {
        let client = self.random.pick(&CLIENTS).copied().unwrap_or("web");
        let user = self.random.pick(&USERS).copied().unwrap_or("alice");
        // Now, or into a session that was there before.
        let sessions: Vec<Opened> = self.history.sessions.iter().rev().take(3).cloned().collect();
        let joined = if self.random.one_in(2) { self.random.pick(&sessions) } else { None };
        let id = self.name("g");
        match joined {
            Some(session) => {
                let login = session.grant.authenticated_at();
                let user = session.grant.subject_id().cloned();
                let grant = Grant::new(id, client, login).session(session.id.clone());
                user.into_iter().fold(grant, Grant::subject)
            }
            None => {
                let session = self.name("s");
                let grant = Grant::new(id, client, self.now).subject(user);
                grant.session(session)
            }
        }
    }

    async fn issue(&mut self) -> Proof {
        let grant = self.login();
        let lasts = self.random.pick(&[10 * MINUTE, HOUR]).copied().unwrap_or(HOUR);
        let access = self.new_token(&grant, TokenKind::AccessToken, lasts, 0);
        let refresh = self.new_token(&grant, TokenKind::RefreshToken, DAY, 0);
        self.say(format!("issue {} and {} of {:?}", access.name, refresh.name, grant.id()));
        self.record(vec![access, refresh]).await
    }

    /// A token of a grant that is there, revoked perhaps.
    async fn issue_late(&mut self) -> Proof {
        let Some(token) = self.pick(|_| true).and_then(|n| self.history.tokens.get(n)) else {
            return Ok(());
        };
        let grant = token.grant.clone();
        let late = self.new_token(&grant, TokenKind::AccessToken, HOUR, 0);
        self.say(format!("issue {} late, of {:?}", late.name, grant.id()));
        self.record(vec![late]).await
    }

    /// A token that is there already, with another expiry.
    async fn issue_again(&mut self) -> Proof {
        let Some(n) = self.pick(|token| !token.may_be_gone) else {
            return Ok(());
        };
        let Some(token) = self.history.tokens.get(n).filter(|_| self.steps.rotates) else {
            return Ok(());
        };
        let mut again = token.clone();
        again.expires_at = self.now + DAY;
        self.scene.ledger()?.issue(again.grant.clone(), &[again.as_new()], self.now).await?;
        self.say(format!("issue {} again", again.name));
        Ok(())
    }

    fn new_token(
        &mut self,
        grant: &Grant,
        kind: TokenKind,
        lasts: Duration,
        generation: u32,
    ) -> Token {
        Token {
            name: self.name("t"),
            kind,
            grant: grant.clone(),
            issued_at: self.now,
            expires_at: self.now + lasts,
            generation,
            consumed: false,
            may_be_gone: false,
            was_dead: false,
        }
    }

    async fn record(&mut self, tokens: Vec<Token>) -> Proof {
        let Some(grant) = tokens.first().map(|token| token.grant.clone()) else {
            return Ok(());
        };
        let latest = tokens.iter().map(|token| token.expires_at).max().unwrap_or(self.now);
        let surely_dead = self.history.surely_covers(&grant);
        if self.steps.rotates {
            let new: Vec<NewToken<'_>> = tokens.iter().map(Token::as_new).collect();
            let issued = self.scene.ledger()?.issue(grant.clone(), &new, self.now).await?;
            let by = match issued {
                Issued::BornDead { by } => {
                    ensure!(
                        self.history.may_cover(&grant, by),
                        "born dead by a {by} nobody revoked"
                    );
                    Some(by)
                }
                Issued::Live => {
                    ensure!(!surely_dead, "what was revoked was issued as live");
                    None
                }
            };
            self.history.settle(&grant, latest, by);
        } else {
            for token in &tokens {
                let new = token.as_new();
                let puts = self.scene.fixture.puts();
                puts.put(&grant, &new, self.now).await?;
            }
        }
        self.history.hear(self.now);
        self.history.tokens.extend(tokens);
        Ok(())
    }

    async fn revoke_by_client(&mut self) -> Proof {
        let Some(n) = self.pick(|_| true) else {
            return Ok(());
        };
        let seen = self.look(n).await?;
        let Some(token) = self.history.tokens.get(n).cloned() else {
            return Ok(());
        };
        let foreign = self.random.one_in(4);
        let owner = token.grant.client_id().as_str();
        let client = if foreign { "stranger" } else { owner };
        // An exchanged token that is revoked by itself is a story of its own, with a case of its own.
        let alone = !token.consumed && self.random.one_in(2);
        let cascade = if alone { Cascade::Token } else { Cascade::Grant };
        self.say(format!("{client} revokes {} ({cascade:?})", token.name));
        let endpoint = endpoint(Arc::clone(self.scene.fixture.tokens()), cascade, self.now);
        let status = revoke_at(&endpoint, client, &token.name).await;
        let expected = if foreign && seen != Seen::Unknown { 400 } else { 200 };
        ensure!(status == expected, "the endpoint answered {status} instead of {expected}");
        if seen != Seen::Unknown && !foreign {
            let goal = match alone {
                true => Goal::Token(n),
                false => Goal::Other(Target::Grant(token.grant.id().clone())),
            };
            self.history.revoke(goal, self.now, None);
        }
        Ok(())
    }

    async fn revoke_by_operator(&mut self) -> Proof {
        let Some(n) = self.pick(|token| !token.may_be_gone) else {
            return Ok(());
        };
        let Some(token) = self.history.tokens.get(n).cloned() else {
            return Ok(());
        };
        let grant = &token.grant;
        let client = grant.client_id().clone();
        let (user, session) = (grant.subject_id().cloned(), grant.session_id().cloned());
        // The wider, the rarer: where all is dead there is nothing to see.
        let target = match (self.random.below(24), user, session) {
            (0..=4, _, _) => Target::Grant(grant.id().clone()),
            (5..=8, _, Some(session)) => Target::Session(session),
            (9..=13, Some(user), _) => Target::SubjectAtClient(user, client),
            (14..=17, Some(user), _) => Target::Subject(user),
            (18 | 19, _, _) => Target::Client(client),
            (20, _, _) => Target::Everything,
            (_, _, _) => match self.look(n).await? {
                Seen::Unknown => return Ok(()),
                Seen::Active | Seen::Consumed | Seen::Expired | Seen::Revoked(_) => {
                    Target::Token(self.scene.record(&token.name).await?.id().clone())
                }
            },
        };
        let earlier =
            self.random.pick(&[Duration::ZERO, Duration::ZERO, MILLI, 2 * MINUTE, HOUR]).copied();
        let at = self.now - earlier.unwrap_or_default();
        let alone = target.kind() == TargetKind::Token;
        let goal = if alone { Goal::Token(n) } else { Goal::Other(target.clone()) };
        self.say(format!("revoke {target:?} at {at:?}"));
        let expected = self.history.news(&goal, at);
        let told = self.scene.revoke(target, at).await?;
        let right = expected.is_none_or(|expected| expected == told);
        ensure!(right, "the store said {told:?} instead of {expected:?}");
        self.history.revoke(goal, at, Some(told));
        Ok(())
    }

    async fn open_session(&mut self) -> Proof {
        let Some(token) = self.pick(|_| true).and_then(|n| self.history.tokens.get(n)) else {
            return Ok(());
        };
        let grant = token.grant.clone();
        let (Some(id), Some(user)) = (grant.session_id(), grant.subject_id()) else {
            return Ok(());
        };
        let lasts = self.random.pick(&[HOUR, 3 * DAY]).copied().unwrap_or(HOUR);
        let expires_at = self.now + lasts;
        let client = grant.client_id().clone();
        let login = grant.authenticated_at();
        let session =
            Session::new(id.clone(), user.clone(), login, expires_at).client(client.clone());
        self.told.push(format!("open {id:?} of {user:?} for {lasts:?}"));
        let told = self.scene.ledger()?.open_session(session).await;
        match (told, self.history.logged_out(id)) {
            (Ok(()), Some(true)) => ensure!(false, "a session that was logged out was opened"),
            (Ok(()), Some(false) | None) => {
                self.history.forget(id);
                // What a grant made in it would be like; a revocation of one that was made is not over the session.
                let any = Grant::new("", client.clone(), login).subject(user.clone());
                let opened = Opened { id: id.clone(), grant: any.session(id.clone()), expires_at };
                self.history.hold(&opened);
                self.history.sessions.push(opened);
            }
            (Err(error), Some(_)) if error.kind() == StoreErrorKind::Conflict => {}
            (Err(error), _) => return Err(error.into()),
        }
        Ok(())
    }

    async fn rotate(&mut self) -> Proof {
        let refresh = |token: &Token| token.kind == TokenKind::RefreshToken;
        let Some(n) = self.pick(refresh) else {
            return Ok(());
        };
        let seen = self.look(n).await?;
        let Some(spent) = self.history.tokens.get(n).cloned() else {
            return Ok(());
        };
        let foreign = self.random.one_in(8);
        let client =
            ClientId::new(if foreign { "stranger" } else { spent.grant.client_id().as_str() });
        let grace = if self.random.one_in(2) { MINUTE } else { Duration::ZERO };
        let next = self.name("t");
        let rotated = {
            let ledger = self.scene.ledger()?;
            exchange_as(ledger, client.as_str(), &spent.name, &next, self.now, grace).await?
        };
        self.say(format!(
            "{client} exchanges {} for {next} with {grace:?} grace: {}",
            spent.name,
            Told(&rotated)
        ));
        let latest = self.history.successors(&spent.grant).map(|token| token.generation).max();
        let of_latest = self.history.successors(&spent.grant);
        let of_latest = of_latest.filter(|token| Some(token.generation) == latest);
        let since = of_latest.map(|token| token.issued_at).min();
        let in_grace = latest == Some(spent.generation + 1)
            && since.is_some_and(|since| self.now < since + grace);
        // Where two lines go on, "previous" has two meanings; where a sweep was, the store may have lost count.
        let mut generations: Vec<u32> =
            self.history.successors(&spent.grant).map(|token| token.generation).collect();
        let count = generations.len();
        generations.sort_unstable();
        generations.dedup();
        let vague = spent.may_be_gone || generations.len() < count;
        let expired = spent.expires_at <= self.now;
        let right = match (&rotated, seen) {
            (Rotated::Refused(Refused::Unknown), seen) => seen == Seen::Unknown,
            (Rotated::Refused(Refused::ForeignClient), seen) => foreign && seen != Seen::Unknown,
            (Rotated::Refused(Refused::Revoked { .. }), seen) => seen.is_revoked(),
            (_, Seen::Unknown | Seen::Revoked(_)) => false,
            (_, _) if foreign => false,
            (Rotated::Applied(_), seen) => seen == Seen::Active,
            (Rotated::AppliedInGrace(_), seen) => seen == Seen::Consumed && (in_grace || vague),
            (Rotated::Reused(_), _) => spent.consumed && (!in_grace || vague),
            (Rotated::Refused(Refused::Expired), _) => {
                expired && (!spent.consumed || in_grace || vague)
            }
            (Rotated::Refused(Refused::NotARefreshToken), _) => false,
        };
        ensure!(right, "`{}` was {seen}, and its exchange came to {}", spent.name, Told(&rotated));
        match rotated {
            Rotated::Applied(_) | Rotated::AppliedInGrace(_) => {
                let mut access = self.new_token(
                    &spent.grant,
                    TokenKind::AccessToken,
                    10 * MINUTE,
                    spent.generation + 1,
                );
                access.name = format!("at-{next}");
                let mut refresh = self.new_token(
                    &spent.grant,
                    TokenKind::RefreshToken,
                    DAY,
                    spent.generation + 1,
                );
                refresh.name = next;
                let lives = !self.history.surely_covers(&spent.grant);
                ensure!(lives, "the successors of what was revoked were handed out");
                self.history.settle(&spent.grant, refresh.expires_at, None);
                self.history.tokens.extend([access, refresh]);
                if let Some(token) = self.history.tokens.get_mut(n) {
                    token.consumed = true;
                }
            }
            Rotated::Reused(_) => {
                let family = Goal::Other(Target::Grant(spent.grant.id().clone()));
                self.history.revoke(family, self.now, None);
            }
            Rotated::Refused(_) => {
                let found = self.scene.seen(&next, self.now).await?;
                ensure!(found != Seen::Active, "a refused exchange left `{next}` alive");
            }
        }
        Ok(())
    }

    async fn sweep(&mut self) -> Proof {
        let rows = self.random.pick(&[1, 7, 1_000_000]).copied().unwrap_or(1);
        self.say(format!("sweep {rows} rows"));
        let swept = self.scene.fixture.sweeps()?.sweep(self.now, SweepBudget::rows(rows)).await?;
        ensure!(swept.removed <= rows, "{} of at most {rows} rows were swept", swept.removed);
        self.history.swept(self.now);
        Ok(())
    }
}

impl Token {
    fn as_new(&self) -> NewToken<'_> {
        let token = PresentedToken::new(&self.name);
        match self.kind {
            TokenKind::AccessToken => NewToken::access(token, self.expires_at),
            TokenKind::RefreshToken => NewToken::refresh(token, self.expires_at),
        }
    }
}
