//! The server's binary as a child process: started, watched, stopped and killed.
//!
//! Calls block: what they wait for are the process's own signs of life (its start line, its end), never a guessed time.
//! Everything has a deadline, and a process that misses one fails the test with what it logged.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, kill_process, setrlimit, waitpid,
};

/// How long a server may take to become ready, or to end: ten times what a debug build needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the start line names the address.
const URL: &str = "url=http://";

/// Which binary is started, on which files, with what flags. Each start is a new process on the same files.
#[derive(Debug, Clone)]
pub struct Program {
    binary: PathBuf,
    db: PathBuf,
    bind: String,
    /// Where its sig-server within listens besides; `None`: it is a sig-server itself.
    sig_bind: Option<&'static str>,
    flags: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

/// A server that answered 200 on `/v1/readyz`. Killed when dropped; a failing test prints what it logged.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    addr: SocketAddr,
    ready_after: Duration,
    stderr: Stderr,
}

/// A server that ended before it was ready.
#[derive(Debug)]
pub struct Refused {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All that it wrote to standard error.
    pub log: String,
}

/// How a server ended after it was asked to.
#[derive(Debug, Clone, Copy)]
pub struct Exit {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// From the request to the end.
    pub took: Duration,
}

impl Program {
    /// The home server `binary` with its database `kez-chat.db` in `dir`, on a free port of 127.0.0.1, without rate
    /// limits and without a sig-server within.
    pub fn new(binary: impl Into<PathBuf>, dir: &Path) -> Self {
        Self {
            binary: binary.into(),
            db: dir.join("kez-chat.db"),
            bind: "127.0.0.1:0".into(),
            sig_bind: Some("off"),
            flags: Vec::new(),
            env: Vec::new(),
        }
    }

    /// The same with a sig-server within, whose chains in `kez-chat-sig.db` may grow as they like.
    pub fn with_sigchains(binary: impl Into<PathBuf>, dir: &Path) -> Self {
        let program = Self { sig_bind: Some("127.0.0.1:0"), ..Self::new(binary, dir) };
        program.flags(["--sig-chain-limits", "off"])
    }

    /// The sig-server `binary` with its database `kez-sig.db` in `dir`, as free as the others.
    pub fn sig_server(binary: impl Into<PathBuf>, dir: &Path) -> Self {
        let program = Self { sig_bind: None, ..Self::new(binary, dir) };
        program.db(dir.join("kez-sig.db")).flags(["--chain-limits", "off"])
    }

    /// Another database file.
    #[must_use]
    pub fn db(self, db: impl Into<PathBuf>) -> Self {
        Self { db: db.into(), ..self }
    }

    /// Another address than a free port of 127.0.0.1, for one that comes back where it was.
    #[must_use]
    pub fn bind(self, bind: impl Into<String>) -> Self {
        Self { bind: bind.into(), ..self }
    }

