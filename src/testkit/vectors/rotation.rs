//! `tests/vectors/rotation.txt`: what a rotation comes to.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::ClientId;
use crate::revocation::{Reason, Revocation, Target, TargetKind};
use crate::store::rules::rotation::{Decision, Family, Generation, Presented};
use crate::store::{Refused, Rotated, Rotation, TokenLedger};
use crate::testkit::vectors::{Checked, START, instant, lines};
use crate::token::{Grant, NewToken, PresentedToken, TokenKind};

/// One rotation, and what it must come to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RotationCase {
    /// As it stands in the file.
    pub line: &'static str,
    /// The token that is presented.
    pub token: Presented,
    /// Whether it was consumed before it was recorded.
    pub is_imported: bool,
    /// The family of its grant, where one of it was rotated.
    pub family: Option<Family>,
    /// The grace window that is asked for.
    pub grace: Duration,
    /// When it is presented.
    pub now: Timestamp,
    /// What must come of it.
    pub expected: Decision,
}

/// The cases of the file.
///
/// ```
/// use annul::store::rules::rotation::decide;
/// use annul::testkit::vectors;
///
/// for case in vectors::rotation() {
///     let decision = decide(&case.token, case.family, case.now, case.grace);
///     assert_eq!(decision, case.expected, "{}", case.line);
/// }
/// ```
///
/// # Panics
///
/// Where a line cannot be read: the file is part of the crate.
#[must_use]
#[expect(clippy::panic, reason = "a vector that cannot be read must not be left out in silence")]
pub fn rotation() -> Vec<RotationCase> {
    let read = |(line, before, after)| match read(line, before, after) {
        Some(case) => case,
        None => panic!("not a rotation: {line}"),
    };
    lines(include_str!("../../../tests/vectors/rotation.txt")).map(read).collect()
}

fn read(line: &'static str, before: &'static str, after: &'static str) -> Option<RotationCase> {
    let mut parts = before.split('|');
    let mut token = parts.next()?.split_whitespace();
    let kind = match token.next()? {
        "refresh" => TokenKind::RefreshToken,
        "access" => TokenKind::AccessToken,
        _ => return None,
    };
    let is_own = token.next()? == "own";
    let state = token.next()?;
    let generation = Generation::new(token.next()?.parse().ok()?);
    let expires_at = instant(token.next()?)?;
    let family = family(parts.next()?.trim())?;
    let covered_by = match parts.next()?.trim() {
        "-" => None,
        name => Some(kind_named(name)?),
    };
    let mut asked = parts.next()?.split_whitespace();
    let grace = Duration::from_millis(asked.next()?.parse().ok()?);
    let now = instant(asked.next()?)?;
    let mut outcome = after.split_whitespace();
    let expected = match outcome.next()? {
        "first" => Decision::First(self::family(outcome.next()?)??),
        "in-grace" => Decision::InGrace,
        "reuse" => Decision::Reuse,
        "expired" => Decision::Refuse(Refused::Expired),
        "foreign" => Decision::Refuse(Refused::ForeignClient),
        "not-refresh" => Decision::Refuse(Refused::NotARefreshToken),
        revoked => {
            let by = kind_named(revoked.strip_prefix("revoked:")?)?;
            Decision::Refuse(Refused::Revoked { by })
        }
    };
    let is_consumed = state != "fresh";
    let token = Presented { kind, is_own, covered_by, is_consumed, generation, expires_at };
    let is_imported = state == "imported";
    Some(RotationCase { line, token, is_imported, family, grace, now, expected })
}

fn family(text: &str) -> Option<Option<Family>> {
    let Some((generation, rotated_at)) = text.split_once('@') else {
        return (text == "-").then_some(None);
    };
    let generation = Generation::new(generation.parse().ok()?);
    Some(Some(Family { generation, rotated_at: instant(rotated_at)? }))
}

pub(super) fn kind_named(name: &str) -> Option<TargetKind> {
    TargetKind::ALL.into_iter().find(|kind| kind.to_string().replace(' ', "-") == name)
}

/// Runs the cases on stores, through their public face; `fresh` makes an empty one for each case.
///
/// # Errors
///
/// - [`StoreError`]: the store failed while a case was set up.
pub async fn check_rotation<S: TokenLedger>(
    mut fresh: impl FnMut() -> S,
) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    for case in rotation() {
        let Some(steps) = Steps::to(&case) else {
            checked.unreachable.push(case.line);
            continue;
        };
        let store = fresh();
        steps.take(&store, &case).await?;
        let presenter = ClientId::new(if case.token.is_own { "web" } else { "other" });
        let successor = [NewToken::refresh(PresentedToken::new("successor"), Timestamp::MAX)];
        let rotation =
            Rotation::new(PresentedToken::new("tested"), &presenter, &successor, case.now)
                .with_grace(case.grace);
        let seen = store.rotate(&rotation).await?;
        let is_right = match (&seen, case.expected) {
            (Rotated::Applied(_), Decision::First(_))
            | (Rotated::AppliedInGrace(_), Decision::InGrace)
            | (Rotated::Reused(_), Decision::Reuse) => true,
            (Rotated::Refused(seen), Decision::Refuse(expected)) => *seen == expected,
            (_, _) => false,
        };
        checked.cases += 1;
        if !is_right {
            checked.wrong.push(format!("{}: {seen:?}", case.line));
        }
    }
    Ok(checked)
}

