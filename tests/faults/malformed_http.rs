//! Requests that are none: refused or cut, never an error of the server, never a request inside a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use kez_testkit::Chance;

use crate::form::count;
use crate::http::{Answer, get, register, registration};
use crate::people::People;
use crate::{DEADLINE, database, dump, start};

/// For how long a server that says nothing is listened to before the client ends its side.
const SILENCE: Duration = Duration::from_millis(100);
/// Connections of the fuzzer at a time.
const AT_ONCE: u32 = 64;

/// The connection is closed without an answer.
const CLOSED: u16 = 0;

/// A request that must not be taken for one of its own.
const SMUGGLED: &str = "GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_malformed_request_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let before = fill(server.addr(), dir.path()).await.1;
    let mut running = JoinSet::new();
    for (name, request, expected) in table() {
        let addr = server.addr();
        running.spawn(async move {
            let answers = say(addr, &request).await;
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            let expected = if expected == CLOSED { vec![] } else { vec![expected] };
            answers.iter().filter(|answer| answer.status >= 400).for_each(Answer::expect_problem_body);
            (statuses != expected).then(|| format!("{name}: {statuses:?}, not {expected:?}"))
        });
    }
    let wrong: Vec<_> = running.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(get(server.addr(), "/v1/readyz").await.status, 200);
    assert_eq!(dump::digest(&database(dir.path())), before);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(server.stop_term().code, Some(0));
}

