//! Which entry covers a token, and what the token is then.

use annul::store::rules::covering::covers;
use annul::{
    DigestKey, Grant, PresentedToken, Target, TargetKind, TokenId, TokenRecord, TokenState,
};

use crate::bugs::Bug;
use crate::rows::{Row, Rows, Tables};

impl Rows {
    pub(super) fn token_key(&self, token: &str) -> String {
        match self.bug {
            Some(Bug::TokensIgnoreCase) => token.to_lowercase(),
            _ => token.to_owned(),
        }
    }

    /// The primary key of an entry.
    pub(super) fn entry_key(&self, target: &Target) -> String {
        let key = match target {
            Target::Token(id) => match id.name() {
                Some(name) => format!("token:{name}"),
                None => format!("token-by-digest:{id:?}"),
            },
            Target::Grant(id) => format!("grant:{id}"),
            Target::Session(id) => format!("session:{id}"),
            Target::SubjectAtClient(user, client) if self.has(Bug::GluesNames) => {
                format!("at:{user}:{client}")
            }
            Target::SubjectAtClient(user, client) => {
                format!("at:{}:{user}:{client}", user.as_str().len())
            }
            Target::Subject(user) => format!("user:{user}"),
            Target::Client(client) => format!("client:{client}"),
            _ => "everything".to_owned(),
        };
        match self.bug {
            Some(Bug::NamesIgnoreCase) => key.to_lowercase(),
            Some(Bug::OneKeySpaceForAllKinds) => {
                key.split_once(':').map_or_else(|| key.clone(), |(_, name)| name.to_owned())
            }
            _ => key,
        }
    }

    /// The name under which one token can be revoked alone: here its own.
    pub(super) fn id_of(&self, name: &str) -> TokenId {
        match self.bug {
            Some(Bug::RevokesNamesOfNoToken) => {
                DigestKey::new(&[7; 32]).digest(PresentedToken::new(name)).into()
            }
            _ => TokenId::named(name),
        }
    }

    /// The narrowest entry that covers a token: its key, and what it points at.
    pub(super) fn covering(
        &self,
        tables: &Tables,
        token: Option<&str>,
        grant: &Grant,
    ) -> Option<(String, TargetKind)> {
        let of_token = token.map(|token| Target::Token(self.id_of(token)));
        let mut targets: Vec<Target> = of_token.into_iter().chain(grant.targets()).collect();
        if self.has(Bug::OfflineEndsWithItsSession) && grant.is_offline() {
            targets.push(Target::Session("s".into()));
        }
        if self.has(Bug::NobodyIsAnEmptyName) && grant.subject_id().is_none() {
            targets.push(Target::SubjectAtClient("".into(), grant.client_id().clone()));
            targets.push(Target::Subject("".into()));
        }
        targets.into_iter().find_map(|target| {
            let (key, kind, login) =
                (self.entry_key(&target), target.kind(), grant.authenticated_at());
            let entry = tables.entries.get(&key)?;
            let covers = match self.bug {
                Some(Bug::CutoffIsExclusive) => kind.is_named_once() || login < entry.at,
                Some(Bug::CutoffIgnoresTime) => true,
                _ => covers(kind, entry.at, login),
            };
            covers.then_some((key, kind))
        })
    }

    fn state_of(&self, tables: &Tables, name: &str, row: &Row) -> TokenState {
        let covering = match self.bug {
            Some(Bug::FindsWithoutItsLedger) => None,
            Some(bug) if bug.keeps_revocation_with_the_token() => row.marked,
            _ => self.covering(tables, Some(name), &row.grant).map(|(_, kind)| kind),
        };
        match covering {
            Some(by) => TokenState::Revoked { by },
            None if row.consumed => TokenState::Consumed,
            None => TokenState::Active,
        }
    }

    pub(super) fn record_of(&self, tables: &Tables, name: &str, row: &Row) -> TokenRecord {
        let state = self.state_of(tables, name, row);
        let mut grant = row.grant.clone();
        if self.has(Bug::LoginIsTheTimeOfIssue) {
            let changed = Grant::new(grant.id().clone(), grant.client_id().clone(), row.issued_at);
            let changed = grant.subject_id().cloned().into_iter().fold(changed, Grant::subject);
            grant = grant.session_id().cloned().into_iter().fold(changed, Grant::session);
        }
        if self.has(Bug::CutsClientsShort) {
            let short = &grant.client_id().as_str()[..2];
            let changed = Grant::new(grant.id().clone(), short, grant.authenticated_at());
            let changed = grant.subject_id().cloned().into_iter().fold(changed, Grant::subject);
            grant = grant.session_id().cloned().into_iter().fold(changed, Grant::session);
        }
        TokenRecord::new(self.id_of(name), row.kind, grant, row.expires_at)
            .with_issued_at(row.issued_at)
            .with_state(state)
    }
}
