//! A server, its files, its clock, and ways to talk to it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use kez_chat_server::config::{RegistrationMode, ServeArgs, SigBind, Switch};
use kez_chat_server::store::{QuotaChange, Store};
use kez_chat_server::{InviteToken, Outgoing, Server, SigListener, StreamLimits, World};
use kez_core::{Handle, Timestamp};
use kez_serve::clock::{Clock, ManualClock, SystemClock};
use kez_serve::listen::Limits;
use kez_serve::rng::SystemRng;
use kez_sig_server::{ByteSize, ChainLimits};
use serde_json::Value;
use tokio::time::timeout;

use crate::actor::Actor;
use crate::answer::Answer;
use crate::chains::check_chains;
use crate::client::{Call, Connections, DEADLINE, raw};
use crate::mls::MlsDevice;

/// When every test begins.
pub const START: &str = "2026-05-25T03:00:00Z";

/// What a test may change about its server before it starts.
pub struct Setup {
    /// The flags. Without a test's change: a free port, files in a temporary folder, `kez.lat`, open registration,
    /// no rate limit.
    pub args: ServeArgs,
    /// Makes what the server asks other servers with, at each start.
    pub outgoing: Box<dyn Fn() -> Outgoing + Send>,
    /// How long and how much one connection may take.
    pub limits: Limits,
    /// How long streams of events are quiet and last, and how many there may be.
    pub streams: StreamLimits,
    /// The web client inside; without a test's change none, whatever this program was built with.
    pub web: Option<&'static web_assets::Client>,
    /// When the server's time begins.
    pub start: Timestamp,
    /// Whether the server lives by the machine's clock: with other programs beside it that do.
    pub live_clock: bool,
    /// The folder that goes with the test: for files to be named in flags.
    pub dir: PathBuf,
}

/// One real server with everything around it; a clone is the same server.
#[derive(Clone)]
pub struct Net {
    /// Moved by hand; the server's only clock.
    pub clock: Arc<ManualClock>,
    connections: Connections,
    shared: Arc<Shared>,
}

struct Shared {
    setup: Mutex<Setup>,
    /// `None` while it is being restarted, and after a stop. Dropped before the folder.
    server: Mutex<Option<Server>>,
    addr: Mutex<SocketAddr>,
    _dir: tempfile::TempDir,
}

impl Net {
    /// A fresh server on the settings of [`Setup`].
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A fresh server whose time begins at the machine's, for people who add each other's devices: see
    /// [`MlsDevice::key_packages`](crate::MlsDevice::key_packages).
    pub async fn today() -> Self {
        Self::today_with(|_| {}).await
    }

    /// The same with changed settings.
    pub async fn today_with(change: impl FnOnce(&mut Setup)) -> Self {
        Self::with(|setup| {
            setup.start = SystemClock::new().now().truncated();
            change(setup);
        })
        .await
    }

