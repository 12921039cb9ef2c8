//! Records tokens, as the one thread that writes decides about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::TargetKind;
use crate::secret::Secret;
use crate::store::Issued;
use crate::store::embedded::covering;
use crate::store::embedded::deciding::Deciding;
use crate::store::embedded::engine::{Reads as _, Space};
use crate::store::embedded::grants::{GrantName, KeptGrant};
use crate::store::embedded::records::{Due, TokenRow, decode};
use crate::store::rules::issuing::{foreign_grant, taken};
use crate::store::rules::rotation::Generation;
use crate::token::{DigestKey, Grant, NewToken, TokenDigest, TokenKind};

/// A token to record, with its digest in its place.
pub(super) struct DigestedToken {
    digest: TokenDigest,
    kind: TokenKind,
    pub(super) expires_at: Timestamp,
    consumed: bool,
    counterpart: Option<Arc<Secret>>,
}

impl DigestedToken {
    pub(super) fn of(token: &NewToken<'_>, key: &DigestKey) -> Self {
        Self {
            digest: key.digest(token.token()),
            kind: token.kind(),
            expires_at: token.expires_at(),
            consumed: token.is_consumed(),
            counterpart: token.counterpart().cloned(),
        }
    }
}

pub(super) fn issue(
    deciding: &mut Deciding<'_, '_>,
    grant: &Grant,
    name: GrantName,
    tokens: &[DigestedToken],
) -> Result<Issued, StoreError> {
    let dead = issue_generation(deciding, (grant, name), tokens, Generation::FIRST)?;
    Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
}

/// Records tokens of one generation, all or none, and says whether a revocation covers them already.
pub(super) fn issue_generation(
    deciding: &mut Deciding<'_, '_>,
    (grant, name): (&Grant, GrantName),
    tokens: &[DigestedToken],
    generation: Generation,
) -> Result<Option<TargetKind>, StoreError> {
    // Whatever is wrong, before anything is written: a conflict keeps what was.
    let mut kept = KeptGrant::read(deciding.batch, name)?;
    if kept.is_foreign() {
        return Err(foreign_grant());
    }
    let mut kinds: BTreeMap<&TokenDigest, TokenKind> = BTreeMap::new();
    for token in tokens {
        let known = deciding.batch.read(Space::Tokens, token.digest.as_bytes())?;
        if let Some(known) = known {
            let known: TokenRow<'_> = decode(&known)?;
            if known.kind()? != token.kind || Grant::from(known.grant).id() != grant.id() {
                return Err(taken());
            }
        }
        // Twice in one call, as two things.
        if *kinds.entry(&token.digest).or_insert(token.kind) != token.kind {
            return Err(taken());
        }
    }
    let (lifetimes, now) = (deciding.lifetimes, deciding.now);
    deciding.batch.note(now, &lifetimes)?;
    for token in tokens {
        kept.keep_until(lifetimes.token_until(token.kind, token.expires_at));
    }
    // A consumed token is kept for as long as its grant.
    let grant_until = kept.until();
    kept.write(deciding.batch, deciding.namespace)?;
    let mut dead = None;
    for token in tokens {
        insert(deciding, (grant, name), token, generation)?;
        let until = match token.consumed {
            true => grant_until,
            false => lifetimes.token_until(token.kind, token.expires_at),
        };
        let (id, until) = (token.digest.into(), lifetimes.entry_outlives(until));
        let (batch, namespace) = (&mut *deciding.batch, deciding.namespace);
        let covering = covering::hold_covering(batch, namespace, &id, grant, until)?;
        dead = dead.or(covering);
    }
    Ok(dead)
}

/// Adds a row; one that is there already stays as it is, so nothing is ever revived.
fn insert(
    deciding: &mut Deciding<'_, '_>,
    (grant, name): (&Grant, GrantName),
    token: &DigestedToken,
    generation: Generation,
) -> Result<(), StoreError> {
    let key = token.digest.as_bytes();
    let counterpart = token.counterpart.as_ref().map(|kept| kept.expose_secret());
    if let Some(known) = deciding.batch.read(Space::Tokens, key)? {
        let mut known: TokenRow<'_> = decode(&known)?;
        if known.counterpart.is_none() && counterpart.is_some() {
            known.counterpart = counterpart;
            deciding.batch.put(Space::Tokens, key, &known)?;
        }
        return Ok(());
    }
    let generation = if token.consumed { Generation::IMPORTED } else { generation };
    let mut row = TokenRow::new(token.kind, generation, grant);
    row.consumed = token.consumed.then_some(name.key);
    row.issued_at = deciding.now.as_unix_millis();
    row.expires_at = token.expires_at.as_unix_millis();
    row.counterpart = counterpart;
    deciding.batch.put(Space::Tokens, key, &row)?;
    let at = deciding.lifetimes.token_until(token.kind, token.expires_at);
    deciding.batch.schedule(Due { at, kind: token.kind.into(), key: *key });
    Ok(())
}
