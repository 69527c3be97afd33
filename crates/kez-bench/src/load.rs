//! The load: one keep-alive HTTP/1.1 connection per client, the next request when the answer is read. Between two
//! requests nothing is allocated, signed or formatted.

use std::{
    io,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    error::Error,
    people::{self, DIGITS, SERVER},
    process::Server,
};

/// Longest answer that is read, head and body.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Answers of one client for which memory is reserved.
const ANSWERS_EXPECTED: usize = 64 * 1024;

/// What the clients send.
pub(crate) enum Requests {
    /// Each once, by whichever client comes first; the load ends early when none is left.
    Once { requests: Prepared, next: AtomicUsize },
    /// Each client its own, in their order; a client with none left ends early.
    Own(Arc<[Prepared]>),
    /// One about a uniformly random person below `people`, whose number is written at `digits`.
    Lookup { template: Vec<u8>, digits: Range<usize>, people: u32 },
}

/// Requests as they go over the wire, one behind the other.
#[derive(Default)]
pub(crate) struct Prepared {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Prepared {
    /// Adds a whole request.
    pub(crate) fn add(&mut self, request: &[u8]) {
        self.bytes.extend_from_slice(request);
        self.ends.push(self.bytes.len());
    }

    /// Adds a `POST` of one JSON document.
    pub(crate) fn post(&mut self, path: &str, body: &str) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {SERVER}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(body.as_bytes());
        self.ends.push(self.bytes.len());
    }

    fn at(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..end])
    }
}

/// Where a client is.
struct Client {
    number: usize,
    sent: usize,
    random: u64,
    buffer: Vec<u8>,
}

impl Client {
    fn new(number: u32) -> Self {
        Self { number: number as usize, sent: 0, random: u64::from(number), buffer: Vec::new() }
    }
}

impl Requests {
    /// `POST /v1/register` of each envelope.
    pub(crate) fn register(envelopes: &[String]) -> Self {
        let mut requests = Prepared::default();
        for body in envelopes {
            requests.post("/v1/register", body);
        }
        Self::Once { requests, next: AtomicUsize::new(0) }
    }

    /// `GET` of `before`, the handle of one of the first `people`, `after`.
    pub(crate) fn lookup(before: &str, after: &str, people: u32) -> Self {
        let start = format!("GET {before}{}", people::handle(0));
        let digits = start.len() - DIGITS..start.len();
        let template =
            format!("{start}{after} HTTP/1.1\r\nHost: {SERVER}\r\nAccept: */*\r\n\r\n").into_bytes();
        Self::Lookup { template, digits, people }
    }

    /// The next request of a client, written into its buffer or taken from what was prepared.
    fn next<'a>(&'a self, client: &'a mut Client) -> Option<&'a [u8]> {
        let Client { number: number_of, sent, random, buffer } = client;
        match self {
            Self::Once { requests, next } => requests.at(next.fetch_add(1, Ordering::Relaxed)),
            Self::Own(clients) => {
                let request = clients.get(*number_of)?.at(*sent);
                *sent += 1;
                request
            }
            Self::Lookup { template, digits, people } => {
                if buffer.is_empty() {
                    buffer.clone_from(template);
                }
                let mut number = people::number(below(random, *people));
                for digit in buffer[digits.clone()].iter_mut().rev() {
                    *digit = b"0123456789"[(number % 10) as usize];
                    number /= 10;
                }
                Some(buffer)
            }
        }
    }
}

/// A uniformly random number below `bound`, from splitmix64.
fn below(state: &mut u64, bound: u32) -> u32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from(((z >> 32) * u64::from(bound)) >> 32).unwrap_or(0)
}

/// One measurement.
pub(crate) struct Load {
    /// Connections.
    pub(crate) clients: u32,
    /// Load before the window, not counted, so that both sides are warm.
    pub(crate) warm_up: Duration,
    /// Requests sent in it are counted.
    pub(crate) window: Duration,
    /// What is sent.
    pub(crate) requests: Requests,
    /// The status of a right answer.
    pub(crate) status: u16,
}

