//! The example server, as a process of its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use annul::profile;
use annul::profile::Paths;
use annul::wire::basic;
use annul::wire::send::TokenForm;
use serde_json::Value;

use crate::http::{Answer, Connection, form, request};

/// A running server; it stops when this goes out of scope.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: PathBuf,
    pub(crate) address: SocketAddr,
    paths: Paths,
}

impl Server {
    /// With the profile and the fixture of this name.
    pub(crate) fn start(fixture: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples/server/fixtures")
            .join(fixture)
            .with_extension("json");
        Self::with_file(&file, &[])
    }

    /// With a fixture of the test's own.
    pub(crate) fn with_fixture(fixture: &Value) -> Self {
        Self::with_fixture_and(fixture, &[])
    }

    /// With a fixture of the test's own, and more flags.
    pub(crate) fn with_fixture_and(fixture: &Value, arguments: &[&str]) -> Self {
        Self::with_file(&write_fixture(fixture), arguments)
    }

    /// With what is built in.
    pub(crate) fn without_fixture() -> Self {
        Self::launch(&[], Paths::default())
    }

    /// As a user starts it: in a working folder, with the store that is there by default.
    pub(crate) fn in_folder(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program("server"));
        command.current_dir(folder).args(arguments);
        Self::spawn(command, Paths::default())
    }

    /// POSTs a form.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send(form(path, headers, body))
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request("GET", path, headers, ""))
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut connection = self.connect();
        connection.write(bytes);
        connection.answer()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Every token is good: introspection says so, and the resource opens to it if it is an access token.
    #[track_caller]
    pub(crate) fn assert_alive(&self, tokens: &[&str]) {
        for token in tokens {
            let answer = self.introspect(token);
            assert_eq!(answer.get("active"), Some(&true.into()), "{token} is dead");
            let access = answer.get("token_use").unwrap() == "access_token";
            assert_eq!(self.opens(token), access, "{token} at the resource");
        }
    }

    /// No token is any good: neither introspection nor the resource takes it.
    #[track_caller]
    pub(crate) fn assert_dead(&self, tokens: &[&str]) {
        for token in tokens {
            let answer = self.introspect(token);
            assert_eq!(answer, serde_json::json!({ "active": false }), "{token}");
            assert!(!self.opens(token), "{token} opens the resource");
        }
    }

    /// What the resource server `api` is told about a token.
    #[track_caller]
    pub(crate) fn introspect(&self, token: &str) -> Value {
        let credentials = basic::header_value("api", "api-secret");
        let headers = [("Authorization", credentials.as_str())];
        let body = TokenForm::new(token).to_body();
        let answer = self.post(&self.paths.introspect, &headers, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Whether `GET /resource` takes the token.
    #[track_caller]
    pub(crate) fn opens(&self, token: &str) -> bool {
        let bearer = format!("Bearer {token}");
        let answer = self.get("/resource", &[("Authorization", &bearer)]);
        if answer.status == 200 {
            return true;
        }
        assert_eq!(answer.status, 401, "{}", answer.text());
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some(r#"Bearer error="invalid_token""#));
        false
    }

    /// The next line that the server printed.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// What it warned about before it was ready.
    pub(crate) fn warnings(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// Ends the process as nothing else does: it is not asked.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The process.
    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    fn with_file(file: &Path, arguments: &[&str]) -> Self {
        let fixture: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let named = fixture.get("profile").and_then(Value::as_str);
        let mut paths = profile::by_name(named.unwrap_or("standard")).unwrap().paths;
        let renamed = fixture.get("paths").and_then(|paths| paths.get("introspect"));
        if let Some(renamed) = renamed.and_then(Value::as_str) {
            paths.introspect = renamed.to_owned().into();
        }
        let file = file.to_str().unwrap();
        Self::launch(&[&["--fixtures", file], arguments].concat(), paths)
    }

    fn launch(arguments: &[&str], paths: Paths) -> Self {
        let mut command = Command::new(program("server"));
        command.args(in_memory(arguments)).args(arguments);
        Self::spawn(command, paths)
    }

    fn spawn(mut command: Command, paths: Paths) -> Self {
        let stderr = temporary("err");
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        let address = first.trim_end().strip_prefix("listening on http://");
        let Some(address) = address else {
            let _ = child.kill();
            let _ = child.wait();
            let complaint = std::fs::read_to_string(&stderr).unwrap();
            panic!("the server did not start: {first:?} {complaint}");
        };
        Self { address: address.parse().unwrap(), child, stdout, stderr, paths }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.stderr);
    }
}

/// Runs the program to its end, for command lines that it refuses.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(program("server"))
        .args(in_memory(arguments))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The store of a test that does not say otherwise: by default the server's would be in the working folder.
fn in_memory(arguments: &[&str]) -> &'static [&'static str] {
    let says = |flag: &str| arguments.iter().any(|argument| argument.starts_with(flag));
    if says("--store") || says("--key-file") { &[] } else { &["--store", "memory"] }
}

/// Writes a fixture where the server finds it.
pub(crate) fn write_fixture(fixture: &Value) -> PathBuf {
    let path = temporary("json");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(fixture.to_string().as_bytes()).unwrap();
    path
}

/// The path of a file that no other test uses.
pub(crate) fn temporary(extension: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("hosts-{}-{next}.{extension}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// An example, all of them built once for all tests, by the same profile as they.
pub(crate) fn program(name: &str) -> &'static Path {
    static PROGRAMS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| {
        let tests = std::env::current_exe().unwrap();
        // target/PROFILE/deps/hosts-0123
        let profile = tests.ancestors().nth(2).and_then(Path::file_name);
        let profile = match profile.and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--examples", "--features", "example-server"])
            .args(["--manifest-path", manifest, "--profile", profile])
            .args(["--message-format", "json", "--quiet"])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(built.status.success(), "the examples do not build");
        let messages = String::from_utf8(built.stdout).unwrap();
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let executables = messages.filter_map(|message| {
            let name = message.pointer("/target/name")?.as_str()?;
            let executable = message.get("executable")?.as_str()?;
            Some((name.to_owned(), PathBuf::from(executable)))
        });
        executables.collect()
    });
    programs.get(name).expect("cargo says where it is")
}
