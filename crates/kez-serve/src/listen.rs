//! Accepting connections and serving HTTP/1.1 on them, within limits.
//!
//! Own accept loop because `axum::serve` has none of these: a time for heads, bodies, idleness and reading, a number of
//! connections in all and per network, an end. What is asked on a connection is not this module's business: see
//! [`crate::edge`].

mod bodies;
mod heads;
mod limits;
mod refusal;
mod slots;
mod watch;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::bodies::{Inbound, Outbound};
use self::refusal::Refusals;
use self::slots::{Full, Slot, Slots};
use self::watch::{Verdict, Watch};
use self::wire::Wire;
use crate::client_addr::ClientNet;
use crate::edge::{Edge, NoteRoute};

pub(crate) use self::bodies::BodyTimeout;
pub(crate) use self::heads::Flaw;
pub use self::limits::Limits;

/// Connections the kernel keeps for us while we are busy. As much as Linux gives by default.
const BACKLOG: u32 = 4_096;

/// How long accepting rests after it failed, for lack of descriptors say: long enough for some to be given back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection is quiet before the kernel asks whether the client is still there.
#[cfg(target_os = "linux")]
const KEEPALIVE_AFTER: Duration = Duration::from_mins(1);

/// How often it asks again: so that `silence` is noticed soon after it is over.
#[cfg(target_os = "linux")]
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// A bound socket: clients that connect wait until it serves.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// Binds to `addr`; port 0 takes a free one. Needs a running tokio runtime.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let socket = socket.listen(BACKLOG)?;
        let addr = socket.local_addr()?;
        Ok(Self { socket, addr })
    }

    /// Where it listens; never port 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves `router`, behind `edge`, until `shutdown`.
    ///
    /// Then: no further connection is accepted, idle ones are closed, requests in flight are finished; what is left
    /// after `limits.drain` is cut.
    pub fn serve(self, router: Router, edge: Edge, limits: Limits, shutdown: CancellationToken) -> Running {
        let limits = limits.possible();
        let edge = Arc::new(edge.target_bytes_max(limits.target_bytes_max));
        let service = Service {
            router: router.layer(NoteRoute),
            refusals: Arc::new(Refusals::new(Arc::clone(&edge))),
            edge,
            slots: Slots::new(limits.connections_max, limits.connections_per_network_max),
            limits,
            shutdown,
            cut: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        Running { task: tokio::spawn(Arc::new(service).run(self.socket)) }
    }
}

/// A listener at work.
#[derive(Debug)]
pub struct Running {
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Waits until everything has ended; without a shutdown that is never.
    pub async fn join(self) {
        if let Err(error) = self.task.await {
            tracing::error!(error = %error, "the accept loop broke off");
        }
    }
}

/// What all connections of one listener share.
#[derive(Debug)]
struct Service {
    router: Router,
    edge: Arc<Edge>,
    refusals: Arc<Refusals>,
    slots: Arc<Slots>,
    limits: Limits,
    shutdown: CancellationToken,
    /// The end of the drain: whoever is left goes.
    cut: CancellationToken,
    connections: TaskTracker,
}

