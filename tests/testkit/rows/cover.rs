//! Which entry covers a token, and what the token is then.

use annul::{Grant, Target, TargetKind, TokenId, TokenRecord, TokenState};

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
            Target::Token(id) => format!("token:{}", id.name().unwrap_or_default()),
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

    /// The seven keys that may cover a token, and what their entries compare the cutoff with.
    pub(super) fn covering(
        &self,
        tables: &Tables,
        token: Option<&str>,
        grant: &Grant,
    ) -> Option<(String, TargetKind)> {
        let mut targets = Vec::new();
        targets.extend(token.map(|token| Target::Token(TokenId::named(token))));
        targets.push(Target::Grant(grant.id().clone()));
        let session = match self.bug {
            Some(Bug::OfflineEndsWithItsSession) if grant.is_offline() => Some("s".into()),
            _ => grant.session_id().cloned(),
        };
        targets.extend(session.map(Target::Session));
        let nobody = self.has(Bug::NobodyIsAnEmptyName).then(|| "".into());
        if let Some(user) = grant.subject_id().cloned().or(nobody) {
            targets.push(Target::SubjectAtClient(user.clone(), grant.client_id().clone()));
            targets.push(Target::Subject(user));
        }
        targets.extend([Target::Client(grant.client_id().clone()), Target::Everything]);
        targets.into_iter().find_map(|target| {
            let key = self.entry_key(&target);
            let entry = tables.entries.get(&key)?;
            let old = match self.bug {
                Some(Bug::CutoffIsExclusive) => grant.authenticated_at() < entry.at,
                Some(Bug::CutoffIgnoresTime) => true,
                _ => grant.authenticated_at() <= entry.at,
            };
            let named = matches!(
                target.kind(),
                TargetKind::Token | TargetKind::Grant | TargetKind::Session
            );
            (named || old).then(|| (key, target.kind()))
        })
    }

    fn state_of(&self, tables: &Tables, name: &str, row: &Row) -> TokenState {
        let covering = match self.bug {
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
        TokenRecord::new(TokenId::named(name), row.kind, grant, row.expires_at)
            .with_issued_at(row.issued_at)
            .with_state(state)
    }
}