    /// A fresh server, with changed settings.
    pub async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut setup = Setup::below(dir.path());
        change(&mut setup);
        let clock = Arc::new(ManualClock::new(setup.start));
        let server = start(setup.parts(&clock)).await;
        let addr = server.addr();
        let shared = Shared {
            setup: Mutex::new(setup),
            server: Mutex::new(Some(server)),
            addr: Mutex::new(addr),
            _dir: dir,
        };
        Self { clock, connections: Connections::new(), shared: Arc::new(shared) }
    }

    /// Stops the server and starts another one on the same files, at another port.
    pub async fn restart(&self) {
        self.restart_with(|_| {}).await;
    }

    /// Stops the server and starts another one on the same files, with changed settings.
    pub async fn restart_with(&self, change: impl FnOnce(&mut Setup)) {
        self.stop().await;
        change(&mut lock(&self.shared.setup));
        self.start_again().await;
    }

    /// Starts a server on the files of one that was stopped, at another port.
    pub async fn start_again(&self) {
        let parts = lock(&self.shared.setup).parts(&self.clock);
        let server = start(parts).await;
        *lock(&self.shared.addr) = server.addr();
        *lock(&self.shared.server) = Some(server);
    }

    /// Turns readiness off; the server goes on serving.
    pub fn announce_stop(&self) {
        lock(&self.shared.server).as_ref().expect("a running server").announce_stop();
    }

    /// Takes away blobs and uploads whose time is over.
    pub async fn sweep_blobs(&self) {
        let server = lock(&self.shared.server).take().expect("a running server");
        let swept = server.sweep_blobs().await;
        *lock(&self.shared.server) = Some(server);
        swept.expect("the store works");
    }

    /// Drops the events and frames whose time is over.
    pub async fn sweep_events(&self) {
        let server = lock(&self.shared.server).take().expect("a running server");
        server.sweep_events().await;
        *lock(&self.shared.server) = Some(server);
    }

    /// Stops the server; its files stay.
    pub async fn stop(&self) {
        let server = lock(&self.shared.server).take().expect("a running server");
        timeout(DEADLINE, server.shutdown()).await.expect("the server stops in time");
    }

    /// The person called `name`; whoever asks for a name gets the same key.
    pub fn actor(&self, name: &str) -> Actor {
        Actor::new(self, name)
    }

    /// Where the server listens.
    pub fn addr(&self) -> SocketAddr {
        *lock(&self.shared.addr)
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The name behind the `@`.
    pub fn server_name(&self) -> String {
        lock(&self.shared.setup).args.server.to_string()
    }

    /// The flags the server runs on.
    pub fn args(&self) -> ServeArgs {
        lock(&self.shared.setup).args.clone()
    }

    /// The server's time.
    pub fn now(&self) -> Timestamp {
        if lock(&self.shared.setup).live_clock { SystemClock::new().now() } else { self.clock.now() }
    }

    /// Lets time pass.
    pub fn advance_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// What the server keeps.
    pub fn store(&self) -> Arc<dyn Store> {
        lock(&self.shared.server).as_ref().expect("a running server").store()
    }

    /// What became of the listener of the sig-server within; `None`: there is none.
    pub fn sig_listener(&self) -> Option<SigListener> {
        lock(&self.shared.server).as_ref().expect("a running server").sig_listener()
    }

    /// Verifies every chain of the sig-server within again from its first event, as the public listener shows it.
    pub async fn check_chains(&self) -> BTreeMap<String, u64> {
        let chains = lock(&self.shared.server).as_ref().expect("a running server").chains();
        check_chains(&*chains.expect("a sig-server within"), self.addr(), &self.args().sig_db()).await
    }

    /// Bounds what the holder of a handle may send, as `admin quota` does.
    pub async fn bound_messages(&self, handle: &str, bytes: u64) {
        let change = QuotaChange { messages: Some(Some(bytes)), ..QuotaChange::default() };
        let handle = handle.parse().expect("a handle");
        self.store().set_quota(&handle, change, self.now()).await.expect("a store").expect("a holder");
    }

    /// Ends an account, as its holder's deletion will.
    pub async fn give_up(&self, handle: &str) {
        let handle: Handle = handle.parse().expect("a handle");
        assert!(self.store().give_up(&handle).await.expect("the store works"), "nobody holds {handle}");
    }

    /// Makes an invite token that works for `uses` people and `lasts_s` seconds; its number and its text.
    pub async fn invite(&self, uses: u32, lasts_s: i64) -> (i64, String) {
        let token = InviteToken::new(&SystemRng);
        let expires_at = self.now().plus_seconds(lasts_s).expect("a time");
        let id = self.store().create_invite(token.hash(), uses, expires_at, self.now()).await;
        (id.expect("the store works").expect("room for an invite"), token.as_str().to_owned())
    }

    /// A call of any method.
    pub fn call(&self, method: &str, target: &str) -> Call {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
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

    /// A call with a body in JSON, signed by a device now.
    pub fn signed(&self, device: &MlsDevice, method: &str, target: &str, body: &Value) -> Call {
        let body = body.to_string();
        self.call(method, target).json(body).signed(&device.signer(), self.now())
    }

    /// `GET target`, signed by a device now.
    pub async fn get_signed(&self, device: &MlsDevice, target: &str) -> Answer {
        self.call("GET", target).signed(&device.signer(), self.now()).send().await
    }

    /// `POST /v1/devices`: takes the device in, or renews it.
    pub async fn enrol(&self, device: &MlsDevice) -> Answer {
        self.post("/v1/devices").json(device.enrolment(&self.server_name(), self.now())).send().await
    }

    /// `POST /v1/register` with this body.
    pub async fn register(&self, envelope: impl Into<Bytes>) -> Answer {
        self.post("/v1/register").json(envelope).send().await
    }

    /// Makes all these calls, `at_once` under way at any moment; answers in the order of `calls`.
    pub async fn storm(&self, calls: Vec<Call>, at_once: usize) -> Vec<Answer> {
        let places = Arc::new(tokio::sync::Semaphore::new(at_once));
        let tasks: Vec<_> = calls
            .into_iter()
            .map(|call| {
                let places = Arc::clone(&places);
                tokio::spawn(async move {
                    let _place = places.acquire().await.expect("never closed");
                    call.send().await
                })
            })
            .collect();
        let mut answers = Vec::with_capacity(tasks.len());
        for task in tasks {
            answers.push(task.await.expect("no call fails"));
        }
        answers
    }

    /// Makes all these calls while no write gets through, so that those which write wait for each other and are decided
    /// in one batch; answers in the order of `calls`.
    pub async fn together(&self, calls: Vec<Call>) -> Vec<Answer> {
        let file = rusqlite::Connection::open(self.args().db).expect("the file opens");
        file.execute_batch("BEGIN IMMEDIATE").expect("nobody writes");
        let at_once = calls.len();
        let storm = tokio::spawn({
            let net = self.clone();
            async move { net.storm(calls, at_once).await }
        });
        // Each of these gives all the others a turn; whoever is late only waits for nothing.
        for _ in 0..at_once {
            self.get("/v1/healthz").await.expect_status(200);
        }
        file.execute_batch("ROLLBACK").expect("the end of a transaction");
        storm.await.expect("no call fails")
    }

    /// Says exactly `bytes` on a connection of its own; the answers until the server closes it.
    ///
    /// Ask for `Connection: close`, or say something that ends the connection.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
        raw(self.addr(), bytes.as_ref()).await
    }
}

