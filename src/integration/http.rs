//! From and to the types of the `http` crate.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, header};

use crate::wire::request::{HeaderSource, Request};
use crate::wire::response::Response;

impl<'a> Request<'a> {
    /// Reads an [`http::Request`] whose body has been collected.
    ///
    /// Add [`certificate`](Self::certificate) and [`peer`](Self::peer) yourself: where they come from is the
    /// host's to know.
    ///
    /// ```
    /// use annul::Request;
    ///
    /// let request = http::Request::post("/revoke")
    ///     .header("content-type", "application/x-www-form-urlencoded")
    ///     .body("token=45ghiukldjahdnhzdauz")
    ///     .unwrap();
    /// assert_eq!(Request::from_http(&request).method(), "POST");
    /// ```
    pub fn from_http<B: AsRef<[u8]>>(request: &'a http::Request<B>) -> Self {
        let read = Self::new(request.method().as_str(), request.body().as_ref())
            .query(request.uri().query().unwrap_or_default())
            .all_headers(request.headers());
        // One pass: looking up each header that is read costs a hash each.
        let headers = request.headers().iter();
        headers.fold(read, |read, (name, value)| read.header(name.as_str(), value.as_bytes()))
    }
}

impl HeaderSource for http::HeaderMap {
    fn each<'s>(&'s self, name: &str, found: &mut dyn FnMut(&'s [u8])) {
        self.get_all(name).iter().for_each(|value| found(value.as_bytes()));
    }
}

impl<B: From<Cow<'static, [u8]>>> From<Response> for http::Response<B> {
    /// ```
    /// # async fn demo(authority: annul::Authority, request: annul::Request<'_>) {
    /// use std::borrow::Cow;
    ///
    /// let response = annul::handle_revoke(&authority, &request).await;
    /// let response: http::Response<Cow<'static, [u8]>> = response.into();
    /// println!("{}", response.status());
    /// # }
    /// ```
    fn from(response: Response) -> Self {
        let mut headers = http::HeaderMap::with_capacity(6);
        for (name, value) in response.headers() {
            if let (Some(name), Some(value)) = (header_name(name), header_value(value)) {
                headers.append(name, value);
            }
        }
        let status = http::StatusCode::from_u16(response.status()).unwrap_or_default();
        let mut converted = Self::new(response.into_body().into());
        *converted.status_mut() = status;
        *converted.headers_mut() = headers;
        converted
    }
}

/// The headers of every answer are constants there; parsing their names each time would cost more than they do. A policy
/// may have others, in any case; what is no name at all is left out.
fn header_name(name: &'static str) -> Option<HeaderName> {
    Some(match name {
        "cache-control" => header::CACHE_CONTROL,
        "content-type" => header::CONTENT_TYPE,
        "pragma" => header::PRAGMA,
        "referrer-policy" => header::REFERRER_POLICY,
        "x-content-type-options" => header::X_CONTENT_TYPE_OPTIONS,
        other => return HeaderName::from_bytes(other.as_bytes()).ok(),
    })
}

/// The values of the default headers are constants there, which nobody need allocate.
fn header_value(value: &str) -> Option<HeaderValue> {
    match value {
        "no-store" => Some(const { HeaderValue::from_static("no-store") }),
        "no-cache" => Some(const { HeaderValue::from_static("no-cache") }),
        "nosniff" => Some(const { HeaderValue::from_static("nosniff") }),
        "no-referrer" => Some(const { HeaderValue::from_static("no-referrer") }),
        "application/json" => Some(const { HeaderValue::from_static("application/json") }),
        other => HeaderValue::from_bytes(other.as_bytes()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::wire::error::EndpointError;

    fn converted(policy: &Policy) -> http::Response<Cow<'static, [u8]>> {
        EndpointError::InvalidClient { header: true }.respond(policy, "POST").into()
    }

    #[test]
    fn a_policys_own_headers_are_sent_however_their_names_are_spelled() {
        let with = |headers| converted(&Policy { headers, ..Policy::default() });
        let answer = with(&[("X-Frame-Options", "DENY"), ("cache-control", "no-store")]);
        assert_eq!(answer.headers()["x-frame-options"], "DENY");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let answer = with(&[("not a name", "x"), ("vary", "no\r\nvalue"), ("pragma", "no-cache")]);
        assert_eq!(answer.headers()["pragma"], "no-cache");
        assert!(!answer.headers().contains_key("vary"));
    }
}
