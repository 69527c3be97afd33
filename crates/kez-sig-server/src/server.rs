//! The life of a sig-server: bind, serve, stop. Production and tests use this one type.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use kez_serve::clock::{Clock, SystemClock};
use kez_serve::edge::Edge;
use kez_serve::flags::Switch;
use kez_serve::listen::{self, Listener, Running};
use kez_serve::rng::{Rng, SystemRng};
use tokio_util::sync::CancellationToken;

use crate::chains::Chains;
use crate::config::{ConfigError, SigArgs};
use crate::router;
use crate::store::{ChainStore, SqliteChainStore};

/// What a server takes from the world around it. Tests bring their own.
#[derive(Debug)]
pub struct World {
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where random bytes come from.
    pub rng: Arc<dyn Rng>,
    /// How long and how much one connection may take.
    pub limits: listen::Limits,
}

impl Default for World {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
            limits: listen::Limits::default(),
        }
    }
}

/// Why a server does not start; the text names the flag and the cure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Flags that do not fit together or to what is on disk.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be opened.
    #[error("--db: {0}")]
    Database(#[from] kez_serve::sqlite::OpenError),
    /// The address cannot be listened on.
    #[error(
        "--bind {addr}: {source}; is a sig-server, or a home server with one, using the port? Choose another with --bind"
    )]
    Bind {
        /// The wanted address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A server that listens.
#[derive(Debug)]
pub struct SigServer {
    addr: SocketAddr,
    chains: Arc<Chains>,
    running: Running,
    shutdown: CancellationToken,
}

impl SigServer {
    /// Opens the store and listens; requests are served from now on. Needs a running tokio runtime.
    pub fn bind(args: &SigArgs, world: World) -> Result<Self, StartError> {
        args.check()?;
        let listener =
            Listener::bind(args.bind).map_err(|source| StartError::Bind { addr: args.bind, source })?;
        let store = Arc::new(SqliteChainStore::open(&args.db)?);
        let limits_networks = args.rate_limit == Switch::On;
        let chains = Arc::new(Chains::new(store, world.clock, args.quotas(), limits_networks));
        let edge = Edge::new(&*world.rng).trusted_proxies(args.trusted_proxy.clone());
        let shutdown = CancellationToken::new();
        let addr = listener.addr();
        let running =
            listener.serve(router::router(Arc::clone(&chains)), edge, world.limits, shutdown.clone());
        Ok(Self { addr, chains, running, shutdown })
    }

    /// Where it listens; never port 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it keeps, for an oracle that checks it.
    pub fn store(&self) -> Arc<dyn ChainStore> {
        self.chains.store()
    }

    /// Turns readiness off, and goes on serving: who watches `/v1/readyz` sends its requests elsewhere.
    pub fn announce_stop(&self) {
        self.chains.announce_stop();
    }

    /// Stops: no new connections, requests in flight are finished, what was accepted is durable. Under 10 s.
    pub async fn shutdown(self) {
        self.announce_stop();
        self.shutdown.cancel();
        self.running.join().await;
        self.chains.store.close().await;
    }
}
