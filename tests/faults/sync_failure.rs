//! A disk that fails: what could not be synced is not acknowledged, and what was acknowledged stays.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use kez_testkit::process::ServerProcess;
use tempfile::TempDir;

use crate::authors::Authors;
use crate::form::{count, may_go_on};
use crate::http::{Connection, readiness_becomes};
use crate::load::Load;
use crate::people::People;
use crate::writers::{Writers, expect_written, write};

const CLIENTS: usize = 8;
/// Writes tried while the disk fails.
const TRIES: usize = 40;

/// How the disk fails (the letter of `sync_failure.c`), and how writes are refused meanwhile.
struct Fault {
    letter: &'static str,
    status: u16,
    code: &'static str,
    reason: &'static str,
}

const SYNC_EIO: Fault =
    Fault { letter: "e", status: 503, code: "storage_unavailable", reason: "storage_failing" };
const SYNC_FULL: Fault = Fault { letter: "n", status: 507, code: "storage_full", reason: "storage_full" };
const WRITE_EIO: Fault =
    Fault { letter: "i", status: 503, code: "storage_unavailable", reason: "storage_failing" };
const WRITE_FULL: Fault = Fault { letter: "f", status: 507, code: "storage_full", reason: "storage_full" };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_fsync_acknowledges_nothing() {
    withstand::<People>(SYNC_EIO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_fsync_without_space_acknowledges_nothing() {
    withstand::<People>(SYNC_FULL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_write_acknowledges_nothing() {
    withstand::<People>(WRITE_EIO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_without_space_acknowledges_nothing() {
    withstand::<People>(WRITE_FULL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_fsync_acknowledges_no_event() {
    withstand::<Authors>(SYNC_EIO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_without_space_acknowledges_no_event() {
    withstand::<Authors>(WRITE_FULL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_writes_are_completed() {
    let Some(disk) = FailingDisk::new() else { return };
    let people = People::new("short");
    let server = disk.start::<People>();
    disk.fail("s");
    let load = Load::start(server.addr(), &people, CLIENTS);
    load.acknowledged(200).await;
    let outcome = load.end().await;
    assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    expect_kept(server, &disk, &people, &outcome.acknowledged).await;
}

async fn withstand<W: Writers>(fault: Fault) {
    let Some(disk) = FailingDisk::new() else { return };
    let writers = W::new("fault");
    let mut acknowledged = Vec::new();
    for _ in 0..count(1, 10) {
        let server = disk.start::<W>();
        for _ in 0..2 {
            acknowledged.extend(fail_under_load(&server, &disk, &writers, &fault).await);
            expect_refused(server.addr(), &writers, &fault).await;
            W::expect_found(server.addr(), &acknowledged).await;
            disk.work();
            readiness_becomes(server.addr(), 200).await;
            W::expect_found(server.addr(), &acknowledged).await;
        }
        acknowledged.push(expect_written(server.addr(), &writers).await);
        acknowledged.extend(fail_under_load(&server, &disk, &writers, &fault).await);
        expect_kept(server, &disk, &writers, &acknowledged).await;
    }
}

/// Lets the disk fail in the midst of writes, and gives those that were acknowledged before it did.
async fn fail_under_load<W: Writers>(
    server: &ServerProcess,
    disk: &FailingDisk,
    writers: &W,
    fault: &Fault,
) -> Vec<W::Written> {
    let load = Load::start(server.addr(), writers, CLIENTS);
    load.acknowledged(50).await;
    disk.fail(fault.letter);
    let readiness = readiness_becomes(server.addr(), 503).await;
    assert_eq!(readiness.json()["reasons"], serde_json::json!([fault.reason]));
    let outcome = load.end().await;
    let expected = (fault.status, fault.code.to_owned());
    assert!(outcome.refused.keys().all(|refusal| *refusal == expected), "{:?}", outcome.refused);
    outcome.acknowledged
}

/// Nothing is acknowledged, and nothing that was refused is shown to others.
async fn expect_refused<W: Writers>(addr: SocketAddr, writers: &W, fault: &Fault) {
    let mut connection = Connection::open(addr).await.unwrap();
    for _ in 0..TRIES {
        let (wanted, answer) = write(writers, &mut connection).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (fault.status, fault.code), "{answer:?}");
        answer.expect_problem_body();
        assert!(!W::is_shown(&mut connection, &wanted).await, "{wanted:?} was refused");
    }
}

async fn expect_kept<W: Writers>(
    server: ServerProcess,
    disk: &FailingDisk,
    writers: &W,
    acknowledged: &[W::Written],
) {
    server.kill_9();
    disk.work();
    let server = W::start(disk.dir.path());
    W::expect_found(server.addr(), acknowledged).await;
    writers.verify_all(disk.dir.path());
    assert_eq!(server.stop_term().code, Some(0));
}

/// A folder whose disk fails on demand, for servers started by [`FailingDisk::start`].
struct FailingDisk {
    dir: TempDir,
    library: PathBuf,
}

impl FailingDisk {
    fn new() -> Option<Self> {
        let has_compiler = Command::new("cc").arg("--version").output().is_ok();
        if !may_go_on("cc", has_compiler) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("sync_failure.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/sync_failure.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source);
        assert!(compiler.status().unwrap().success());
        Some(Self { dir, library })
    }

    fn start<W: Writers>(&self) -> ServerProcess {
        let program = W::program(self.dir.path());
        program.env("LD_PRELOAD", &self.library).env("KEZ_FAULT", self.flag()).start().unwrap()
    }

    fn fail(&self, letter: &str) {
        std::fs::write(self.dir.path().join("flag.new"), letter).unwrap();
        std::fs::rename(self.dir.path().join("flag.new"), self.flag()).unwrap();
    }

    fn work(&self) {
        let _ = std::fs::remove_file(self.flag()); // an error: it works already
    }

    fn flag(&self) -> PathBuf {
        self.dir.path().join("flag")
    }
}
