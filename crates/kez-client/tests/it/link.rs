//! A wire between a client and a server, which may break. It stays where it is when the server restarts elsewhere.

use std::collections::VecDeque;
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
    /// After how many further bytes, either way, a connection is cut; then after how many more, and so on.
    cuts: Mutex<VecDeque<usize>>,
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

    /// Cuts a connection after so many bytes, whichever way they go, then another one after so many more, and so on.
    pub(crate) fn cut_after(&self, bytes: impl IntoIterator<Item = usize>) {
        self.fate.cuts.lock().expect("no panic").extend(bytes);
    }

    /// How many of these cuts are still to come.
    pub(crate) fn cuts_left(&self) -> usize {
        self.fate.cuts.lock().expect("no panic").len()
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
        let begins =
            ["GET ", "POST ", "PUT ", "DELETE "].iter().any(|method| bytes.starts_with(method.as_bytes()));
        if begins && fate.answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            is_lost.store(true, Ordering::SeqCst);
        }
        fate.spend(bytes.len())
    });
    let down = copy(&mut from_server, &mut to_client, |bytes| {
        if is_lost.load(Ordering::SeqCst) { 0 } else { fate.spend(fate.pass(bytes)) }
    });
    // Either end takes the other along, as both halves are dropped.
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

impl Fate {
    /// How many of so many bytes come through before the next cut.
    fn spend(&self, count: usize) -> usize {
        let mut cuts = self.cuts.lock().expect("no panic");
        match cuts.front_mut() {
            Some(left) if *left > count => *left -= count,
            Some(_) => return cuts.pop_front().unwrap_or_default().min(count),
            None => {}
        }
        count
    }

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
