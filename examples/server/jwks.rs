//! Fetches the key sets of clients that registered a `jwks_uri`.
//!
//! What a client registers is a URL that this server will visit, so it is careful: https, or http to this machine
//! alone; one request, no redirects, five seconds, 64 KiB. Fixtures are written by whoever starts the server; one
//! that lets strangers register clients would also refuse private addresses.

use std::sync::Arc;
use std::time::Duration;

use annul::client::JwksSource;
use annul::jose::JwkSet;
use annul::store::StoreError;
use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::Failure;

/// How long a whole fetch may take.
const PATIENCE: Duration = Duration::from_secs(5);

const MOST_BYTES: usize = 64 * 1024;

/// Visits the URLs that clients registered.
pub(crate) struct HttpJwks {
    tls: TlsConnector,
}

impl HttpJwks {
    /// Trusts the certificate authorities that this machine trusts.
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn get(&self, uri: &str) -> Result<JwkSet, Failure> {
        let uri: Uri = uri.parse()?;
        let host = uri.host().ok_or("no host")?.trim_matches(['[', ']']);
        let local = matches!(host, "localhost" | "127.0.0.1" | "::1");
        match uri.scheme_str() {
            Some("https") => {
                let tcp = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
                let name = ServerName::try_from(host.to_owned())?;
                exchange(self.tls.connect(name, tcp).await?, &uri).await
            }
            Some("http") if local => {
                let tcp = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
                exchange(tcp, &uri).await
            }
            _ => Err("a jwks_uri is https, or http on this machine".into()),
        }
    }
}

/// One request, and the key set that it is answered with.
async fn exchange<S>(stream: S, uri: &Uri) -> Result<JwkSet, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, uri.authority().ok_or("no host")?.as_str())
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Empty::<Bytes>::new())?;
    let answered = async {
        let response = sender.send_request(request).await?;
        if response.status() != 200 {
            return Err(Failure::from(format!("answered {}", response.status())));
        }
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await?;
        Ok(JwkSet::from_json(&body.to_bytes())?)
    };
    // The connection does the work of the answer, which hears of its end, and may have to be read after it.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answered => answer,
        never = driven => never,
    }
}

#[async_trait]
impl JwksSource for HttpJwks {
    async fn fetch(&self, uri: &str) -> Result<JwkSet, StoreError> {
        let fetched = match tokio::time::timeout(PATIENCE, self.get(uri)).await {
            Ok(fetched) => fetched,
            Err(late) => Err(late.into()),
        };
        fetched.map_err(|failure| {
            eprintln!("warning: {uri}: {failure}");
            StoreError::unavailable(failure)
        })
    }
}
