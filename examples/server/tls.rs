//! The TLS listener: asks every client for a certificate, takes none for an answer, and says what it knows of one.
//!
//! By the end of the handshake a client has proved that it holds the certificate's key, and no more: anybody can
//! sign a certificate of their own. Whether one comes from the trusted authority is looked at afterwards, for each
//! connection, and told apart in [`ClientCertificate`].

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use annul::integration::axum::ClientCertificate;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use axum::{Router, middleware};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme, crypto,
};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, rustls};

use crate::Failure;

/// How long a client may take for its handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many handshakes may be under way; further connections wait in the operating system's queue.
const HANDSHAKES: usize = 1_024;

/// Where to listen, and with which files.
#[derive(Debug)]
pub(crate) struct TlsOptions {
    /// Host and port, as given; resolved when bound.
    pub(crate) listen: String,
    /// The server's certificate chain.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The authority whose client certificates are trusted; without it, none is.
    pub(crate) client_ca: Option<PathBuf>,
}

/// Connections whose handshake has been finished.
pub(crate) struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    /// Checks chains, where there is an authority to trust.
    authority: Option<Arc<dyn ClientCertVerifier>>,
    /// Each on its own, so that a client which is slow or silent holds up nobody else. They end with the listener.
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, Peer)>>,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    certificate: Option<ClientCertificate>,
}

impl TlsListener {
    /// Reads the files and takes the address.
    pub(crate) async fn bind(options: &TlsOptions) -> Result<Self, Failure> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let authority = match &options.client_ca {
            Some(file) => Some(chain_verifier(file, &provider)?),
            None => None,
        };
        let chain = certificates(&options.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&options.key)
            .map_err(|error| format!("no key in {}: {error}", options.key.display()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(AnyCertificate(provider)))
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = TcpListener::bind(&options.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { tcp, acceptor, authority, handshakes: JoinSet::new() })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    fn shake_hands(&mut self, stream: TcpStream, address: SocketAddr) {
        let handshake = self.acceptor.accept(stream);
        let authority = self.authority.clone();
        self.handshakes.spawn(async move {
            // A client that fails, or that goes away, gets its alert from the TLS stack.
            let stream = tokio::time::timeout(PATIENCE, handshake).await.ok()?.ok()?;
            let (_, session) = stream.get_ref();
            let chain = session.peer_certificates().unwrap_or_default();
            let certificate = presented(chain, authority.as_deref());
            Some((stream, Peer { address, certificate }))
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let more = self.handshakes.len() < HANDSHAKES;
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.tcp), if more => {
                    if let Err(error) = stream.set_nodelay(true) {
                        eprintln!("warning: TCP_NODELAY: {error}");
                    }
                    self.shake_hands(stream, address);
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Peer { address: self.address()?, certificate: None })
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// The same routes, told who is at the other end.
pub(crate) fn app(routes: Router) -> Router {
    routes.layer(middleware::from_fn(introduce))
}

async fn introduce(
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions_mut();
    extensions.insert(ConnectInfo(peer.address));
    if let Some(certificate) = peer.certificate {
        extensions.insert(certificate);
    }
    next.run(request).await
}

/// The client's certificate, the first of its chain, and whether the authority vouches for it now.
fn presented(
    chain: &[CertificateDer<'_>],
    authority: Option<&dyn ClientCertVerifier>,
) -> Option<ClientCertificate> {
    let (certificate, issuers) = chain.split_first()?;
    let verified = authority.is_some_and(|authority| {
        authority.verify_client_cert(certificate, issuers, UnixTime::now()).is_ok()
    });
    let der = certificate.as_ref();
    Some(if verified {
        ClientCertificate::verified(der)
    } else {
        ClientCertificate::unverified(der)
    })
}

fn chain_verifier(
    file: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{} is no authority: {error}", file.display()))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    Ok(builder.build()?)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let shown = file.display();
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let read: Vec<_> = read.map_err(|error| format!("no certificate in {shown}: {error}"))?;
    if read.is_empty() {
        return Err(format!("no certificate in {shown}").into());
    }
    Ok(read)
}

/// Lets every certificate through the handshake whose key the client holds: the signatures are checked, the chain
/// is not.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None are named: a client would offer a certificate of these authorities only, and no self-signed one.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
