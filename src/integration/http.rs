//! From and to the types of the `http` crate.

use std::borrow::Cow;

use http::HeaderName;
use http::HeaderValue;
use http::header;

use crate::wire::request::Request;
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
            .query(request.uri().query().unwrap_or_default());
        let headers = [
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ORIGIN,
            header::ACCESS_CONTROL_REQUEST_METHOD,
        ];
        headers.iter().fold(read, |read, name| {
            let values = request.headers().get_all(name).iter();
            values.fold(read, |read, value| read.header(name.as_str(), value.as_bytes()))
        })
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
        let mut headers = http::HeaderMap::with_capacity(8);
        for (name, value) in response.headers() {
            // Names are ours and lower case; values are ours, or were checked to be visible ASCII.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(header_name(name), value);
            }
        }
        let status = http::StatusCode::from_u16(response.status()).unwrap_or_default();
        let mut converted = Self::new(response.into_body().into());
        *converted.status_mut() = status;
        *converted.headers_mut() = headers;
        converted
    }
}

/// The headers of every answer are constants there; parsing their names each time would cost more than they do.
fn header_name(name: &'static str) -> HeaderName {
    match name {
        "cache-control" => header::CACHE_CONTROL,
        "content-type" => header::CONTENT_TYPE,
        "pragma" => header::PRAGMA,
        "referrer-policy" => header::REFERRER_POLICY,
        "x-content-type-options" => header::X_CONTENT_TYPE_OPTIONS,
        other => HeaderName::from_static(other),
    }
}