/// How many rotations a case may take to be set up.
const MOST: u32 = 8;

/// The rotations that lead to a case.
struct Steps {
    /// Before the tested token.
    before: u32,
    /// Whether a sibling of the tested token goes on in its place.
    by_sibling: bool,
    /// From the tested token on, or from its sibling.
    after: u32,
    at: Timestamp,
}

impl Steps {
    /// None where no caller can bring the case about.
    fn to(case: &RotationCase) -> Option<Self> {
        let token = &case.token;
        let generation = token.generation.get();
        let reached = case.family.map_or(0, |family| family.generation.get());
        let at = case.family.map_or(START, |family| family.rotated_at);
        if case.is_imported || token.kind == TokenKind::AccessToken {
            let is_bare = case.family.is_none() || token.kind == TokenKind::AccessToken;
            let is_possible = is_bare && (case.is_imported || !token.is_consumed);
            return is_possible.then_some(Self { before: 0, by_sibling: false, after: 0, at });
        }
        let after = reached.checked_sub(generation)?;
        let is_possible = reached <= MOST
            && match token.is_consumed {
                true => after > 0 && token.expires_at > at,
                false => after == 0 || generation > 0,
            };
        let by_sibling = !token.is_consumed && after > 0;
        is_possible.then_some(Self { before: generation, by_sibling, after, at })
    }

    async fn take(&self, store: &impl TokenLedger, case: &RotationCase) -> Result<(), StoreError> {
        let token = &case.token;
        let name = |generation: u32| format!("generation-{generation}");
        let tested = |kind| match kind {
            TokenKind::AccessToken => {
                NewToken::access(PresentedToken::new("tested"), token.expires_at)
            }
            TokenKind::RefreshToken => {
                NewToken::refresh(PresentedToken::new("tested"), token.expires_at)
            }
        };
        let grant = Grant::new("g", "web", START).subject("alice").session("s");
        let first = name(0);
        let new = match (self.before, case.is_imported) {
            (0, true) => tested(token.kind).already_consumed(),
            (0, false) => tested(token.kind),
            (_, _) => NewToken::refresh(PresentedToken::new(&first), Timestamp::MAX),
        };
        store.issue(grant, &[new], START).await?;
        let mut last = if self.before == 0 { "tested".to_owned() } else { first };
        for generation in 1..=self.before {
            let next = name(generation);
            if generation == self.before {
                self.rotate(store, &last, tested(TokenKind::RefreshToken)).await?;
                if self.by_sibling {
                    let sibling = NewToken::refresh(PresentedToken::new(&next), Timestamp::MAX);
                    self.rotate(store, &last, sibling).await?;
                    last = next;
                } else {
                    last = "tested".to_owned();
                }
                break;
            }
            let new = NewToken::refresh(PresentedToken::new(&next), Timestamp::MAX);
            self.rotate(store, &last, new).await?;
            last = next;
        }
        for generation in self.before + 1..=self.before + self.after {
            let next = name(generation);
            let new = NewToken::refresh(PresentedToken::new(&next), Timestamp::MAX);
            self.rotate(store, &last, new).await?;
            last = next;
        }
        if let Some(by) = token.covered_by {
            let target = match by {
                TargetKind::Token => {
                    let found = store.find(PresentedToken::new("tested"), None).await?;
                    let found = found.ok_or_else(|| StoreError::corrupt("a token is not found"))?;
                    Some(Target::Token(found.id().clone()))
                }
                TargetKind::Grant
                | TargetKind::Session
                | TargetKind::SubjectAtClient
                | TargetKind::Subject
                | TargetKind::Client
                | TargetKind::Everything => Grant::new("g", "web", START)
                    .subject("alice")
                    .session("s")
                    .targets()
                    .find(|target| target.kind() == by),
            };
            if let Some(target) = target {
                let revocation = Revocation::by_operator(target, Reason::Administrative, case.now);
                store.revoke(&revocation).await?;
            }
        }
        Ok(())
    }

    /// One step of the way, which must succeed; with a window for siblings.
    async fn rotate(
        &self,
        store: &impl TokenLedger,
        presented: &str,
        new: NewToken<'_>,
    ) -> Result<(), StoreError> {
        let (client, successors) = (ClientId::new("web"), [new]);
        let rotation = Rotation::new(PresentedToken::new(presented), &client, &successors, self.at)
            .with_grace(Duration::from_secs(1));
        match store.rotate(&rotation).await? {
            Rotated::Applied(_) | Rotated::AppliedInGrace(_) => Ok(()),
            other @ (Rotated::Refused(_) | Rotated::Reused(_)) => {
                Err(StoreError::corrupt(format!("a case cannot be set up: {other:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rules::rotation::decide;

    #[test]
    fn the_rule_answers_every_vector() {
        let cases = rotation();
        assert!(cases.len() > 200, "{}", cases.len());
        for case in cases {
            let decision = decide(&case.token, case.family, case.now, case.grace);
            assert_eq!(decision, case.expected, "{}", case.line);
        }
    }

    #[test]
    fn most_cases_can_be_brought_about() {
        let cases = rotation();
        let reachable = cases.iter().filter(|case| Steps::to(case).is_some()).count();
        assert!(reachable * 10 > cases.len() * 8, "{reachable} of {}", cases.len());
    }
}
