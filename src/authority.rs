//! The one value a host builds: store, clients and policy together.

use std::fmt;
use std::sync::Arc;

use crate::client::{
    AuthenticatedClient, ClientAuthError, ClientAuthenticator, ClientKind, Credentials,
};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::{Endpoint, Event, EventSink, NoEvents};
use crate::ownership::{Claim, OwnedToken};
use crate::policy::Policy;
use crate::revocation::{Revocation, Revoked};
use crate::store::{Sweep, SweepBudget, Swept, TokenStore};
use crate::throttle::{Caller, Misuse, SlowDown, Throttle};
use crate::token::{PresentedToken, TokenRecord, Verdict};
use crate::wire::basic::Scratch;
use crate::wire::cors;
use crate::wire::cors::OriginRegistry;
use crate::wire::error::EndpointError;
use crate::wire::form::Form;
use crate::wire::request::Request;
use crate::wire::response::Response;

/// What the endpoints work with. Built once, shared in the host's state, cheap to clone, without type
/// parameters.
///
/// ```
/// use std::sync::Arc;
/// use annul::client::RegisteredClients;
/// use annul::{Authority, MemoryStore, profile};
///
/// let store = Arc::new(MemoryStore::new()); // the token endpoint issues into the same one
/// let authority = Authority::new(Arc::clone(&store), RegisteredClients::default())
///     .policy(profile::hyperid());
/// ```
#[derive(Clone)]
pub struct Authority(Arc<Parts>);

#[derive(Clone)]
struct Parts {
    store: Arc<dyn TokenStore>,
    clients: Arc<dyn ClientAuthenticator>,
    policy: Policy,
    events: Arc<dyn EventSink>,
    throttle: Option<Arc<dyn Throttle>>,
    origins: Option<Arc<dyn OriginRegistry>>,
    clock: Arc<dyn Clock>,
}

impl Authority {
    /// The default policy, no audit log, no throttle, no cross-origin callers, the system's clock.
    pub fn new(
        store: impl TokenStore + 'static,
        clients: impl ClientAuthenticator + 'static,
    ) -> Self {
        Self(Arc::new(Parts {
            store: Arc::new(store),
            clients: Arc::new(clients),
            policy: Policy::default(),
            events: Arc::new(NoEvents),
            throttle: None,
            origins: None,
            clock: Arc::new(SystemClock),
        }))
    }

    /// Decides by this policy, or by a profile's.
    #[must_use]
    pub fn policy(self, policy: impl Into<Policy>) -> Self {
        let policy = policy.into();
        self.with(|parts| parts.policy = policy)
    }

    /// Tells this sink everything that happens.
    #[must_use]
    pub fn events(self, events: impl EventSink + 'static) -> Self {
        self.with(|parts| parts.events = Arc::new(events))
    }

    /// Asks this throttle before it hears a caller.
    #[must_use]
    pub fn throttle(self, throttle: impl Throttle + 'static) -> Self {
        self.with(|parts| parts.throttle = Some(Arc::new(throttle)))
    }

    /// Answers preflights, and lets scripts of these origins read answers (RFC 7009 section 2.3).
    #[must_use]
    pub fn origins(self, origins: impl OriginRegistry + 'static) -> Self {
        self.with(|parts| parts.origins = Some(Arc::new(origins)))
    }

