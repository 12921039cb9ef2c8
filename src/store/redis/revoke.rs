//! Writing the ledger.

use redis::Value;

use crate::clock::Timestamp;
use crate::revocation::{Actor, Revocation, Revoked, Target};
use crate::store::StoreError;
use crate::store::redis::keys::Part;
use crate::store::redis::records::Record;
use crate::store::redis::script::{Call, REVOKE};
use crate::store::redis::tokens::{bytes, parts};
use crate::store::redis::{RedisStore, millis, random, records};

impl RedisStore {
    /// Writes one entry. A client's entry for a refresh token alone is for its grant too if the token has been exchanged
    /// since it was looked up: by then revoking it means that, and its successors would live.
    pub(super) async fn apply(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        let (outcome, exchanged) = self.write_entry(revocation).await?;
        let (Some(record), Actor::Client(client)) = (exchanged, revocation.actor()) else {
            return Ok(outcome);
        };
        let target = Target::Grant(record.grant.id().clone());
        let (at, reason) = (revocation.at(), revocation.reason());
        let of_grant = Revocation::by_client(target, reason, at, client.clone());
        match self.write_entry(&of_grant).await? {
            (Revoked::Newly, _) => Ok(Revoked::Newly),
            (Revoked::Already, _) => Ok(outcome),
        }
    }

    /// One call. With it comes the record of a token that a client revokes alone, if that was exchanged.
    async fn write_entry(
        &self,
        revocation: &Revocation,
    ) -> Result<(Revoked, Option<Record>), StoreError> {
        let target = revocation.target();
        let id = self.space.target(target);
        let shard = self.space.shard(&id);
        let (moves, is_record) = match target {
            Target::Token(token) => (false, token.digest().is_some()),
            Target::Grant(_) | Target::Session(_) => (false, false),
            Target::SubjectAtClient(..)
            | Target::Subject(_)
            | Target::Client(_)
            | Target::Everything => (true, false),
        };
        let mut call = Call::new(&REVOKE, self.space.shard_key(shard))
            .key(self.space.key(Part::Entry, &id))
            .key(self.space.feed_key(shard));
        if is_record && matches!(revocation.actor(), Actor::Client(_)) {
            call = call.key(self.space.key(Part::Token, &id));
        }
        let retention = self.root.retention;
        let kept = retention.access_tokens.max(retention.refresh_tokens);
        let call = call
            .argument(*id.as_bytes())
            .argument(revocation.at().as_unix_millis().to_be_bytes())
            .number(u64::from(moves))
            .argument(records::entry_body(revocation))
            .argument(random()?)
            .number(millis(Timestamp::default() + self.root.longest_lifetime))
            .number(millis(Timestamp::default() + kept));
        let Some([Value::Int(news), exchanged]) = parts(self.root.link.call(&call).await?) else {
            return Err(StoreError::corrupt("an answer of another kind"));
        };
        let outcome = if news == 1 { Revoked::Newly } else { Revoked::Already };
        let exchanged = match bytes(exchanged)?.as_slice() {
            [] => None,
            record => Some(Record::from_bytes(record)?),
        };
        Ok((outcome, exchanged))
    }
}
