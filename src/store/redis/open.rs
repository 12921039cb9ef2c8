//! Connecting, and the checks before a store is handed out.

use std::fmt::Write as _;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use redis::{Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use crate::id::Namespace;
use crate::store::redis::config::{Address, MOST_SHARDS, RedisConfig};
use crate::store::redis::durability::{self, Durability, field};
use crate::store::redis::keys::NamespaceKeys;
use crate::store::redis::link::{Connection, Link};
use crate::store::redis::script::{Call, OPEN};
use crate::store::redis::start_error::RedisStartError;
use crate::store::redis::store::{RedisStore, Shared};
use crate::token::DigestKey;

/// What the data look like. Another number is another layout, which this version does not read.
const SCHEMA: u16 = 1;

/// How many shards a namespace has in a cluster: enough that each is small, few enough to look at all of them.
const CLUSTER_SHARDS: u16 = 64;

/// Connects, checks the servers and the data, and makes the store.
pub(super) async fn open(config: RedisConfig) -> Result<RedisStore, RedisStartError> {
    let address = config.address()?;
    let link = Link::new(&address, config.timeout, config.replicas)
        .map_err(RedisStartError::unreachable)?;
    let (shards, durability) = check_and_open(&config, &address, &link).await?;
    let RedisConfig { key, prefix, lifetimes, stopwatch, longest_lifetime, .. } = config;
    let keys = NamespaceKeys::new(&prefix, shards, &key, &Namespace::default());
    let shared = Shared {
        link,
        key,
        prefix,
        shards,
        lifetimes,
        stopwatch,
        longest_lifetime,
        durability,
        first_swept: AtomicUsize::new(0),
        leaps: Mutex::default(),
    };
    Ok(RedisStore { shared: Arc::new(shared), keys })
}

/// Looks at every server, then at the data; founds them if there are none. The number of shards, and what the servers keep.
async fn check_and_open(
    config: &RedisConfig,
    address: &Address,
    link: &Link,
) -> Result<(u16, Durability), RedisStartError> {
    let opening = async {
        check_first_node(address).await?;
        let mut connection = link.open().await.map_err(start_error)?;
        let infos = infos(&mut connection).await?;
        for info in &infos {
            check_server(info, config)?;
        }
        let shards = open_data(config, link.is_cluster(), &mut connection).await?;
        let policies = append_policies(&mut connection).await;
        Ok((shards, durability::weakest(&infos, &policies)))
    };
    // What is asked here is asked of several servers in turn.
    let Ok(opened) = tokio::time::timeout(config.timeout * 8, opening).await else {
        return Err(RedisStartError::unreachable("no answer in time"));
    };
    opened
}

/// One server tells whether it is a node of a cluster; a client for the other kind only says that it is confused.
async fn check_first_node(address: &Address) -> Result<(), RedisStartError> {
    let mut failure = RedisStartError::unreachable("no host was given");
    for node in &address.nodes {
        let client = Client::open(node.clone()).map_err(start_error)?;
        let opened = client.get_multiplexed_async_connection().await;
        let mut connection = match opened {
            Ok(connection) => Connection::Single(connection),
            Err(error) => {
                failure = start_error(error);
                continue;
            }
        };
        let info = text(connection.send(redis::cmd("INFO")).await)?;
        return match (field(&info, "redis_mode"), address.is_cluster) {
            (Some("cluster"), false) => Err(RedisStartError::IsACluster),
            (Some("standalone" | "sentinel"), true) => Err(RedisStartError::NotACluster),
            (Some(_) | None, _) => Ok(()),
        };
    }
    Err(failure)
}

/// What every server says of itself.
async fn infos(connection: &mut Connection) -> Result<Vec<String>, RedisStartError> {
    let infos = ask_all(connection, redis::cmd("INFO")).await.map_err(start_error)?;
    infos.into_iter().map(|info| text(Ok(info))).collect()
}

/// When every server writes its append-only file to the disk; fewer where a server does not tell.
async fn append_policies(connection: &mut Connection) -> Vec<String> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("appendfsync");
    // A managed service, or the rights of this user, may not allow it.
    let Ok(answers) = ask_all(connection, command).await else {
        return Vec::new();
    };
    answers.into_iter().filter_map(durability::append_policy).collect()
}

