//! The server on engines of a network: what it says while one of them is gone, and when it is back.
//!
//! The engines are real, and the tests' own: `redis-server` and `postgres` have to be installed.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::restart::{Folder, WEB, fixture, refused};
use crate::server::{Server, write_fixture};

/// Runs an engine until the pipe is closed: by us, or because this process has ended.
const UNTIL_CLOSED: &str = r#"
trap '' INT; signal=$1; shift
"$@" >/dev/null 2>&1 </dev/null &
engine=$!
read -r _
kill -s "$signal" $engine
wait $engine 2>/dev/null
"#;

/// An engine that can be taken away, and comes back with what it had.
struct Engine {
    port: u16,
    /// How it ends: as hard as it can be started again after.
    signal: &'static str,
    arguments: Vec<String>,
    owner: Option<(u32, u32)>,
    ready: fn(u16) -> bool,
    shell: Option<Child>,
}

impl Engine {
    fn run(mut self) -> Self {
        self.begin();
        self
    }

    fn begin(&mut self) {
        let mut shell = Command::new("sh");
        shell.args(["-c", UNTIL_CLOSED, "sh", self.signal]).args(&self.arguments);
        if let Some((user, group)) = self.owner {
            shell.uid(user).gid(group);
        }
        self.shell = Some(shell.current_dir("/").stdin(Stdio::piped()).spawn().unwrap());
        eventually("the engine serves", || (self.ready)(self.port));
    }

    fn end(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            shell.wait().unwrap();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[track_caller]
fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if look() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: not in a minute");
}

/// A Redis that has on disk what it has answered.
fn redis(folder: &Path) -> Engine {
    redis_with("--appendonly yes --appendfsync always", folder)
}

fn redis_with(options: &str, folder: &Path) -> Engine {
    let port = free_port();
    let text = format!(
        "redis-server --port {port} --bind 127.0.0.1 --save \"\" {options} --requirepass hunter2 --dir"
    );
    let mut arguments: Vec<String> = text.split(' ').map(|word| word.replace('"', "")).collect();
    arguments.push(folder.to_str().unwrap().to_owned());
    let ready = |port| {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            return false;
        };
        let mut answer = [0; 5];
        let asked =
            stream.write_all(b"AUTH hunter2\r\n").and_then(|()| stream.read_exact(&mut answer));
        let loaded = stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut answer));
        asked.is_ok() && loaded.is_ok() && answer.starts_with(b"+PON")
    };
    Engine { port, signal: "KILL", arguments, owner: None, ready, shell: None }.run()
}

/// Where Debian keeps PostgreSQL's programs.
fn postgres_program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|entry| entry.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

/// PostgreSQL is not run by root.
fn postgres_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("a user postgres");
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().unwrap());
    Some((numbers.next().unwrap(), numbers.next().unwrap()))
}

/// A PostgreSQL with nothing in it; its folder has to be one that its user may enter.
fn postgres(folder: &Path) -> Engine {
    let port = free_port();
    let owner = postgres_user();
    let mut initdb = Command::new(postgres_program("initdb"));
    initdb.args(["--username=admin", "--auth=trust", "--no-sync", "--locale=C", "-D"]);
    initdb.arg(folder.join("data")).current_dir("/");
    if let Some((user, group)) = owner {
        chown(folder, Some(user), Some(group)).unwrap();
        initdb.uid(user).gid(group);
    }
    let made = initdb.output().expect("initdb, of the Debian package postgresql");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let program = postgres_program("postgres").to_str().unwrap().to_owned();
    let folder = folder.to_str().unwrap();
    let text =
        format!("{program} -D {folder}/data -p {port} -k {folder} -c listen_addresses=127.0.0.1");
    let arguments = text.split(' ').map(str::to_owned).collect();
    let ready = |port: u16| {
        let mut asked = Command::new(postgres_program("pg_isready"));
        let port = port.to_string();
        asked.args(["-q", "-h", "127.0.0.1", "-U", "admin", "-d", "postgres", "-p", &port]);
        asked.status().unwrap().success()
    };
    Engine { port, signal: "QUIT", arguments, owner, ready, shell: None }.run()
}

/// A folder that others may enter: the target folder is perhaps nobody's but ours.
struct Outside(PathBuf);

