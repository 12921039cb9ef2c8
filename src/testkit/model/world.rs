//! A scene, the model's history of it, and the chance that drives both.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::Sweep;
use crate::testkit::model::history::{History, Token};
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::random::Random;
use crate::testkit::scene::{Scene, Seen};
use crate::token::{Grant, PresentedToken, TokenKind, TokenRecord};

/// Which steps there are, apart from issuing, revoking and the passing of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    pub(super) rotates: bool,
    pub(super) sweeps: bool,
}

pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) random: Random,
    pub(super) steps: Steps,
    pub(super) now: Timestamp,
    pub(super) history: History,
    /// One for all namespaces.
    sweep: Option<Arc<dyn Sweep>>,
    names: usize,
    /// The last few steps, to understand a violation.
    log: Vec<String>,
}

impl World {
    pub(super) fn new(scene: Scene, seed: u64, steps: Steps) -> Self {
        let now = scene.start();
        let exact = scene.fixture.exact_retention();
        Self {
            scene,
            random: Random::new(seed),
            steps,
            now,
            history: History::new(exact),
            sweep: None,
            names: 0,
            log: Vec::new(),
        }
    }

    pub(super) fn swept_by(self, sweep: Option<Arc<dyn Sweep>>) -> Self {
        Self { sweep, ..self }
    }

    pub(super) fn sweeps(&self) -> Result<&Arc<dyn Sweep>, NotProven> {
        self.sweep.as_ref().map_or_else(|| self.scene.fixture.sweeps(), Ok)
    }

    pub(super) const fn is_exact(&self) -> bool {
        self.history.exact.is_some()
    }

    pub(super) fn told(&self) -> String {
        let from = self.log.len().saturating_sub(4);
        self.log.get(from..).unwrap_or_default().join("; ")
    }

    pub(super) fn say(&mut self, what: String) {
        self.log.push(what);
    }

    pub(super) fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}{}", self.names)
    }

    /// A token, and of those that something is going on with more often.
    pub(super) fn pick(&mut self, wanted: impl Fn(&Token) -> bool) -> Option<usize> {
        let tokens = self.history.tokens.iter().enumerate();
        let all: Vec<usize> = tokens.filter(|(_, token)| wanted(token)).map(|(n, _)| n).collect();
        let recent = all.get(all.len().saturating_sub(6)..).unwrap_or_default();
        let from = if self.random.one_in(3) { &all } else { recent };
        self.random.pick(from).copied()
    }

    pub(super) fn new_token(
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
            is_gone: false,
            was_dead: false,
        }
    }

    /// What the store says of a token, which the model has agreed to.
    pub(super) async fn look(&mut self, n: usize) -> Result<Seen, NotProven> {
        let allowed = self.history.allowed(n, self.now);
        let Some(token) = self.history.tokens.get_mut(n) else {
            return Ok(Seen::Unknown);
        };
        let found = self.scene.store().find(PresentedToken::new(&token.name), None).await?;
        let seen = Seen::of(found.as_ref(), self.now);
        ensure!(
            allowed.contains(&seen),
            "`{}` of {:?} is {seen} and should be {}",
            token.name,
            token.grant,
            allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
        );
        let revived = seen == Seen::Active && token.was_dead;
        ensure!(!revived, "`{}` was dead and is alive again", token.name);
        token.was_dead |= seen != Seen::Active;
        if self.history.exact.is_some() {
            token.ensure_exact(found.as_ref(), allowed.len(), self.now)?;
        }
        Ok(seen)
    }
}

impl Token {
    /// One answer was allowed until it expires, and the record is its own.
    fn ensure_exact(&self, found: Option<&TokenRecord>, answers: usize, now: Timestamp) -> Proof {
        let vague = answers > 1 && self.expires_at > now;
        ensure!(!vague, "the model has {answers} answers for `{}`", self.name);
        let right = found.is_none_or(|record| {
            **record.grant() == self.grant
                && record.kind() == self.kind
                && record.expires_at() == self.expires_at
        });
        ensure!(right, "{self:?} was found as {found:?}");
        Ok(())
    }
}
