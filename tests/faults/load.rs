//! Registrations by many clients at once. What was answered 201 is remembered: it may never be missing again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::DEADLINE;
use crate::http::{Connection, Ended};
use crate::people::{People, Person};

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    addr: SocketAddr,
    people: People,
    outcome: Mutex<Outcome>,
    acknowledged: watch::Sender<usize>,
    ending: AtomicBool,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Who was answered 201.
    pub(crate) acknowledged: Vec<Person>,
    /// Every other answer: how often which status with which code.
    pub(crate) refused: BTreeMap<(u16, String), u32>,
    /// Requests whose connection ended before the first byte of an answer.
    pub(crate) unanswered: u32,
    /// Answers that broke off.
    pub(crate) broken: Vec<String>,
}

impl Load {
    /// Starts `clients` connections that register one after another until [`Load::end`] or the end of the server.
    pub(crate) fn start(addr: SocketAddr, people: &People, clients: usize) -> Self {
        let shared = Arc::new(Shared {
            addr,
            people: people.clone(),
            outcome: Mutex::default(),
            acknowledged: watch::Sender::new(0),
            ending: AtomicBool::new(false),
        });
        let clients = (0..clients).map(|_| Arc::clone(&shared).register_on()).collect();
        Self { shared, clients }
    }

    /// Waits until `count` registrations are acknowledged.
    pub(crate) async fn acknowledged(&self, count: usize) {
        let mut seen = self.shared.acknowledged.subscribe();
        let reached = timeout(DEADLINE, seen.wait_for(|acknowledged| *acknowledged >= count)).await;
        drop(reached.expect("registrations are acknowledged").unwrap());
    }

    /// Waits for the requests under way, sends no more, and says what came back.
    pub(crate) async fn end(mut self) -> Outcome {
        self.shared.ending.store(true, Ordering::Relaxed);
        while let Some(client) = timeout(DEADLINE, self.clients.join_next()).await.expect("clients end") {
            client.unwrap();
        }
        std::mem::take(&mut *self.shared.outcome())
    }
}

impl Shared {
    async fn register_on(self: Arc<Self>) {
        let Ok(mut connection) = Connection::open(self.addr).await else { return };
        while !self.ending.load(Ordering::Relaxed) {
            let (person, envelope) = self.people.next();
            let answer = connection.register(envelope.as_bytes()).await;
            let mut outcome = self.outcome();
            match answer {
                Ok(answer) if answer.status == 201 => {
                    assert!(answer.names(&person), "a record of somebody else: {answer:?}");
                    outcome.acknowledged.push(person);
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

    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
