//! The life of a server: bind, serve, stop. Production and tests use this one type.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kez_core::ServerName;
use kez_serve::clock::{Clock, SystemClock};
use kez_serve::edge::Edge;
use kez_serve::listen::{self, Listener, Running};
use kez_serve::openapi::Documents;
use kez_serve::rng::{Rng, SystemRng};
use kez_sig_server::store::ChainStore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::age_clock::AgeClock;
use crate::app::{App, Limits};
use crate::blobs::depot::Depot;
use crate::blobs::sweep;
use crate::bus::{Bus, LocalBus};
use crate::caller::{Authorities, KnownDevices, Sessions};
use crate::commands::CommandWatch;
use crate::config::{ConfigError, ServeArgs, Switch};
use crate::events::{StreamLimits, Streams};
use crate::leaving::{self, Receipts};
use crate::nats::bus::{NatsBus, Told};
use crate::nats::{Inboxes, Nats, NatsError, NatsTasks};
use crate::record::Records;
use crate::registration::Policy;
use crate::resolve::{Outgoing, Resolver};
use crate::retention::{self, Sweeper};
use crate::router;
use crate::secret::{SecretError, Secrets};
use crate::sigchains::{SigListener, Sigchains};
use crate::store::{AuditId, MessageLimits, SqliteStore, Store, StoreError};
use crate::web::WebClient;
use crate::webfinger::Descriptors;
use crate::writes::Writes;

/// Request headers that scripts of other origins may send.
const CORS_HEADERS: &str = "Content-Digest, Content-Range, Content-Type, If-Match, If-None-Match, If-Range, Kez-Invite, Last-Event-ID, Range, Signature, Signature-Input";