/// What is sent, and the one answer to it.
fn table() -> Vec<(&'static str, Vec<u8>, u16)> {
    let post = |head: &str, body: &str| {
        format!("POST /v1/register HTTP/1.1\r\nHost: localhost\r\n{head}\r\n{body}").into_bytes()
    };
    let lookup =
        |head: &str| format!("GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\n{head}\r\n").into_bytes();
    let line = |line: &str| format!("{line}\r\nHost: localhost\r\n\r\n").into_bytes();
    let chunked = |te: &str| post(te, &format!("0\r\n\r\n{SMUGGLED}"));
    let json = "Content-Type: application/json\r\n";
    vec![
        // Two ways to frame one message. RFC 9112 sections 6.1, 6.3, 11.2.
        ("CL.TE", chunked("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("TE.CL", chunked("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
        ("TE.TE", chunked("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400),
        ("chunked twice", chunked("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("chunked, identity", chunked("Transfer-Encoding: chunked, identity\r\n"), 400),
        ("identity, chunked", chunked("Transfer-Encoding: identity, chunked\r\n"), 400),
        ("gzip, chunked", chunked("Transfer-Encoding: gzip, chunked\r\n"), 400),
        ("xchunked", chunked("Transfer-Encoding: xchunked\r\n"), 400),
        ("chunked after a tab", chunked("Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n"), 400),
        ("chunked and a vertical tab", chunked("Transfer-Encoding: \x0bchunked\r\n"), 400),
        ("chunked by space before colon", chunked("Transfer-Encoding : chunked\r\n"), 400),
        (
            "chunked in HTTP/1.0",
            b"POST /v1/register HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            400,
        ),
        ("two lengths", post("Content-Length: 0\r\nContent-Length: 47\r\n", SMUGGLED), 400),
        ("one length twice", post("Content-Length: 0\r\nContent-Length: 0\r\n", SMUGGLED), 400),
        ("a list of lengths", post("Content-Length: 0, 0\r\n", SMUGGLED), 400),
        ("a signed length", post("Content-Length: +5\r\n", "hello"), 400),
        ("a negative length", post("Content-Length: -1\r\n", "hello"), 400),
        ("a length in hex", post("Content-Length: 0x5\r\n", "hello"), 400),
        ("no length", post("Content-Length: \r\n", "hello"), 400),
        ("a length beyond 64 bits", post("Content-Length: 18446744073709551617\r\n", "hello"), 400),
        ("a length of 2^64 - 1", post(&format!("{json}Content-Length: 18446744073709551615\r\n"), "x"), 431),
        ("a length just too long", post(&format!("{json}Content-Length: 16385\r\n"), "x"), 413),
        // Lines. RFC 9112 sections 2.2, 5.
        ("bare LF", b"GET /v1/healthz HTTP/1.1\nHost: localhost\n\n".into(), 400),
        ("bare LF in the end", b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\n\n".into(), 400),
        ("bare CR", lookup("X: a\rY: b\r\n"), 400),
        ("obs-fold", lookup("X: a\r\n b\r\n"), 400),
        ("obs-fold before the first field", b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n".into(), 400),
        ("space before colon", lookup("X : a\r\n"), 400),
        ("no colon", lookup("just words\r\n"), 400),
        ("no name", lookup(": a\r\n"), 400),
        ("NUL in a value", lookup("X: a\0b\r\n"), 400),
        ("NUL in a name", lookup("X\0: a\r\n"), 400),
        ("DEL in a value", lookup("X: a\x7fb\r\n"), 400),
        // Targets and hosts. RFC 9112 section 3.
        ("no host", b"GET /v1/healthz HTTP/1.1\r\n\r\n".into(), 400),
        ("two hosts", lookup("Host: other\r\n"), 400),
        ("authority-form", line("CONNECT localhost:22 HTTP/1.1"), 405),
        ("authority-form with GET", line("GET localhost:22 HTTP/1.1"), 400),
        ("another server in absolute-form", line("GET http://example.org/v1/nothing HTTP/1.1"), 404),
        ("a fragment of nothing", line("GET ? HTTP/1.1"), 400),
        ("asterisk-form with GET", line("GET * HTTP/1.1"), 400),
        ("a space in the target", line("GET /v1/health z HTTP/1.1"), 400),
        ("NUL in the target", line("GET /v1/\0 HTTP/1.1"), 400),
        ("a target of 5,000 bytes", line(&format!("GET /{} HTTP/1.1", "a".repeat(5_000))), 414),
        ("a target of 100,000 bytes", line(&format!("GET /{} HTTP/1.1", "a".repeat(100_000))), 431),
        ("a value of 20,000 bytes", lookup(&format!("X: {}\r\n", "a".repeat(20_000))), 431),
        ("a name of 20,000 bytes", lookup(&format!("{}: a\r\n", "X".repeat(20_000))), 431),
        ("100 fields", lookup(&"X: a\r\n".repeat(100)), 431),
        ("10,000 fields", lookup(&"X: a\r\n".repeat(10_000)), 431),
        // Versions and methods.
        ("HTTP/0.9", b"GET /v1/healthz\r\n\r\n".into(), 400),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0".into(), CLOSED),
        ("HTTP/1.2", line("GET /v1/healthz HTTP/1.2"), 400),
        ("http/1.1", line("GET /v1/healthz http/1.1"), 400),
        ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".repeat(20), 400),
        ("an unknown method", line("STEAL /v1/healthz HTTP/1.1"), 405),
        ("a method of 10,000 bytes", line(&format!("{} /v1/healthz HTTP/1.1", "A".repeat(10_000))), 405),
        ("a method with a separator", line("GE(T /v1/healthz HTTP/1.1"), 400),
        ("a leading space", b" GET /v1/healthz HTTP/1.1\r\n\r\n".into(), 400),
        ("nothing but NUL", vec![0; 1_000], 400),
        // Chunks. RFC 9112 section 7.1.
        ("a chunk without size", chunk("\r\n"), 400),
        ("a chunk size that is no number", chunk("xyz\r\nabc\r\n0\r\n\r\n"), 400),
        ("a signed chunk size", chunk("+3\r\nabc\r\n0\r\n\r\n"), 400),
        ("a chunk size of 2^64", chunk("10000000000000000\r\n"), 400),
        ("a chunk of 2^63 - 1 bytes", chunk(&format!("7fffffffffffffff\r\n{}", "a".repeat(17_000))), 413),
        ("a chunk without end", chunk("3\r\nabcdef\r\n0\r\n\r\n"), 400),
        (
            "chunk extensions without end",
            chunk(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(200_000))),
            400,
        ),
        ("bare LF after a chunk size", chunk("3\nabc\n0\n\n"), 400),
        ("trailers without end", chunk(&format!("0\r\n{}\r\n", "X: a\r\n".repeat(5_000))), 400),
        ("chunks, and a request behind them", chunk(&format!("0\r\n\r\n{SMUGGLED}")), 400),
        // Cut off.
        ("half a head", b"GET /v1/healthz HTTP/1.1\r\nHost:".into(), CLOSED),
        ("half a body", post(&format!("{json}Content-Length: 100\r\n"), "{"), 400),
        ("nothing", b"".into(), CLOSED),
        ("empty lines", b"\r\n\r\n\r\n".into(), CLOSED),
    ]
}

/// A registration whose body comes in chunks.
fn chunk(body: &str) -> Vec<u8> {
    let head = "POST /v1/register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked";
    format!("{head}\r\n\r\n{body}").into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_never_makes_the_server_fail() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (valid, before) = fill(server.addr(), dir.path()).await;
    let requests = count(2_000, 200_000);
    let mut running = JoinSet::new();
    for first in 0..AT_ONCE {
        let (addr, valid) = (server.addr(), valid.clone());
        running.spawn(async move {
            let mut statuses = BTreeMap::<u16, u32>::new();
            for number in (first..requests).step_by(AT_ONCE as usize) {
                let request = garbage(&valid, &mut Chance::new(u64::from(number)));
                for answer in say(addr, &request).await {
                    let text = String::from_utf8_lossy(&request);
                    assert!((100..500).contains(&answer.status), "request {number}: {text:?}: {answer:?}");
                    assert_ne!(answer.status, 201, "request {number}: {text:?}: {answer:?}");
                    if answer.status >= 400 && !answer.body.is_empty() {
                        answer.expect_problem_body();
                    }
                    *statuses.entry(answer.status).or_default() += 1;
                }
            }
            statuses
        });
    }
    let mut statuses = BTreeMap::<u16, u32>::new();
    while let Some(some) = running.join_next().await {
        some.unwrap().into_iter().for_each(|(status, times)| *statuses.entry(status).or_default() += times);
    }
    println!("{requests} requests, answered {statuses:?}");
    assert_eq!(get(server.addr(), "/v1/readyz").await.status, 200);
    assert_eq!(dump::digest(&database(dir.path())), before);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(server.stop_term().code, Some(0));
}

/// Registers somebody; gives valid requests about them that change nothing, and what the tables hold.
async fn fill(addr: SocketAddr, dir: &Path) -> (Vec<Vec<u8>>, [u8; 32]) {
    let (person, envelope) = People::new("http").next();
    assert_eq!(register(addr, &envelope).await.status, 201);
    let get =
        |path: &str, head: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n").into_bytes();
    let chunks = format!("{:x};ext=1\r\n{envelope}\r\n0\r\nTrailer: x\r\n\r\n", envelope.len());
    let webfinger = format!("/.well-known/webfinger?resource=acct:{}@kez.lat&rel=self", person.handle);
    let valid = vec![
        registration(envelope.as_bytes()),
        chunk(&chunks),
        get(&format!("/v1/u/{}", person.handle), "Accept: */*\r\nConnection: keep-alive\r\n"),
        get(&format!("/v1/by-primary/{}", person.primary), "If-None-Match: \"x\"\r\n"),
        get(&webfinger, "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=x\r\n"),
        get("/v1/server", "Expect: 100-continue\r\nContent-Length: 0\r\n"),
        get("/", "Range: bytes=0-9\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"),
        get("http://localhost/assets/../v1/healthz?a=%00", "Cookie: a=b\r\n"),
        b"OPTIONS /v1/register HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\nAccess-Control-Request-Method: POST\r\n\r\n"
            .into(),
        b"HEAD /.well-known/host-meta HTTP/1.0\r\n\r\n".into(),
    ];
    (valid, dump::digest(&database(dir)))
}

/// Pieces that parsers stumble over.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    "\r\n\r\n",
    "\r\n ",
    "%00",
    "%",
    "../",
    "//",
    "*",
    "\u{feff}",
    "\u{7f}",
    "Content-Length: 5\r\n",
    "Content-Length: 99999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: x\r\n",
    "Transfer-Encoding: identity\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/9.9",
    "ffffffffffffffff\r\n",
    "0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "Content-Encoding: gzip\r\n",
];

/// A valid request, spoilt in one to four ways.
fn garbage(valid: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = chance.one_of(valid).clone();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + 1 + chance.below(40)).min(bytes.len());
        match chance.below(8) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, bytes[at..end].repeat(1 + end % 50))),
            4 => drop(bytes.splice(at..end, std::iter::repeat_with(|| chance.byte()).take(8))),
            5 => drop(bytes.splice(at..at, chance.one_of(PIECES).bytes())),
            6 => bytes.truncate(at + chance.one_of(valid).len().min(at)),
            _ => {
                let other = chance.one_of(valid);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[chance.below(other.len())..]);
            }
        }
    }
    bytes
}

