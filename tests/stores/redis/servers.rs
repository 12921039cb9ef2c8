//! Redis servers of a test's own: on free ports, in folders of their own, gone with their handle.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::{Client, Value};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take for what it always does at last.
const PATIENCE: Duration = Duration::from_secs(30);

/// One server.
pub(crate) struct Server {
    child: Option<Child>,
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Server {
    /// A port that nobody listens on now.
    pub(crate) fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    /// Starts one with these options, each `name value`, and waits until it serves.
    pub(crate) fn start(options: &[&str]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("annul-redis-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { child: None, port: 0, folder, options };
        // Between finding a port and taking it somebody else may have.
        for _ in 0..10 {
            server.port = Self::free_port();
            if server.run() {
                return server;
            }
        }
        panic!("redis-server does not start: is it installed? Debian calls it `redis-server`");
    }

    fn run(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--dir"]).arg(&self.folder);
        command.args(["--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"]);
        if self.options.iter().any(|option| option.starts_with("cluster-enabled")) {
            command.args(["--cluster-port", &Self::free_port().to_string()]);
        }
        for option in &self.options {
            let (name, value) = option.split_once(' ').unwrap();
            command.arg(format!("--{name}")).args(value.split(' '));
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        self.child = Some(child);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            match self.try_ask(&["PING"]) {
                Ok(_) => return true,
                // It serves, but not everybody.
                Err(error) if error.code() == Some("NOAUTH") => return true,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        false
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn try_ask(&self, command: &[&str]) -> redis::RedisResult<Value> {
        let client = Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.query(&mut connection)
    }

    pub(crate) fn ask(&self, command: &[&str]) -> Value {
        self.try_ask(command).unwrap()
    }

    pub(crate) fn text(&self, command: &[&str]) -> String {
        redis::from_redis_value(self.ask(command)).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    /// Stops it where it is: it answers nothing and closes nothing.
    pub(crate) fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    pub(crate) fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again, on the same port and folder.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "redis-server does not start again");
        wait_until("it has read its data", || {
            self.try_ask(&["INFO"]).is_ok_and(|_| self.text(&["INFO"]).contains("loading:0"))
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // A paused process is killed all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Three primaries, each with as many replicas as were asked for.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start(replicas: usize, options: &[&str]) -> Self {
        let mut all = vec!["cluster-enabled yes", "cluster-node-timeout 2000"];
        all.extend(options);
        let nodes: Vec<Server> = (0..3 * (1 + replicas)).map(|_| Server::start(&all)).collect();
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]);
        command.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
        command.args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"]);
        let created = command.output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            wait_until("the cluster is up", || {
                let info = node.text(&["CLUSTER", "INFO"]);
                let known = format!("cluster_known_nodes:{}", cluster.nodes.len());
                info.contains("cluster_state:ok") && info.contains(&known)
            });
        }
        for node in &cluster.nodes {
            wait_until("the replicas are in step", || {
                let info = node.text(&["INFO", "replication"]);
                info.contains("role:slave") && info.contains("master_link_status:up")
                    || info.contains(&format!("connected_slaves:{replicas}"))
            });
        }
        cluster
    }

    pub(crate) fn url(&self) -> String {
        let nodes: Vec<_> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis-cluster://{}", nodes.join(","))
    }
}

/// Everything under a prefix, sorted, without the instants at which Redis itself forgets it.
pub(crate) fn contents(nodes: &[u16], prefix: &str) -> String {
    let mut lines = Vec::new();
    for port in nodes {
        let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut ask = |command: &[&[u8]]| -> Value {
            let mut asked = redis::cmd(std::str::from_utf8(command[0]).unwrap());
            asked.arg(&command[1..]);
            asked.query(&mut connection).unwrap()
        };
        let pattern = format!("{{{prefix}:*");
        let keys: Vec<Vec<u8>> =
            redis::from_redis_value(ask(&[b"KEYS", pattern.as_bytes()])).unwrap();
        for key in keys {
            let kind: String = redis::from_redis_value(ask(&[b"TYPE", &key])).unwrap();
            let value = match kind.as_str() {
                "string" => ask(&[b"GET", &key]),
                "list" => ask(&[b"LRANGE", &key, b"0", b"-1"]),
                "hash" => ask(&[b"HGETALL", &key]),
                "zset" => ask(&[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"]),
                "stream" => ask(&[b"XRANGE", &key, b"-", b"+"]),
                other => panic!("a key of type {other}"),
            };
            lines.push(format!("{key:?} {value:?}"));
        }
    }
    lines.sort();
    lines.join("\n")
}

/// How many commands the servers have run, those inside scripts among them.
pub(crate) fn commands(nodes: &[u16]) -> u64 {
    let mut count = 0;
    for port in nodes {
        let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let mut connection = client.get_connection().unwrap();
        let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut connection).unwrap();
        for line in stats.lines() {
            let Some((name, rest)) = line.split_once(":calls=") else { continue };
            // What this very look costs, and what connections say to each other.
            let own = ["info", "ping", "client", "hello", "cluster", "command"];
            if own.iter().any(|own| name.starts_with(&format!("cmdstat_{own}"))) {
                continue;
            }
            count += rest.split(',').next().unwrap().parse::<u64>().unwrap();
        }
    }
    count
}
