//! TLS to the server: rustls, and the certificate is verified, always.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::store::postgres::start_error::PostgresError;

/// How connections are made secure; not at all where the URL does not ask for it.
#[derive(Clone)]
pub(super) struct Tls(Option<TlsConnector>);

impl Tls {
    /// By these authorities, or those that the operating system trusts.
    pub(super) fn new(
        config: &tokio_postgres::Config,
        authorities: Option<&str>,
    ) -> Result<Self, PostgresError> {
        if config.get_ssl_mode() != SslMode::Require {
            return Ok(Self(None));
        }
        let mut roots = RootCertStore::empty();
        match authorities {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|_| PostgresError::RootCertificates)?;
                    roots.add(certificate).map_err(|_| PostgresError::RootCertificates)?;
                }
            }
            // Some of them may be of a kind that nobody can read: those that can be are trusted.
            None => drop(
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
            ),
        }
        if roots.is_empty() {
            return Err(PostgresError::RootCertificates);
        }
        // Named, so that no other crate of the process has a say.
        let mut client =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| PostgresError::Failed(error.into()))?
                .with_root_certificates(roots)
                .with_no_client_auth();
        // For `sslnegotiation=direct`.
        client.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Self(Some(TlsConnector::from(Arc::new(client)))))
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Secured;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        // A unix socket has no name, and is not asked for a certificate.
        Ok(Handshake { connector: self.0.clone(), name: domain.to_owned() })
    }
}

/// One connection's.
pub(super) struct Handshake {
    connector: Option<TlsConnector>,
    name: String,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let Some(connector) = self.connector else {
                return Err(io::Error::other("TLS was not asked for"));
            };
            let name = ServerName::try_from(self.name).map_err(io::Error::other)?;
            Ok(Secured(Box::new(connector.connect(name, socket).await?)))
        })
    }
}

pub(super) struct Secured(Box<tokio_rustls::client::TlsStream<Socket>>);

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        // The certificate is verified: nobody is in the middle.
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}
