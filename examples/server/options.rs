//! The command line, read by hand.

use std::path::PathBuf;

use crate::store::Place;
use crate::tls::TlsOptions;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
annul's example server: token revocation, logout and introspection over HTTP and TLS

Usage: server [OPTIONS]

Options:
  --listen HOST:PORT     where to listen [default: 127.0.0.1:8080]; port 0 picks a free one,
                         and the first line printed says which
  --fixtures FILE.json   clients, sessions and tokens to start with; without it, a small standard
                         set is loaded and curl commands to try are printed
  --store STORE          where tokens, sessions and revocations are kept [default: file:annul.store]:
                           file:PATH           a folder of its own; lasts, for one process at a time
                           postgres://…        a PostgreSQL database; the tables are made if need be
                           redis://…           a Redis or Valkey server that does not evict
                           redis-cluster://…   a Redis Cluster, by the addresses of some of its nodes
                           memory              gone with the process
  --key-file FILE        the key of a store that lasts, by which it digests tokens: made at the first
                         start, and needed at every later one [default: the PATH and `.key` for file:,
                         annul.key for the others]
  --generate-tokens N    makes N more live access tokens of the first client ...
  --token-file FILE      ... and writes them here, one per line
  --tls-listen HOST:PORT where to listen for TLS as well, with the same routes; clients may show a
                         certificate; the second line printed says which port it is
  --tls-certificate FILE.pem   the server's certificate, and those between it and its authority
  --tls-key FILE.pem           its private key
  --tls-client-ca FILE.pem     the authority that `tls_client_auth` trusts; without it, nobody
                         authenticates by that method. Certificates are X.509 version 3
  --help                 prints this

Routes (the fixture's profile, or its `paths`, rename the first three):
  POST /revoke           RFC 7009 token revocation
  POST /logout           logout with a refresh token
  POST /introspect       RFC 7662 token introspection
  GET  /resource         a protected resource: 200 for a live Bearer access token, else 401
  GET  /healthz          200 when the store answers, 503 when it does not
  GET  /.well-known/oauth-authorization-server, /.well-known/openid-configuration

The fixture is a JSON object; examples/server/fixtures/ has some. Only `clients` must be there:
  clients       registration metadata (RFC 7591): client_id, token_endpoint_auth_method, which is one of
                client_secret_basic (where none is said), client_secret_post, client_secret_jwt,
                private_key_jwt, tls_client_auth, self_signed_tls_client_auth and none; jwks or jwks_uri;
                token_endpoint_auth_signing_alg; tls_client_auth_subject_dn, _san_dns, _san_uri, _san_ip
                or _san_email. Beyond that: client_secret, client_secret_hash (an Argon2id PHC string),
                client_secret_expires_at, previous_client_secrets, previous_client_secret_hashes,
                may_introspect, origins
  tokens        token, token_type (access_token or refresh_token), client_id, sub, grant_id, sid, scope,
                expires_in, offline, consumed, revoked, counterpart
  sessions      sid, sub, clients, expires_in
  issuer        whom assertions are addressed to [default: http:// and the address of --listen]
  profile       standard, asgardeo, django_oauth_toolkit, fapi2, hyperid, keycloak or wso2
  paths         revoke, logout, introspect
  clock_skew    how far clients' clocks may be from this one's, in seconds; more than 60 is 60
  throttle      false: nobody is slowed down. Otherwise callers that keep failing, or keep presenting
                unknown tokens, are answered 429 for a while

Loaded again into a store that lasts, a fixture changes nothing there: what was revoked, consumed or
logged out stays so. A token that the store has forgotten, an hour or more after its expiry, is new again.

Not in this build: /end_session and /jwks (404). Fixture members that belong to them are ignored.
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The text of `--help`.
    Help,
    /// A server.
    Run(Box<Options>),
}

/// How the server is to run.
#[derive(Debug)]
pub(crate) struct Options {
    /// Host and port, as given; resolved when bound.
    pub(crate) listen: String,
    /// The fixture file; none for the built-in one.
    pub(crate) fixtures: Option<PathBuf>,
    /// Where tokens are kept.
    pub(crate) store: Place,
    /// Where the key of the store is, if it lasts.
    pub(crate) key_file: PathBuf,
    /// Tokens to make before serving.
    pub(crate) generate: Option<Generate>,
    /// Where to listen for TLS, if at all.
    pub(crate) tls: Option<TlsOptions>,
}

/// Tokens to make, and where to write them.
#[derive(Debug)]
pub(crate) struct Generate {
    pub(crate) count: u64,
    pub(crate) file: PathBuf,
}

/// Reads the arguments after the program's name. `--flag value` and `--flag=value` are the same.
///
/// The error is one sentence for the person at the terminal.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut listen = "127.0.0.1:8080".to_owned();
    let mut fixtures = None;
    let mut store = Place::File(Place::DEFAULT.into());
    let mut key_file = None;
    let mut count = None;
    let mut file = None;
    let mut tls_listen = None;
    let mut tls_certificate = None;
    let mut tls_key = None;
    let mut tls_client_ca = None;
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let (flag, mut inline) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut value = || {
            inline
                .take()
                .or_else(|| arguments.next())
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{flag} wants a value"))
        };
        match flag {
            "--listen" => listen = value()?,
            "--fixtures" => fixtures = Some(PathBuf::from(value()?)),
            "--store" => store = Place::parse(&value()?)?,
            "--key-file" => key_file = Some(PathBuf::from(value()?)),
            "--generate-tokens" => {
                let text = value()?;
                let number = text.parse::<u64>();
                count = Some(number.map_err(|_| format!("{flag} wants a number, not {text}"))?);
            }
            "--token-file" => file = Some(PathBuf::from(value()?)),
            "--tls-listen" => tls_listen = Some(value()?),
            "--tls-certificate" => tls_certificate = Some(PathBuf::from(value()?)),
            "--tls-key" => tls_key = Some(PathBuf::from(value()?)),
            "--tls-client-ca" => tls_client_ca = Some(PathBuf::from(value()?)),
            "--help" | "-h" => return Ok(Asked::Help),
            _ => return Err(format!("unknown argument {argument}")),
        }
        if inline.is_some() {
            return Err(format!("{flag} takes no value"));
        }
    }
    let generate = match (count, file) {
        (Some(count), Some(file)) => Some(Generate { count, file }),
        (None, None) => None,
        (Some(_), None) => return Err("--generate-tokens wants --token-file beside it".to_owned()),
        (None, Some(_)) => return Err("--token-file wants --generate-tokens beside it".to_owned()),
    };
    let tls = match (tls_listen, tls_certificate, tls_key, tls_client_ca) {
        (Some(listen), Some(certificate), Some(key), client_ca) => {
            Some(TlsOptions { listen, certificate, key, client_ca })
        }
        (None, None, None, None) => None,
        _ => {
            let together = "--tls-listen, --tls-certificate and --tls-key go together";
            return Err(format!("{together}; --tls-client-ca may stand beside them"));
        }
    };
    let key_file = match (key_file, &store) {
        (Some(_), Place::Memory) => {
            return Err(
                "--key-file is for a store that lasts; --store memory makes a key of its own"
                    .to_owned(),
            );
        }
        (Some(file), _) => file,
        (None, store) => store.key_file(),
    };
    Ok(Asked::Run(Box::new(Options { listen, fixtures, store, key_file, generate, tls })))
}