impl Outside {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("annul-hosts-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn the_server_tells_the_truth(mut engine: Engine, store: &str) {
    let folder = Folder::new();
    let fixture = write_fixture(&fixture());
    let arguments = ["--store", store, "--fixtures", fixture.to_str().unwrap()];
    let start = || Server::in_folder(&folder.path(""), &arguments);
    let server = start();
    let health = |server: &Server| server.get("/healthz", &[]).status;
    assert_eq!(health(&server), 200);
    server.assert_alive(&["rt-1", "at-1", "at-3", "at-4"]);
    server.post("/revoke", &[WEB], "token=at-4").assert_empty(200);
    server.assert_dead(&["at-4"]);

    engine.end();
    assert_eq!(health(&server), 503);
    let refused = server.post("/revoke", &[WEB], "token=at-3");
    refused.assert_error(503, "temporarily_unavailable");
    assert!(refused.header("retry-after").is_some());
    let answer = server.get("/resource", &[("Authorization", "Bearer at-4")]);
    assert_eq!(answer.status, 503);

    engine.begin();
    eventually("the server is well again", || health(&server) == 200);
    server.assert_dead(&["at-4"]);
    server.assert_alive(&["rt-1", "at-1"]);
    server.post("/revoke", &[WEB], "token=at-3").assert_empty(200);
    server.post("/logout", &[WEB], "refresh_token=rt-1").assert_empty(200);
    let said = server.warnings();
    let lines: Vec<&str> = said.lines().collect();
    // Once, however many requests there were.
    let [failing, well] = lines[..] else {
        panic!("{said}");
    };
    assert!(failing.contains("503") && well.contains("answers again"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");

    server.kill();
    let server = start();
    server.assert_dead(&["rt-1", "at-1", "at-2", "at-3", "at-4"]);
    assert_eq!(health(&server), 200);
    drop(server);

    engine.end();
    let complaint = refused_by(&folder, &arguments);
    assert!(complaint.starts_with("error: "), "{complaint}");
}

fn refused_by(folder: &Folder, arguments: &[&str]) -> String {
    let complaint = refused(folder, arguments);
    assert!(!complaint.contains("hunter2"), "{complaint}");
    complaint
}

#[test]
fn healthz_tells_the_truth_while_redis_is_gone_and_nothing_comes_back_with_it() {
    let data = Outside::new("redis");
    let engine = redis(&data.0);
    let store = format!("redis://:hunter2@127.0.0.1:{}", engine.port);
    the_server_tells_the_truth(engine, &store);
}

#[test]
fn a_redis_that_keeps_less_than_every_write_is_warned_of_at_the_start() {
    let folder = Folder::new();
    for (options, wanted) in [
        ("--appendonly no", Some("no append-only file")),
        ("--appendonly yes --appendfsync everysec", Some("appendfsync everysec")),
        ("--appendonly yes --appendfsync always", None),
    ] {
        let data = Outside::new("redis-less");
        let engine = redis_with(options, &data.0);
        let store = format!("redis://:hunter2@127.0.0.1:{}", engine.port);
        let server = Server::in_folder(&folder.path(""), &["--store", &store]);
        let said = server.warnings();
        let lines: Vec<&str> = said.lines().collect();
        match wanted {
            Some(wanted) => {
                let [line] = lines[..] else { panic!("{options}: {said}") };
                assert!(line.starts_with("warning: Redis") && line.contains(wanted), "{said}");
            }
            None => assert!(lines.is_empty(), "{said}"),
        }
    }
}

#[test]
fn healthz_tells_the_truth_while_postgresql_is_gone_and_nothing_comes_back_with_it() {
    let data = Outside::new("postgres");
    let engine = postgres(&data.0);
    let store = format!("postgres://admin:hunter2@127.0.0.1:{}/postgres", engine.port);
    the_server_tells_the_truth(engine, &store);
}

#[test]
fn a_url_that_leads_nowhere_is_refused_without_its_password_and_leaves_no_key() {
    let folder = Folder::new();
    for scheme in ["postgres", "redis", "redis-cluster"] {
        for place in ["127.0.0.1:1", "127.0.0.1:notaport", "nowhere.invalid:1"] {
            let store = format!("{scheme}://admin:hunter2@{place}");
            refused_by(&folder, &["--store", &store]);
            assert!(!folder.path("annul.key").exists(), "{store}");
        }
    }
}