    /// Further flags.
    #[must_use]
    pub fn flags<S: Into<OsString>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment, which is empty otherwise.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts it and waits until it is ready, or says how it ended instead.
    pub fn start(&self) -> Result<ServerProcess, Refused> {
        let began = Instant::now();
        let mut child = self.command().spawn().expect("the binary can be started");
        let stderr = Stderr::follow(child.stderr.take().expect("standard error is piped"));
        let addr = match stderr.addr.recv_timeout(PATIENCE) {
            Ok(addr) => addr,
            Err(RecvTimeoutError::Disconnected) => {
                let code = child.wait().expect("a child can be waited for").code();
                return Err(Refused { code, log: stderr.text() });
            }
            Err(RecvTimeoutError::Timeout) => {
                drop(child.kill());
                panic!("not ready after {PATIENCE:?}; it logged:\n{}", stderr.text());
            }
        };
        let mut server = ServerProcess { child, addr, ready_after: Duration::ZERO, stderr };
        assert_eq!(
            readiness(addr),
            "HTTP/1.1 200",
            "the answer of /v1/readyz once the start line is written"
        );
        server.ready_after = began.elapsed();
        Ok(server)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.args(["--bind", &self.bind, "--rate-limit", "off", "--db"]).arg(&self.db);
        command.args(self.sig_bind.map(|at| ["--sig-bind", at]).into_iter().flatten()).args(&self.flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

impl ServerProcess {
    /// Starts `binary` on the files in `dir`; see [`Program`].
    pub fn start(binary: &str, dir: &Path, flags: &[&str]) -> Result<Self, Refused> {
        Program::new(binary, dir).flags(flags).start()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// From starting the process to its first 200 on `/v1/readyz`.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// All that it has written to standard error.
    pub fn log(&self) -> String {
        self.stderr.text()
    }

    /// The most memory that it ever held, in KiB (`VmHWM`).
    pub fn resident_peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line of its peak");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }

    /// Connections of clients that it has not closed.
    pub fn connections(&self) -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table of sockets");
        table.lines().skip(1).filter(|line| is_open_on(line, self.addr.port())).count()
    }

    /// Ends it without warning (SIGKILL), as a crash or the kernel's out-of-memory killer would.
    pub fn kill_9(mut self) {
        self.end_now();
    }

    /// Stops it where it stands (SIGSTOP). When this returns no thread of it runs, and none is inside the kernel.
    pub fn sigstop(&self) {
        self.signal(Signal::STOP);
        let status = waitpid(Some(self.pid()), WaitOptions::UNTRACED).expect("a child can be waited for");
        assert!(status.is_some_and(|(_, status)| status.stopped()), "stopped by SIGSTOP, not ended");
    }

    /// Lets a stopped one go on (SIGCONT).
    pub fn sigcont(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub fn stop_term(self) -> Exit {
        let asked = Instant::now();
        self.sigterm();
        self.ended(asked)
    }

    /// Asks it to stop (SIGTERM).
    pub fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end; `asked` is when that was asked for.
    pub fn ended(mut self, asked: Instant) -> Exit {
        self.stderr.wait_closed();
        let code = self.child.wait().expect("a child can be waited for").code();
        Exit { code, took: asked.elapsed() }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process runs");
    }

    fn end_now(&mut self) {
        // Both fail only when it has ended and been waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.end_now();
        if std::thread::panicking() {
            eprintln!("the server on {} logged:\n{}", self.addr, self.stderr.text());
        }
    }
}

/// What a process says, followed by a thread that ends with it.
#[derive(Debug)]
struct Stderr {
    text: Arc<Mutex<String>>,
    /// The address of the start line; disconnected when the process ends.
    addr: Receiver<SocketAddr>,
}

impl Stderr {
    fn follow(pipe: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let (found, addr) = channel();
        let log = Arc::clone(&text);
        std::thread::spawn(move || note_lines(pipe, &log, &found));
        Self { text, addr }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wait_closed(&self) {
        let closed = self.addr.recv_timeout(PATIENCE);
        let log = || self.text();
        assert_eq!(closed, Err(RecvTimeoutError::Disconnected), "not ended after {PATIENCE:?}: {}", log());
    }
}

fn note_lines(pipe: ChildStderr, log: &Mutex<String>, found: &Sender<SocketAddr>) {
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(1..) = lines.read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line);
        log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        if let Some(addr) = start_line_addr(&text) {
            let _ = found.send(addr); // nobody waits for it after a deadline
        }
        line.clear();
    }
}

fn start_line_addr(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("is ready").and_then(|(_, fields)| fields.split_once(URL))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Whether a line of `/proc/net/tcp` is a socket on this port of ours, on which we may still send.
fn is_open_on(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let is_ours = fields.next().is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
    is_ours && fields.nth(1).is_some_and(|state| ["01", "08"].contains(&state)) // ESTABLISHED, CLOSE_WAIT
}

/// The first twelve bytes of the answer of `/v1/readyz`.
fn readiness(addr: SocketAddr) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /v1/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.get(..12).unwrap_or(&answer).to_owned())
    };
    ask().unwrap_or_else(|error| error.to_string())
}

/// Raises this process's limit on open files to what the system allows, for tests that hold many connections.
pub fn raise_open_files_max() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // invariant: no more than the maximum is asked for.
    setrlimit(Resource::Nofile, raised).expect("the soft limit may be raised up to the hard one");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_stands_in_the_start_line() {
        let line = "2026-01-01T00:00:00Z  INFO kez_chat_server: kez-chat-server 0.1.0 is ready url=http://127.0.0.1:4711 server.name=kez.lat\n";
        assert_eq!(start_line_addr(line), Some("127.0.0.1:4711".parse().unwrap()));
        assert_eq!(start_line_addr("something else url=http://127.0.0.1:1\n"), None);
    }

    #[test]
    fn connections_are_those_on_the_port_that_are_open() {
        let line = |state| {
            format!("   3: 0100007F:1267 0100007F:AC3E {state} 00000000:00000000 00:00000000 0 0 0 1")
        };
        assert!(is_open_on(&line("01"), 4711) && is_open_on(&line("08"), 4711));
        assert!(
            !is_open_on(&line("0A"), 4711)
                && !is_open_on(&line("06"), 4711)
                && !is_open_on(&line("01"), 4712)
        );
    }
}
