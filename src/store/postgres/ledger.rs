//! What the token endpoint writes.

use crate::clock::Timestamp;
use crate::id::{ClientId, SessionId};
use crate::store::postgres::keys::Key;
use crate::store::postgres::link::Again;
use crate::store::postgres::records::{duration, get, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{records, statements};
use crate::store::{Issued, Refused, Retention, Rotated, Rotation, Session, StoreError};
use crate::token::{Grant, NewToken, TokenDigest};

/// The generation of a token that was rotated out elsewhere, before it was recorded. No family gets so far, so no grace
/// window covers it.
const IMPORTED: i32 = i32::MAX - 1;

/// The horizon is raised in steps of a quarter of an hour: seldom, and not with every token.
const STEP: i64 = 900_000;

/// How often the horizon is raised for one call. Nothing lowers it, so the second time is a database that was put back.
const RAISES: usize = 3;

/// Tokens to be recorded, column by column.
struct Columns<'a> {
    digests: Vec<TokenDigest>,
    keys: Vec<Key>,
    kinds: Vec<i16>,
    consumed: Vec<bool>,
    expiries: Vec<i64>,
    dues: Vec<i64>,
    counterparts: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    fn new(store: &PostgresStore, tokens: &'a [NewToken<'a>]) -> Self {
        let keys = store.keys();
        let digests: Vec<TokenDigest> =
            tokens.iter().map(|token| keys.digests().digest(token.token())).collect();
        let retention = store.retention();
        let due = |token: &NewToken<'_>| millis(token.expires_at() + retention.of(token.kind()));
        Self {
            keys: digests.iter().map(|digest| keys.token(&(*digest).into())).collect(),
            digests,
            kinds: tokens.iter().map(|token| records::kind_number(token.kind())).collect(),
            consumed: tokens.iter().map(NewToken::is_consumed).collect(),
            expiries: tokens.iter().map(|token| millis(token.expires_at())).collect(),
            dues: tokens.iter().map(due).collect(),
            counterparts: tokens
                .iter()
                .map(|token| Some(token.counterpart()?.expose_secret().as_bytes()))
                .collect(),
        }
    }

    fn digests(&self) -> Vec<&[u8]> {
        self.digests.iter().map(|digest| digest.as_bytes().as_slice()).collect()
    }

    fn keys(&self) -> Vec<&[u8]> {
        self.keys.iter().map(Key::as_bytes).collect()
    }

    /// The generation of each, or the one that the others share.
    fn generations(&self, shared: Option<i32>) -> Vec<Option<i32>> {
        let of = |consumed: &bool| if *consumed { Some(IMPORTED) } else { shared };
        self.consumed.iter().map(of).collect()
    }

    fn latest(&self) -> i64 {
        self.expiries.iter().copied().max().unwrap_or_default()
    }
}

impl PostgresStore {
    /// Says that something lasts until then; see the module's "How long an entry stays".
    async fn raise(&self, latest: i64) -> Result<(), StoreError> {
        let namespace = self.keys().namespace();
        let step = (latest / STEP + 1).saturating_mul(STEP).min(millis(Timestamp::MAX));
        let horizon = step.max(latest);
        self.link().rows(statements::RAISE, &[&namespace, &horizon], Again::May).await?;
        Ok(())
    }

    pub(super) async fn record(
        &self,
        grant: &Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        if tokens.is_empty() {
            return Ok(Issued::Live);
        }
        let columns = Columns::new(self, tokens);
        let keys = self.keys().of_grant(grant);
        let latest = columns.latest();
        let mut all = columns.keys();
        all.extend(keys.all().map(Key::as_bytes));
        all.push(self.keys().everything().as_bytes());
        let (digests, generations) = (columns.digests(), columns.generations(Some(0)));
        for _ in 0..RAISES {
            let row = self
                .link()
                .row(
                    statements::ISSUE,
                    &[
                        &self.keys().namespace(),
                        &latest,
                        &millis(now),
                        &millis(grant.authenticated_at()),
                        &grant.is_offline(),
                        &keys.grant.as_bytes(),
                        &keys.session.as_ref().map(Key::as_bytes),
                        &keys.pair.as_ref().map(Key::as_bytes),
                        &keys.subject.as_ref().map(Key::as_bytes),
                        &keys.client.as_bytes(),
                        &grant.id().as_str().as_bytes(),
                        &grant.client_id().as_str().as_bytes(),
                        &grant.subject_id().map(|id| id.as_str().as_bytes()),
                        &grant.session_id().map(|id| id.as_str().as_bytes()),
                        &grant.scopes().map(str::as_bytes),
                        &digests,
                        &columns.kinds,
                        &columns.consumed,
                        &generations,
                        &columns.expiries,
                        &columns.dues,
                        &columns.counterparts,
                        &all,
                    ],
                    Again::May,
                )
                .await?;
            if !get::<bool>(&row, 0)? {
                self.raise(latest).await?;
                continue;
            }
            let written: i64 = get(&row, 1)?;
            if usize::try_from(written) != Ok(tokens.len()) {
                self.ensure_own(&digests, &columns.kinds, &keys.grant).await?;
            }
            return Ok(match get::<Option<i16>>(&row, 2)? {
                Some(by) => Issued::BornDead { by: records::target_kind(by)? },
                None => Issued::Live,
            });
        }
        Err(StoreError::unavailable("the horizon of the ledger does not stay raised"))
    }

