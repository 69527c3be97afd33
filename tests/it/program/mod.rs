//! The program as an operator meets it: flags, environment, messages, logs, signals.

mod admin;
mod backup;
mod configuration;
mod help;
mod invites;
mod logs;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use kez_core::{Envelope, Registration, Timestamp};
use kez_serve::clock::{Clock as _, SystemClock};
use kez_testkit::DEADLINE;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// The program with nothing from this machine's environment, at work in `dir`.
fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kez-chat-server"));
    command.env_clear().current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What a run of the program came to.
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs the program to its end.
async fn run(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Outcome {
    let output = program(dir).envs(env.iter().copied()).args(args).output();
    let output = timeout(DEADLINE, output).await.expect("it ends in time").expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Outcome {
        code: output.status.code().expect("no signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A server that runs as a program of its own, by the machine's clock. Unlike one of `kez_testkit::process`, on no other
/// flags than the test's, and its whole log is there in the end.
struct Running {
    child: Child,
    addr: SocketAddr,
    lines: Lines<BufReader<ChildStderr>>,
    /// What it has logged so far.
    log: String,
}

impl Running {
    /// Starts it on a free port and waits until it says where it is.
    async fn start(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Self {
        let mut command = program(dir);
        command
            .env("KEZ_CHAT_BIND", "127.0.0.1:0")
            .envs(env.iter().copied())
            .args(args)
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let stderr = child.stderr.take().expect("a pipe");
        let mut lines = BufReader::new(stderr).lines();
        let mut log = String::new();
        let addr = loop {
            let line = timeout(DEADLINE, lines.next_line()).await.expect("a line in time").expect("UTF-8");
            let line = line.unwrap_or_else(|| panic!("it does not start: {log}"));
            log += &line;
            log.push('\n');
            let url = line.split("url=http://").nth(1).and_then(|rest| rest.split_whitespace().next());
            if let Some(url) = url {
                break url.parse().expect("an address");
            }
        };
        Self { child, addr, lines, log }
    }

    /// Ends it by a signal; how it ended, and all that it logged.
    async fn stop(mut self, signal: Signal) -> (ExitStatus, String) {
        let id =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).expect("a process");
        kill_process(id, signal).expect("a signal");
        let mut stderr = self.lines.into_inner();
        let (status, read) = timeout(DEADLINE, async {
            tokio::join!(self.child.wait(), stderr.read_to_string(&mut self.log))
        })
        .await
        .expect("it ends in time");
        read.expect("UTF-8");
        (status.expect("a status"), self.log)
    }
}

/// The machine's time, which programs live by.
fn now() -> Timestamp {
    SystemClock::new().now()
}

/// A registration at kez.lat by the actor of this name, signed now.
fn registration(name: &str, handle: &str) -> String {
    let document = Registration { handle: handle.to_owned(), server: "kez.lat".to_owned() };
    let envelope =
        Envelope::sign(&document, &kez_testkit::seed(name), now()).expect("text that can be signed");
    envelope.canonical().to_owned()
}