/// Sends `request` on a connection of its own; gives all that comes back until the server closes it.
async fn say(addr: SocketAddr, request: &[u8]) -> Vec<Answer> {
    let talking = async {
        let (mut reading, mut writing) = TcpStream::connect(addr).await.unwrap().into_split();
        let received = async {
            let (mut all, mut patience) = (Vec::new(), Some(writing.write_all(request).await));
            loop {
                match timeout(SILENCE, reading.read_buf(&mut all)).await {
                    Ok(Ok(1..)) => {}
                    Ok(_) => return all, // a reset is an end as well
                    Err(_) if patience.take().is_some() => drop(writing.shutdown().await),
                    Err(_) => {}
                }
            }
        };
        received.await
    };
    answers(&timeout(DEADLINE, talking).await.expect("the server closes the connection"))
}

/// Every answer in `bytes`. One without a body, as HEAD has it, is followed at once by the next.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let head_length = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a whole head") + 4;
        let (head, rest) = bytes.split_at(head_length);
        let bare = rest.is_empty() || rest.starts_with(b"HTTP/1.1 ");
        let head = String::from_utf8(head.to_vec()).unwrap();
        let head = if bare { head.replacen("content-length: ", "was-", 1) } else { head };
        let whole = [head.as_bytes(), rest].concat();
        let (answer, length) = Answer::first(&whole).expect("a whole answer");
        bytes = &bytes[bytes.len() - (whole.len() - length)..];
        all.push(answer);
    }
    all
}
