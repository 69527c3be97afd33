//! A foreign server for tests: says what it is told, word for word. Our own server is never imitated; it is real in
//! the tests of kez-cli.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers one connection after the other with the next of its answers, then stays silent.
pub(crate) struct Canned {
    base: Url,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    pub(crate) async fn start(answers: Vec<String>) -> Self {
        let (listener, base) = listen().await;
        Self::answer(listener, base, answers)
    }

    /// 200 with JSON bodies. `{origin}` in a body becomes this server's origin.
    pub(crate) async fn start_with_json(bodies: &[&str]) -> Self {
        let (listener, base) = listen().await;
        let origin = base.origin().ascii_serialization();
        let answers = bodies.iter().map(|body| ok(&body.replace("{origin}", &origin))).collect();
        Self::answer(listener, base, answers)
    }

    /// The same, on connections that stay open.
    pub(crate) async fn start_held(answers: Vec<String>) -> Self {
        let (listener, base) = listen().await;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut held = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                note.lock().unwrap().push(request);
                stream.write_all(answer.as_bytes()).await.unwrap();
                held.push(stream);
            }
            std::future::pending::<()>().await;
        });
        Self { base, heard }
    }

    /// One answer in pieces, with a pause before each but the first; then silence.
    pub(crate) async fn start_slowly(pieces: Vec<String>, pause: Duration) -> Self {
        let (listener, base) = listen().await;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&heard);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            note.lock().unwrap().push(request);
            for (number, piece) in pieces.iter().enumerate() {
                if number > 0 {
                    tokio::time::sleep(pause).await;
                }
                if stream.write_all(piece.as_bytes()).await.is_err() {
                    return; // the client has hung up
                }
            }
            std::future::pending::<()>().await;
        });
        Self { base, heard }
    }

    fn answer(listener: TcpListener, base: Url, answers: Vec<String>) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve(listener, answers, Arc::clone(&heard)));
        Self { base, heard }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        self.base.join(path).unwrap()
    }

    /// The head of each request that came in, first line included.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    (listener, base)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn serve(listener: TcpListener, answers: Vec<String>, heard: Arc<Mutex<Vec<String>>>) {
    for answer in answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        heard.lock().unwrap().push(request);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    std::future::pending::<()>().await;
}

/// The head, and what of the body came along with it.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read_buf(&mut request).await.unwrap();
        assert_ne!(read, 0, "the client hung up within its head");
    }
    String::from_utf8(request).unwrap()
}
