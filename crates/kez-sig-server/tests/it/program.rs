//! The program as an operator meets it: flags, environment, messages, signals.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use clap::CommandFactory as _;
use insta::assert_snapshot;
use kez_sig_server::config::Cli;
use kez_testkit::{Call, ChainWriter, DEADLINE};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// The program with nothing from this machine's environment, at work in `dir`.
fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kez-sig-server"));
    command.env_clear().current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(dir: &Path, args: &[&str]) -> Output {
    let output = program(dir).env("KEZ_SIG_BIND", "127.0.0.1:0").args(args).output();
    timeout(DEADLINE, output).await.expect("it ends in time").expect("it runs")
}

#[test]
fn flags_names_and_defaults_are_those_of_the_specification() {
    let mut text = String::new();
    for flag in Cli::command().get_arguments() {
        let (Some(long), Some(env)) = (flag.get_long(), flag.get_env()) else { continue };
        let defaults: Vec<_> =
            flag.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        writeln!(text, "--{long} | {} | {}", env.to_string_lossy(), defaults.join(",")).expect("a String");
    }
    assert_snapshot!(text.replace("| \n", "| -\n"), @"
    --bind | KEZ_SIG_BIND | 0.0.0.0:7878
    --db | KEZ_SIG_DB | kez-sig.db
    --trusted-proxy | KEZ_SIG_TRUSTED_PROXY | -
    --rate-limit | KEZ_SIG_RATE_LIMIT | on
    --chain-limits | KEZ_SIG_CHAIN_LIMITS | 10/h,30/d,100/w
    --storage-max | KEZ_SIG_STORAGE_MAX | 10GiB
    ");
}

/// Nothing starts on a mistake: one line names the flag and the cure, the exit code is not 0.
#[tokio::test]
async fn wrong_values_are_refused_with_the_cure() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("other.db"), "this is a letter to my aunt, no database".repeat(100))
        .expect("a file");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("an address").to_string();
    let mut shown = String::new();
    for args in [
        ["--bind", "localhost"],
        ["--bind", &taken],
        ["--db", ""],
        ["--db", "postgres://localhost/kez"],
        ["--db", "missing/kez-sig.db"],
        ["--db", "other.db"],
        ["--trusted-proxy", "proxy.local"],
        ["--rate-limit", "maybe"],
        ["--chain-limits", "10 per hour"],
        ["--storage-max", "10GB"],
    ] {
        let output = run(dir.path(), &args).await;
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        let line = stderr.lines().next().unwrap_or_default().replace(&taken, "[taken]");
        let folder = dir.path().canonicalize().expect("a folder");
        writeln!(shown, "{}", line.replace(folder.to_str().expect("UTF-8"), "[dir]")).expect("a String");
    }
    assert_snapshot!(shown, @r#"
    error: invalid value 'localhost' for '--bind <ADDR:PORT>': give an IP address and a port, such as 127.0.0.1:7878 or [::]:7878
    error: --bind [taken]: Address already in use (os error 98); is a sig-server, or a home server with one, using the port? Choose another with --bind
    error: invalid value '' for '--db <FILE>': name a file, such as kez-sig.db
    error: invalid value 'postgres://localhost/kez' for '--db <FILE>': this version keeps its data in a SQLite file; name a file, such as kez-sig.db
    error: --db missing/kez-sig.db: its folder does not exist; make the folder, or name a file in an existing one
    error: --db: [dir]/other.db is not a database of this program and was left alone: choose another path
    error: invalid value 'proxy.local' for '--trusted-proxy <CIDR,…>': "proxy.local" is no IP address and no network; write for example 10.0.0.7 or 10.0.0.0/8
    error: invalid value 'maybe' for '--rate-limit <RATE_LIMIT>'
    error: invalid value '10 per hour' for '--chain-limits <RATES>': give events per hour, day and week such as 10/h,30/d,100/w, each 1 to 10000 and once, or off
    error: invalid value '10GB' for '--storage-max <SIZE>': give a size of at least 1MiB such as 500MiB or 10GiB
    "#);
}

#[tokio::test]
async fn it_serves_keeps_and_ends_on_a_signal() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut alice = ChainWriter::new("alice");
    let event = alice.add("github:alice");
    for expected in [201, 200] {
        let mut child = program(dir.path())
            .env("KEZ_SIG_BIND", "127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let addr = loop {
            let line =
                timeout(DEADLINE, lines.next_line()).await.expect("in time").expect("UTF-8").expect("a line");
            if let Some((_, rest)) = line.split_once("url=http://") {
                break rest.split_whitespace().next().expect("an address").parse().expect("an address");
            }
        };
        Call::to(addr, "POST", &alice.path()).json(event.clone()).send().await.expect_status(expected);
        let id = child.id().expect("a process").to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().await.expect("a signal");
        assert!(killed.success());
        let mut rest = String::new();
        let ended = async {
            tokio::join!(child.wait(), async { lines.into_inner().read_to_string(&mut rest).await })
        };
        let (status, read) = timeout(DEADLINE, ended).await.expect("it ends in time");
        read.expect("UTF-8");
        assert!(status.expect("a status").success(), "{rest}");
        assert!(rest.contains("stopped") && !rest.contains("error"), "{rest}");
    }
    assert!(!dir.path().join("kez-sig.db-wal").exists());
}

#[tokio::test]
async fn help_teaches() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = run(dir.path(), &["--help"]).await;
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for word in [
        "the signature is the access control",
        "--sig-server-url",
        "KEZ_SIG_DB",
        "KEZ_SIG_STORAGE_MAX",
        "RUST_LOG",
    ] {
        assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(word), "{word}: {text}");
    }
}
