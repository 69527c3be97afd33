//! Building and starting the chat server: for somebody to use, while developing, and under test.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    failure::Failure,
    process::{Log, visibly},
    project::{Project, without_package_variables},
    setup::{Found, ensure, report},
    tools::{CC, tool},
    web,
};

/// The server's package and program.
pub(crate) const SERVER: &str = "kez-chat-server";
/// CPU minutes that a first build of the server takes, measured; later builds take seconds.
const FIRST_BUILD_CPU_MIN: usize = 6;
/// How long a server may take from its start to the first accepted connection, on a busy machine.
const START_MAX: Duration = Duration::from_secs(20);
/// How long a server that was asked to stop may drain; it promises to end within 10 s.
const STOP_MAX: Duration = Duration::from_secs(12);
/// How often `dev` looks for changed files.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// `cargo xtask run`: ends as the server ends.
pub(crate) fn run(project: &Project, flags: &[String]) -> Result<ExitCode, Failure> {
    prepare(project)?;
    web::offer(project)?;
    build(project)?;
    replace_process(&mut server(project, flags))
}

/// `cargo xtask dev`: never ends by itself.
pub(crate) fn dev(project: &Project, flags: &[String]) -> Result<ExitCode, Failure> {
    prepare(project)?;
    // Ends with this process group.
    let _vite = web::vite(project)?;
    let mut running: Option<Child> = None;
    loop {
        let sources = sources(&project.root);
        match build(project) {
            Ok(()) => {
                if let Some(old) = running.take() {
                    stop(old);
                }
                let mut command = server(project, flags);
                let child = command
                    .spawn()
                    .map_err(|source| Failure::Start { program: SERVER.to_owned(), source })?;
                running = Some(child);
            }
            // The compiler has said why; the old server goes on meanwhile.
            Err(_) => eprintln!("dev: waiting for a change"),
        }
        while self::sources(&project.root) == sources {
            thread::sleep(LOOK_EVERY);
            if let Some(Ok(Some(status))) = running.as_mut().map(Child::try_wait) {
                eprintln!("dev: the server ended ({status}); waiting for a change");
                running = None;
            }
        }
        eprintln!("dev: sources changed, building");
    }
}

/// Builds the server as plain `cargo run` would, visibly.
pub(crate) fn build(project: &Project) -> Result<(), Failure> {
    visibly(project.cargo().args(["build", "--package", SERVER, "--bin", SERVER]))
}

/// Builds the server exactly as the Rust tests do: same packages, same features, so that nothing compiles twice.
pub(crate) fn build_for_tests(project: &Project) -> Command {
    let mut cargo = project.cargo();
    cargo.args(["build", "--workspace", "--bins", "--tests"]);
    cargo
}

fn prepare(project: &Project) -> Result<(), Failure> {
    if let Some(cc) = tool(CC) {
        match ensure(project, cc) {
            Found::Already(_) => {}
            Found::Missing => return Err(Failure::Missing { tool: CC, cure: cc.cure.to_owned() }),
            found @ Found::Now(_) => report(cc, &found),
        }
    }
    if !project.program(SERVER).is_file() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let minutes = FIRST_BUILD_CPU_MIN.div_ceil(cores);
        println!(
            "First build: about {FIRST_BUILD_CPU_MIN} minutes of CPU, {minutes} or so on {cores} cores, and downloads. \
             Later starts take a second."
        );
    }
    Ok(())
}

/// The server in the caller's directory, where its default data file belongs.
fn server(project: &Project, flags: &[String]) -> Command {
    let mut command = Command::new(project.program(SERVER));
    command.args(flags);
    without_package_variables(&mut command);
    command
}

/// Becomes that program, so that signals reach it and its exit code is ours.
#[cfg(unix)]
pub(crate) fn replace_process(command: &mut Command) -> Result<ExitCode, Failure> {
    let source = std::os::unix::process::CommandExt::exec(command);
    Err(Failure::Start { program: command.get_program().to_string_lossy().into_owned(), source })
}

/// Runs that program to its end.
#[cfg(not(unix))]
pub(crate) fn replace_process(command: &mut Command) -> Result<ExitCode, Failure> {
    visibly(command).map(|()| ExitCode::SUCCESS)
}

/// Asks a server to stop, and makes it stop when it does not.
fn stop(mut child: Child) {
    // The standard library can only kill; the shell can ask.
    let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", child.id())).status();
    let deadline = Instant::now() + STOP_MAX;
    while asked.is_ok() && Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Every file that goes into the server, with the time of its last change.
fn sources(root: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    let mut todo: Vec<PathBuf> = ["Cargo.toml", "Cargo.lock", "src", "crates", "migrations"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    while let Some(path) = todo.pop() {
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if let Ok(changed) = metadata.modified() {
            found.insert(path, changed);
        }
    }
    found
}

/// A real server on a free port with an empty database; gone when dropped.
pub(crate) struct TestServer {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where it keeps its files; gone with it.
    pub(crate) directory: PathBuf,
}

impl TestServer {
    /// Starts the built program and waits until it accepts connections. What it prints goes to `log`.
    pub(crate) fn start(project: &Project, log: &Log) -> Result<Self, Failure> {
        let address = free_address()?;
        let directory = project.scratch().join(format!("server-{}", address.port()));
        fs::create_dir_all(&directory).map_err(Failure::file(&directory))?;
        let mut command = Command::new(project.program(SERVER));
        without_package_variables(&mut command);
        let child = command
            .current_dir(&directory)
            .args(["--bind", &address.to_string(), "--server", "kez.lat", "--db"])
            .arg(directory.join("kez-chat.db"))
            .args(["--rate-limit", "off", "--sig-bind", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(log.stream()?)
            .stderr(log.stream()?)
            .spawn()
            .map_err(|source| Failure::Start { program: SERVER.to_owned(), source })?;
        let mut server = Self { child, address, directory };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    /// Whether it still runs.
    pub(crate) fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn wait_until_it_listens(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            if !self.alive() {
                return Err(Failure::Server("the server ended instead of listening".to_owned()));
            }
            if TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(Failure::Server(format!("the server did not listen on {} within {START_MAX:?}", self.address)))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|source| Failure::Server(format!("no free port on the loopback address: {source}")))
}
