//! The clients of a fixture: registration metadata, and what a fixture says beyond it.

use annul::Timestamp;
use annul::client::{Client, ClientMetadata, ClientTable, SecretHash};
use serde::Deserialize;
use serde_json::Value;

/// What a fixture says about a client beside its registration metadata.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extras {
    client_secret: Option<String>,
    /// A PHC string of Argon2id.
    client_secret_hash: Option<String>,
    /// When both expire. Seconds since the epoch; 0 for never (RFC 7591 section 3.2.1).
    client_secret_expires_at: u64,
    /// Still accepted while the client moves to the new one.
    previous_client_secrets: Vec<String>,
    previous_client_secret_hashes: Vec<String>,
    may_introspect: bool,
}

/// Registers every client that makes sense. One that does not is left out, so that it cannot authenticate, and
/// named in a warning: the others are not to suffer for it.
pub(crate) fn register(entries: &[Value]) -> ClientTable {
    let mut clients: Vec<Client> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        match client(entry) {
            Ok(client) if clients.iter().any(|known| known.id() == client.id()) => {
                eprintln!("warning: clients[{index}] repeats {}: ignored", client.id());
            }
            Ok(client) => clients.push(client),
            Err(flaw) => {
                eprintln!("warning: clients[{index}] will not authenticate: {flaw}");
            }
        }
    }
    clients.into_iter().collect()
}

fn client(entry: &Value) -> Result<Client, String> {
    let entry = without_nulls(entry);
    let metadata =
        ClientMetadata::deserialize(&entry).map_err(|error| format!("its metadata: {error}"))?;
    metadata.validate().map_err(|error| format!("its metadata: {error}"))?;
    check_keys(entry.get("jwks"))?;
    let extras = Extras::deserialize(&entry).map_err(|error| error.to_string())?;

    let mut client = Client::new(metadata);
    let expires_at = match extras.client_secret_expires_at {
        0 => None,
        seconds => Some(Timestamp::from_unix_seconds(seconds)),
    };
    if let Some(secret) = &extras.client_secret {
        client = match expires_at {
            None => client.secret(secret),
            Some(expiry) => client.secret_until(secret, expiry),
        };
    }
    if let Some(phc) = &extras.client_secret_hash {
        client = client.secret_hash(hash(phc)?, expires_at);
    }
    for secret in &extras.previous_client_secrets {
        client = client.secret(secret);
    }
    for phc in &extras.previous_client_secret_hashes {
        client = client.secret_hash(hash(phc)?, None);
    }
    if extras.may_introspect {
        client = client.may_introspect();
    }
    Ok(client)
}

fn hash(phc: &str) -> Result<SecretHash, String> {
    SecretHash::parse(phc).map_err(|error| format!("a secret's hash: {error}"))
}

/// Whether a client has a secret that is kept as a hash.
pub(crate) fn any_is_hashed(entries: &[Value]) -> bool {
    let members = ["client_secret_hash", "previous_client_secret_hashes"];
    let is_there = |value: &Value| !value.is_null();
    let has_one = |entry: &Value| members.iter().any(|name| entry.get(name).is_some_and(is_there));
    entries.iter().any(has_one)
}

/// A member that is `null` is a member that is absent (RFC 7591 section 3.2.1 and its users).
fn without_nulls(entry: &Value) -> Value {
    match entry {
        Value::Object(members) => members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
            entry.clone()
        }
    }
}

/// A key set is an object with an array of keys, each with a type (RFC 7517 sections 4 and 5).
fn check_keys(jwks: Option<&Value>) -> Result<(), String> {
    let Some(jwks) = jwks else {
        return Ok(());
    };
    let keys = jwks.get("keys").and_then(Value::as_array);
    let sound = keys
        .is_some_and(|keys| keys.iter().all(|key| key.get("kty").is_some_and(Value::is_string)));
    if sound { Ok(()) } else { Err("its jwks is not a JWK set".to_owned()) }
}
