//! `tests/vectors/covering.txt`: which entry covers a token.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::{Reason, Revocation, Revoked, Target, TargetKind};
use crate::store::{Issued, TokenLedger};
use crate::testkit::vectors::rotation::kind_named;
use crate::testkit::vectors::{Checked, instant, lines};
use crate::token::{Grant, NewToken, PresentedToken, TokenId, TokenState};

/// One token and the revocations around it, and what must cover it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoveringCase {
    /// As it stands in the file.
    pub line: &'static str,
    /// The grant of the token.
    pub grant: Grant,
    /// The revocations, in the order in which they are recorded.
    pub entries: Vec<CoveringEntry>,
    /// The kind of the narrowest entry that covers the token.
    pub covered_by: Option<TargetKind>,
}

/// One revocation of a case.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CoveringEntry {
    /// What it points at.
    pub kind: TargetKind,
    /// Whether it names the token's own grant, session, subject or client, or another.
    pub is_own: bool,
    /// Its cutoff.
    pub cutoff: Timestamp,
    /// What recording it must come to.
    pub outcome: Revoked,
}

impl CoveringEntry {
    /// What it points at, for a token of this name and grant. What the grant does not have is named all the same.
    #[must_use]
    pub fn target(&self, token: &TokenId, grant: &Grant) -> Target {
        let own = |name: &'static str| if self.is_own { name } else { "another" };
        let subject = || match grant.subject_id() {
            Some(subject) if self.is_own => subject.clone(),
            Some(_) | None => own("alice").into(),
        };
        match self.kind {
            TargetKind::Token if self.is_own => Target::Token(token.clone()),
            TargetKind::Token => {
                Target::Token(crate::token::TokenDigest::from_bytes([7; 32]).into())
            }
            TargetKind::Grant => Target::Grant(own("g").into()),
            TargetKind::Session => Target::Session(own("s1").into()),
            TargetKind::SubjectAtClient => Target::SubjectAtClient(subject(), own("web").into()),
            TargetKind::Subject => Target::Subject(subject()),
            TargetKind::Client => Target::Client(own("web").into()),
            TargetKind::Everything => Target::Everything,
        }
    }
}

/// The cases of the file.
///
/// # Panics
///
/// Where a line cannot be read: the file is part of the crate.
#[must_use]
#[expect(clippy::panic, reason = "a vector that cannot be read must not be left out in silence")]
pub fn covering() -> Vec<CoveringCase> {
    let read = |(line, before, after)| match read(line, before, after) {
        Some(case) => case,
        None => panic!("not a case of covering: {line}"),
    };
    lines(include_str!("../../../tests/vectors/covering.txt")).map(read).collect()
}

fn read(line: &'static str, before: &'static str, after: &'static str) -> Option<CoveringCase> {
    let (grant, entries) = before.split_once('|')?;
    let mut words = grant.split_whitespace();
    let (client, subject, session) = (words.next()?, words.next()?, words.next()?);
    let is_offline = words.next()? == "offline";
    let login = instant(words.next()?.strip_prefix('@')?)?;
    let mut grant = Grant::new("g", client, login);
    if subject != "-" {
        grant = grant.subject(subject);
    }
    if session != "-" {
        grant = grant.session(session);
    }
    if is_offline {
        grant = grant.offline();
    }
    let entries = entries.split_whitespace().map(entry).collect::<Option<Vec<_>>>()?;
    let covered_by = match after {
        "-" => None,
        name => Some(kind_named(name)?),
    };
    Some(CoveringCase { line, grant, entries, covered_by })
}

fn entry(text: &str) -> Option<CoveringEntry> {
    let (target, rest) = text.split_once('@')?;
    let (cutoff, outcome) = rest.split_once('=')?;
    let name = target.strip_suffix("(other)");
    Some(CoveringEntry {
        kind: kind_named(name.unwrap_or(target))?,
        is_own: name.is_none(),
        cutoff: instant(cutoff)?,
        outcome: match outcome {
            "newly" => Revoked::Newly,
            "already" => Revoked::Already,
            _ => return None,
        },
    })
}