impl Service {
    async fn run(self: Arc<Self>, socket: TcpListener) {
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break,
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer),
                    Err(error) => rest_after(&error).await,
                },
            }
        }
        drop(socket);
        self.drain().await;
    }

    async fn drain(&self) {
        self.connections.close();
        if timeout(self.limits.drain, self.connections.wait()).await.is_err() {
            tracing::warn!(
                connections = self.connections.len(),
                "connections are cut: they did not end in time"
            );
            self.cut.cancel();
            self.connections.wait().await;
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let proxy = self.edge.trusts(peer.ip());
        let many = proxy || (self.limits.loopback_exempt && peer.ip().to_canonical().is_loopback());
        match self.slots.take((!many).then(|| ClientNet::from(peer.ip()))) {
            Ok(slot) => drop(self.connections.spawn(Arc::clone(self).converse(stream, peer, proxy, slot))),
            Err(full) => self.turn_away(&stream, full),
        }
    }

    /// Says why in as many bytes as an empty socket takes at once.
    fn turn_away(&self, stream: &TcpStream, full: Full) {
        tracing::debug!(reason = ?full, "connection refused");
        let _ = stream.try_write(&self.refusals.no_place(full));
    }

    /// One connection, from accepting to closing.
    async fn converse(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, proxy: bool, slot: Slot) {
        if let Err(error) = self.tune(&stream) {
            tracing::debug!(error = %error, "a connection could not be tuned");
        }
        let idle_timeout = if proxy { self.limits.proxy_idle_timeout } else { self.limits.idle_timeout };
        let watch = Arc::new(Watch::new(&self.limits, idle_timeout));
        let wire = Wire::new(
            stream,
            Arc::clone(&watch),
            Arc::clone(&self.refusals),
            self.limits.write_progress_bytes,
        );
        let service = service_fn(|request| self.answer(request, peer, Arc::clone(&watch)));
        let mut connection = self.http().serve_connection(TokioIo::new(wire), service);
        let end = self.until_end(&mut connection, &watch).await;
        let stream = connection.into_parts().io.into_inner().into_stream();
        self.part(stream, &watch, end).await;
        drop(slot);
    }

    /// Answers leave at once, and clients that vanished are noticed. RFC 9293 section 3.8.4, RFC 5482.
    fn tune(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(stream, true)?;
        #[cfg(target_os = "linux")]
        {
            let silence_ms = u32::try_from(self.limits.silence.as_millis()).unwrap_or(u32::MAX);
            sockopt::set_tcp_user_timeout(stream, silence_ms)?;
            sockopt::set_tcp_keepidle(stream, KEEPALIVE_AFTER)?;
            sockopt::set_tcp_keepintvl(stream, KEEPALIVE_EVERY)?;
        }
        Ok(())
    }

    fn http(&self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.max_headers(self.limits.headers_max)
            .max_header_size(self.limits.head_bytes_max)
            .max_buf_size(self.limits.head_bytes_max);
        http
    }

    /// Drives `connection` until it ends, must go, or everybody must.
    async fn until_end<S>(&self, connection: &mut http1::Connection<TokioIo<Wire>, S>, watch: &Watch) -> End
    where
        S: HttpService<Incoming, ResBody = Outbound, Error = Infallible>,
    {
        let mut connection = Pin::new(connection);
        let mut look_at = Instant::now();
        let mut leaving = false;
        loop {
            tokio::select! {
                biased;
                _ = connection.as_mut() => return End::Done,
                () = sleep_until(look_at) => match watch.look(std::time::Instant::now()) {
                    Verdict::Wait(next) => look_at = next.into(),
                    due => return End::Due(due),
                },
                () = self.shutdown.cancelled(), if !leaving => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.cut.cancelled(), if leaving => return End::Cut,
            }
        }
    }

    /// Answers one request; the router sees a body with a deadline.
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        watch: Arc<Watch>,
    ) -> Result<Response<Outbound>, Infallible> {
        watch.request_began();
        let request = request.map(|body| self.inbound(body, &watch));
        let response = self.edge.answer(self.router.clone(), request, peer, watch.flaw()).await;
        Ok(response.map(|body| Outbound::new(body, watch)))
    }

    fn inbound(&self, body: Incoming, watch: &Arc<Watch>) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(Inbound::new(body, Instant::now() + self.limits.body_timeout, Arc::clone(watch)))
    }

    /// Closes a connection in the way its end asks for.
    async fn part(&self, mut stream: TcpStream, watch: &Watch, end: End) {
        match end {
            End::Done if watch.is_unread() => self.linger(&mut stream).await,
            End::Due(Verdict::SlowHead) if watch.is_head_unfinished() => {
                let _ = stream.try_write(&self.refusals.slow_head());
            }
            // A reset: the kernel would go on offering what the client does not take.
            End::Due(Verdict::Stalled) | End::Cut => drop(stream.set_zero_linger()),
            End::Done | End::Due(_) => {}
        }
    }

    /// Reads on for a while after our end is closed. RFC 9112 section 9.6.
    async fn linger(&self, stream: &mut TcpStream) {
        let mut left = self.limits.linger_bytes;
        let mut scrap = [0; 4_096];
        let read_on = async {
            while let Ok(bytes @ 1..) = stream.read(&mut scrap).await {
                left = left.saturating_sub(bytes);
                if left == 0 {
                    return;
                }
            }
        };
        let _ = timeout(self.limits.linger, read_on).await;
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy)]
enum End {
    /// hyper is done with it, or the client left.
    Done,
    /// It used up its time.
    Due(Verdict),
    /// The drain is over.
    Cut,
}

async fn rest_after(error: &io::Error) {
    // These concern one connection that is gone already.
    let passing = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if !passing {
        tracing::warn!(error = %error, "no connection could be accepted");
        sleep(ACCEPT_PAUSE).await;
    }
}
