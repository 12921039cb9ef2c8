//! The server on a store that lasts: killed under load and started again; its key; and what it says when it cannot start.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use serde_json::{Value, json};

use crate::http::{Connection, form};
use crate::server::{Server, program, temporary, write_fixture};

pub(crate) const WEB: (&str, &str) = ("Authorization", "Basic d2ViOndlYi1zZWNyZXQ=");

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = temporary("folder");
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The clients `web` and `api`, and a session of Alice's with two grants.
pub(crate) fn fixture() -> Value {
    json!({
        "throttle": false,
        "clients": [
            { "client_id": "web", "client_secret": "web-secret" },
            { "client_id": "api", "client_secret": "api-secret", "may_introspect": true },
        ],
        "sessions": [{ "sid": "s1", "sub": "alice", "clients": ["web"] }],
        "tokens": [
            { "token": "rt-1", "token_type": "refresh_token", "grant_id": "g1", "sid": "s1", "sub": "alice" },
            { "token": "at-1", "grant_id": "g1", "sid": "s1", "sub": "alice" },
            { "token": "at-2", "grant_id": "g2", "sid": "s1", "sub": "alice" },
            { "token": "at-3", "grant_id": "g3", "sub": "bob" },
            { "token": "at-4", "sub": "bob" },
            { "token": "rt-5", "token_type": "refresh_token", "sub": "bob", "consumed": true },
            { "token": "at-6", "sub": "bob", "revoked": true },
        ],
    })
}

