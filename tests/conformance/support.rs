//! A server in process: one authority over the memory store, a clock that stands still, and its clients.

use std::sync::Arc;
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::store::{Lifetimes, TokenLedger};
use annul::wire::basic;
use annul::{
    Authority, FakeClock, Grant, MemoryStore, NewToken, Policy, PresentedToken, Request, Response,
    Timestamp, Verdict,
};

/// When every test begins.
pub(crate) const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

pub(crate) const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// The parts of a server that a test looks at.
pub(crate) struct Server {
    pub(crate) authority: Authority,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<FakeClock>,
}

/// Confidential `web` (Basic, `web-secret`), `other` (Basic, `other-secret`), `post` (form, `post-secret`),
/// `rs` (Basic, `rs-secret`, may introspect) and public `spa`, `spa2`.
pub(crate) fn clients() -> ClientTable {
    let client = |id: &str, method| Client::new(ClientMetadata::new(id, method));
    ClientTable::from_iter([
        client("web", AuthMethod::ClientSecretBasic).secret("web-secret"),
        client("other", AuthMethod::ClientSecretBasic).secret("other-secret"),
        client("post", AuthMethod::ClientSecretPost).secret("post-secret"),
        client("rs", AuthMethod::ClientSecretBasic).secret("rs-secret").may_introspect(),
        client("spa", AuthMethod::None),
        client("spa2", AuthMethod::None),
    ])
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with_policy(Policy::default())
    }

    pub(crate) fn with_policy(policy: impl Into<Policy>) -> Self {
        // The tests jump in time, and sweep then.
        let lifetimes = Lifetimes::default().with_clock_leap(Duration::MAX);
        let store = Arc::new(MemoryStore::new().with_lifetimes(lifetimes));
        let clock = Arc::new(FakeClock::at(START));
        let clients = RegisteredClients::new(clients()).clock(Arc::clone(&clock));
        let authority =
            Authority::new(Arc::clone(&store), clients).policy(policy).clock(Arc::clone(&clock));
        Self { authority, store, clock }
    }

    /// Issues an access token (ten minutes) and a refresh token (a day) of one grant.
    pub(crate) async fn issue(&self, grant: Grant, access: &str, refresh: &str) {
        let now = self.authority.now();
        let tokens = [
            NewToken::access(PresentedToken::new(access), now + Duration::from_secs(600)),
            NewToken::refresh(PresentedToken::new(refresh), now + Duration::from_secs(86_400)),
        ];
        self.store.issue(grant, &tokens, now).await.unwrap();
    }

    /// A grant to `client` by alice, in session `s1`, with tokens `at-ID` and `rt-ID`.
    pub(crate) async fn grant(&self, id: &str, client: &str) {
        let grant = Grant::new(id, client, self.authority.now()).subject("alice").session("s1");
        self.issue(grant, &format!("at-{id}"), &format!("rt-{id}")).await;
    }

    pub(crate) async fn check(&self, token: &str) -> Verdict {
        self.authority.check(PresentedToken::new(token)).await.unwrap()
    }

    pub(crate) async fn is_active(&self, token: &str) -> bool {
        self.check(token).await.is_active()
    }

    /// A revocation request with this body, by Basic credentials `client:client-secret`.
    pub(crate) async fn revoke_as(&self, client: &str, body: &str) -> Response {
        let header = basic::header_value(client, &format!("{client}-secret"));
        annul::handle_revoke(
            &self.authority,
            &form(body).header("authorization", header.as_bytes()),
        )
        .await
    }

    /// A revocation request with this body and no header credentials.
    pub(crate) async fn revoke(&self, body: &str) -> Response {
        annul::handle_revoke(&self.authority, &form(body)).await
    }

    /// A logout request with this body and no header credentials.
    pub(crate) async fn logout(&self, body: &str) -> Response {
        annul::handle_logout(&self.authority, &form(body)).await
    }

    /// An introspection request with this body, by Basic credentials `client:client-secret`.
    pub(crate) async fn introspect_as(&self, client: &str, body: &str) -> Response {
        let header = basic::header_value(client, &format!("{client}-secret"));
        let request = form(body).header("authorization", header.as_bytes());
        annul::handle_introspect(&self.authority, &request).await
    }
}

/// A POST of this form.
pub(crate) fn form(body: &str) -> Request<'_> {
    Request::post(body.as_bytes()).header("content-type", FORM)
}

/// The `error` member of an error's body.
pub(crate) fn error_of(response: &Response) -> String {
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    body.get("error").unwrap().as_str().unwrap().to_owned()
}

/// Everything that can be seen of a response.
pub(crate) fn seen(response: &Response) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let headers = response.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    (response.status(), headers.collect(), response.body().to_vec())
}