    /// Takes the time from this clock. An authenticator asks its own (`RegisteredClients::clock`, `SecretHashing::clock`):
    /// a test that moves the time gives the same one to each.
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.with(|parts| parts.clock = Arc::new(clock))
    }

    /// What it decides by.
    pub fn current_policy(&self) -> &Policy {
        &self.0.policy
    }

    /// What its clock shows: the cutoff for a revocation "now".
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Applies a revocation of the host's own: no HTTP in sight.
    ///
    /// ```
    /// # async fn demo(authority: annul::Authority) -> Result<(), annul::store::StoreError> {
    /// use annul::{Reason, Revocation, Target};
    ///
    /// let everything_of_alice = Target::Subject("alice".into());
    /// let now = authority.now();
    /// authority
    ///     .revoke(Revocation::by_operator(everything_of_alice, Reason::PasswordChanged, now))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`StoreError`]: it may or may not have been applied. Apply it again: that is safe.
    pub async fn revoke(&self, revocation: Revocation) -> Result<Revoked, StoreError> {
        let revocation = revocation.recorded_by(self.now());
        let applied = self.0.store.revoke(&revocation).await;
        match &applied {
            Ok(outcome) => self.revoked(&revocation, *outcome),
            Err(_) => self.emit(&Event::StoreFailed { endpoint: None }),
        }
        applied
    }

    /// Sweeps a store by the authority's clock, and reports a clock that leaps to the event sink: for the host's timer.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use annul::client::RegisteredClients;
    /// use annul::store::SweepBudget;
    /// use annul::{Authority, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), annul::store::StoreError> {
    /// let store = Arc::new(MemoryStore::new());
    /// let authority = Authority::new(Arc::clone(&store), RegisteredClients::default());
    /// // Once a minute:
    /// while authority.sweep(&store, SweepBudget::default()).await?.more {}
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`StoreError`]: nothing or a part was removed; call again later.
    pub async fn sweep(
        &self,
        store: &(impl Sweep + ?Sized),
        budget: SweepBudget,
    ) -> Result<Swept, StoreError> {
        let swept = store.sweep(self.now(), budget).await;
        match &swept {
            Ok(Swept { clock_leap: Some(ahead), .. }) => {
                self.emit(&Event::ClockLeaped { ahead: *ahead });
            }
            Ok(_) => {}
            Err(_) => self.emit(&Event::StoreFailed { endpoint: None }),
        }
        swept
    }

    /// Whether a token is still good: for resource servers in the same process.
    ///
    /// # Errors
    ///
    /// - [`StoreError`]: not known. Refuse the request; a token that cannot be checked is not good.
    pub async fn check(&self, token: PresentedToken<'_>) -> Result<Verdict, StoreError> {
        let Some(store) = self.store_for(token.expose_secret()) else {
            return Ok(Verdict::Unknown);
        };
        match store.find(token, None).await {
            Ok(found) => Ok(found.map_or(Verdict::Unknown, |record| record.verdict(self.now()))),
            Err(error) => {
                self.emit(&Event::StoreFailed { endpoint: None });
                Err(error)
            }
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.0.events.emit(event);
    }

    /// Method, media type, size, decoding, repeated names.
    pub(crate) fn read<'a>(&self, request: &Request<'a>) -> Result<Form<'a>, EndpointError> {
        if request.method() != "POST" {
            return Err(EndpointError::MethodNotAllowed);
        }
        Form::read(request, &self.0.policy)
    }

    /// One credential mechanism; and whether its caller is heard.
    pub(crate) fn credentials<'a>(
        &'a self,
        endpoint: Endpoint,
        request: &'a Request<'a>,
        form: &'a Form<'_>,
        scratch: &'a mut Scratch,
    ) -> Result<Credentials<'a>, EndpointError> {
        let credentials = Credentials::read(request, form, scratch, &self.0.policy);
        let claimed = credentials.as_ref().ok().and_then(Credentials::claimed_client);
        self.hear(Caller::new(request.peer_address(), claimed))?;
        // Credentials that nobody could have are a failed attempt like any other.
        if let Err(EndpointError::InvalidClient { .. }) = &credentials {
            self.rejected(endpoint, request, None);
        }
        credentials
    }

    /// Asks the authenticator.
    pub(crate) fn clients(&self) -> &dyn ClientAuthenticator {
        self.0.clients.as_ref()
    }

    /// One attempt to authenticate, before the authenticator is asked.
    pub(crate) fn attempt<'a>(
        &'a self,
        endpoint: Endpoint,
        request: &'a Request<'a>,
        credentials: &Credentials<'a>,
    ) -> Attempt<'a> {
        let claimed = credentials.claimed_client();
        Attempt { authority: self, endpoint, request, claimed, is_over: false }
    }

    /// The store to look a presented token up in; none where it cannot be there: a token this long, or with
    /// characters that no token has, is not ours and costs no look-up.
    pub(crate) fn store_for(&self, token: &str) -> Option<&dyn TokenStore> {
        PresentedToken::new(token).check().is_ok().then_some(self.0.store.as_ref())
    }

    /// Tells of a token that no store knows.
    pub(crate) fn unknown_token(
        &self,
        endpoint: Endpoint,
        request: &Request<'_>,
        client: &AuthenticatedClient,
    ) {
        self.report(Self::caller(request, client), Misuse::UnknownToken);
        self.emit(&Event::UnknownToken { endpoint, client: client.id() });
    }

    /// Tells of a token that is another client's, or another instance's of the same one.
    pub(crate) fn foreign_token(
        &self,
        endpoint: Endpoint,
        record: &TokenRecord,
        client: &AuthenticatedClient,
    ) {
        let owner = record.grant().client_id();
        let kind = record.kind();
        self.emit(&Event::ForeignToken { endpoint, client: client.id(), owner, kind });
    }

    /// Whose the token is, and what that means for this client.
    pub(crate) fn claim(
        &self,
        endpoint: Endpoint,
        record: TokenRecord,
        client: &AuthenticatedClient,
    ) -> Claim {
        if !client.owns(record.grant()) {
            self.foreign_token(endpoint, &record, client);
        }
        OwnedToken::claim(record, client, self.0.policy.foreign_token)
    }

    /// The store to write to.
    pub(crate) fn store(&self) -> &dyn TokenStore {
        self.0.store.as_ref()
    }

    /// Tells of an entry, once it is durable.
    pub(crate) fn revoked(&self, revocation: &Revocation, outcome: Revoked) {
        self.emit(&Event::Revoked { revocation, outcome });
    }

    /// The answer to a preflight; none where cross-origin requests are not served.
    pub(crate) fn preflight(&self, request: &Request<'_>) -> Option<Response> {
        let serves = self.0.origins.is_some() && request.is_preflight();
        serves.then(|| cors::preflight(self.0.policy.headers))
    }

    /// The last step of every endpoint: the error table, and the cross-origin headers.
    pub(crate) fn answer(
        &self,
        endpoint: Endpoint,
        request: &Request<'_>,
        outcome: Result<Response, EndpointError>,
    ) -> Response {
        let response = outcome.unwrap_or_else(|error| {
            match error {
                EndpointError::ServerError | EndpointError::Unavailable { .. } => {
                    self.emit(&Event::StoreFailed { endpoint: Some(endpoint) });
                }
                EndpointError::Throttled { .. } => self.emit(&Event::Throttled { endpoint }),
                EndpointError::InvalidClient { .. }
                | EndpointError::InvalidGrant(_)
                | EndpointError::InvalidRequest(_)
                | EndpointError::MediaType
                | EndpointError::MethodNotAllowed
                | EndpointError::Refused(_)
                | EndpointError::TooLarge
                | EndpointError::UnsupportedTokenType => {}
            }
            error.respond(&self.0.policy, self.methods())
        });
        match &self.0.origins {
            Some(origins) => cors::expose(response, request, origins.as_ref()),
            None => response,
        }
    }

    fn rejected(&self, endpoint: Endpoint, request: &Request<'_>, claimed: Option<&str>) {
        self.report(Caller::new(request.peer_address(), claimed), Misuse::AuthenticationFailed);
        self.emit(&Event::ClientAuthenticationFailed { endpoint });
    }

    /// Who calls, once that is known.
    fn caller<'c>(request: &Request<'_>, client: &'c AuthenticatedClient) -> Caller<'c> {
        Caller::new(request.peer_address(), Some(client.id().as_str()))
            .with_authenticated(client.kind() == ClientKind::Confidential)
    }

    fn hear(&self, caller: Caller<'_>) -> Result<(), EndpointError> {
        let Some(throttle) = &self.0.throttle else {
            return Ok(());
        };
        let slow_down = |slow: SlowDown| EndpointError::Throttled { retry_after: slow.retry_after };
        throttle.admit(caller, self.now()).map_err(slow_down)
    }

    fn report(&self, caller: Caller<'_>, misuse: Misuse) {
        if let Some(throttle) = &self.0.throttle {
            throttle.report(caller, misuse, self.now());
        }
    }

    /// What the endpoints answer: preflights only where cross-origin requests are served.
    fn methods(&self) -> &'static str {
        match self.0.origins {
            Some(_) => "POST, OPTIONS",
            None => "POST",
        }
    }
}

