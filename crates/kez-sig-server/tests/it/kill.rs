//! `kill -9` of the program under load. What else may break is broken in the home server's fault tests, to the very store
//! that is here: this one is the same code in another program.

use std::net::SocketAddr;

use kez_core::sigchain::Chain;
use kez_testkit::process::Program;
use kez_testkit::{Call, ChainWriter, DEADLINE};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{short_or_full, subject};

const WRITERS: usize = 8;

/// Somebody who keeps a chain across kills.
struct Author {
    writer: ChainWriter,
    /// The hashes of the events that were acknowledged.
    acknowledged: Vec<String>,
    /// An event that was sent and not answered.
    pending: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_201_outlives_kill_9() {
    let dir = tempfile::tempdir().expect("a folder");
    let program = Program::sig_server(env!("CARGO_BIN_EXE_kez-sig-server"), dir.path());
    let mut authors: Vec<_> = (0..WRITERS).map(Author::new).collect();
    let kills = short_or_full(3, 100);
    for kill in 0..kills {
        let server = program.start().expect("it starts on what the kill left");
        for author in &authors {
            author.expect_kept(server.addr()).await;
        }
        let (acknowledged, mut seen) = mpsc::unbounded_channel();
        let mut writing = JoinSet::new();
        for author in authors {
            writing.spawn(author.write(server.addr(), acknowledged.clone()));
        }
        for _ in 0..=kill * 37 % 100 {
            timeout(DEADLINE, seen.recv()).await.expect("events are taken");
        }
        server.kill_9();
        authors = timeout(DEADLINE, writing.join_all()).await.expect("everybody notices");
    }
    let server = program.start().expect("it starts on what the kill left");
    for author in &authors {
        author.expect_kept(server.addr()).await;
    }
    assert_eq!(server.stop_term().code, Some(0));
}

impl Author {
    fn new(number: usize) -> Self {
        let writer = ChainWriter::new(&format!("author {number}"));
        Self { writer, acknowledged: Vec::new(), pending: None }
    }

    /// Appends until the server is gone.
    async fn write(mut self, addr: SocketAddr, acknowledged: mpsc::UnboundedSender<()>) -> Self {
        loop {
            let again = self.pending.is_some();
            let subject = subject(self.acknowledged.len());
            let event = self.pending.get_or_insert_with(|| self.writer.add(&subject)).clone();
            let call = Call::to(addr, "POST", &self.writer.path()).json(event);
            let Some(answer) = call.try_send().await else { return self };
            assert!(answer.status() == 201 || (again && answer.status() == 200), "{answer:?}");
            assert_eq!(answer.json()["hash"], self.writer.hash());
            self.acknowledged.push(self.writer.hash());
            self.pending = None;
            let _ = acknowledged.send(()); // enough were counted
        }
    }

    /// Verifies the chain from its first event: all that was acknowledged, and at most one event that was sent.
    async fn expect_kept(&self, addr: SocketAddr) {
        if self.acknowledged.is_empty() {
            return;
        }
        let chain = Call::to(addr, "GET", &self.writer.path()).send().await.expect_status(200);
        let chain = Chain::read(Some(self.writer.chain()), chain.text()).expect("a chain");
        let hashes: Vec<_> = chain.hashes().iter().map(ToString::to_string).collect();
        let (known, further) = hashes.split_at(self.acknowledged.len().min(hashes.len()));
        assert_eq!(known, self.acknowledged);
        let sent = self.pending.is_some().then(|| self.writer.hash());
        assert!(further.is_empty() || further.iter().eq(&sent), "never sent: {further:?}");
    }
}
