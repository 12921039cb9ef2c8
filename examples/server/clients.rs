//! The clients of a fixture: registration metadata, and what a fixture says beyond it.

use annul::Timestamp;
use annul::client::Client;
use annul::client::ClientMetadata;
use annul::client::ClientTable;
use serde::Deserialize;
use serde_json::Value;

/// What a fixture says about a client beside its registration metadata.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extras {
    client_secret: Option<String>,
    /// Seconds since the epoch; 0 for never (RFC 7591 section 3.2.1).
    client_secret_expires_at: u64,
    /// Still accepted while the client moves to the new one.
    previous_client_secrets: Vec<String>,
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
    if let Some(secret) = &extras.client_secret {
        client = match extras.client_secret_expires_at {
            0 => client.secret(secret),
            seconds => client.secret_until(secret, Timestamp::from_unix_seconds(seconds)),
        };
    }
    for secret in &extras.previous_client_secrets {
        client = client.secret(secret);
    }
    if extras.may_introspect {
        client = client.may_introspect();
    }
    Ok(client)
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
