//! A sig-server, its file, its clock, and ways to talk to it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kez_core::Timestamp;
use kez_serve::clock::{Clock, ManualClock};
use kez_serve::flags::Switch;
use kez_serve::listen::Limits;
use kez_serve::rng::SystemRng;
use kez_sig_server::config::SigArgs;
use kez_sig_server::store::ChainStore;
use kez_sig_server::{ByteSize, ChainLimits, SigServer, World};
use tokio::time::timeout;

use crate::answer::Answer;
use crate::chains::{ChainWriter, check_chains};
use crate::client::{Call, Connections, DEADLINE, raw};
use crate::net::START;

/// One real sig-server with everything around it; a clone is the same server.
#[derive(Clone)]
pub struct SigNet {
    /// Moved by hand; the server's only clock.
    pub clock: Arc<ManualClock>,
    connections: Connections,
    shared: Arc<Shared>,
}

struct Shared {
    args: Mutex<SigArgs>,
    /// `None` while it is being restarted, and after a stop. Dropped before the folder.
    server: Mutex<Option<SigServer>>,
    addr: Mutex<SocketAddr>,
    _dir: tempfile::TempDir,
}

impl SigNet {
    /// A fresh server on a free port, its file in a temporary folder, without rate limits of any kind.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A fresh server, with changed flags.
    #[expect(clippy::unused_async, reason = "starting may come to wait; tests should not change then")]
    pub async fn with(change: impl FnOnce(&mut SigArgs)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut args = args(&dir.path().join("kez-sig.db"));
        change(&mut args);
        let clock = Arc::new(ManualClock::new(START.parse().expect("a time")));
        let server = start(&args, &clock);
        let addr = server.addr();
        let shared = Shared {
            args: Mutex::new(args),
            server: Mutex::new(Some(server)),
            addr: Mutex::new(addr),
            _dir: dir,
        };
        Self { clock, connections: Connections::new(), shared: Arc::new(shared) }
    }

    /// Stops the server and starts another one on the same file, at another port.
    pub async fn restart(&self) {
        self.restart_with(|_| {}).await;
    }

    /// Stops the server and starts another one on the same file, with changed flags.
    pub async fn restart_with(&self, change: impl FnOnce(&mut SigArgs)) {
        self.stop().await;
        let server = {
            let mut args = lock(&self.shared.args);
            change(&mut args);
            start(&args, &self.clock)
        };
        *lock(&self.shared.addr) = server.addr();
        *lock(&self.shared.server) = Some(server);
    }

    /// Stops the server; its file stays.
    pub async fn stop(&self) {
        let server = lock(&self.shared.server).take().expect("a running server");
        timeout(DEADLINE, server.shutdown()).await.expect("the server stops in time");
    }

    /// Turns readiness off.
    pub fn announce_stop(&self) {
        lock(&self.shared.server).as_ref().expect("a running server").announce_stop();
    }

    /// Somebody with a chain that has no event yet; whoever asks for a name gets the same key.
    pub fn writer(&self, name: &str) -> ChainWriter {
        ChainWriter::new(name)
    }

    /// Where the server listens.
    pub fn addr(&self) -> SocketAddr {
        *lock(&self.shared.addr)
    }

    /// The flags the server runs on.
    pub fn args(&self) -> SigArgs {
        lock(&self.shared.args).clone()
    }

    /// The server's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass.
    pub fn advance_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// What the server keeps.
    pub fn store(&self) -> Arc<dyn ChainStore> {
        lock(&self.shared.server).as_ref().expect("a running server").store()
    }

    /// A call of any method.
    pub fn call(&self, method: &str, target: &str) -> Call {
        let method = http::Method::from_bytes(method.as_bytes()).expect("a method");
        Call::new(&self.connections, self.addr(), method, target)
    }

    /// `GET target`.
    pub async fn get(&self, target: &str) -> Answer {
        self.call("GET", target).send().await
    }

    /// `POST target`, to be given a body.
    pub fn post(&self, target: &str) -> Call {
        self.call("POST", target)
    }

    /// Sends an event to the chain at `path`.
    pub async fn append(&self, path: &str, event: impl Into<bytes::Bytes>) -> Answer {
        self.post(path).json(event).send().await
    }

    /// Says exactly `bytes` on a connection of its own; the answers until the server closes it.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
        raw(self.addr(), bytes.as_ref()).await
    }

    /// Verifies every stored chain again from its first event, that all ways of reading it agree, and the file below.
    /// The number of events by chain.
    pub async fn check_chains(&self) -> BTreeMap<String, u64> {
        check_chains(&*self.store(), self.addr(), &self.args().db).await
    }
}

fn args(db: &Path) -> SigArgs {
    SigArgs {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        db: db.to_owned(),
        trusted_proxy: kez_serve::client_addr::TrustedProxies::default(),
        rate_limit: Switch::Off,
        chain_limits: ChainLimits::off(),
        storage_max: ByteSize(1 << 40),
    }
}

fn start(args: &SigArgs, clock: &Arc<ManualClock>) -> SigServer {
    let world = World {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        rng: Arc::new(SystemRng),
        limits: Limits::default(),
    };
    SigServer::bind(args, world).unwrap_or_else(|error| panic!("the server does not start: {error}"))
}

impl fmt::Debug for SigNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigNet").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
