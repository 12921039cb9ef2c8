//! The endpoints, mounted on an axum router.

use std::net::SocketAddr;
use std::sync::Arc;

use ::axum::Router;
use ::axum::body::Body;
use ::axum::body::Bytes;
use ::axum::extract::ConnectInfo;
use ::axum::extract::State;
use ::axum::routing::any;
use http_body_util::BodyExt;

use crate::authority::Authority;
use crate::introspect::handle_introspect;
use crate::logout::handle_logout;
use crate::profile::Paths;
use crate::revoke::handle_revoke;
use crate::wire::request::{PresentedCertificate, Request};
use crate::wire::response::Response;

/// A client certificate in DER, for the host's TLS layer to put into the request's extensions.
///
/// ```
/// use annul::integration::axum::ClientCertificate;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(ClientCertificate::verified(vec![0x30, 0x82]));
/// ```
///
/// # Security
///
/// Only the code that finished the TLS handshake may insert it. No header is ever taken for one.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    der: Arc<[u8]>,
    verified: bool,
}

impl ClientCertificate {
    /// A certificate whose chain the TLS layer validated: see [`PresentedCertificate::verified`].
    pub fn verified(der: impl Into<Arc<[u8]>>) -> Self {
        Self { der: der.into(), verified: true }
    }

    /// A certificate that anybody could have made: see [`PresentedCertificate::unverified`].
    pub fn unverified(der: impl Into<Arc<[u8]>>) -> Self {
        Self { der: der.into(), verified: false }
    }

    fn presented(&self) -> PresentedCertificate<'_> {
        if self.verified {
            PresentedCertificate::verified(&self.der)
        } else {
            PresentedCertificate::unverified(&self.der)
        }
    }
}

/// Mounts revocation, logout and introspection at their paths.
///
/// The caller's address is passed on where the host serves with
/// [`into_make_service_with_connect_info`](Router::into_make_service_with_connect_info), and its certificate
/// where the host inserts a [`ClientCertificate`].
///
/// ```
/// use annul::client::RegisteredClients;
/// use annul::{Authority, MemoryStore, profile};
///
/// let profile = profile::standard();
/// let authority =
///     Authority::new(MemoryStore::new(), RegisteredClients::default()).policy(profile.policy);
/// let app: axum::Router = annul::integration::axum::router(authority, &profile.paths);
/// ```
///
/// # Panics
///
/// When two paths are the same, or one is not a path: axum says which.
pub fn router(authority: Authority, paths: &Paths) -> Router {
    Router::new()
        .route(&paths.revoke, any(revoke))
        .route(&paths.logout, any(logout))
        .route(&paths.introspect, any(introspect))
        .with_state(authority)
}

type Answer = http::Response<Body>;

async fn revoke(State(authority): State<Authority>, request: http::Request<Body>) -> Answer {
    let collected = Collected::from(&authority, request).await;
    convert(handle_revoke(&authority, &collected.read()).await)
}

async fn logout(State(authority): State<Authority>, request: http::Request<Body>) -> Answer {
    let collected = Collected::from(&authority, request).await;
    convert(handle_logout(&authority, &collected.read()).await)
}

async fn introspect(State(authority): State<Authority>, request: http::Request<Body>) -> Answer {
    let collected = Collected::from(&authority, request).await;
    convert(handle_introspect(&authority, &collected.read()).await)
}

/// A request whose body was read, up to the limit.
struct Collected {
    request: http::Request<Bytes>,
    oversized: bool,
}

/// How long an oversized body may say it is and still be read to its end, and dropped: closing a connection on unread
/// data can take the answer along. One that does not say how long it is gets its answer at the limit.
const DRAIN: usize = 4 * 1024 * 1024;

impl Collected {
    async fn from(authority: &Authority, request: http::Request<Body>) -> Self {
        let limit = authority.current_policy().limits.body_bytes;
        let (parts, body) = request.into_parts();
        // Too long, or broken off: either way it is not a request that can be read.
        let declared = parts.headers.get(http::header::CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let most = declared.filter(|length| *length <= DRAIN).unwrap_or(limit);
        let body = collect(body, limit, most).await;
        let oversized = body.is_none();
        let request = http::Request::from_parts(parts, body.unwrap_or_default());
        Self { request, oversized }
    }

    fn read(&self) -> Request<'_> {
        let extensions = self.request.extensions();
        let mut read = Request::from_http(&self.request);
        if let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() {
            read = read.peer(peer.ip());
        }
        if let Some(certificate) = extensions.get::<ClientCertificate>() {
            read = read.certificate(certificate.presented());
        }
        if self.oversized { read.oversized() } else { read }
    }
}

/// The whole body, if it keeps to the limit. At most `most` is read, and no more than the limit is held at any time.
async fn collect(mut body: Body, limit: usize, most: usize) -> Option<Bytes> {
    let mut first = Bytes::new();
    let mut rest = Vec::new();
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        len += data.len();
        if len > limit.max(most) {
            return None;
        }
        if len > limit {
            rest.clear();
        } else if first.is_empty() {
            // Nearly every body is one frame, which is not copied.
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    match (len > limit, rest.is_empty()) {
        (true, _) => None,
        (false, true) => Some(first),
        (false, false) => Some([&first[..], &rest].concat().into()),
    }
}

/// An empty body is `Body::empty`, which sends `Content-Length: 0`.
fn convert(response: Response) -> Answer {
    http::Response::from(response).map(|body: std::borrow::Cow<'static, [u8]>| {
        if body.is_empty() { Body::empty() } else { Body::from(body) }
    })
}
