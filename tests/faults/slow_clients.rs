//! Clients that only hold a place: slow heads, slow bodies, slow readers, many at once, at the real limits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kez_testkit::process::{ServerProcess, raise_open_files_max};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::form::{count, is_full};
use crate::http::{Connection, POLL, register};
use crate::people::People;
use crate::{DEADLINE, start};

/// How often somebody is looked up meanwhile.
const LOOKUP_EVERY: Duration = Duration::from_millis(5);
/// The bound on lookups that is judged in the full form.
const LOOKUP_P99_MAX: Duration = Duration::from_millis(50);
/// Requests that a slow reader sends at once: their answers are more than all buffers on the way hold.
const REQUESTS_UNREAD: usize = 400;
/// How often a dripping client sends or takes a little.
const DRIP_EVERY: Duration = Duration::from_secs(1);

/// What a client is slow in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Slow {
    Head,
    Body,
    Reading,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_gone_in_time_and_lookups_go_on() {
    raise_open_files_max();
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (person, envelope) = People::new("slow").next();
    assert_eq!(register(server.addr(), &envelope).await.status, 201);
    let mut clients = JoinSet::new();

    let began = Instant::now();
    let mut everybody = vec![(Slow::Head, count(100, 1_000))];
    everybody.extend([(Slow::Body, count(100, 500)), (Slow::Reading, count(100, 500))]);
    for (slow, many) in everybody {
        (0..many).for_each(|number| drop(clients.spawn(hold(server.addr(), slow, number))));
    }
    let all = clients.len();
    let slow = async { while clients.join_next().await.transpose().unwrap().is_some() {} };
    let looked_up = look_up(server.addr(), format!("/v1/u/{}", person.handle), async {
        until_connections(&server, |open| open >= all).await;
        timeout(DEADLINE, slow).await.expect("slow clients are gone within 30 s");
    });
    let mut took = looked_up.await;
    until_connections(&server, |open| open == 0).await;
    let gone = began.elapsed();

    took.sort_unstable();
    let p99 = took[(took.len() * 99).div_ceil(100) - 1];
    println!(
        "all gone after {gone:?}; {} lookups meanwhile, p99 {p99:?}, {:?} at most",
        took.len(),
        took.last()
    );
    assert!(gone < DEADLINE, "gone after {gone:?}");
    assert!(!is_full() || p99 < LOOKUP_P99_MAX, "p99 {p99:?}");
    assert_eq!(server.stop_term().code, Some(0));
}

/// Looks up one person again and again until `end`; gives how long each answer took.
async fn look_up(addr: SocketAddr, path: String, end: impl Future<Output = ()>) -> Vec<Duration> {
    let mut connection = Connection::open(addr).await.unwrap();
    let mut times = interval(LOOKUP_EVERY);
    times.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut took = Vec::new();
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            biased;
            () = &mut end => return took,
            asked = times.tick() => {
                let answer = connection.get(&path).await.unwrap();
                took.push(asked.elapsed());
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
    }
}

/// Waits until the number of the server's connections is right.
pub(crate) async fn until_connections(server: &ServerProcess, is_right: impl Fn(usize) -> bool) {
    let counting = async {
        while !is_right(server.connections()) {
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(DEADLINE, counting)
        .await
        .unwrap_or_else(|_| panic!("{} connections are open", server.connections()));
}

/// Holds a place until the server takes it back. Every third client does nothing more after its start, the others drip.
pub(crate) async fn hold(addr: SocketAddr, slow: Slow, number: u32) {
    let drips = !number.is_multiple_of(3);
    match slow {
        Slow::Head => {
            let start = if number.is_multiple_of(2) {
                ""
            } else {
                "GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\nX: "
            };
            send_slowly(connect(addr).await, start.to_owned(), drips).await;
        }
        Slow::Body => {
            let head = String::from_utf8(crate::http::registration(&[b' '; 4096])).unwrap();
            send_slowly(connect(addr).await, head.trim_end_matches(' ').to_owned(), drips).await;
        }
        Slow::Reading => read_slowly(connect(addr).await, drips).await,
    }
}

/// A connection with room for little.
async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    timeout(DEADLINE, socket.connect(addr)).await.unwrap().unwrap()
}

async fn send_slowly(mut stream: TcpStream, start: String, drips: bool) {
    stream.write_all(start.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut times = interval(DRIP_EVERY);
    let mut answer = Vec::new();
    let closed = reading.read_to_end(&mut answer);
    let dripping = async {
        loop {
            times.tick().await;
            if drips && writing.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = closed => {} // a reset is an end as well
        () = dripping => {}
    }
}

async fn read_slowly(mut stream: TcpStream, drips: bool) {
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(REQUESTS_UNREAD);
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut times = interval(DRIP_EVERY);
    let mut little = [0; 64];
    loop {
        tokio::select! {
            biased;
            gone = stream.ready(Interest::ERROR) => {
                assert!(gone.unwrap().is_error());
                return;
            }
            _ = times.tick(), if drips => {
                if !matches!(stream.try_read(&mut little), Ok(1..)) {
                    stream.readable().await.unwrap();
                }
            }
        }
    }
}
