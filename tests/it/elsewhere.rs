//! Other servers on loopback, with real TLS under a test authority, and the names that lead to them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use kez_chat_server::{AddressRule, Lookup, Outgoing};
use kez_testkit::DEADLINE;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// The one authority that the servers of these tests believe. A static, because `Outgoing` takes plain functions.
fn authority() -> &'static Issuer {
    static AUTHORITY: OnceLock<Issuer> = OnceLock::new();
    AUTHORITY.get_or_init(new_authority)
}

fn new_authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// What a request is answered with.
pub(crate) enum Reply {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, and then nothing more: the connection stays open.
    Hang(Vec<u8>),
}

impl Reply {
    /// A whole answer.
    pub(crate) fn of(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 {status} Test\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        Self::Bytes([head.as_bytes(), body].concat())
    }

    /// 200 with a JSON body.
    pub(crate) fn json(body: &serde_json::Value) -> Self {
        Self::of(200, "Content-Type: application/json\r\n", body.to_string())
    }
}

/// A server that answers by a function of the request target.
pub(crate) struct Elsewhere {
    addr: SocketAddr,
    requests: watch::Receiver<Vec<String>>,
}

impl Elsewhere {
    /// Serves https for `name` under the test authority.
    pub(crate) async fn start(name: &str, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_issuer(name, authority(), answer).await
    }

    /// Serves https for `name` under an authority that nobody knows.
    pub(crate) async fn distrusted(
        name: &str,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::with_issuer(name, &new_authority(), answer).await
    }

    async fn with_issuer(
        name: &str,
        issuer: &Issuer,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let addr = listener.addr();
        let (log, requests) = watch::channel(Vec::new());
        let (acceptor, answer, log) = (acceptor(name, issuer), Arc::new(answer), Arc::new(log));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer, log) = (acceptor.clone(), Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move { converse(stream, acceptor, &*answer, &log).await });
            }
        });
        Self { addr, requests }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The request targets so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.borrow().clone()
    }

    /// Waits until there were `count` requests.
    pub(crate) async fn asked(&self, count: usize) {
        let mut requests = self.requests.clone();
        let enough = requests.wait_for(|requests| requests.len() >= count);
        timeout(DEADLINE, enough).await.expect("requests in time").expect("a server");
    }
}

/// A listener's own address.
trait Addr {
    fn addr(&self) -> SocketAddr;
}

impl Addr for TcpListener {
    fn addr(&self) -> SocketAddr {
        self.local_addr().expect("an address")
    }
}

fn acceptor(name: &str, issuer: &Issuer) -> TlsAcceptor {
    // The servers under test install the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a TLS configuration");
    TlsAcceptor::from(Arc::new(config))
}

/// One request and its answer; whatever goes wrong is the client's business.
async fn converse(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    answer: &(dyn Fn(&str) -> Reply + Send + Sync),
    log: &watch::Sender<Vec<String>>,
) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let reply = answer(&target);
    log.send_modify(|requests| requests.push(target));
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            let _ = stream.read_u8().await; // until the client gives up
        }
    }
}

/// The names of a small internet. Each look-up of a name takes its next answer; the last one stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(Arc<Mutex<HashMap<String, Answers>>>);

#[derive(Debug, Default)]
struct Answers {
    next: Vec<Vec<SocketAddr>>,
    asked: usize,
}

impl Names {
    /// A name with the same addresses at each look-up.
    pub(crate) fn with(self, name: &str, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.changing(name, vec![addresses.into_iter().collect()])
    }

    /// A name with other addresses at each look-up.
    pub(crate) fn changing(self, name: &str, mut answers: Vec<Vec<SocketAddr>>) -> Self {
        answers.reverse();
        self.0.lock().expect("no panic").insert(name.to_owned(), Answers { next: answers, asked: 0 });
        self
    }

    /// How often a name was looked up.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.0.lock().expect("no panic").get(name).map_or(0, |answers| answers.asked)
    }

    /// What makes a server ask here, believe the test authority, and connect where `rule` allows.
    pub(crate) fn outgoing(&self, rule: AddressRule) -> Box<dyn Fn() -> Outgoing + Send> {
        let names = self.clone();
        Box::new(move || {
            Outgoing::with(Arc::new(names.clone()), rule, |client| {
                let authority = authority().der();
                client.tls_certs_only(reqwest::Certificate::from_der(authority).ok())
            })
        })
    }
}

#[async_trait]
impl Lookup for Names {
    async fn addresses(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let mut names = self.0.lock().expect("no panic");
        let answers = names.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        answers.asked += 1;
        let is_last = answers.next.len() == 1;
        Ok(if is_last { answers.next[0].clone() } else { answers.next.pop().unwrap_or_default() })
    }
}

/// A listener on every address of this machine that nobody may connect to.
pub(crate) struct Trap(std::net::TcpListener);

impl Trap {
    pub(crate) fn set() -> Self {
        let listener = std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let trap = Self(listener);
        // It works: a connection is seen, over either family.
        for host in ["127.0.0.1", "::1"] {
            let ip: IpAddr = host.parse().expect("an address");
            std::net::TcpStream::connect((ip, trap.port())).expect("a connection");
            assert!(trap.0.accept().is_ok(), "the trap sees {host}");
        }
        trap
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// Nobody has connected, not even for a moment: the system completes connections before we accept them.
    #[track_caller]
    pub(crate) fn expect_untouched(&self, what: &str) {
        let seen = self.0.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(seen, Err(io::ErrorKind::WouldBlock), "somebody connected: {what}");
    }
}