/// Runs the cases on stores, through their public face; `fresh` makes an empty one. Each case runs twice: the token is issued
/// before the revocations, and after them.
///
/// # Errors
///
/// - [`StoreError`]: the store failed while a case was set up.
pub async fn check_covering<S: TokenLedger>(
    mut fresh: impl FnMut() -> S,
) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    for case in covering() {
        for issued_first in [true, false] {
            let store = fresh();
            // The name under which a store keeps a token does not depend on when it is issued.
            let name = {
                issue(&store, &case).await?;
                let found = store.find(PresentedToken::new("tested"), None).await?;
                let found = found.ok_or_else(|| StoreError::corrupt("a token is not found"))?;
                found.id().clone()
            };
            let mut seen = Vec::new();
            for entry in &case.entries {
                let target = entry.target(&name, &case.grant);
                let revocation =
                    Revocation::by_operator(target, Reason::Administrative, entry.cutoff);
                seen.push(store.revoke(&revocation).await?);
            }
            let expected: Vec<Revoked> = case.entries.iter().map(|entry| entry.outcome).collect();
            let by = if issued_first {
                let found = store.find(PresentedToken::new("tested"), None).await?;
                found.and_then(|record| match record.state() {
                    TokenState::Revoked { by } => Some(by),
                    TokenState::Active | TokenState::Consumed => None,
                })
            } else {
                // Recorded again after the revocations: nothing is revived, and the answer says what covers it.
                match issue(&store, &case).await? {
                    Issued::BornDead { by } => Some(by),
                    Issued::Live => None,
                }
            };
            checked.cases += 1;
            if by != case.covered_by || seen != expected {
                checked.wrong.push(format!("{}: {by:?}, {seen:?}", case.line));
            }
        }
    }
    Ok(checked)
}

async fn issue<S: TokenLedger>(store: &S, case: &CoveringCase) -> Result<Issued, StoreError> {
    let token = NewToken::refresh(PresentedToken::new("tested"), Timestamp::MAX);
    store.issue(case.grant.clone(), &[token], case.grant.authenticated_at()).await
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::store::rules::covering;
    use crate::token::{TokenDigest, TokenKind, TokenRecord};

    /// By `Target::covers`, and by looking the targets of the record up; for a token by its digest and by a name.
    #[test]
    fn the_rule_answers_every_vector() {
        let cases = covering();
        assert!(cases.len() > 300, "{}", cases.len());
        for kind in TargetKind::ALL {
            assert!(cases.iter().any(|case| case.covered_by == Some(kind)), "no vector for {kind}");
        }
        for case in cases {
            for id in [TokenDigest::from_bytes([1; 32]).into(), TokenId::named("jti-1")] {
                let grant = case.grant.clone();
                let record =
                    TokenRecord::new(id.clone(), TokenKind::RefreshToken, grant, Timestamp::MAX);
                let mut ledger: HashMap<Target, Timestamp> = HashMap::new();
                for entry in &case.entries {
                    let target = entry.target(&id, &case.grant);
                    let known = ledger.get(&target).copied();
                    let change = covering::entry(entry.kind, known, entry.cutoff);
                    assert_eq!(change.outcome(), entry.outcome, "{}", case.line);
                    if change != covering::Entry::Stays {
                        ledger.insert(target, entry.cutoff);
                    }
                }
                let login = case.grant.authenticated_at();
                let looked_up = record.targets().find(|target| {
                    let cutoff = ledger.get(target);
                    cutoff.is_some_and(|at| covering::covers(target.kind(), *at, login))
                });
                assert_eq!(looked_up.map(|target| target.kind()), case.covered_by, "{}", case.line);
                let is_covered = ledger.iter().any(|(target, at)| target.covers(*at, &record));
                assert_eq!(is_covered, case.covered_by.is_some(), "{}", case.line);
            }
        }
    }
}
