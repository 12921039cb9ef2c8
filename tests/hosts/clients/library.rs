//! The libraries: installed once into a folder of the target directory, at fixed versions, and run.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::programs;

/// `openid-client` and what it depends on.
const NODE_PACKAGES: &[&str] = &["openid-client@6.8.9", "oauth4webapi@3.8.8", "jose@6.2.17"];

/// Authlib on `requests`, and what they depend on.
const PYTHON_PACKAGES: &[&str] = &[
    "authlib==1.9.6",
    "certifi==2026.10.18",
    "cffi==2.1.1",
    "charset-normalizer==3.5.2",
    "cryptography==50.0.2",
    "idna==3.20",
    "joserfc==1.8.0",
    "pycparser==3.12",
    "requests==2.34.2",
    "urllib3==2.8.0",
];

/// A client library, in a program that carries out one order after the other; it ends when this goes out of scope.
pub(super) struct Library {
    name: &'static str,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Library {
    /// On Node.
    pub(super) fn openid_client() -> Self {
        static PACKAGES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let packages = PACKAGES.get_or_init(|| {
            installed(NODE_PACKAGES, "node", |folder| {
                let mut npm = Command::new("npm");
                npm.args(["install", "--no-save", "--no-package-lock", "--ignore-scripts"]);
                npm.args(["--no-audit", "--no-fund", "--loglevel=error", "--prefix"]).arg(folder);
                npm
            })
        });
        let mut node = Command::new("node");
        node.args(["--input-type=module", "--eval", include_str!("openid_client.mjs")]);
        // A script without a file looks for its modules where it runs.
        node.current_dir(folder(packages));
        Self::start("openid-client", node)
    }

    /// On Python.
    pub(super) fn authlib() -> Self {
        static PACKAGES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let packages = PACKAGES.get_or_init(|| {
            // Some of the packages are machine code, made for one version of Python.
            let tag = ["-c", "import sys; print(sys.implementation.cache_tag, end='')"];
            let tag = programs::stdout(Command::new("python3").args(tag), "python3");
            installed(PYTHON_PACKAGES, &String::from_utf8_lossy(&tag), |folder| {
                let mut pip = Command::new("python3");
                pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
                pip.args(["--no-input", "--no-deps", "--only-binary", ":all:", "--target"]);
                pip.arg(folder);
                pip
            })
        });
        let mut python = Command::new("python3");
        python.args(["-c", include_str!("authlib.py")]).env("PYTHONPATH", folder(packages));
        Self::start("Authlib", python)
    }

    /// What came of the order. What the program cannot make sense of fails the test.
    pub(super) fn carry_out(&mut self, order: &Value) -> Value {
        let mut line = String::new();
        let sent = writeln!(self.stdin, "{order}").and_then(|()| self.stdout.read_line(&mut line));
        if !matches!(sent, Ok(1..)) {
            let mut complaint = String::new();
            let stderr = self.child.stderr.as_mut().unwrap();
            let _ = stderr.read_to_string(&mut complaint);
            panic!("{} failed: {complaint}", self.name);
        }
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn start(name: &'static str, mut command: Command) -> Self {
        let mut child = programs::without_proxy(&mut command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {name}: {error}"));
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { name, child, stdin, stdout }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A failed installation fails every test that needs it, for the same reason, and is tried once.
fn folder(packages: &Result<PathBuf, String>) -> &Path {
    packages.as_ref().unwrap_or_else(|complaint| panic!("{complaint}"))
}

/// The folder with exactly these packages for this `runtime`, filled by `installer` if it is not there yet.
///
/// It is filled under another name: where it is, it is whole, whoever else runs the tests at the same time.
fn installed(
    packages: &[&str],
    runtime: &str,
    installer: impl FnOnce(&Path) -> Command,
) -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut versions = DefaultHasher::new();
    packages.hash(&mut versions);
    let name = format!("{runtime}-{:016x}", versions.finish());
    let folder = target.join("test-clients").join(&name);
    if folder.exists() {
        return Ok(folder);
    }
    let fresh = folder.with_file_name(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&fresh).unwrap();
    let mut installer = installer(&fresh);
    let program = installer.get_program().to_string_lossy().into_owned();
    let complaint = match installer.args(packages).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(complaint) = complaint {
        let _ = std::fs::remove_dir_all(&fresh);
        let packages = packages.join(" ");
        return Err(format!("{program} cannot install {packages} for this test: {complaint}"));
    }
    match std::fs::rename(&fresh, &folder) {
        Ok(()) => {}
        // Somebody else was faster.
        Err(_) if folder.exists() => std::fs::remove_dir_all(&fresh).unwrap(),
        Err(error) => panic!("{}: {error}", folder.display()),
    }
    Ok(folder)
}
