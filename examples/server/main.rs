//! The runnable server: every endpoint of this crate on a real socket.
//!
//! ```text
//! cargo run --release --example server --features example-server -- --help
//! ```
//!
//! Black-box tests, OAuth clients and load generators talk to it, so its flags, routes and fixture format are
//! an interface. It speaks plain HTTP: put a proxy that ends TLS before it, or bind it to loopback. With
//! `--tls-listen` it speaks TLS beside it; see [`tls`] for how a client's certificate gets into a request.
//!
//! Read [`routes`] to see how the endpoints are mounted, and [`fixture`] to see how tokens, sessions and
//! clients get into a store; the rest is flags and text.

mod background;
mod banner;
mod clients;
mod fixture;
mod generate;
mod jwks;
mod key;
mod options;
mod routes;
mod store;
mod tls;

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use annul::client::{
    Assertions, AuthMethod, Certificates, HashingLimits, JwksCache, RegisteredClients,
    SecretHashing,
};
use annul::metadata::Offer;
use annul::throttle::RateLimiter;
use annul::{Authority, Clock, Issuer, SystemClock};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::fixture::Fixture;
use crate::jwks::HttpJwks;
use crate::options::{Asked, Options};
use crate::tls::{Peer, TlsListener};

/// What can go wrong on the way to a running server ends up as one line on standard error.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(Asked::Run(options)) => *options,
        Ok(Asked::Help) => {
            say(options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("error: {mistake}\n\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    let fixture = match &options.fixtures {
        Some(file) => Fixture::read(file)?,
        None => Fixture::standard()?,
    };
    let profile = fixture.profile()?;
    let origins = fixture.origins();
    let clients = clients::register(&fixture.clients);
    let known_clients = clients.len();

    // Bound before anything is loaded: an address that is taken is reported at once.
    let listener = TcpListener::bind(&options.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    let address = listener.local_addr()?;
    let secure = match &options.tls {
        Some(options) => Some(TlsListener::bind(options).await?),
        None => None,
    };
    let secure_address = secure.as_ref().map(TlsListener::address).transpose()?;

    let store = options.store.open(options.key_file).await?;
    let dead = fixture::load(&fixture, store.as_ref(), SystemClock.now()).await?;
    if dead > 0 {
        eprintln!(
            "warning: {dead} of the fixture's tokens died in an earlier run, and stay dead; --store memory begins anew"
        );
    }
    if let Some(wanted) = &options.generate {
        let client = fixture.first_client()?;
        generate::tokens(&store, client, wanted, SystemClock.now()).await?;
    }

    let issuer = fixture.issuer(address);
    let key_sets = Arc::new(JwksCache::new(HttpJwks::new()?));
    let mut clients = RegisteredClients::new(clients);
    match Issuer::loopback(issuer.as_str()) {
        Ok(issuer) => {
            let assertions = Assertions::new(issuer).key_sets(Arc::clone(&key_sets));
            clients = clients.assertions(assertions);
        }
        // Nothing can be addressed to what is no issuer.
        Err(error) => {
            eprintln!("warning: no client can authenticate by assertion: {issuer}: {error}")
        }
    }
    if secure.is_some() {
        clients = clients.certificates(Certificates::new().key_sets(key_sets));
    }
    // Only where they are needed: they make every wrong secret slow.
    if clients::any_is_hashed(&fixture.clients) {
        clients = clients.secret_hashing(SecretHashing::start(HashingLimits::default())?);
    }
    let policy = profile.policy;
    let mut methods = clients.auth_methods(&policy);
    if options.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none()) {
        // Nobody vouches for a subject.
        methods = methods.without(AuthMethod::TlsClientAuth);
    }
    let offer = Offer::new(methods, policy.assertions.algorithms);
    let mut authority = Authority::new(Arc::clone(&store), clients).policy(policy);
    if let Some(origins) = origins {
        authority = authority.origins(origins);
    }
    if fixture.throttle {
        authority = authority.throttle(RateLimiter::default());
    }
    let app = routes::app(
        &authority,
        Arc::clone(&store),
        &profile.paths,
        &issuer,
        offer,
        secure_address,
    )?;
    let sweeping = tokio::spawn(background::sweep(store));

    // The first line is for programs: they wait for it, and learn the port that `:0` became.
    say(&format!("listening on http://{address}\n"));
    if let Some(address) = secure_address {
        say(&format!("listening on https://{address}\n"));
    }
    if options.fixtures.is_none() {
        say(&banner::text(address, known_clients, &options.store.described()));
    }
    let listener = listener.tap_io(|stream| {
        // An answer is one small write; waiting for more of it only adds delay.
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("warning: TCP_NODELAY: {error}");
        }
    });
    let serving_tls = {
        let app = tls::app(app.clone()).into_make_service_with_connect_info::<Peer>();
        async move {
            match secure {
                Some(listener) => {
                    axum::serve(listener, app)
                        .with_graceful_shutdown(background::stop_asked())
                        .await
                }
                None => Ok(()),
            }
        }
    };
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(background::stop_asked());
    let serving = async { tokio::try_join!(serving.into_future(), serving_tls).map(drop) };
    let outcome = tokio::select! {
        outcome = serving => outcome,
        // A client that never finishes its request must not keep the process alive.
        () = background::patience_over() => Ok(()),
    };
    sweeping.abort();
    Ok(outcome?)
}

/// Standard output may be closed before we are: that is the reader's choice, not a failure.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
