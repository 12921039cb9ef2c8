//! Which entries of the ledger cover a token or a login, narrowest first.

use crate::clock::Timestamp;
use crate::id::{ClientId, Subject};
use crate::revocation::{Revoked, Target, TargetKind};
use crate::store::Session;

/// Whether an entry for a target of this kind, with this cutoff, covers what was authenticated at that instant.
///
/// The entry and the token are known to name the same target. A token, grant or session is named once, so there the name
/// alone decides.
///
/// ```
/// use annul::store::rules::covering::covers;
/// use annul::{TargetKind, Timestamp};
///
/// let (cutoff, later) = (Timestamp::from_unix_millis(1_000), Timestamp::from_unix_millis(1_001));
/// assert!(covers(TargetKind::Subject, cutoff, cutoff));
/// assert!(!covers(TargetKind::Subject, cutoff, later));
/// assert!(covers(TargetKind::Session, cutoff, later));
/// ```
#[must_use]
pub fn covers(kind: TargetKind, cutoff: Timestamp, authenticated_at: Timestamp) -> bool {
    kind.is_named_once() || authenticated_at <= cutoff
}

/// What a revocation with this cutoff does to the entry of its target, if there is one.
///
/// ```
/// use annul::store::rules::covering::{Entry, entry};
/// use annul::{TargetKind, Timestamp};
///
/// let (first, second) = (Timestamp::from_unix_millis(1_000), Timestamp::from_unix_millis(2_000));
/// assert_eq!(entry(TargetKind::Subject, None, first), Entry::New);
/// assert_eq!(entry(TargetKind::Subject, Some(first), second), Entry::Moves);
/// assert_eq!(entry(TargetKind::Grant, Some(first), second), Entry::Stays);
/// ```
#[must_use]
pub fn entry(kind: TargetKind, known: Option<Timestamp>, cutoff: Timestamp) -> Entry {
    match known {
        None => Entry::New,
        Some(known) if !kind.is_named_once() && known < cutoff => Entry::Moves,
        Some(_) => Entry::Stays,
    }
}

/// What becomes of the entry of a target that is revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "cutoffs only grow: there is no fourth")]
pub enum Entry {
    /// It is written.
    New,
    /// Its cutoff moves forward, and its reason and actor are those of the new revocation.
    Moves,
    /// It says as much already. It may have to be kept for longer; see [`Lifetimes`](crate::store::Lifetimes).
    Stays,
}

impl Entry {
    /// What the caller of [`TokenStore::revoke`](crate::store::TokenStore::revoke) learns.
    #[must_use]
    pub const fn outcome(self) -> Revoked {
        match self {
            Self::New | Self::Moves => Revoked::Newly,
            Self::Stays => Revoked::Already,
        }
    }
}

/// The targets that end a login without naming its session: narrowest first for each client, then the subject, then all.
///
/// A cutoff for one of them ends every session that began before it. So it is kept for as long as such a session lasts,
/// whoever takes part in it: see [`OpenLogins`](crate::store::rules::OpenLogins).
///
/// ```
/// use annul::store::Session;
/// use annul::store::rules::covering::targets_of_login;
/// use annul::{TargetKind, Timestamp};
///
/// let login = Timestamp::from_unix_seconds(1_700_000_000);
/// let session = Session::new("s1", "alice", login, login).client("web");
/// let kinds: Vec<TargetKind> = targets_of_login(&session).map(|target| target.kind()).collect();
/// assert_eq!(
///     kinds,
///     [TargetKind::SubjectAtClient, TargetKind::Client, TargetKind::Subject, TargetKind::Everything],
/// );
/// ```
pub fn targets_of_login(session: &Session) -> impl Iterator<Item = Target> + '_ {
    let subject = session.subject();
    let of_client = |client: &ClientId| of_client(subject, client);
    session
        .clients()
        .iter()
        .flat_map(of_client)
        .chain([Target::Subject(subject.clone()), Target::Everything])
}

fn of_client(subject: &Subject, client: &ClientId) -> [Target; 2] {
    [Target::SubjectAtClient(subject.clone(), client.clone()), Target::Client(client.clone())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_only_ever_grows() {
        let at = Timestamp::from_unix_millis;
        for kind in TargetKind::ALL {
            assert_eq!(entry(kind, None, at(0)), Entry::New);
            assert_eq!(entry(kind, Some(at(5)), at(5)), Entry::Stays);
            assert_eq!(entry(kind, Some(at(5)), at(4)), Entry::Stays);
            let moves = if kind.is_named_once() { Entry::Stays } else { Entry::Moves };
            assert_eq!(entry(kind, Some(at(5)), at(6)), moves);
        }
    }
}