    /// A token that was there already is the same grant's, or is refused.
    async fn ensure_own(
        &self,
        digests: &[&[u8]],
        kinds: &[i16],
        grant: &Key,
    ) -> Result<(), StoreError> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&digests, &kinds, &grant.as_bytes()];
        let row = self.link().row(statements::FOREIGN, &params, Again::May).await?;
        if get(&row, 0)? { Err(another_grants()) } else { Ok(()) }
    }

    pub(super) async fn exchange(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        let columns = Columns::new(self, rotation.successors());
        let digest = self.keys().digests().digest(rotation.spent());
        let key = self.keys().token(&digest.into());
        let now = rotation.now();
        let kept = self.retention().refresh_tokens;
        let latest = columns.latest();
        let (digests, keys) = (columns.digests(), columns.keys());
        let generations = columns.generations(None);
        let mut needed = latest;
        for _ in 0..RAISES {
            let row = self
                .link()
                .row(
                    statements::ROTATE,
                    &[
                        &self.keys().namespace(),
                        &digest.as_bytes().as_slice(),
                        &key.as_bytes(),
                        &self.keys().everything().as_bytes(),
                        &rotation.client().as_str().as_bytes(),
                        &millis(now),
                        &duration(rotation.grace()),
                        &latest,
                        &duration(kept),
                        &duration(Retention::IN_FLIGHT),
                        &digests,
                        &keys,
                        &columns.kinds,
                        &columns.consumed,
                        &generations,
                        &columns.expiries,
                        &columns.dues,
                        &columns.counterparts,
                    ],
                    // The first attempt may have spent the token: a second one would find it reused.
                    Again::Never,
                )
                .await?;
            let outcome: i16 = get(&row, 0)?;
            if outcome == 9 {
                let record = records::record(&row, 2, digest)?;
                needed = needed.max(millis(record.expires_at()));
                self.raise(needed).await?;
                continue;
            }
            return self.told(outcome, &row, digest);
        }
        Err(StoreError::unavailable("the horizon of the ledger does not stay raised"))
    }

    /// The outcomes of `annul_rotate`.
    fn told(
        &self,
        outcome: i16,
        row: &tokio_postgres::Row,
        digest: TokenDigest,
    ) -> Result<Rotated, StoreError> {
        let record = || records::record(row, 2, digest);
        Ok(match outcome {
            0 => Rotated::Applied(record()?),
            1 => Rotated::AppliedInGrace(record()?),
            2 => Rotated::Refused(Refused::Unknown),
            3 => Rotated::Refused(Refused::NotARefreshToken),
            4 => Rotated::Refused(Refused::ForeignClient),
            5 => Rotated::Refused(Refused::Revoked { by: records::target_kind(get(row, 1)?)? }),
            6 => Rotated::Refused(Refused::Expired),
            7 => {
                self.notify();
                Rotated::Reused(record()?)
            }
            8 => return Err(another_grants()),
            unknown => return Err(StoreError::corrupt(format!("an exchange came to {unknown}"))),
        })
    }

    pub(super) async fn open(&self, session: &Session) -> Result<(), StoreError> {
        let keys = self.keys();
        let key = keys.session(session.id());
        let clients: Vec<&[u8]> =
            session.clients().iter().map(|client| client.as_str().as_bytes()).collect();
        let mut holds = vec![keys.subject(session.subject()), *keys.everything()];
        let of_client = |client: &ClientId| {
            let client = client.as_str();
            [keys.client(client), keys.pair(session.subject(), client)]
        };
        holds.extend(session.clients().iter().flat_map(of_client));
        let holds: Vec<&[u8]> = holds.iter().map(Key::as_bytes).collect();
        let ends = millis(session.expires_at());
        let due = millis(session.expires_at() + self.retention().refresh_tokens);
        for _ in 0..RAISES {
            let row = self
                .link()
                .row(
                    statements::OPEN_SESSION,
                    &[
                        &keys.namespace(),
                        &ends,
                        &key.as_bytes(),
                        &session.id().as_str().as_bytes(),
                        &session.subject().as_str().as_bytes(),
                        &millis(session.started_at()),
                        &due,
                        &clients,
                        &holds,
                        &duration(Retention::IN_FLIGHT),
                    ],
                    Again::May,
                )
                .await?;
            let (ready, ended, opened): (bool, bool, bool) =
                (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
            if ended {
                return Err(StoreError::conflict("the session was logged out"));
            }
            if !ready {
                self.raise(ends).await?;
                continue;
            }
            if !opened {
                return Err(StoreError::conflict("the session belongs to another subject"));
            }
            return Ok(());
        }
        Err(StoreError::unavailable("the horizon of the ledger does not stay raised"))
    }

    pub(super) async fn known_session(
        &self,
        id: &SessionId,
    ) -> Result<Option<Session>, StoreError> {
        let key = self.keys().session(id);
        let rows = self.link().rows(statements::SESSION, &[&key.as_bytes()], Again::May).await?;
        rows.first().map(|row| records::session(row, id)).transpose()
    }
}

fn another_grants() -> StoreError {
    StoreError::conflict("a token of this value exists under another grant")
}
