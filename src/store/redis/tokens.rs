//! Finding and recording tokens.

use std::collections::BTreeMap;

use redis::Value;

use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::redis::keys::{Id, Named, Part, kind_of};
use crate::store::redis::records::Record;
use crate::store::redis::script::{Call, FIND, ISSUE, LOOK};
use crate::store::redis::{RedisStore, forgotten, link, millis, records};
use crate::token::{
    Grant, NewToken, PresentedToken, TargetKind, TokenDigest, TokenRecord, TokenState,
};

/// How long a counterpart may be.
const LONGEST_COUNTERPART: usize = 60_000;

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

/// What tokens are announced by.
#[derive(Clone, Copy)]
pub(super) struct Announced {
    /// The latest expiry of any of them.
    pub(super) expiry: u64,
    /// The latest instant at which Redis forgets one of them.
    pub(super) forgotten: u64,
    /// The login that cutoffs are compared with.
    pub(super) login: Timestamp,
}

impl RedisStore {
    pub(super) async fn find_token(
        &self,
        token: PresentedToken<'_>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        Ok(self.look_up(token).await?.map(Found::into_record))
    }

    pub(super) async fn look_up(
        &self,
        token: PresentedToken<'_>,
    ) -> Result<Option<Found>, StoreError> {
        let digest = self.space.digest(token);
        let id = self.space.token(&digest);
        if self.is_at_once() {
            let call = Call::new(&FIND, self.space.shard_key(0))
                .key(self.space.key(Part::Token, &id))
                .argument(*id.as_bytes());
            let answer = self.root.link.call(&call).await?;
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
        let record = self.look(Part::Token, &id, 0).await?;
        if record.is_empty() {
            return Ok(None);
        }
        let record = Record::from_bytes(&record)?;
        let by = self.covering(&id, &record.grant).await?;
        Ok(Some(Found { digest, id, record, by }))
    }

    /// The first bytes of what is kept under an id, all of them if that is 0; none if there is nothing.
    pub(super) async fn look(
        &self,
        part: Part,
        id: &Id,
        count: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let call = Call::new(&LOOK, self.space.key(part, id)).number(count);
        bytes(self.root.link.call(&call).await?)
    }

    /// Which entry covers a token, the narrowest of several; all are looked at together.
    async fn covering(&self, id: &Id, grant: &Grant) -> Result<Option<TargetKind>, StoreError> {
        let login = grant.authenticated_at();
        let alone = Named { kind: TargetKind::Token, id: *id };
        let targets = std::iter::once(alone).chain(self.space.targets(grant));
        let looks = targets.map(|target| -> link::Boxed<'_, _> {
            Box::pin(async move {
                let entry = self.look(Part::Entry, &target.id, 8).await?;
                let cutoff = records::cutoff(&entry)?;
                let covers = cutoff.is_some_and(|cutoff| target.granted(login) <= cutoff);
                Ok::<_, StoreError>(covers.then_some(target.kind))
            })
        });
        for looked in link::all(looks).await {
            if let Some(by) = looked? {
                return Ok(Some(by));
            }
        }
        Ok(None)
    }