/// Asks every server: replicas of a cluster too, which may be primaries tomorrow.
#[expect(clippy::wildcard_enum_match_arm, reason = "what else there is, is not ours to list")]
async fn ask_all(connection: &mut Connection, command: Cmd) -> Result<Vec<Value>, RedisError> {
    let Connection::Cluster(cluster) = connection else {
        return Ok(vec![connection.send(command).await?.extract_error()?]);
    };
    let all = (MultipleNodeRoutingInfo::AllNodes, None::<ResponsePolicy>);
    let answer = cluster.route_command(command, RoutingInfo::MultiNode(all)).await?;
    Ok(match answer.extract_error()? {
        Value::Map(answers) => answers.into_iter().map(|(_, answer)| answer).collect(),
        Value::Array(answers) => answers
            .into_iter()
            .filter_map(|pair| match pair {
                Value::Array(pair) => pair.into_iter().nth(1),
                answer => Some(answer),
            })
            .collect(),
        answer => vec![answer],
    })
}

fn check_server(info: &str, config: &RedisConfig) -> Result<(), RedisStartError> {
    if field(info, "loading") == Some("1") {
        return Err(RedisStartError::Loading);
    }
    let in_cluster = field(info, "redis_mode") == Some("cluster");
    if field(info, "role") == Some("slave") && !in_cluster {
        return Err(RedisStartError::Replica);
    }
    // Valkey says what it is in a field of its own; as Redis it calls itself 7.2, which is what it grew out of.
    let version = field(info, "redis_version").unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < 7) {
        return Err(RedisStartError::TooOld { version: version.to_owned() });
    }
    match (field(info, "maxmemory"), field(info, "maxmemory_policy")) {
        (_, Some("noeviction")) | (Some("0"), _) => Ok(()),
        _ if config.memory_policy_is_known => Ok(()),
        (_, Some(policy)) => Err(RedisStartError::Evicting { policy: policy.to_owned() }),
        (_, None) => Err(RedisStartError::MemoryPolicyUnknown),
    }
}

async fn open_data(
    config: &RedisConfig,
    is_cluster: bool,
    connection: &mut Connection,
) -> Result<u16, RedisStartError> {
    let default = if is_cluster { CLUSTER_SHARDS } else { 1 };
    let shards = config.shards.unwrap_or(default).clamp(1, MOST_SHARDS);
    let check = key_check(&config.key);
    let call = Call::new(&OPEN, format!("{{{}:store}}", config.prefix).into_bytes())
        .number(u64::from(SCHEMA))
        .number(u64::from(shards))
        .argument(check.as_str());
    let answer = connection.send(call.by_source()).await.and_then(Value::extract_error);
    let answer = answer.map_err(start_error)?;
    let answer: Vec<Option<String>> =
        redis::from_redis_value(answer).map_err(RedisStartError::unreachable)?;
    let [schema, known_shards, known_check] = answer.as_slice() else {
        return Err(RedisStartError::unreachable("an answer of another kind"));
    };
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<u16>().ok());
    if number(schema) != Some(SCHEMA) {
        let found = schema.clone().unwrap_or_else(|| "none".to_owned());
        return Err(RedisStartError::OtherSchema { found, known: SCHEMA });
    }
    if known_check.as_deref() != Some(check.as_str()) {
        return Err(RedisStartError::WrongKey);
    }
    let found = number(known_shards).unwrap_or_default();
    match config.shards {
        Some(asked) if asked != found => Err(RedisStartError::OtherShards { found, asked }),
        Some(_) | None => Ok(found),
    }
}

/// Tells one digest key from another, and nothing about either.
fn key_check(key: &DigestKey) -> String {
    let mut text = String::new();
    for byte in key.derive("annul key check", "").iter().take(16) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what else there is, is not ours to list")]
fn start_error(error: RedisError) -> RedisStartError {
    match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
            RedisStartError::Refused { source: error.into() }
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading) => RedisStartError::Loading,
        ErrorKind::Server(ServerErrorKind::ReadOnly) => RedisStartError::Replica,
        _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => {
            RedisStartError::Refused { source: error.into() }
        }
        _ => RedisStartError::unreachable(error),
    }
}

fn text(answer: Result<Value, RedisError>) -> Result<String, RedisStartError> {
    let answer = answer.and_then(Value::extract_error).map_err(start_error)?;
    redis::from_redis_value(answer).map_err(RedisStartError::unreachable)
}
