//! A server to talk to, and a client that says exactly the bytes it is given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::{get, post};
use bytes::Bytes;
use kez_serve::body::JsonBytes;
use kez_serve::client_addr::Client;
use kez_serve::edge::Edge;
use kez_serve::listen::{Limits, Listener, Running};
use kez_serve::rng::SystemRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Nothing here takes this long: what does is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What a test changes about the server.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) edge: Edge,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: Limits::default(), edge: Edge::new(&SystemRng) }
    }
}

impl Setup {
    pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.limits);
        setup
    }

    pub(crate) fn start(self) -> Server {
        let signs = Arc::new(Signs::new());
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.addr();
        let shutdown = CancellationToken::new();
        let running = listener.serve(routes(&signs), self.edge, self.limits, shutdown.clone());
        Server { addr, shutdown, running, signs }
    }
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: Running,
    pub(crate) signs: Arc<Signs>,
}

/// How tests and handlers wait for each other.
pub(crate) struct Signs {
    /// `/wait` was reached.
    pub(crate) waiting: Notify,
    /// `/wait` may answer.
    pub(crate) go_on: Notify,
    /// An `/endless` body was dropped.
    pub(crate) dropped: tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>,
    drops: mpsc::UnboundedSender<()>,
}

impl Signs {
    fn new() -> Self {
        let (drops, dropped) = mpsc::unbounded_channel();
        Self { waiting: Notify::new(), go_on: Notify::new(), dropped: dropped.into(), drops }
    }
}

fn routes(signs: &Arc<Signs>) -> Router {
    let (waiter, endless) = (Arc::clone(signs), Arc::clone(signs));
    let wait = async move || {
        waiter.waiting.notify_one();
        waiter.go_on.notified().await;
        "waited"
    };
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/echo", post(async |JsonBytes::<1024>(body)| body))
        .route("/ignore", post(async || "ignored"))
        .route("/panic", get(async || -> &'static str { panic!("secret words") }))
        .route("/number/{n}", get(async |Path(n): Path<u32>| n.to_string()))
        .route("/who", get(async |client: Client| client.addr.to_string()))
        .route("/wait", get(wait))
        .route("/endless", get(async move || Body::from_stream(endless_stream(&endless))))
}

/// Bytes without end; dropping it is reported.
fn endless_stream(signs: &Signs) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + use<> {
    struct Report(mpsc::UnboundedSender<()>);
    impl Drop for Report {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let report = Report(signs.drops.clone());
    futures_util::stream::repeat_with(move || {
        let _ = &report;
        Ok(Bytes::from_static(&[b'x'; 16 * 1024]))
    })
}

/// An answer, as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lower-case names; values as they are.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.unwrap_or(0), head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Checks that it is a problem with this status and code, and carries what every response carries.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).expect(&self.body);
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["type"], format!("urn:kez:problem:{code}"), "{self:?}");
        self.expect_marks();
    }

    #[track_caller]
    pub(crate) fn expect_marks(&self) {
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self:?}");
        assert_eq!(self.header("access-control-allow-origin"), Some("*"), "{self:?}");
        assert_eq!(self.header("x-request-id").map(str::len), Some(16), "{self:?}");
    }
}

impl Server {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Says `bytes` on a connection of its own and gives all that comes back until the server closes it.
    pub(crate) async fn say(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes.as_ref()).await; // a refusal may come before all is sent
        until_closed(&mut stream).await
    }

    /// Asks once, with `Connection: close`. `head` has lines after the request line, each with its CR LF.
    pub(crate) async fn ask(&self, line: &str, head: &str, body: &str) -> Answer {
        let text = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n{body}");
        Answer::parse(&self.say(text).await)
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        timeout(DEADLINE, self.running.join()).await.expect("the server ends");
    }
}

/// Everything until the other side closes; a reset counts as closing.
pub(crate) async fn until_closed(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        while let Ok(bytes @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..bytes]);
        }
    };
    timeout(DEADLINE, reading).await.expect("the server closes the connection");
    String::from_utf8(all).unwrap()
}

/// Reads one answer with a Content-Length and leaves the connection open.
pub(crate) async fn one_answer(stream: &mut TcpStream) -> Answer {
    let mut all = String::new();
    let reading = async {
        loop {
            let mut piece = [0; 4096];
            let bytes = stream.read(&mut piece).await.unwrap();
            assert_ne!(bytes, 0, "closed after {all:?}");
            all.push_str(std::str::from_utf8(&piece[..bytes]).unwrap());
            let answer = Answer::parse(&all);
            let length = answer.header("content-length").and_then(|length| length.parse().ok());
            if all.contains("\r\n\r\n") && length == Some(answer.body.len()) {
                return answer;
            }
        }
    };
    timeout(DEADLINE, reading).await.expect("an answer")
}
