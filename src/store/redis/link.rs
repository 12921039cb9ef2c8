//! The connection: opened again when it is lost, asked again where Redis says so, and never for longer than one time-out.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisResult,
    ServerErrorKind, Value,
};

use crate::error::StoreError;
use crate::store::redis::config::{Address, Replicas};
use crate::store::redis::script::Call;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(25);

/// The connections, shared by all callers: what they send at once goes out as one pipeline.
pub(super) struct Link {
    engine: Engine,
    timeout: Duration,
    replicas: Option<Replicas>,
    reading: Lane,
    /// Writes that wait for replicas have a connection of their own: whatever is behind them waits too.
    waiting: Lane,
    /// What the last attempt came to that was not the end of it.
    last_failure: Mutex<Option<String>>,
}

/// One connection, opened when it is needed.
#[derive(Default)]
struct Lane {
    held: Mutex<HeldConnection>,
    opening: tokio::sync::Mutex<()>,
}

enum Engine {
    Cluster(Box<ClusterClient>),
    Single(Box<Client>),
}

#[derive(Default)]
struct HeldConnection {
    connection: Option<Connection>,
    /// Which one it is, so that of many who find it broken one throws it away.
    number: u64,
}

#[derive(Clone)]
pub(super) enum Connection {
    Cluster(ClusterConnection),
    Single(MultiplexedConnection),
}

/// What may help against a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Remedy {
    GiveUp,
    Reconnect,
    Wait,
}

impl Link {
    pub(super) fn new(
        address: &Address,
        timeout: Duration,
        replicas: Option<Replicas>,
    ) -> RedisResult<Self> {
        let engine = match address.nodes.as_slice() {
            [node] if !address.is_cluster => Engine::Single(Box::new(Client::open(node.clone())?)),
            nodes => {
                let client = ClusterClient::builder(nodes.iter().cloned())
                    .connection_timeout(timeout)
                    // Later than ours, which ends everything: it would only ask once more.
                    .response_timeout(timeout * 2)
                    .overall_response_timeout(None)
                    // Its patience grows by powers of two; ours does not, and outlasts it.
                    .retries(6)
                    .min_retry_wait(5)
                    .max_retry_wait(50)
                    .build()?;
                Engine::Cluster(Box::new(client))
            }
        };
        let (reading, waiting) = (Lane::default(), Lane::default());
        Ok(Self { engine, timeout, replicas, reading, waiting, last_failure: Mutex::default() })
    }

    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self.engine, Engine::Cluster(_))
    }

    /// Runs one operation, of any number of calls, for as long as it may take.
    pub(super) async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        *lock(&self.last_failure) = None;
        let lanes = [&self.reading, &self.waiting].map(|lane| (lane, lane.number()));
        let Ok(outcome) = tokio::time::timeout(self.timeout, operation).await else {
            let failure = lock(&self.last_failure).take();
            if !self.is_cluster() {
                // Half open perhaps. A cluster's connection has many, and finds the broken one by itself.
                lanes.into_iter().for_each(|(lane, number)| lane.discard(number));
            }
            let failure = failure.unwrap_or_else(|| "no answer".to_owned());
            let message = format!("Redis did not serve within {:?}: {failure}", self.timeout);
            return Err(StoreError::unavailable(message));
        };
        outcome
    }

    /// Calls a script until it was run. Only a surrounding [`within`](Self::within) ends it.
    pub(super) async fn call(&self, call: &Call) -> Result<Value, StoreError> {
        let waits = self.replicas.filter(|_| call.writes());
        let lane = if waits.is_some() { &self.waiting } else { &self.reading };
        loop {
            let (number, error) = match self.attempt(lane, call, waits).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            match remedy(&error) {
                Remedy::GiveUp => return Err(store_error(&error)),
                Remedy::Reconnect => lane.discard(number),
                Remedy::Wait => {}
            }
            *lock(&self.last_failure) = Some(error.to_string());
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt(
        &self,
        lane: &Lane,
        call: &Call,
        waits: Option<Replicas>,
    ) -> Result<Value, (u64, RedisError)> {
        let (number, mut connection) = self.connection(lane).await?;
        let failed = |error| (number, error);
        let first = connection.run(call, call.by_hash(), waits).await;
        let outcome = match first {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                connection.run(call, call.by_source(), waits).await
            }
            outcome => outcome,
        };
        outcome.map_err(failed)
    }

    /// The connection, opened if there is none. Of many callers one opens it.
    async fn connection(&self, lane: &Lane) -> Result<(u64, Connection), (u64, RedisError)> {
        if let Some(held) = lane.get() {
            return Ok(held);
        }
        let _opening = lane.opening.lock().await;
        if let Some(held) = lane.get() {
            return Ok(held);
        }
        let opened = self.open().await;
        let mut held = lock(&lane.held);
        held.number += 1;
        let number = held.number;
        match opened {
            Ok(connection) => {
                held.connection = Some(connection.clone());
                Ok((number, connection))
            }
            Err(error) => Err((number, error)),
        }
    }

    pub(super) async fn open(&self) -> RedisResult<Connection> {
        match &self.engine {
            Engine::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
            Engine::Single(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.timeout))
                    .set_response_timeout(None);
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await
                    .map(Connection::Single)
            }
        }
    }
}

