//! The signals that end a server.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a server that will stop goes on serving while readiness is off. With the drain it stays below 10 s.
const NOTICE: Duration = Duration::from_secs(1);

/// SIGTERM (service managers, containers) and SIGINT (Ctrl-C), caught from the moment this is made.
#[derive(Debug)]
pub struct Shutdown {
    term: Signal,
    int: Signal,
}

impl Shutdown {
    /// Starts catching both. Needs a running tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of them and gives its name.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }

    /// Waits until the server has to stop. Ctrl-C waits for nothing; on SIGTERM, which service managers send,
    /// `announce` turns readiness off and the server has a second more, for who watches it to look elsewhere.
    pub async fn wait(&mut self, announce: impl FnOnce()) {
        let signal = self.received().await;
        if signal == "SIGTERM" {
            tracing::info!("stopping soon: not ready any more");
            announce();
            tokio::time::sleep(NOTICE).await;
        }
        tracing::info!(signal, "stopping: no new connections, finishing what is under way");
    }
}