/// Revokes one token after the other on one connection, and notes each that is answered 200, until the server is gone.
fn revoke(
    address: SocketAddr,
    tokens: &[String],
    acknowledged: &Mutex<Vec<String>>,
    count: &AtomicUsize,
) {
    let mut connection = Connection::open(address);
    for token in tokens {
        let request = form("/revoke", &[WEB], &format!("token={token}"));
        let Some(answer) = connection.ask(&request) else {
            return;
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        acknowledged.lock().unwrap().push(token.clone());
        count.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_server_that_is_killed_under_load_starts_again_with_every_revocation_it_acknowledged() {
    const CONNECTIONS: usize = 8;
    const ROUNDS: usize = 3;
    const EACH: usize = 2_000;
    let folder = Folder::new();
    let store = format!("file:{}", folder.path("store").display());
    let tokens = folder.path("tokens");
    let fixture = write_fixture(&fixture());
    let start = |more: &[&str]| {
        let arguments = ["--store", &store, "--fixtures", fixture.to_str().unwrap()];
        Server::in_folder(&folder.0, &[&arguments, more].concat())
    };
    let count = (ROUNDS * EACH + 500).to_string();
    let mut server =
        start(&["--generate-tokens", &count, "--token-file", tokens.to_str().unwrap()]);
    server.post("/logout", &[WEB], "refresh_token=rt-1").assert_empty(200);
    server.post("/revoke", &[WEB], "token=at-4").assert_empty(200);

    let tokens = fs::read_to_string(&tokens).unwrap();
    let tokens: Vec<String> = tokens.lines().map(str::to_owned).collect();
    let acknowledged = Mutex::new(Vec::new());
    let (targets, untouched) = tokens.split_at(ROUNDS * EACH);
    for targets in targets.chunks(EACH) {
        let count = AtomicUsize::new(0);
        let address = server.address;
        thread::scope(|scope| {
            for share in targets.chunks(EACH / CONNECTIONS) {
                scope.spawn(|| revoke(address, share, &acknowledged, &count));
            }
            while count.load(Ordering::SeqCst) < EACH / 4 {
                thread::yield_now();
            }
            server.kill();
        });
        let seen = count.load(Ordering::SeqCst);
        assert!(seen < EACH, "it was over before the server was killed");
        server = start(&[]);
        let acknowledged = acknowledged.lock().unwrap().clone();
        let acknowledged: Vec<&str> = acknowledged.iter().map(String::as_str).collect();
        server.assert_dead(&acknowledged);
    }
    // And nothing else died, not even of those that were about to be revoked in a round that never began.
    let untouched: Vec<&str> = untouched.iter().map(String::as_str).collect();
    server.assert_alive(&untouched);
    // The fixture was loaded four times, and brought nothing back.
    server.assert_dead(&["rt-1", "at-1", "at-2", "at-4", "rt-5", "at-6"]);
    server.assert_alive(&["at-3"]);
    assert!(server.warnings().contains("4 of the fixture's tokens died"), "{}", server.warnings());
    // What is revoked now dies as ever.
    server.post("/revoke", &[WEB], "token=at-3").assert_empty(200);
    server.assert_dead(&["at-3"]);
}

/// Runs the server in a folder, for starts that are refused: with one line, and with none that says that it listens.
pub(crate) fn refused(folder: &Folder, arguments: &[&str]) -> String {
    let mut child = Command::new(program("server"))
        .current_dir(&folder.0)
        .args(["--listen", "127.0.0.1:0"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if !line.is_empty() {
        let _ = child.kill();
    }
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(line, "", "it started");
    let complaint = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    complaint
}

fn mode(file: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(file).unwrap().mode() & 0o777
}

#[test]
fn by_default_the_store_is_in_the_working_folder_and_its_key_beside_it() {
    let folder = Folder::new();
    let mut server = Server::in_folder(&folder.0, &[]);
    let key_file = folder.path("annul.store.key");
    assert_eq!(mode(&key_file), 0o600);
    let key = fs::read_to_string(&key_file).unwrap();
    assert_eq!(key.trim_end().len(), 64);
    let mut printed = String::new();
    while !printed.contains("Ctrl-C") {
        printed.push_str(&server.next_line());
    }
    assert!(printed.contains("annul.store"), "{printed}");
    assert!(!printed.contains(key.trim_end()));
    server.post("/revoke", &[WEB], "token=at-4").assert_empty(200);

    let complaint = refused(&folder, &[]);
    assert!(complaint.contains("in use"), "{complaint}");
    assert_eq!(fs::read_to_string(&key_file).unwrap(), key);

    server.kill();
    let server = Server::in_folder(&folder.0, &[]);
    server.assert_dead(&["at-4"]);
    server.assert_alive(&["at-1"]);
    assert_eq!(fs::read_to_string(&key_file).unwrap(), key);
    assert!(server.warnings().contains("died in an earlier run"), "{}", server.warnings());
}

#[test]
fn without_its_key_a_store_is_not_opened_and_no_other_key_is_left_behind() {
    let folder = Folder::new();
    Server::in_folder(&folder.0, &[]).kill();
    let key_file = folder.path("annul.store.key");
    let key = fs::read_to_string(&key_file).unwrap();
    fs::remove_file(&key_file).unwrap();
    let complaint = refused(&folder, &[]);
    assert!(complaint.contains("key"), "{complaint}");
    assert!(!key_file.exists());
    for (text, wanted) in [("0".repeat(64), "another"), ("secret-7".to_owned(), "64 hexadecimal")] {
        fs::write(&key_file, &text).unwrap();
        let output = Command::new("chmod").arg("600").arg(&key_file).status().unwrap();
        assert!(output.success());
        let complaint = refused(&folder, &[]);
        assert!(complaint.contains(wanted), "{complaint}");
        assert!(!complaint.contains(&text), "{complaint}");
        // It may be a typing mistake: the file is not ours to take away.
        assert!(key_file.exists());
    }
    // The right one, from elsewhere.
    fs::remove_file(&key_file).unwrap();
    fs::write(folder.path("elsewhere"), &key).unwrap();
    let server = Server::in_folder(&folder.0, &["--key-file", "elsewhere"]);
    assert_eq!(server.get("/healthz", &[]).status, 200);
    assert!(server.warnings().contains("chmod 600"), "{}", server.warnings());
    assert!(!key_file.exists());
}

#[test]
fn a_folder_that_cannot_be_a_store_is_refused_and_left_alone() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "mine").unwrap();
    let others = folder.path("others");
    fs::create_dir(&others).unwrap();
    fs::write(others.join("letter"), "mine").unwrap();
    for place in ["file:file", "file:others", "file:file/below"] {
        let complaint = refused(&folder, &["--store", place]);
        assert!(complaint.contains(place.strip_prefix("file:").unwrap()), "{complaint}");
    }
    assert_eq!(fs::read_to_string(folder.path("file")).unwrap(), "mine");
    let left: Vec<_> =
        fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(fs::read_dir(&others).unwrap().count(), 1);
}
