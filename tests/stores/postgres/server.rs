//! A PostgreSQL of our own: on a free port, in a temporary folder, gone with this process whatever becomes of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Client, NoTls};

/// Runs the server until this process closes the pipe, which it does by ending, too; and then cleans up.
const UNTIL_CLOSED: &str = r#"
trap '' INT; exec 2>>"$LOG"
"$@" >>"$LOG" 2>&1 </dev/null &
server=$!
echo $server
read -r word || word=gone
kill -QUIT $server 2>/dev/null
wait $server
[ "$word" = keep ] || rm -rf "$FOLDER"
"#;

/// Settings of a server whose data nobody will miss.
pub(crate) const IN_HASTE: &[&str] = &["fsync=off", "full_page_writes=off"];

pub(crate) struct Server {
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    running: Mutex<Option<Running>>,
    owner: (u32, u32),
}

struct Running {
    shell: Child,
    server: Pid,
}

/// The one that everybody shares who does it no harm.
pub(crate) fn shared() -> Arc<Server> {
    static SHARED: Mutex<Option<Arc<Server>>> = Mutex::new(None);
    let mut shared = SHARED.lock().unwrap();
    let server = shared.get_or_insert_with(|| Arc::new(Server::start(IN_HASTE)));
    Arc::clone(server)
}

/// Where the programs are: Debian keeps them apart by version.
pub(crate) fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").map(|entries| {
        let versions = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)));
        let mut versions: Vec<PathBuf> = versions.filter(|path| path.exists()).collect();
        versions.sort();
        versions
    });
    versions.ok().and_then(|mut versions| versions.pop()).unwrap_or_else(|| PathBuf::from(name))
}