/// What one measurement found.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Requests in all, those of the warm-up among them.
    pub(crate) sent: u32,
    /// Answers a second.
    pub(crate) per_s: f64,
    /// Milliseconds that half of the answers took at most.
    pub(crate) p50_ms: f64,
    /// Milliseconds that 99 % of the answers took at most.
    pub(crate) p99_ms: f64,
}

impl Load {
    /// Runs it against a server, on one thread per core.
    pub(crate) fn run(self, server: &Server) -> Result<Sample, Error> {
        let (addr, from) = (server.addr, Instant::now() + self.warm_up);
        let load = Arc::new(self);
        let talk = |client| talk(Arc::clone(&load), client, addr, from);
        let tallies = converse(load.clients, talk).map_err(Error::io("measure"))?;
        let mut sum = Tally::new(from);
        for tally in tallies {
            sum.add(tally);
        }
        sum.sample(server.name, load.status)
    }
}

/// Runs all clients, on one thread per core, and returns what each found.
pub(crate) fn converse<T, F>(clients: u32, talk: impl Fn(u32) -> F + Sync) -> io::Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let threads = u32::try_from(people::cores()).unwrap_or(1);
    let found: io::Result<Vec<Vec<T>>> = thread::scope(|scope| {
        let talk = &talk;
        let drive =
            |thread| scope.spawn(move || drive((thread..clients).step_by(threads as usize).map(talk)));
        let running: Vec<_> = (0..threads).map(drive).collect();
        running.into_iter().map(people::joined).collect()
    });
    Ok(found?.into_iter().flatten().collect())
}

/// Runs some of the clients on this thread.
#[tokio::main(flavor = "current_thread")]
async fn drive<T, F>(clients: impl Iterator<Item = F>) -> io::Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut running: JoinSet<_> = clients.collect();
    let mut found = Vec::new();
    while let Some(one) = running.join_next().await {
        found.push(one??);
    }
    Ok(found)
}

/// One client, from its connection to the end of the window.
async fn talk(load: Arc<Load>, client: u32, addr: SocketAddr, from: Instant) -> io::Result<Tally> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let mut client = Client::new(client);
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let mut tally = Tally::new(from);
    loop {
        let sent = Instant::now();
        if sent >= from + load.window {
            return Ok(tally);
        }
        let Some(request) = load.requests.next(&mut client) else { return Ok(tally) };
        stream.write_all(request).await?;
        let status = read_answer(&mut stream, &mut answer).await?;
        tally.sent += 1;
        if sent >= from {
            tally.count(sent, (status != load.status).then_some(status));
        }
    }
}

/// Reads one answer to its end and returns its status.
pub(crate) async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<u16> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(io::Error::other("the server closed the connection, or its answer is too long"));
        }
        filled += read;
        if let Some(status) = complete(&buffer[..filled])? {
            return Ok(status);
        }
    }
}

/// The status, once head and body are there.
fn complete(answer: &[u8]) -> io::Result<Option<u16>> {
    let Some(head) = AnswerHead::read(answer)? else { return Ok(None) };
    Ok((answer.len() >= head.bytes + head.body_bytes).then_some(head.status))
}

/// The head of an answer.
pub(crate) struct AnswerHead {
    pub(crate) status: u16,
    /// Its own length, the empty line among it.
    pub(crate) bytes: usize,
    /// `Content-Length`.
    pub(crate) body_bytes: usize,
}

impl AnswerHead {
    /// The head, once it is there.
    pub(crate) fn read(answer: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(None) };
        let number = |digits: &[u8]| str::from_utf8(digits).ok()?.trim().parse::<usize>().ok();
        let status = answer.get(9..12).and_then(number).and_then(|status| u16::try_from(status).ok());
        let body_bytes = answer[..end]
            .split(|&byte| byte == b'\n')
            .find_map(|line| {
                line.split_at_checked(15).filter(|(n, _)| n.eq_ignore_ascii_case(b"content-length:"))
            })
            .and_then(|(_, value)| number(value));
        Ok(Some(Self {
            status: status.ok_or_else(|| io::Error::other("not an HTTP answer"))?,
            bytes: end + 4,
            body_bytes: body_bytes.ok_or_else(|| io::Error::other("an answer without content-length"))?,
        }))
    }
}

/// Answers and how long they took.
struct Tally {
    from: Instant,
    last: Instant,
    sent: u32,
    took_us: Vec<u32>,
    wrong: u32,
    wrong_status: u16,
}