/// An attempt to authenticate that is under way. Whoever hangs up before it is answered has had it counted as a failure:
/// guesses are not to be had for free by not waiting.
pub(crate) struct Attempt<'a> {
    authority: &'a Authority,
    endpoint: Endpoint,
    request: &'a Request<'a>,
    claimed: Option<&'a str>,
    is_over: bool,
}

impl Attempt<'_> {
    /// Ends the attempt: reports a failure, and asks the throttle again if the credentials had not named the client.
    pub(crate) fn admit(
        mut self,
        authenticated: Result<AuthenticatedClient, ClientAuthError>,
    ) -> Result<AuthenticatedClient, EndpointError> {
        self.is_over = true;
        let (authority, endpoint) = (self.authority, self.endpoint);
        let (request, claimed) = (self.request, self.claimed);
        let client = authenticated.map_err(|error| match error {
            ClientAuthError::Refused(refusal) => {
                // A step of the method, such as a challenge: an honest client is answered so too, and may come back.
                authority.emit(&Event::ClientAuthenticationFailed { endpoint });
                EndpointError::Refused(refusal)
            }
            ClientAuthError::Rejected => {
                authority.rejected(endpoint, request, claimed);
                EndpointError::InvalidClient { header: request.has_authorization() }
            }
            ClientAuthError::Store(error) => error.into(),
        })?;
        if claimed != Some(client.id().as_str()) {
            authority.hear(Authority::caller(request, &client))?;
        }
        Ok(client)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let caller = Caller::new(self.request.peer_address(), self.claimed);
            self.authority.report(caller, Misuse::AuthenticationFailed);
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}

impl From<StoreError> for EndpointError {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Conflict | StoreErrorKind::Unavailable => {
                Self::Unavailable { retry_after: error.suggested_retry() }
            }
            StoreErrorKind::Corrupt => Self::ServerError,
            StoreErrorKind::Unsupported => Self::UnsupportedTokenType,
        }
    }
}
