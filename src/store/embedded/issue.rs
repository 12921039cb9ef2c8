//! Records tokens, as the one thread that writes decides about them.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::embedded::covering;
use crate::store::embedded::deciding::Deciding;
use crate::store::embedded::engine::{Reads as _, Space};
use crate::store::embedded::records::{Due, IMPORTED, TokenRow, decode};
use crate::store::{Issued, StoreError};
use crate::token::{DigestKey, Grant, NewToken, TargetKind, TokenDigest, TokenKind};

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
    tokens: &[DigestedToken],
) -> Result<Issued, StoreError> {
    let dead = issue_generation(deciding, grant, tokens, 0)?;
    Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
}

/// Records tokens of one generation, all or none, and says whether a revocation covers them already.
pub(super) fn issue_generation(
    deciding: &mut Deciding<'_, '_>,
    grant: &Grant,
    tokens: &[DigestedToken],
    generation: u32,
) -> Result<Option<TargetKind>, StoreError> {
    for token in tokens {
        let known = deciding.batch.read(Space::Tokens, token.digest.as_bytes())?;
        let known: Option<TokenRow<'_>> = known.as_deref().map(decode).transpose()?;
        let foreign = known.is_some_and(|known| {
            let kind: TokenKind = known.kind.into();
            kind != token.kind || Grant::from(known.grant).id() != grant.id()
        });
        if foreign {
            return Err(StoreError::conflict("a token of this value exists under another grant"));
        }
    }
    let mut dead = None;
    for token in tokens {
        covering::expect_until(deciding.batch, deciding.namespace, token.expires_at)?;
        insert(deciding, grant, token, generation)?;
        let id = token.digest.into();
        let covering = covering::hold_covering(
            deciding.batch,
            deciding.namespace,
            &id,
            grant,
            token.expires_at,
        )?;
        dead = dead.or(covering);
    }
    Ok(dead)
}

/// Adds a row; one that is there already stays as it is, so nothing is ever revived.
fn insert(
    deciding: &mut Deciding<'_, '_>,
    grant: &Grant,
    token: &DigestedToken,
    generation: u32,
) -> Result<(), StoreError> {
    let key = token.digest.as_bytes();
    let counterpart = token.counterpart.as_ref().map(|kept| kept.expose_secret());
    if let Some(known) = deciding.batch.read(Space::Tokens, key)? {
        let mut known: TokenRow<'_> = decode(&known)?;
        let kind: TokenKind = known.kind.into();
        if kind != token.kind {
            // Twice in one call, as two things.
            return Err(StoreError::conflict("a token of this value is of another kind"));
        }
        if known.counterpart.is_none() && counterpart.is_some() {
            known.counterpart = counterpart;
            deciding.batch.put(Space::Tokens, key, &known)?;
        }
        return Ok(());
    }
    let row = TokenRow {
        kind: token.kind.into(),
        consumed: token.consumed.then(|| deciding.namespace.family_key(grant)),
        generation: if token.consumed { IMPORTED } else { generation },
        issued_at: deciding.now.as_unix_millis(),
        expires_at: token.expires_at.as_unix_millis(),
        grant: grant.into(),
        counterpart,
    };
    deciding.batch.put(Space::Tokens, key, &row)?;
    let at = token.expires_at + deciding.retention.of(token.kind);
    deciding.batch.schedule(Due { at, kind: token.kind.into(), key: *key });
    Ok(())
}
