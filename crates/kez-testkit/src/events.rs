//! A stream of events (`text/event-stream`), read one event at a time.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::client::DEADLINE;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number, where it has one.
    pub id: Option<u64>,
    /// What it is.
    pub kind: String,
    /// Its JSON.
    pub data: Value,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// By the server's word: all that it wanted to say has come.
    Finished,
    /// The connection broke off.
    Cut,
}

/// An open stream. Nothing is read from the connection but what a test asks for, so one that does not ask is a slow
/// reader.
#[derive(Debug)]
pub struct Events {
    headers: HeaderMap,
    body: Incoming,
    /// What came and makes no whole event or comment yet.
    rest: Vec<u8>,
    end: Option<StreamEnd>,
}

/// What a block of lines is.
enum Block {
    Event(Event),
    Comment,
}

impl Events {
    /// The stream that `response` is, or the whole answer where it is none.
    pub(crate) async fn of(response: Response<Incoming>) -> Result<Self, Answer> {
        let (parts, body) = response.into_parts();
        let media = parts.headers.get("content-type").map(|media| media.as_bytes().to_owned());
        if parts.status.as_u16() != 200 || media.as_deref() != Some(b"text/event-stream") {
            let body = body.collect().await.expect("a whole body").to_bytes();
            return Err(Answer::new(parts.status, parts.headers, body));
        }
        Answer::new(parts.status, parts.headers.clone(), Bytes::new()).expect_marks();
        Ok(Self { headers: parts.headers, body, rest: Vec::new(), end: None })
    }

    /// The headers of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next event; `None`: the stream has ended. Comments are passed over.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.block().await? {
                Block::Event(event) => return Some(event),
                Block::Comment => {}
            }
        }
    }

    /// The next event, which has to be of this kind; its JSON.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before {kind:?}"));
        assert_eq!(event.kind, kind, "{event:?}");
        assert_eq!(event.id, event.data["n"].as_u64(), "the number stands in both places: {event:?}");
        event.data
    }

    /// The first event of every stream; the number of the last event that was there when it began.
    pub async fn ready(&mut self) -> u64 {
        let ready = self.expect("ready").await;
        ready["head"].as_u64().unwrap_or_else(|| panic!("no head: {ready}"))
    }

    /// Waits for a comment, which has to come before any event.
    pub async fn comment(&mut self) {
        match self.block().await.expect("the stream goes on") {
            Block::Comment => {}
            Block::Event(event) => panic!("an event instead of a comment: {event:?}"),
        }
    }

    /// Waits for the end, before which no further event may come.
    pub async fn end(&mut self) -> StreamEnd {
        if let Some(event) = self.next().await {
            panic!("an event instead of the end: {event:?}");
        }
        self.end.expect("an end was met")
    }

    async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.rest.drain(..end + 2).collect();
                return Some(parse(std::str::from_utf8(&block).expect("UTF-8")));
            }
            if self.end.is_some() {
                return None;
            }
            self.more().await;
        }
    }

    async fn more(&mut self) {
        match timeout(DEADLINE, self.body.frame()).await.expect("something comes in time") {
            Some(Ok(frame)) => self.rest.extend(frame.into_data().expect("no trailers")),
            Some(Err(_)) => self.end = Some(StreamEnd::Cut),
            None => {
                assert!(self.rest.is_empty(), "the stream ends within an event");
                self.end = Some(StreamEnd::Finished);
            }
        }
    }
}

/// Reads the lines of a block. Stricter than WHATWG HTML section 9.2.6: what our server never writes is a mistake.
fn parse(block: &str) -> Block {
    let (mut id, mut kind, mut data) = (None, None, None);
    for line in block.lines().filter(|line| !line.is_empty()) {
        if line.starts_with(':') {
            assert_eq!(block.lines().filter(|line| !line.is_empty()).count(), 1, "{block:?}");
            return Block::Comment;
        }
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
        let field = match name {
            "id" => &mut id,
            "event" => &mut kind,
            "data" => &mut data,
            other => panic!("an unknown field: {other}"),
        };
        assert_eq!(field.replace(value), None, "a field stands twice: {block:?}");
    }
    Block::Event(Event {
        id: id.map(|id| id.parse().expect("a number")),
        kind: kind.expect("a kind").to_owned(),
        data: serde_json::from_str(data.expect("data")).expect("JSON"),
    })
}
