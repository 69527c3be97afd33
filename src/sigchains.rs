//! The sig-server within: its routes below `/v1/sigchains` of the public listener, and on a listener of their own.
//!
//! The own listener makes the default `--sig-server-url` true on one command. Where another server on this machine has
//! it already, that one answers there, and this server starts without it. See ADR 0010.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kez_serve::clock::Clock;
use kez_serve::edge::Edge;
use kez_serve::flags::Switch;
use kez_serve::listen::{Limits, Listener, Running};
use kez_serve::rng::Rng;
use kez_sig_server::store::SqliteChainStore;
use kez_sig_server::{Chains, SERVICE, router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::ServeArgs;
use crate::server::StartError;

/// How long a program that has the port may take to say what it is.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of what it says is looked at, in bytes.
const PROBE_BYTES_MAX: u64 = 4096;

/// What became of the listener of `--sig-bind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigListener {
    /// It serves here; never port 0.
    Serves(SocketAddr),
    /// Another sig-server has the port.
    OtherSigServer(SocketAddr),
    /// Something else has the port.
    SomethingElse(SocketAddr),
}

/// The sig-server within.
#[derive(Debug)]
pub(crate) struct Sigchains {
    chains: Arc<Chains>,
    listener: SigListener,
    running: Option<Running>,
}

impl Sigchains {
    /// Opens the chains and listens, unless `--sig-bind` is off.
    pub(crate) async fn bind(
        args: &ServeArgs,
        clock: &Arc<dyn Clock>,
        rng: &dyn Rng,
        limits: &Limits,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, StartError> {
        let Some(addr) = args.sig_bind.0 else { return Ok(None) };
        let store = SqliteChainStore::open(&args.sig_db()).map_err(StartError::Sigchains)?;
        let limits_networks = args.rate_limit == Switch::On;
        let chains =
            Arc::new(Chains::new(Arc::new(store), Arc::clone(clock), args.sig_quotas(), limits_networks));
        let listener = match Listener::bind(addr) {
            Ok(listener) => listener,
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                return Ok(Some(Self { chains, listener: who_has(addr).await, running: None }));
            }
            Err(source) => return Err(StartError::SigBind { addr, source }),
        };
        let edge = Edge::new(rng).trusted_proxies(args.trusted_proxy.clone());
        let addr = listener.addr();
        let routes = router::router(Arc::clone(&chains));
        let running = listener.serve(routes, edge, limits.clone(), shutdown.clone());
        Ok(Some(Self { chains, listener: SigListener::Serves(addr), running: Some(running) }))
    }

    /// Its state, for the public listener.
    pub(crate) fn chains(&self) -> &Arc<Chains> {
        &self.chains
    }

    /// What became of its own listener.
    pub(crate) fn listener(&self) -> SigListener {
        self.listener
    }

    /// Waits for the end of its own listener; the chains stay open.
    pub(crate) async fn join(self) {
        if let Some(running) = self.running {
            running.join().await;
        }
    }
}

/// Asks the program behind a taken port what it is.
async fn who_has(addr: SocketAddr) -> SigListener {
    let asked = SocketAddr::new(reachable(addr.ip()), addr.port());
    match timeout(PROBE_TIMEOUT, ask(asked)).await {
        Ok(Ok(true)) => SigListener::OtherSigServer(addr),
        Ok(_) | Err(_) => SigListener::SomethingElse(addr),
    }
}

/// An address under which this machine reaches a listener on `ip`.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

async fn ask(addr: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET /v1/healthz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(PROBE_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&format!("\"service\":\"{SERVICE}\"")))
}
