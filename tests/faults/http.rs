//! A client that says what it is told and notices everything: HTTP/1.1 with `Content-Length`, kept alive.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::DEADLINE;
use crate::people::Person;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

/// One answer, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// How a connection ended that owed an answer.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Before the first byte of the answer.
    Unanswered,
    /// In the midst of it.
    Broken(String),
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = timeout(DEADLINE, TcpStream::connect(addr)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Answer, Ended> {
        if self.stream.write_all(request).await.is_err() {
            return Err(Ended::Unanswered);
        }
        self.answer().await
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Result<Answer, Ended> {
        timeout(DEADLINE, self.read()).await.expect("an answer or the end of the connection")
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, Ended> {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &[u8]) -> Result<Answer, Ended> {
        self.ask(&post(path, body)).await
    }

    async fn read(&mut self) -> Result<Answer, Ended> {
        loop {
            if let Some((answer, length)) = Answer::first(&self.received) {
                self.received.drain(..length);
                return Ok(answer);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(1..) => {}
                _ if self.received.is_empty() => return Err(Ended::Unanswered),
                _ => return Err(Ended::Broken(String::from_utf8_lossy(&self.received).into_owned())),
            }
        }
    }
}

/// Where registrations are sent to.
pub(crate) const REGISTER: &str = "/v1/register";

/// A `POST /v1/register` with this body.
pub(crate) fn registration(body: &[u8]) -> Vec<u8> {
    post(REGISTER, body)
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

impl Answer {
    /// The whole answer that `bytes` begin with, and its length.
    pub(crate) fn first(bytes: &[u8]) -> Option<(Self, usize)> {
        let head_length = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..head_length]).into_owned();
        let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let mut answer = Self { status, head, body: Vec::new() };
        let body_length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = bytes.get(head_length..head_length + body_length)?.to_vec();
        Some((answer, head_length + body_length))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The `code` of a problem; empty where there is none.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether what was sent is kept, as of now or from before.
    pub(crate) fn is_acknowledgement(&self) -> bool {
        [200, 201].contains(&self.status)
    }

    /// Whether it is a record that names this handle and this key.
    pub(crate) fn names(&self, person: &Person) -> bool {
        let record = self.json();
        record["handle"] == person.handle.as_str() && record["primary"] == person.primary.to_string().as_str()
    }

    /// Checks that a refusal has the body of one: a problem with its status and a code.
    #[track_caller]
    pub(crate) fn expect_problem_body(&self) {
        let problem = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(!self.code().is_empty(), "{self:?}");
    }
}

/// Asks once on a connection of its own.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    Connection::open(addr).await.unwrap().get(path).await.unwrap()
}

/// Registers once on a connection of its own.
pub(crate) async fn register(addr: SocketAddr, envelope: &str) -> Answer {
    Connection::open(addr).await.unwrap().post(REGISTER, envelope.as_bytes()).await.unwrap()
}

/// Checks that everybody is found by handle and by key.
pub(crate) async fn expect_found(addr: SocketAddr, people: &[Person]) {
    let mut connection = Connection::open(addr).await.unwrap();
    for person in people {
        for path in [format!("/v1/u/{}", person.handle), format!("/v1/by-primary/{}", person.primary)] {
            let answer = connection.get(&path).await.unwrap();
            assert!(answer.status == 200 && answer.names(person), "{path} was acknowledged, now: {answer:?}");
        }
    }
}

/// Waits until `/v1/readyz` answers `status`, and gives that answer.
pub(crate) async fn readiness_becomes(addr: SocketAddr, status: u16) -> Answer {
    let asking = async {
        loop {
            let answer = get(addr, "/v1/readyz").await;
            if answer.status == status {
                return answer;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(DEADLINE, asking).await.expect("readiness changes")
}

/// The pause between two looks at something that tells nobody when it changes.
pub(crate) const POLL: std::time::Duration = std::time::Duration::from_millis(10);