impl Tally {
    fn new(from: Instant) -> Self {
        let took_us = Vec::with_capacity(ANSWERS_EXPECTED);
        Self { from, last: from, sent: 0, took_us, wrong: 0, wrong_status: 0 }
    }

    fn count(&mut self, sent: Instant, wrong_status: Option<u16>) {
        self.last = Instant::now();
        self.took_us.push(u32::try_from((self.last - sent).as_micros()).unwrap_or(u32::MAX));
        if let Some(status) = wrong_status {
            self.wrong += 1;
            self.wrong_status = status;
        }
    }

    fn add(&mut self, other: Self) {
        self.last = self.last.max(other.last);
        self.sent += other.sent;
        self.took_us.extend(other.took_us);
        self.wrong += other.wrong;
        self.wrong_status = self.wrong_status.max(other.wrong_status);
    }

    fn sample(mut self, name: &'static str, expected: u16) -> Result<Sample, Error> {
        let (all, wrong, status) = (self.took_us.len(), self.wrong, self.wrong_status);
        if wrong > 0 || all == 0 {
            return Err(Error::Answers { name, wrong, all, expected, status });
        }
        self.took_us.sort_unstable();
        let at_most_ms = |percent: usize| f64::from(self.took_us[(all * percent).div_ceil(100) - 1]) / 1000.0;
        let count = f64::from(u32::try_from(all).unwrap_or(u32::MAX));
        let per_s = count / (self.last - self.from).as_secs_f64();
        Ok(Sample { sent: self.sent, per_s, p50_ms: at_most_ms(50), p99_ms: at_most_ms(99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut tally = Tally::new(Instant::now());
        tally.took_us = (1..=200).rev().map(|n| n * 1000).collect();
        tally.last = tally.from + Duration::from_secs(2);
        let sample = tally.sample("test", 200).expect("no wrong answer");
        assert_eq!(
            [sample.per_s, sample.p50_ms, sample.p99_ms].map(|n| n.to_string()),
            ["100", "100", "198"]
        );
    }

    #[test]
    fn an_answer_is_complete_with_its_body() {
        let answer = b"HTTP/1.1 201 Created\r\nX: y\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(complete(answer).ok(), Some(Some(201)));
        assert_eq!(complete(&answer[..answer.len() - 1]).ok(), Some(None));
        assert_eq!(complete(&answer[..20]).ok(), Some(None));
        assert!(complete(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_lookup_names_an_existing_handle() {
        let requests = Requests::lookup("/v1/u/", "?x=1", 3);
        let known: Vec<_> =
            (0..3).map(|i| format!("GET /v1/u/{}?x=1 HTTP/1.1\r\n", people::handle(i))).collect();
        let mut client = Client::new(7);
        for _ in 0..50 {
            let request = requests.next(&mut client).unwrap_or_default();
            assert!(known.iter().any(|line| request.starts_with(line.as_bytes())));
        }
    }

    #[test]
    fn prepared_requests_are_sent_once() {
        let requests = Requests::register(&["{}".to_owned(), "[1]".to_owned()]);
        let next =
            || requests.next(&mut Client::new(0)).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(
            next().is_some_and(|first| first.starts_with("POST ") && first.ends_with("Length: 2\r\n\r\n{}"))
        );
        assert!(next().is_some_and(|second| second.starts_with("POST ") && second.ends_with("\r\n\r\n[1]")));
        assert!(next().is_none());
    }

    #[test]
    fn each_client_sends_its_own_in_order() {
        let mut one = Prepared::default();
        one.post("/a", "1");
        one.post("/a", "22");
        let mut other = Prepared::default();
        other.post("/b", "3");
        let requests = Requests::Own([one, other].into());
        let sent = |number| {
            let mut client = Client::new(number);
            let mut bodies = Vec::new();
            while let Some(request) = requests.next(&mut client) {
                bodies
                    .push(String::from_utf8_lossy(request).split("\r\n\r\n").last().unwrap_or("").to_owned());
            }
            bodies
        };
        assert_eq!([sent(1), sent(0), sent(2)], [vec!["3"], vec!["1", "22"], vec![]]);
    }
}
