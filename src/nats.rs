//! NATS beside HTTP: three connections as the home server, and what goes over them. SPEC "NATS".
//!
//! The broker says who calls; it holds nothing and is never asked for anything that lasts. Every call ends in the same
//! router as over HTTP.

mod budget;
pub(crate) mod bus;
mod conf;
mod connections;
mod inboxes;
mod keys;
mod kick;
mod ops;
mod rpc;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use kez_nats_auth::NkeySeed;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::callout::{self, Callout};
use crate::config::ServeArgs;
pub use conf::{NatsConfigError, write as write_config};
pub(crate) use connections::Connections;
pub(crate) use inboxes::Inboxes;
pub use keys::NatsKeyError;
pub(crate) use keys::NatsKeys;

/// The longest wait between two tries to reach NATS.
const RECONNECT_MAX: Duration = Duration::from_secs(4);

/// Why the NATS side does not start; the text names the flag and the cure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] NatsKeyError),
    /// Not a URL that can be connected to.
    #[error("--nats-url: {0}")]
    Connect(#[from] async_nats::ConnectError),
}

/// The connections, and who is connected.
#[derive(Debug)]
pub(crate) struct Nats {
    /// Signs, seals and logs in.
    pub keys: NatsKeys,
    /// In HOME: calls, hints, other nodes.
    pub home: Client,
    /// In AUTH: the callout.
    pub auth: Client,
    /// In SYS: finds and kicks connections.
    pub sys: Client,
    /// The connections of people.
    pub connections: Connections,
    /// Where clients reach NATS, for `/v1/server`.
    pub public_urls: Vec<String>,
    /// Set once the callout's subscription is with a server.
    pub is_up: AtomicBool,
}

impl Nats {
    /// Begins to connect, and goes on trying; nothing waits for it.
    pub(crate) async fn connect(args: &ServeArgs) -> Result<Option<Arc<Self>>, NatsError> {
        if args.nats_url.is_empty() {
            return Ok(None);
        }
        let keys = NatsKeys::load(&args.nats_keys)?;
        let urls = &args.nats_url;
        Ok(Some(Arc::new(Self {
            home: connect(urls, "HOME", &keys.home).await?,
            auth: connect(urls, "AUTH", &keys.auth).await?,
            sys: connect(urls, "SYS", &keys.sys).await?,
            keys,
            connections: Connections::default(),
            public_urls: args.nats_public_url.clone(),
            is_up: AtomicBool::new(false),
        })))
    }

    /// Whether logins were ever possible.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }
}

/// Takes over what the servers list of an account.
pub(crate) async fn recount(nats: &Nats, account: &kez_core::PublicKey) {
    let mut listed = Vec::new();
    for device in nats.connections.devices(account) {
        let name = format!("{}:{device}", account.to_hex());
        if let Err(error) = connections::list(nats, &name, |one| listed.push(one)).await {
            tracing::error!(error = %error, "connections cannot be listed");
            return;
        }
    }
    nats.connections.replace(account, &listed);
}

async fn connect(
    urls: &[String],
    account: &'static str,
    seed: &NkeySeed,
) -> Result<Client, async_nats::ConnectError> {
    ConnectOptions::with_nkey(seed.expose().to_string())
        .name(format!("kez-chat-server {account}"))
        .retry_on_initial_connect()
        .no_echo()
        .max_reconnects(None)
        .reconnect_delay_callback(|attempt| {
            let doubled = Duration::from_millis(50).saturating_mul(1 << attempt.min(10));
            doubled.min(RECONNECT_MAX)
        })
        .event_callback(move |event| async move {
            match event {
                Event::Connected => tracing::info!(nats.account = account, "connected to NATS"),
                Event::Disconnected => tracing::warn!(nats.account = account, "NATS is gone; trying again"),
                Event::ServerError(error) => {
                    tracing::warn!(nats.account = account, error = %error, "NATS refuses something");
                }
                Event::ClientError(error) => {
                    tracing::warn!(nats.account = account, error = %error, "NATS cannot be used");
                }
                _ => {}
            }
        })
        .connect(urls)
        .await
}

/// The tasks of the NATS side.
#[derive(Debug)]
pub(crate) struct NatsTasks(JoinSet<()>);

impl NatsTasks {
    /// Serves over NATS until `shutdown`.
    pub(crate) fn start(
        app: &Arc<App>,
        nats: &Arc<Nats>,
        told: mpsc::Receiver<bus::Told>,
        shutdown: &CancellationToken,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let callout = Arc::new(Callout::new(Arc::clone(nats), &app.clock));
        let until =
            |task: &'static str, work: std::pin::Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>| {
                let shutdown = shutdown.clone();
                async move {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        ended = work => tracing::error!(task, error = ?ended.err(), "a task of the NATS side broke off"),
                    }
                }
            };
        tasks.spawn(until("callout", Box::pin(callout::run(Arc::clone(app), callout))));
        tasks.spawn(until("calls", Box::pin(rpc::run(Arc::clone(app), Arc::clone(nats)))));
        tasks.spawn(until("hints out", Box::pin(bus::tell(Arc::clone(app), Arc::clone(nats), told))));
        tasks.spawn(until("hints in", Box::pin(bus::hear(Arc::clone(app), Arc::clone(nats)))));
        tasks.spawn(until("connections", Box::pin(connections::follow(Arc::clone(nats)))));
        Self(tasks)
    }

    /// Waits for their end, which comes with the shutdown.
    pub(crate) async fn join(mut self) {
        while let Some(ended) = self.0.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = %error, "a task of the NATS side broke off");
            }
        }
    }
}

/// A subscription or what it is flushed with cannot be made: the client has closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Not subscribed.
    #[error(transparent)]
    Subscribe(#[from] async_nats::SubscribeError),
    /// Not flushed.
    #[error(transparent)]
    Flush(#[from] async_nats::client::FlushError),
}
