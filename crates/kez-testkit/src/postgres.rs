//! Real PostgreSQL: one server that all tests of a run share, and servers of one's own that may be killed.
//!
//! The shared one is started by the first test that wants it and ends by itself, some seconds after the last process that
//! used it. Its data lie in memory where the machine has `/dev/shm`, so that it can keep its promises (`fsync`) and be
//! quick. Each test gets a database of its own, which goes with it.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::client::DEADLINE;

/// The superuser of every server here. Whoever reaches the port is let in.
const USER: &str = "kez";

/// Ends a shared server once nobody has held `use.lock` for 20 s: `$1` is its folder of locks, `$2` its data, the rest the
/// command that serves.
const SUPERVISOR: &str = r#"
locks=$1; data=$2; shift 2
"$@" & server=$!
idle=0
while [ $idle -lt 20 ]; do
    sleep 1
    kill -0 $server 2>/dev/null || exit 1
    if flock -n -x "$locks/use.lock" true; then idle=$((idle + 1)); else idle=0; fi
    if [ $idle -ge 20 ]; then
        exec 8>"$locks/start.lock"; flock -x 8
        if flock -n -x "$locks/use.lock" true; then
            kill -INT $server; wait $server; rm -rf "$data"
        else
            idle=0; exec 8>&-
        fi
    fi
done
"#;

/// A database that nobody else has, dropped with this value.
#[derive(Debug)]
pub struct PostgresDatabase {
    socket: PathBuf,
    port: u16,
    name: String,
}

impl PostgresDatabase {
    /// An empty one on the shared server.
    pub fn create() -> Self {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        let shared = SHARED.get_or_init(Shared::join);
        Self::create_on(&shared.socket, shared.port)
    }

    fn create_on(socket: &Path, port: u16) -> Self {
        let mut random = [0; 8];
        crate::fill_random(&mut random);
        let name = format!("kez_{:016x}", u64::from_ne_bytes(random));
        psql(socket, port, &format!("CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy"));
        Self { socket: socket.to_owned(), port, name }
    }

    /// What `--db` takes.
    pub fn url(&self) -> String {
        url(&self.socket, self.port, &self.name)
    }

    /// Runs SQL in it, as the server's superuser; what came out, a line a row.
    pub fn sql(&self, sql: &str) -> String {
        run(psql_command(&self.socket, self.port, &self.name).args(["-c", sql]))
    }

    /// Ends all connections to it that others have.
    pub fn cut_connections(&self) {
        self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let mut drop = psql_command(&self.socket, self.port, "postgres");
        let drop = drop.args(["-c", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)]);
        // A server that was killed by its test has no database to drop.
        let _ = drop.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A server of one test's own.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    port: u16,
}

impl PostgresServer {
    /// Starts one with an empty database `kez`.
    pub fn start() -> Self {
        let mut random = [0; 8];
        crate::fill_random(&mut random);
        let folder = memory().join(format!("kez-testkit-pg-{:016x}", u64::from_ne_bytes(random)));
        let server = Self { folder, port: free_port() };
        initialize(&server.folder);
        server.begin();
        psql(&server.folder, server.port, &format!("CREATE DATABASE {USER}"));
        server
    }

    /// What `--db` takes.
    pub fn url(&self) -> String {
        url(&self.folder, self.port, USER)
    }

    /// Ends it as a power cut does: nothing is written any more.
    pub fn kill(&self) {
        self.control(&["stop", "-m", "immediate", "-w"]);
    }

    /// Starts it again on the same data and port, and waits until it answers.
    pub fn begin(&self) {
        let options = format!("-c port={} {}", self.port, settings(&self.folder).join(" "));
        self.control(&["start", "-w", "-t", "60", "-l", &log(&self.folder), "-o", &options]);
        await_server(&self.folder, self.port);
    }

