//! Looking a token up.

use redis::Value;

use crate::error::StoreError;
use crate::revocation::TargetKind;
use crate::store::redis::answer::{bytes, covering_kind, parts, unexpected};
use crate::store::redis::join;
use crate::store::redis::keys::{Id, NamedTarget, Part};
use crate::store::redis::read::read_value;
use crate::store::redis::records::{self, StoredToken};
use crate::store::redis::script::{Call, FIND};
use crate::store::redis::store::RedisStore;
use crate::store::rules::covering::covers;
use crate::token::{Grant, PresentedToken, TokenDigest, TokenRecord, TokenState};

/// A token as it was found: its record, and what covers it.
pub(super) struct FoundToken {
    pub(super) digest: TokenDigest,
    pub(super) id: Id,
    pub(super) record: StoredToken,
    pub(super) by: Option<TargetKind>,
}

impl FoundToken {
    pub(super) fn into_record(self) -> TokenRecord {
        let Self { digest, record, by, .. } = self;
        let state = match by {
            Some(by) => TokenState::Revoked { by },
            None if record.is_consumed() => TokenState::Consumed,
            None => TokenState::Active,
        };
        let StoredToken { kind, expires_at, issued_at, grant, counterpart, .. } = record;
        let found = TokenRecord::new(digest.into(), kind, grant, expires_at)
            .with_issued_at(issued_at)
            .with_state(state);
        match counterpart {
            Some(counterpart) => found.with_counterpart(counterpart),
            None => found,
        }
    }
}

pub(super) async fn find(
    store: &RedisStore,
    token: PresentedToken<'_>,
) -> Result<Option<TokenRecord>, StoreError> {
    Ok(look_up(store, token).await?.map(FoundToken::into_record))
}

/// The token's record, and the kind of the narrowest entry that covers it.
pub(super) async fn look_up(
    store: &RedisStore,
    token: PresentedToken<'_>,
) -> Result<Option<FoundToken>, StoreError> {
    let digest = store.keys.digest(token);
    let id = store.keys.token(&digest);
    if store.is_one_script_enough() {
        let call = Call::new(&FIND, store.keys.shard_key(0))
            .key(store.keys.key(Part::Token, &id))
            .argument(*id.as_bytes());
        let answer = store.shared.link.call(&call).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let Some([record, by]) = parts(answer) else {
            return Err(unexpected());
        };
        let record = StoredToken::from_bytes(&bytes(record)?)?;
        let by = covering_kind(by)?;
        return Ok(Some(FoundToken { digest, id, record, by }));
    }
    // The record first, and the entries then: one that was written before we began is there by now.
    let record = read_value(store, Part::Token, &id, 0).await?;
    if record.is_empty() {
        return Ok(None);
    }
    let record = StoredToken::from_bytes(&record)?;
    let by = covering_entry(store, &id, &record.grant).await?;
    Ok(Some(FoundToken { digest, id, record, by }))
}

/// Which entry covers a token, the narrowest of several; all are looked at together.
async fn covering_entry(
    store: &RedisStore,
    id: &Id,
    grant: &Grant,
) -> Result<Option<TargetKind>, StoreError> {
    let login = grant.authenticated_at();
    let alone = NamedTarget { kind: TargetKind::Token, id: *id };
    let targets = std::iter::once(alone).chain(store.keys.targets(grant));
    let looks = targets.map(|target| -> join::BoxFuture<'_, _> {
        Box::pin(async move {
            let entry = read_value(store, Part::Entry, &target.id, 8).await?;
            let cutoff = records::cutoff(&entry)?;
            let is_covered = cutoff.is_some_and(|cutoff| covers(target.kind, cutoff, login));
            Ok::<_, StoreError>(is_covered.then_some(target.kind))
        })
    });
    for looked in join::all(looks).await {
        if let Some(by) = looked? {
            return Ok(Some(by));
        }
    }
    Ok(None)
}