impl Lane {
    fn get(&self) -> Option<(u64, Connection)> {
        let held = lock(&self.held);
        held.connection.clone().map(|connection| (held.number, connection))
    }

    fn number(&self) -> u64 {
        lock(&self.held).number
    }

    fn discard(&self, number: u64) {
        let mut held = lock(&self.held);
        if held.number == number {
            held.connection = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    async fn run(
        &mut self,
        call: &Call,
        command: Cmd,
        waits: Option<Replicas>,
    ) -> RedisResult<Value> {
        let Some(replicas) = waits else {
            return self.send(command).await?.extract_error();
        };
        // `WAIT` waits for all that the server had written when this connection's last command was done, also where that found
        // its work done already. In one pipeline, so that no other server can answer the second half.
        let mut pipeline = Pipeline::new();
        pipeline.add_command(command);
        let within = u64::try_from(replicas.within.as_millis()).unwrap_or(u64::MAX).max(1);
        pipeline.cmd("WAIT").arg(replicas.count).arg(within);
        let answers = self.send_all(pipeline, 2, call.slot_key()).await?;
        let mut answers = answers.into_iter().map(Value::extract_error);
        let answer = answers.next().unwrap_or(Ok(Value::Nil))?;
        match answers.next() {
            Some(Ok(Value::Int(acknowledged))) if acknowledged >= i64::from(replicas.count) => {
                Ok(answer)
            }
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Err(RedisError::from((
                ErrorKind::Client,
                "written, but not acknowledged by as many replicas as are required",
            ))),
        }
    }

    pub(super) async fn send(&mut self, command: Cmd) -> RedisResult<Value> {
        match self {
            Self::Cluster(connection) => connection.req_packed_command(&command).await,
            Self::Single(connection) => connection.send_packed_command(&command).await,
        }
    }

    async fn send_all(
        &mut self,
        pipeline: Pipeline,
        count: usize,
        key: &[u8],
    ) -> RedisResult<Vec<Value>> {
        match self {
            Self::Cluster(connection) => {
                let route = Route::with_key(key, SlotAddr::Master);
                let route = SingleNodeRoutingInfo::SpecificNode(route);
                connection.route_pipeline(pipeline, 0, count, route).await
            }
            Self::Single(connection) => connection.send_packed_commands(&pipeline, 0, count).await,
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what else there is, is not ours to list")]
fn remedy(error: &RedisError) -> Remedy {
    // A script that touches a key of a slot that is just moving: the next attempt finds all of them on one side.
    let moving = || error.detail().is_some_and(|detail| detail.contains("non local key"));
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => Remedy::Reconnect,
        // Demoted while we were connected: another server is the primary now.
        ErrorKind::Server(ServerErrorKind::ReadOnly) => Remedy::Reconnect,
        ErrorKind::ClusterConnectionNotFound => Remedy::Wait,
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::TryAgain
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        ) => Remedy::Wait,
        _ if error.code() == Some("BUSY") || moving() => Remedy::Wait,
        _ => Remedy::GiveUp,
    }
}

fn store_error(error: &RedisError) -> StoreError {
    match error.code() {
        Some("WRONGTYPE" | "CORRUPT") => StoreError::corrupt(error.to_string()),
        Some(_) | None => StoreError::unavailable(error.to_string()),
    }
}
