//! Looking a token up.

use redis::Value;

use crate::store::StoreError;
use crate::store::redis::answer::{bytes, covering, parts};
use crate::store::redis::join;
use crate::store::redis::keys::{Id, Named, Part};
use crate::store::redis::read::look;
use crate::store::redis::records::{self, Record};
use crate::store::redis::script::{Call, FIND};
use crate::store::redis::store::RedisStore;
use crate::token::{Grant, PresentedToken, TargetKind, TokenDigest, TokenRecord, TokenState};

/// A token as it was found: its record, and what covers it.
pub(super) struct Found {
    pub(super) digest: TokenDigest,
    pub(super) id: Id,
    pub(super) record: Record,
    pub(super) by: Option<TargetKind>,
}

impl Found {
    pub(super) fn into_record(self) -> TokenRecord {
        let Self { digest, record, by, .. } = self;
        let state = match by {
            Some(by) => TokenState::Revoked { by },
            None if record.is_consumed() => TokenState::Consumed,
            None => TokenState::Active,
        };
        let Record { kind, expires_at, issued_at, grant, counterpart, .. } = record;
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
    Ok(look_up(store, token).await?.map(Found::into_record))
}

pub(super) async fn look_up(
    store: &RedisStore,
    token: PresentedToken<'_>,
) -> Result<Option<Found>, StoreError> {
    let digest = store.space.digest(token);
    let id = store.space.token(&digest);
    if store.is_at_once() {
        let call = Call::new(&FIND, store.space.shard_key(0))
            .key(store.space.key(Part::Token, &id))
            .argument(*id.as_bytes());
        let answer = store.root.link.call(&call).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let Some([record, by]) = parts(answer) else {
            return Err(StoreError::corrupt("an answer of another kind"));
        };
        let record = Record::from_bytes(&bytes(record)?)?;
        let by = covering(by)?;
        return Ok(Some(Found { digest, id, record, by }));
    }
    // The record first, and the entries then: one that was written before we began is there by now.
    let record = look(store, Part::Token, &id, 0).await?;
    if record.is_empty() {
        return Ok(None);
    }
    let record = Record::from_bytes(&record)?;
    let by = covering_entry(store, &id, &record.grant).await?;
    Ok(Some(Found { digest, id, record, by }))
}

/// Which entry covers a token, the narrowest of several; all are looked at together.
async fn covering_entry(
    store: &RedisStore,
    id: &Id,
    grant: &Grant,
) -> Result<Option<TargetKind>, StoreError> {
    let login = grant.authenticated_at();
    let alone = Named { kind: TargetKind::Token, id: *id };
    let targets = std::iter::once(alone).chain(store.space.targets(grant));
    let looks = targets.map(|target| -> join::Boxed<'_, _> {
        Box::pin(async move {
            let entry = look(store, Part::Entry, &target.id, 8).await?;
            let cutoff = records::cutoff(&entry)?;
            let covers = cutoff.is_some_and(|cutoff| target.granted(login) <= cutoff);
            Ok::<_, StoreError>(covers.then_some(target.kind))
        })
    });
    for looked in join::all(looks).await {
        if let Some(by) = looked? {
            return Ok(Some(by));
        }
    }
    Ok(None)
}