    /// Records tokens, and says whether a revocation covers them already.
    pub(super) async fn record(
        &self,
        grant: &Grant,
        tokens: &[NewToken<'_>],
        generation: u32,
        now: Timestamp,
    ) -> Result<Option<TargetKind>, StoreError> {
        if tokens.is_empty() {
            return Ok(None);
        }
        check_counterparts(tokens)?;
        let targets = self.space.targets(grant);
        let announced = self.announced_at(grant.authenticated_at(), tokens);
        if self.is_at_once() {
            return self.put(0, &targets, announced, grant, tokens, generation, now).await;
        }
        // Announced everywhere before it is recorded anywhere.
        let by = self.announce(&targets, announced).await?;
        let alone = self.put_all(announced, grant, tokens, generation, now).await?;
        Ok(alone.or(by))
    }

    /// When tokens expire, and when Redis forgets them.
    pub(super) fn announced_at(&self, login: Timestamp, tokens: &[NewToken<'_>]) -> Announced {
        let retention = self.root.retention;
        let due = |token: &NewToken<'_>| forgotten(token.expires_at() + retention.of(token.kind()));
        Announced {
            expiry: tokens.iter().map(|token| millis(token.expires_at())).max().unwrap_or(0),
            forgotten: tokens.iter().map(due).max().unwrap_or(0),
            login,
        }
    }

    /// Raises the horizon in the shard of each target, and holds the entries that are there. The narrowest that covers.
    pub(super) async fn announce(
        &self,
        targets: &[Named],
        announced: Announced,
    ) -> Result<Option<TargetKind>, StoreError> {
        let mut shards: BTreeMap<usize, Vec<Named>> = BTreeMap::new();
        for target in targets {
            shards.entry(self.space.shard(&target.id)).or_default().push(*target);
        }
        let calls = shards.into_iter().map(|(shard, targets)| -> link::Boxed<'_, _> {
            Box::pin(async move {
                let call = self.announcing(shard, &targets, announced);
                issued(self.root.link.call(&call).await?)
            })
        });
        let mut covering = Vec::new();
        for issued in link::all(calls).await {
            covering.extend(issued?);
        }
        Ok(targets.iter().map(|target| target.kind).find(|kind| covering.contains(kind)))
    }

    fn announcing(&self, shard: usize, targets: &[Named], announced: Announced) -> Call {
        let mut call = Call::new(&ISSUE, self.space.shard_key(shard));
        for target in targets {
            call = call.key(self.space.key(Part::Entry, &target.id));
        }
        let kinds: Vec<u8> = targets.iter().map(Named::letter).collect();
        call.number(announced.expiry)
            .number(announced.forgotten)
            .number(announced.login.as_unix_millis())
            .argument(kinds)
    }

    /// Records tokens that were announced, each in its own shard.
    pub(super) async fn put_all(
        &self,
        announced: Announced,
        grant: &Grant,
        tokens: &[NewToken<'_>],
        generation: u32,
        now: Timestamp,
    ) -> Result<Option<TargetKind>, StoreError> {
        let puts = tokens.iter().map(|token| -> link::Boxed<'_, _> {
            Box::pin(async move {
                let id = self.space.token(&self.space.digest(token.token()));
                let shard = self.space.shard(&id);
                let one = std::slice::from_ref(token);
                self.put(shard, &[], announced, grant, one, generation, now).await
            })
        });
        let mut by = None;
        for put in link::all(puts).await {
            by = by.or(put?);
        }
        Ok(by)
    }

    #[expect(clippy::too_many_arguments, reason = "they are what a record is made of")]
    async fn put(
        &self,
        shard: usize,
        targets: &[Named],
        announced: Announced,
        grant: &Grant,
        tokens: &[NewToken<'_>],
        generation: u32,
        now: Timestamp,
    ) -> Result<Option<TargetKind>, StoreError> {
        let mut call = self.announcing(shard, targets, announced);
        for token in tokens {
            call = self.with_token(call, grant, token, generation, now);
        }
        issued(self.root.link.call(&call).await?)
    }

    /// Adds a token's keys and arguments to a call.
    fn with_token(
        &self,
        call: Call,
        grant: &Grant,
        token: &NewToken<'_>,
        generation: u32,
        now: Timestamp,
    ) -> Call {
        let id = self.space.token(&self.space.digest(token.token()));
        let due = token.expires_at() + self.root.retention.of(token.kind());
        let (generation, spent_by) = match token.is_consumed() {
            true => (records::IMPORTED_GENERATION, records::IMPORTED),
            false => (generation, records::UNSPENT),
        };
        let record = Record {
            kind: token.kind(),
            expires_at: token.expires_at(),
            due: Timestamp::from_unix_millis(millis(due)),
            generation,
            spent_by,
            grant_key: self.space.grant(grant.id()),
            issued_at: now,
            grant: grant.clone(),
            counterpart: token.counterpart().cloned(),
        };
        call.key(self.space.key(Part::Token, &id))
            .key(self.space.key(Part::Entry, &id))
            .argument(*id.as_bytes())
            .argument(record.to_bytes(&self.embedded(grant)))
            .number(forgotten(due))
    }

    /// The targets that a record names, however it came to be recorded: where there is one shard, scripts look at those that
    /// they find there and at no others.
    fn embedded(&self, grant: &Grant) -> Vec<Named> {
        if self.root.shards <= 1 { self.space.targets(grant) } else { Vec::new() }
    }
}

/// What `issue.lua` answers.
pub(super) fn issued(answer: Value) -> Result<Option<TargetKind>, StoreError> {
    match parts(answer) {
        Some([Value::Int(0), by]) => covering(by),
        Some([Value::Int(_), _]) => {
            Err(StoreError::conflict("a token of this value exists under another grant"))
        }
        Some(_) | None => Err(StoreError::corrupt("an answer of another kind")),
    }
}

/// What covers a token, by the letter that a script answers; nothing does where it is ''.
pub(super) fn covering(letter: Value) -> Result<Option<TargetKind>, StoreError> {
    let wrong = || StoreError::corrupt("an answer of another kind");
    match bytes(letter)?.as_slice() {
        [] => Ok(None),
        [letter] => kind_of(*letter).map(Some).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

/// Refuses what a record cannot hold: scripts know its place by a length of two bytes.
pub(super) fn check_counterparts(tokens: &[NewToken<'_>]) -> Result<(), StoreError> {
    let is_long = |token: &NewToken<'_>| {
        token.counterpart().is_some_and(|text| text.expose_secret().len() > LONGEST_COUNTERPART)
    };
    match tokens.iter().any(is_long) {
        true => Err(StoreError::conflict("a counterpart of more than 60,000 bytes cannot be kept")),
        false => Ok(()),
    }
}

/// The parts of an answer, if it has so many.
pub(super) fn parts<const N: usize>(answer: Value) -> Option<[Value; N]> {
    let Value::Array(parts) = answer else {
        return None;
    };
    parts.try_into().ok()
}

/// The bytes of an answer; none where it says that there is nothing. Anything else is not taken for nothing.
pub(super) fn bytes(answer: Value) -> Result<Vec<u8>, StoreError> {
    if answer == Value::Nil {
        return Ok(Vec::new());
    }
    let Value::BulkString(bytes) = answer else {
        return Err(StoreError::corrupt("an answer of another kind"));
    };
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nothing_is_taken_for_nothing() {
        assert!(bytes(Value::Nil).unwrap().is_empty());
        for odd in [Value::Okay, Value::Int(0), Value::Array(Vec::new())] {
            assert!(bytes(odd).is_err());
        }
        let letter = |text: &str| covering(Value::BulkString(text.as_bytes().to_vec()));
        assert_eq!(letter("").unwrap(), None);
        assert_eq!(letter("g").unwrap(), Some(TargetKind::Grant));
        assert!(letter("?").is_err() && letter("gg").is_err());
        let other = Value::Array(vec![Value::Nil, Value::Nil]);
        assert!(issued(other).is_err());
    }
}
