//! Writing by many clients at once. What was acknowledged is remembered: it may never be missing again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::DEADLINE;
use crate::http::{Connection, Ended};
use crate::writers::{Writers, write};

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load<W: Writers> {
    shared: Arc<Shared<W>>,
    clients: JoinSet<()>,
}

#[derive(Debug)]
struct Shared<W: Writers> {
    addr: SocketAddr,
    writers: W,
    outcome: Mutex<Outcome<W::Written>>,
    acknowledged: watch::Sender<usize>,
    ending: AtomicBool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    /// What was answered 201.
    pub(crate) acknowledged: Vec<T>,
    /// Every other answer: how often which status with which code.
    pub(crate) refused: BTreeMap<(u16, String), u32>,
    /// Requests whose connection ended before the first byte of an answer.
    pub(crate) unanswered: u32,
    /// Answers that broke off.
    pub(crate) broken: Vec<String>,
}

impl<W: Writers> Load<W> {
    /// Starts `clients` connections that write one thing after another until [`Load::end`] or the end of the server.
    pub(crate) fn start(addr: SocketAddr, writers: &W, clients: usize) -> Self {
        let shared = Arc::new(Shared {
            addr,
            writers: writers.clone(),
            outcome: Mutex::new(Outcome::new()),
            acknowledged: watch::Sender::new(0),
            ending: AtomicBool::new(false),
        });
        let clients = (0..clients).map(|_| Arc::clone(&shared).write_on()).collect();
        Self { shared, clients }
    }

    /// Waits until `count` writes are acknowledged.
    pub(crate) async fn acknowledged(&self, count: usize) {
        let mut seen = self.shared.acknowledged.subscribe();
        let reached = timeout(DEADLINE, seen.wait_for(|acknowledged| *acknowledged >= count)).await;
        drop(reached.expect("writes are acknowledged").unwrap());
    }

    /// What has been acknowledged by now.
    pub(crate) fn so_far(&self) -> Vec<W::Written> {
        self.shared.outcome().acknowledged.clone()
    }

    /// Waits for the requests under way, sends no more, and says what came back.
    pub(crate) async fn end(mut self) -> Outcome<W::Written> {
        self.shared.ending.store(true, Ordering::Relaxed);
        while let Some(client) = timeout(DEADLINE, self.clients.join_next()).await.expect("clients end") {
            client.unwrap();
        }
        std::mem::replace(&mut *self.shared.outcome(), Outcome::new())
    }
}

impl<T> Outcome<T> {
    fn new() -> Self {
        Self { acknowledged: Vec::new(), refused: BTreeMap::new(), unanswered: 0, broken: Vec::new() }
    }
}

impl<W: Writers> Shared<W> {
    async fn write_on(self: Arc<Self>) {
        let Ok(mut connection) = Connection::open(self.addr).await else { return };
        while !self.ending.load(Ordering::Relaxed) {
            let (wanted, answer) = write(&self.writers, &mut connection).await;
            let mut outcome = self.outcome();
            match answer {
                Ok(answer) if answer.is_acknowledgement() => {
                    outcome.acknowledged.push(wanted);
                    self.acknowledged.send_replace(outcome.acknowledged.len());
                }
                Ok(answer) => *outcome.refused.entry((answer.status, answer.code())).or_default() += 1,
                Err(Ended::Unanswered) => {
                    outcome.unanswered += 1;
                    return;
                }
                Err(Ended::Broken(what)) => {
                    outcome.broken.push(what);
                    return;
                }
            }
        }
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome<W::Written>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
