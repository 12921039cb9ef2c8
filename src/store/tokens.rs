//! What the endpoints need of a store: find a token, revoke it.

use async_trait::async_trait;

use crate::error::StoreError;
use crate::revocation::{Revocation, Revoked};
use crate::token::{PresentedToken, TokenRecord, TokenTypeHint};

/// Finds tokens and revokes them: all that the endpoints need.
///
/// # A whole implementation
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// use annul::store::{StoreError, TokenStore};
/// use annul::{
///     PresentedToken, Revocation, Revoked, Target, TokenRecord, TokenState, TokenTypeHint,
/// };
/// use async_trait::async_trait;
///
/// /// A host's own table: what it knows about each token, and the revocation of each target.
/// #[derive(Default)]
/// struct Tokens {
///     rows: HashMap<String, TokenRecord>,
///     ledger: Mutex<HashMap<Target, Revocation>>,
/// }
///
/// #[async_trait]
/// impl TokenStore for Tokens {
///     async fn find(
///         &self,
///         token: PresentedToken<'_>,
///         _hint: Option<TokenTypeHint<'_>>,
///     ) -> Result<Option<TokenRecord>, StoreError> {
///         // A real table is keyed by a digest of the token, never by the token.
///         let Some(record) = self.rows.get(token.expose_secret()).cloned() else {
///             return Ok(None);
///         };
///         let ledger = self.ledger.lock().map_err(|_| StoreError::corrupt("poisoned"))?;
///         Ok(Some(match ledger.values().find(|revocation| revocation.covers(&record)) {
///             Some(by) => record.with_state(TokenState::Revoked { by: by.target().kind() }),
///             None => record,
///         }))
///     }
///
///     async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
///         let mut ledger = self.ledger.lock().map_err(|_| StoreError::corrupt("poisoned"))?;
///         match ledger.get(revocation.target()) {
///             Some(known) if known.at() >= revocation.at() => Ok(Revoked::Already),
///             // The later cutoff counts: the second password change ends what was granted since the first.
///             Some(_) | None => {
///                 ledger.insert(revocation.target().clone(), revocation.clone());
///                 Ok(Revoked::Newly)
///             }
///         }
///     }
/// }
/// # use std::time::Duration;
/// # use annul::{Grant, Reason, Timestamp, TokenId, TokenKind};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StoreError> {
/// # let mut tokens = Tokens::default();
/// # let minute = |n: u64| Timestamp::from_unix_seconds(1_800_000_000) + Duration::from_secs(60 * n);
/// # for (name, login) in [("first", 0), ("second", 2), ("third", 4)] {
/// #     let grant = Grant::new(name, "web", minute(login)).subject("alice");
/// #     let id = TokenId::named(name);
/// #     let record = TokenRecord::new(id, TokenKind::AccessToken, grant, minute(60));
/// #     tokens.rows.insert(name.to_owned(), record);
/// # }
/// # for changed in [1, 3] {
/// #     let alice = Target::Subject("alice".into());
/// #     let changed = Revocation::by_operator(alice, Reason::PasswordChanged, minute(changed));
/// #     assert_eq!(tokens.revoke(&changed).await?, Revoked::Newly);
/// #     assert_eq!(tokens.revoke(&changed).await?, Revoked::Already);
/// # }
/// # for (name, lives) in [("first", false), ("second", false), ("third", true)] {
/// #     let found = tokens.find(PresentedToken::new(name), None).await?;
/// #     assert_eq!(found.is_some_and(|record| record.verdict(minute(5)).is_active()), lives);
/// # }
/// # Ok(())
/// # }
/// ```
///
/// A longer one, with time and SQL-like tables, is `examples/custom_store.rs`.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Everything known about a presented token: any kind, live or dead.
    ///
    /// Called by [`Authority::check`](crate::Authority::check), and by every endpoint at most once for each request, after
    /// the caller has authenticated. `hint` is an order
    /// to search in and never a filter: a store that finds nothing of the hinted kind looks at all others
    /// (RFC 7009 section 2.1). Expired, consumed and revoked tokens are found too, for as long as the store
    /// remembers them: their owner may want the rest of the grant dead.
    ///
    /// # Security
    ///
    /// - Saying `None` for a live token answers 200 and revokes nothing: the worst lie there is.
    /// - Naming the wrong client in the record's grant lets that client revoke the token.
    /// - Leaving out [`TokenState::Revoked`](crate::TokenState::Revoked) makes introspection call a dead token
    ///   good.
    ///
    /// # Errors
    ///
    /// - [`Unavailable`](crate::store::StoreErrorKind::Unavailable): not known now; the endpoint answers 503.
    /// - [`Corrupt`](crate::store::StoreErrorKind::Corrupt): never to be known; the endpoint answers 500.
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError>;

    /// Applies one revocation: atomic, durable when it returns, idempotent.
    ///
    /// Called after ownership was proved, or by the host's own code. From the moment it returns, `find`
    /// reports every token that [`Revocation::covers`] as revoked, on every node, tokens that are issued later
    /// included. Applying it again, or with an earlier cutoff, changes nothing and is no error.
    ///
    /// - **A consumed token takes its grant along.** A client's revocation of one token alone
    ///   ([`Revocation::token_alone`]) whose token was consumed is written for its grant too
    ///   ([`Revocation::widened_to`]), in the same step: the token may have been rotated since it was looked up, and then its
    ///   successors would live.
    /// - **It lasts.** The entry stays for as long as a token that it covers can be found, a session that began before its
    ///   cutoff lasts, or something that it covers may be in flight. That counts from [`Revocation::recorded_at`], however
    ///   old the cutoff. [`Lifetimes`](crate::store::Lifetimes) computes until when.
    ///
    /// # Security
    ///
    /// - Returning `Ok` before the entry would survive a crash un-revokes the token after one.
    /// - Dropping the returned future half way must leave the entry either written or not written.
    ///
    /// # Errors
    ///
    /// - [`Unavailable`](crate::store::StoreErrorKind::Unavailable): perhaps applied, perhaps not; the endpoint answers 503 and the
    ///   caller repeats the request.
    /// - [`Conflict`](crate::store::StoreErrorKind::Conflict): another writer won, and repeating helps; answered 503 too.
    /// - [`Corrupt`](crate::store::StoreErrorKind::Corrupt): the endpoint answers 500.
    /// - [`Unsupported`](crate::store::StoreErrorKind::Unsupported): it names one token by a name that no token of this store can have. Nothing was
    ///   written, which an `Ok` would hide.
    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError>;
}