/// What a server takes from the world around it. Tests bring their own.
#[derive(Debug)]
pub struct World {
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where random bytes come from.
    pub rng: Arc<dyn Rng>,
    /// How other servers are asked.
    pub outgoing: Outgoing,
    /// How long and how much one connection may take.
    pub limits: listen::Limits,
    /// How long streams of events are quiet and last, and how many there may be.
    pub streams: StreamLimits,
    /// The web client that is served when no folder is named.
    pub web: Option<&'static web_assets::Client>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
            outgoing: Outgoing::new(),
            limits: listen::Limits::default(),
            streams: StreamLimits::default(),
            web: web_assets::CLIENT.as_ref(),
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
    /// The database cannot answer.
    #[error("--db: {0}")]
    Store(#[from] StoreError),
    /// The database belongs to a server of another name.
    #[error(
        "--server {asked}: this database is the home of {stored}, and its people signed for that name; start with --server {stored}, or name another --db"
    )]
    OtherServer {
        /// The name in the configuration.
        asked: ServerName,
        /// The name in the database.
        stored: ServerName,
    },
    /// The folder of blobs cannot be used.
    #[error("--blob-store {folder}: {source}; name a folder that this user may write to")]
    BlobStore {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The NATS side cannot start.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The secret file cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The sigchains cannot be opened.
    #[error("--sig-bind: {0}; start with --sig-bind off to do without the sig-server within")]
    Sigchains(#[source] kez_serve::sqlite::OpenError),
    /// The address of the sig-server within cannot be listened on.
    #[error("--sig-bind {addr}: {source}; choose another address, or off")]
    SigBind {
        /// The wanted address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("--bind {addr}: {source}; is another program using the port? Choose another with --bind")]
    Bind {
        /// The wanted address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    app: Arc<App>,
    running: Running,
    sigchains: Option<Sigchains>,
    commands: CommandWatch,
    sweeper: Sweeper,
    blob_sweeper: tokio::task::JoinHandle<()>,
    leavers: tokio::task::JoinHandle<()>,
    nats: Option<NatsTasks>,
    shutdown: CancellationToken,
}

impl Server {
    /// Opens the store and listens; requests are served from now on.
    pub async fn bind(args: &ServeArgs, world: World) -> Result<Self, StartError> {
        args.check()?;
        let public_urls = args.public_urls()?;
        let listener =
            Listener::bind(args.bind).map_err(|source| StartError::Bind { addr: args.bind, source })?;
        let secrets = Secrets::load_or_create(&args.secret_file(), &*world.rng)?;
        let nats = Nats::connect(args).await?;
        let store = Arc::new(SqliteStore::open(&args.db)?.limited(message_limits(args)));
        let seen = match take_over(&*store, &args.server).await {
            Ok(seen) => seen,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        let depot = open_depot(args)?;
        let shutdown = CancellationToken::new();
        let sigchains = Sigchains::bind(args, &world.clock, &*world.rng, &world.limits, &shutdown).await?;
        let addr = listener.addr();
        let inboxes = Arc::new(Inboxes::new(&secrets));
        let (bus, told, known_devices) = bus(&inboxes, nats.is_some());
        let ages = age_clock(&*store, &*world.clock).await?;
        let app = Arc::new(App {
            authorities: Authorities::new(&public_urls, addr),
            known_devices,
            sessions: Sessions::new(&secrets),
            receipts: Receipts::new(args.server.clone(), &secrets),
            descriptors: Descriptors::new(&args.server, &public_urls, &args.sig_server_url),
            public_urls,
            sig_server_url: args.sig_server_url.clone(),
            records: Records::new(args.server.clone(), &args.sig_server_url),
            policy: Policy { server: args.server.clone(), mode: args.registration },
            retention_days: args.retention_days,
            depot,
            blob_storage_bytes_max: args.blob_storage_max.0,
            store,
            bus,
            inboxes,
            nats: nats.clone(),
            streams: Streams::new(world.streams),
            chains: sigchains.as_ref().map(|within| Arc::clone(within.chains())),
            resolver: Resolver::new(world.outgoing, Arc::clone(&world.clock)),
            limits: (args.rate_limit == Switch::On).then(|| Limits::new(&world.clock)),
            ages,
            writes: Writes::default(),
            clock: world.clock,
            web: WebClient::new(args.web_dir.clone(), world.web, &args.server),
            openapi: Documents::new(router::openapi_json()),
            draining: AtomicBool::new(false),
        });
        let commands = CommandWatch::start(Arc::clone(&app), seen, shutdown.clone());
        let edge = Edge::new(&*world.rng)
            .trusted_proxies(args.trusted_proxy.clone())
            .cors_request_headers(CORS_HEADERS);
        let running = listener.serve(router::router(Arc::clone(&app)), edge, world.limits, shutdown.clone());
        let sweeper = Sweeper::start(Arc::clone(&app), shutdown.clone());
        tracing::debug!(secret.key_id = secrets.key_id(), "secret loaded");
        let blob_sweeper = tokio::spawn(sweep::run(Arc::clone(&app), shutdown.clone()));
        let leavers = tokio::spawn(leaving::run(Arc::clone(&app), shutdown.clone()));
        let nats = nats.zip(told).map(|(nats, told)| NatsTasks::start(&app, &nats, told, &shutdown));
        Ok(Self { addr, app, running, sigchains, commands, sweeper, blob_sweeper, leavers, nats, shutdown })
    }

    /// Where it listens; never port 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it keeps, for an oracle that checks it.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.app.store)
    }

    /// The web client that is served: `built_in`, `folder` or `none`.
    pub fn web_client(&self) -> &'static str {
        self.app.web.name()
    }

    /// What became of the listener of the sig-server within; `None`: there is none.
    pub fn sig_listener(&self) -> Option<SigListener> {
        self.sigchains.as_ref().map(Sigchains::listener)
    }

    /// The chains of the sig-server within, for an oracle that checks them.
    pub fn chains(&self) -> Option<Arc<dyn ChainStore>> {
        self.app.chains.as_ref().map(|chains| chains.store())
    }

    /// Takes away blobs and uploads whose time is over by now; the server does it by itself once a minute.
    pub async fn sweep_blobs(&self) -> Result<(), StoreError> {
        sweep::sweep(&*self.app.store, &self.app.depot, self.app.age_time()).await
    }

    /// Drops the events and frames whose time is over by now; the server does it by itself, events once a minute.
    pub async fn sweep_events(&self) {
        retention::sweep(&self.app).await;
    }

    /// Turns readiness off, and goes on serving: who watches `/v1/readyz` sends its requests elsewhere.
    pub fn announce_stop(&self) {
        self.app.draining.store(true, Ordering::Relaxed);
        if let Some(chains) = &self.app.chains {
            chains.announce_stop();
        }
    }

    /// Stops: no new connections, requests in flight are finished, what was accepted is durable. Under 10 s.
    pub async fn shutdown(self) {
        self.announce_stop();
        self.shutdown.cancel();
        self.app.bus.close();
        self.running.join().await;
        self.commands.join().await;
        if let Some(nats) = self.nats {
            nats.join().await;
        }
        self.sweeper.join().await;
        if let Err(error) = self.blob_sweeper.await {
            tracing::error!(error = %error, "the sweeper of blobs broke off");
        }
        if let Err(error) = self.leavers.await {
            tracing::error!(error = %error, "the task that deletes accounts broke off");
        }
        if let Some(sigchains) = self.sigchains {
            sigchains.join().await;
        }
        if let Some(chains) = &self.app.chains {
            chains.store().close().await;
        }
        self.app.store.close().await;
    }
}

/// Makes sure that the store is this server's; the last that commands did before it serves.
async fn take_over(store: &dyn Store, server: &ServerName) -> Result<AuditId, StartError> {
    claim(store, server).await?;
    Ok(store.audit_head().await?)
}

fn message_limits(args: &ServeArgs) -> MessageLimits {
    MessageLimits {
        storage_bytes_max: args.message_storage_max.0,
        period: Duration::from_hours(24 * u64::from(args.retention_days)),
    }
}

fn open_depot(args: &ServeArgs) -> Result<Depot, StartError> {
    let folder = args.blob_folder();
    Depot::open(&folder).map_err(|source| StartError::BlobStore { folder, source })
}

/// The bus, and the devices that are known until it says that they changed.
fn bus(
    inboxes: &Arc<Inboxes>,
    with_nats: bool,
) -> (Arc<dyn Bus>, Option<mpsc::Receiver<Told>>, Arc<KnownDevices>) {
    let (bus, known_devices) = (LocalBus::default(), Arc::new(KnownDevices::new()));
    let (known, inboxes) = (Arc::clone(&known_devices), Arc::clone(inboxes));
    bus.hear_devices(Box::new(move |primary| {
        known.changed(primary);
        inboxes.changed(primary);
    }));
    if with_nats {
        let (bus, told) = NatsBus::new(bus);
        return (Arc::new(bus), Some(told), known_devices);
    }
    (Arc::new(bus), None, known_devices)
}

/// Goes on from the time that was noted last; notes the first.
async fn age_clock(store: &dyn Store, clock: &dyn Clock) -> Result<AgeClock, StoreError> {
    let noted = store.noted_time().await?;
    if noted.is_none() {
        store.note_time(clock.now().truncated()).await?;
    }
    Ok(AgeClock::new(noted, clock))
}

/// Makes the store the home of `server`, once and for all.
async fn claim(store: &dyn Store, server: &ServerName) -> Result<(), StartError> {
    let stored = store.claim(server).await?;
    if stored == *server { Ok(()) } else { Err(StartError::OtherServer { asked: server.clone(), stored }) }
}