impl Setup {
    fn below(dir: &Path) -> Self {
        let args = ServeArgs {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            db: dir.join("kez-chat.db"),
            server: "kez.lat".parse().expect("a server name"),
            sig_server_url: "http://localhost:7878".parse().expect("a URL"),
            web_dir: None,
            public_url: Vec::new(),
            secret_file: None,
            trusted_proxy: kez_serve::client_addr::TrustedProxies::default(),
            rate_limit: Switch::Off,
            registration: RegistrationMode::Open,
            retention_days: 30,
            message_storage_max: ByteSize(1 << 40),
            blob_store: None,
            blob_storage_max: ByteSize(1 << 40),
            sig_bind: SigBind(None),
            sig_chain_limits: ChainLimits::off(),
            sig_storage_max: ByteSize(1 << 40),
            nats_url: Vec::new(),
            nats_keys: dir.join("kez-nats"),
            nats_public_url: Vec::new(),
        };
        Self {
            args,
            outgoing: Box::new(Outgoing::new),
            limits: Limits::default(),
            streams: StreamLimits::default(),
            web: None,
            start: START.parse().expect("a time"),
            live_clock: false,
            dir: dir.to_owned(),
        }
    }

    fn parts(&self, clock: &Arc<ManualClock>) -> (ServeArgs, World) {
        let clock: Arc<dyn Clock> =
            if self.live_clock { Arc::new(SystemClock::new()) } else { Arc::clone(clock) as Arc<dyn Clock> };
        let world = World {
            clock,
            rng: Arc::new(SystemRng),
            outgoing: (self.outgoing)(),
            limits: self.limits.clone(),
            streams: self.streams,
            web: self.web,
        };
        (self.args.clone(), world)
    }
}

async fn start((args, world): (ServeArgs, World)) -> Server {
    Server::bind(&args, world).await.unwrap_or_else(|error| panic!("the server does not start: {error}"))
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("args", &self.args).finish_non_exhaustive()
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