    fn control(&self, words: &[&str]) {
        let mut control = unprivileged("pg_ctl");
        control.arg("-D").arg(self.folder.join("data")).args(words);
        run(control.stdin(Stdio::null()));
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let mut control = unprivileged("pg_ctl");
        control.arg("-D").arg(self.folder.join("data")).args(["stop", "-m", "immediate", "-w"]);
        let _ = control.stdout(Stdio::null()).stderr(Stdio::null()).status(); // it may be down
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The server that all tests share.
struct Shared {
    socket: PathBuf,
    port: u16,
    /// Holds `use.lock` for as long as this process lives.
    _used: File,
}

impl Shared {
    /// Finds the server, or starts it.
    fn join() -> Self {
        let name = format!("kez-testkit-pg-{}", place_of_this_workspace());
        let locks = std::env::temp_dir().join(format!("{name}-locks"));
        fs::create_dir_all(&locks).expect("a folder for locks");
        let lock = |file: &str| File::create(locks.join(file)).expect("a lock file");
        let start = lock("start.lock");
        start.lock().expect("the start lock");
        let used = lock("use.lock");
        used.lock_shared().expect("the use lock");
        let folder = memory().join(name);
        let port = running(&folder).unwrap_or_else(|| start_shared(&locks, &folder));
        Self { socket: folder, port, _used: used }
    }
}

/// The port of the shared server, if it runs.
fn running(folder: &Path) -> Option<u16> {
    let port = fs::read_to_string(folder.join("port")).ok()?.parse().ok()?;
    UnixStream::connect(socket(folder, port)).ok().map(|_| port)
}

fn start_shared(locks: &Path, folder: &Path) -> u16 {
    let _ = fs::remove_dir_all(folder); // of one that was killed
    initialize(folder);
    let port = free_port();
    let mut serve = Command::new("setsid");
    serve.args(["sh", "-c", SUPERVISOR, "kez-testkit-pg"]).arg(locks).arg(folder);
    serve.args(unprivileged_words("postgres")).arg("-D").arg(folder.join("data"));
    serve.arg("-c").arg(format!("port={port}")).args(settings(folder));
    let log = File::create(log(folder)).expect("a log file");
    serve.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
    drop(serve.spawn().expect("setsid and sh")); // ends by itself
    await_server(folder, port);
    fs::write(folder.join("port"), port.to_string()).expect("a file with the port");
    port
}

fn initialize(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder for PostgreSQL");
    fs::set_permissions(folder, Permissions::from_mode(0o777)).expect("a folder that others may write to");
    let mut initdb = unprivileged("initdb");
    initdb.arg("-D").arg(folder.join("data")).args(["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]);
    run(initdb.arg("--no-sync").current_dir("/"));
}

/// Small, and as durable as it is by default.
fn settings(folder: &Path) -> Vec<String> {
    [
        "-c listen_addresses=127.0.0.1".to_owned(),
        format!("-c unix_socket_directories={}", folder.display()),
        "-c max_connections=300".to_owned(),
        "-c shared_buffers=64MB".to_owned(),
        "-c deadlock_timeout=100ms".to_owned(),
        "-c max_wal_size=256MB".to_owned(),
    ]
    .iter()
    .flat_map(|setting| setting.split(' ').map(str::to_owned).collect::<Vec<_>>())
    .collect()
}

fn log(folder: &Path) -> String {
    folder.join("log").display().to_string()
}

fn url(socket: &Path, port: u16, database: &str) -> String {
    format!("postgres://{USER}@{}:{port}/{database}", socket.display().to_string().replace('/', "%2F"))
}

fn socket(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

fn await_server(folder: &Path, port: u16) {
    let until = Instant::now() + DEADLINE * 3;
    while psql_command(folder, port, "postgres")
        .args(["-c", "SELECT 1"])
        .output()
        .is_ok_and(|out| !out.status.success())
    {
        let logged = || fs::read_to_string(log(folder)).unwrap_or_default();
        assert!(Instant::now() < until, "PostgreSQL does not answer: {}", logged());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn psql(socket: &Path, port: u16, sql: &str) {
    run(psql_command(socket, port, "postgres").args(["-c", sql]));
}

fn psql_command(socket: &Path, port: u16, database: &str) -> Command {
    let mut psql = Command::new(bin().join("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-h"])
        .arg(socket);
    psql.args(["-p", &port.to_string()]).stdin(Stdio::null());
    psql
}

fn run(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}

/// A program of PostgreSQL, which refuses to run as root.
fn unprivileged(program: &str) -> Command {
    let words = unprivileged_words(program);
    let (first, rest) = words.split_first().expect("invariant: at least the program");
    let mut command = Command::new(first);
    command.args(rest).current_dir("/");
    command
}

fn unprivileged_words(program: &str) -> Vec<PathBuf> {
    let mut words = Vec::new();
    if rustix::process::geteuid().is_root() {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user =
            if users.lines().any(|line| line.starts_with("postgres:")) { "postgres" } else { "nobody" };
        words.extend(["setpriv", "--reuid", user, "--clear-groups", "--"].map(PathBuf::from));
    }
    words.push(bin().join(program));
    words
}

/// The folder of the newest PostgreSQL of this machine.
fn bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
        let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = installed.map(|entry| entry.path()).max_by_key(|path| version(path));
        let packaged = newest.map(|path| path.join("bin")).filter(|path| path.join("initdb").is_file());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let elsewhere = || std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file());
        packaged.or_else(elsewhere).expect("PostgreSQL: `cargo xtask setup` says how to get it")
    })
}

fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Two checkouts do not share a server, nor do two users.
fn place_of_this_workspace() -> String {
    let place = format!("{}{}", rustix::process::geteuid().as_raw(), env!("CARGO_MANIFEST_DIR"));
    let hash = place.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3) // FNV-1a
    });
    format!("{hash:016x}")
}

fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").port()
}
