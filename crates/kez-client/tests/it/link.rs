//! A wire between a client and a server, which may break. It stays where it is when the server restarts elsewhere.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use kez_testkit::Net;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A wire to the server of a [`Net`], by a URL that is known before the server starts.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    addr: SocketAddr,
    fate: Arc<Fate>,
}

#[derive(Debug, Default)]
struct Fate {
    answers_to_lose: AtomicU32,
    /// The text behind which an answer is cut off.
    cut_behind: Mutex<Option<&'static str>>,
    /// Everything that went to the server.
    heard: Mutex<Vec<u8>>,
}

impl Link {
    /// A free port, at which nothing answers before [`serve`](Self::serve).
    pub(crate) async fn bind() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        (Self { addr, fate: Arc::default() }, listener)
    }

    pub(crate) fn serve(&self, listener: TcpListener, net: &Net) {
        tokio::spawn(accept(listener, net.clone(), Arc::clone(&self.fate)));
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Lets these many requests through from now on whose answers are then lost, together with their connections.
    pub(crate) fn lose_answers(&self, count: u32) {
        self.fate.answers_to_lose.store(count, Ordering::SeqCst);
    }

    /// Cuts the next answer behind this text, together with its connection.
    pub(crate) fn cut_behind(&self, text: &'static str) {
        *self.fate.cut_behind.lock().expect("no panic") = Some(text);
    }

    /// How many requests went to the server that begin with `line`.
    pub(crate) fn requests(&self, line: &str) -> usize {
        let heard = self.fate.heard.lock().expect("no panic");
        heard.windows(line.len()).filter(|window| *window == line.as_bytes()).count()
    }
}

async fn accept(listener: TcpListener, net: Net, fate: Arc<Fate>) {
    while let Ok((client, _)) = listener.accept().await {
        // No server is listening while it restarts: the client finds its connection closed.
        let Ok(server) = TcpStream::connect(net.addr()).await else { continue };
        tokio::spawn(pass_on(client, server, Arc::clone(&fate)));
    }
}

async fn pass_on(client: TcpStream, server: TcpStream, fate: Arc<Fate>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_lost = AtomicBool::new(false);
    let less = |left: u32| left.checked_sub(1);
    let up = copy(&mut from_client, &mut to_server, |bytes| {
        fate.heard.lock().expect("no panic").extend_from_slice(bytes);
        let begins = ["GET ", "POST ", "PUT "].iter().any(|method| bytes.starts_with(method.as_bytes()));
        if begins && fate.answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            is_lost.store(true, Ordering::SeqCst);
        }
        bytes.len()
    });
    let down = copy(&mut from_server, &mut to_client, |bytes| {
        if is_lost.load(Ordering::SeqCst) { 0 } else { fate.pass(bytes) }
    });
    // Either end takes the other along, as both halves are dropped.
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

impl Fate {
    /// How many of these bytes come through.
    fn pass(&self, bytes: &[u8]) -> usize {
        let mut cut_behind = self.cut_behind.lock().expect("no panic");
        let Some(text) = *cut_behind else { return bytes.len() };
        let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) else {
            return bytes.len();
        };
        *cut_behind = None;
        at + text.len()
    }
}

/// Copies until the end, or until fewer bytes may pass than have come.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    passes: impl Fn(&[u8]) -> usize,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let passing = passes(buffer.get(..count).unwrap_or_default());
        let written = to.write_all(buffer.get(..passing).unwrap_or_default()).await;
        if passing < count || written.is_err() {
            break;
        }
    }
}