/// PostgreSQL refuses to be run by root: then it is run by the user that its package brings along.
fn owner() -> (u32, u32) {
    let me = fs::metadata("/proc/self").unwrap();
    if me.uid() != 0 {
        return (me.uid(), me.gid());
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody")).expect("a user who is not root")
}

fn as_owner(program: impl AsRef<std::ffi::OsStr>, owner: (u32, u32)) -> Command {
    let mut command = Command::new(program);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(owner.0).gid(owner.1);
    }
    command.current_dir("/");
    command
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub(crate) fn start(settings: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("annul-postgres-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self::start_in(folder, settings)
    }

    /// In this folder, which is there and empty.
    pub(crate) fn start_in(folder: PathBuf, settings: &[&str]) -> Self {
        let owner = owner();
        chown(&folder, Some(owner.0), Some(owner.1)).unwrap();
        let made = as_owner(program("initdb"), owner)
            .args([
                "--username=admin",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .arg("-D")
            .arg(folder.join("data"))
            .output()
            .expect("initdb, of the Debian package postgresql");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let server = Self { folder, port: free_port(), settings, running: Mutex::new(None), owner };
        server.run();
        let psql = as_owner(program("psql"), owner)
            .args(["-qX", "-h", "127.0.0.1", "-U", "admin", "-d", "postgres", "-p"])
            .arg(server.port.to_string())
            .args(["-c", "CREATE EXTENSION pg_stat_statements"])
            .output()
            .unwrap();
        assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
        server
    }

    /// Over the data in this folder.
    fn over(folder: PathBuf, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let (port, running) = (free_port(), Mutex::new(None));
        let server = Self { folder, port, settings, running, owner: owner() };
        server.run();
        server
    }

    /// A standby of this one.
    pub(crate) fn standby(&self) -> Self {
        let folder = self.folder.with_extension("standby");
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(self.owner.0), Some(self.owner.1)).unwrap();
        let copied = as_owner(program("pg_basebackup"), self.owner)
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                "admin",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "-p",
            ])
            .arg(self.port.to_string())
            .arg("-D")
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        Self::over(folder, IN_HASTE)
    }

    /// From now on everybody but its owner needs a password, and this is somebody with one.
    pub(crate) async fn ask_for_passwords(&self, user: &str, password: &str) {
        let admin = self.admin().await;
        let sql = format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'");
        admin.batch_execute(&sql).await.unwrap();
        let file = self.folder.join("data").join("pg_hba.conf");
        fs::write(file, "host all admin all trust\nhost all all all scram-sha-256\n").unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        // Until the postmaster has read it.
        let words = format!("host=127.0.0.1 port={} user={user} dbname=postgres", self.port);
        while tokio_postgres::connect(&words, NoTls).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// From now on it speaks TLS as this host, and lets nobody in without but by the socket and its owner. The authority
    /// to trust, as PEM.
    pub(crate) async fn speak_tls(&self, host: &str) -> String {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, authority_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let data = self.folder.join("data");
        for (name, label, der) in [
            ("server.crt", "CERTIFICATE", certificate.der().to_vec()),
            ("server.key", "PRIVATE KEY", key.serialize_der()),
        ] {
            let file = data.join(name);
            fs::write(&file, pem(label, &der)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&file, Some(self.owner.0), Some(self.owner.1)).unwrap();
        }
        let who = "local all all trust\nhost all admin all trust\nhostssl all all all trust\n";
        fs::write(data.join("pg_hba.conf"), who).unwrap();
        let admin = self.admin().await;
        admin.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        // Each connection is told by the postmaster, once that has read it.
        while self.admin().await.query_one("SHOW ssl", &[]).await.unwrap().get::<_, &str>(0) != "on"
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        pem("CERTIFICATE", authority.der())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// A disk of sixteen megabytes.
    pub(crate) fn small_disk(&self) -> Disk {
        let path = self.folder.with_extension("disk");
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(&path)
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "a small disk takes root and CAP_SYS_ADMIN: {why}");
        let disk = Disk(path);
        chown(disk.path(), Some(self.owner.0), Some(self.owner.1)).unwrap();
        disk
    }

    /// Starts it again, over the data that it left.
    pub(crate) fn run(&self) {
        let mut command = as_owner("sh", self.owner);
        command.args(["-c", UNTIL_CLOSED, "sh"]).arg(program("postgres"));
        command.arg("-D").arg(self.folder.join("data")).arg("-p").arg(self.port.to_string());
        command.arg("-k").arg(&self.folder);
        let fixed = [
            "listen_addresses=127.0.0.1",
            "max_connections=300",
            "shared_preload_libraries=pg_stat_statements",
            "pg_stat_statements.max=100000",
            "pg_stat_statements.save=off",
            "pg_stat_statements.track=all",
            "log_min_messages=warning",
        ];
        for setting in fixed.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.arg("-c").arg(setting);
        }
        command.env("LOG", self.folder.join("log")).env("FOLDER", &self.folder);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let server = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        *self.running.lock().unwrap() = Some(Running { shell, server });
        self.await_ready();
    }

    /// Until it answers: it may have to recover first.
    fn await_ready(&self) {
        for _ in 0..600 {
            let asked = as_owner(program("pg_isready"), self.owner)
                .args(["-q", "-h", "127.0.0.1", "-U", "admin", "-d", "postgres", "-p"])
                .arg(self.port.to_string())
                .status()
                .unwrap();
            if asked.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start:\n{log}");
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The postmaster and what it has started, the postmaster first.
    fn processes(&self) -> Vec<Pid> {
        let running = self.running.lock().unwrap();
        let server = running.as_ref().unwrap().server;
        let mut processes = vec![server];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // pid (name) state parent
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(2));
            if parent == Some(&server.as_raw_nonzero().to_string()) {
                processes.extend(Pid::from_raw(pid));
            }
        }
        processes
    }

    fn send(&self, signal: Signal) {
        // Whoever has just ended needs none.
        for process in self.processes() {
            let _ = kill_process(process, signal);
        }
    }

    /// All of it at once, as when the power goes; the data stay.
    pub(crate) fn kill(&self) {
        self.send(Signal::KILL);
        let Running { mut shell, .. } = self.running.lock().unwrap().take().unwrap();
        std::io::Write::write_all(&mut shell.stdin.take().unwrap(), b"keep\n").unwrap();
        shell.wait().unwrap();
    }

    pub(crate) fn pause(&self) {
        self.send(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.send(Signal::CONT);
    }

    /// A connection that is nobody's business.
    pub(crate) async fn admin(&self) -> Client {
        let config = format!("host=127.0.0.1 port={} user=admin dbname=postgres", self.port);
        connect(&config).await
    }
}

pub(crate) async fn connect(config: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(config, NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.running.lock().unwrap().is_some() {
            // A stopped one would not hear that it is to end.
            self.go_on();
        }
        if let Some(Running { mut shell, .. }) = self.running.lock().unwrap().take() {
            drop(shell.stdin.take());
            drop(shell.wait());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A disk that can be filled. Gone with this value.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Until nothing goes on it any more.
    pub(crate) fn fill(&self) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        while std::io::Write::write_all(&mut ballast, &[0; 4096]).is_ok() {}
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also where somebody still has a file open on it.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
        drop(fs::remove_dir(&self.0));
    }
}
