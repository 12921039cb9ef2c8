//! Cross-origin requests from browser clients (RFC 7009 section 2.3; the Fetch standard).

use std::collections::HashSet;

use crate::wire::request::Request;
use crate::wire::response::Response;

/// Knows from which origins registered clients call.
///
/// Asked for every request that carries an `Origin`, before anything else is known about it, so it answers
/// from memory: refresh the set when registrations change.
pub trait OriginRegistry: Send + Sync {
    /// Whether some registered client's pages are served from this origin (`https://app.example`).
    ///
    /// # Security
    ///
    /// Saying yes lets scripts of that origin read the answer. It does not authenticate anybody: a request
    /// still needs the client's credentials, and cookies play no part.
    fn allows(&self, origin: &str) -> bool;
}

/// A fixed set of origins.
///
/// ```
/// use annul::wire::cors::{OriginRegistry, Origins};
///
/// let origins = Origins::from_iter(["https://app.example"]);
/// assert!(origins.allows("https://app.example"));
/// assert!(!origins.allows("https://evil.example"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Origins(HashSet<Box<str>>);

impl<O: Into<Box<str>>> FromIterator<O> for Origins {
    fn from_iter<I: IntoIterator<Item = O>>(origins: I) -> Self {
        Self(origins.into_iter().map(Into::into).collect())
    }
}

impl OriginRegistry for Origins {
    fn allows(&self, origin: &str) -> bool {
        self.0.contains(origin)
    }
}

/// Lets the scripts of a registered origin read `response`, errors included.
pub(crate) fn expose(
    response: Response,
    request: &Request<'_>,
    origins: &dyn OriginRegistry,
) -> Response {
    let Some(origin) = request.origin() else {
        return response;
    };
    let response = response.with_header("vary", "Origin");
    // A registry may go by a pattern, and hosts that parse requests themselves may hand over any bytes: an answer holds
    // visible ASCII and nothing else.
    if origin.bytes().all(|byte| byte.is_ascii_graphic()) && origins.allows(origin) {
        response.with_header("access-control-allow-origin", origin.to_owned())
    } else {
        response
    }
}

/// The answer to a preflight, before it is exposed to the origin. A profile may have the two lists among its own
/// headers already.
pub(crate) fn preflight(headers: &'static [(&'static str, &'static str)]) -> Response {
    let lists = [
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "authorization, content-type"),
    ];
    let response = Response::empty(204, headers).with_header("access-control-max-age", "600");
    lists.into_iter().fold(response, |response, (name, value)| match response.header(name) {
        Some(_) => response,
        None => response.with_header(name, value),
    })
}
