//! The calls of one sig-server. SPEC "Sigchain server".

use std::time::Duration;

use kez_core::sigchain::{Chain, ChainError, Comparison, Event, EventHash, Head};
use kez_core::{Envelope, PrimaryKey, Record, Verified};
use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};

use crate::error::{AnswerFault, ClientError, Contradiction};
use crate::events::{Events, JSONL};
use crate::home_server::found;
use crate::sig_url::SigUrl;
use crate::transport::{Answer, Transport};

/// The longest time for reading one whole chain, in seconds.
pub const CHAIN_S_MAX: u64 = 60;

/// A sig-server, by a URL that the user or a home server gave.
#[derive(Debug, Clone)]
pub struct SigServer {
    url: SigUrl,
    transport: Transport,
}

/// The server's answer to an event that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The event's position.
    pub seq: u64,
    /// The event's hash.
    pub hash: EventHash,
    /// The very same event was there before: an earlier answer was lost.
    pub already: bool,
}

/// Where a chain ends, by the server's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainEnd {
    /// The position of the last event.
    pub seq: u64,
    /// The hash of the last event.
    pub hash: EventHash,
}

/// Why an event was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The event does not go on from where the server's chain ends.
    #[error("the chain does not end where the event goes on")]
    Behind {
        /// Where it ends, by the server's word; `None`: it has no event.
        end: Option<ChainEnd>,
    },
    /// Anything else; a refusal among it.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Why there is no chain to believe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainReadError {
    /// There is no whole answer, or no chain in it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The chain does not verify.
    #[error("{server} shows a sigchain that does not verify: {fault}")]
    Broken {
        /// The URL of who shows it.
        server: String,
        /// The position of the event at fault.
        seq: u64,
        /// What is wrong with it.
        #[source]
        fault: ChainError,
    },
    /// The chain verifies, and lacks events that were seen before.
    #[error("{server} shows a sigchain that ends before the one seen earlier")]
    Shorter {
        /// The URL of who shows it.
        server: String,
        /// The last event that is shown; `None`: not a single one.
        shown: Option<u64>,
        /// The last event that was seen before.
        seen: u64,
    },
    /// The chain verifies, and has another event in a place whose event was seen before.
    #[error("{server} shows another sigchain than the one seen earlier")]
    Forked {
        /// The URL of who shows it.
        server: String,
        /// They part here or earlier.
        seq: u64,
    },
    /// A record names a key that its chain does not have: it was handed on, or is another's.
    #[error("the record names the key {record}, and its sigchain belongs to the key {chain}")]
    OtherKey {
        /// The record's key.
        record: PrimaryKey,
        /// The chain's key now.
        chain: PrimaryKey,
    },
}

/// The members of an answer to an append, a refused one included.
#[derive(Deserialize)]
struct Wire {
    seq: Option<u64>,
    hash: Option<EventHash>,
}

impl SigServer {
    /// A client for the sig-server at `url`. Nothing is sent yet.
    pub fn new(url: SigUrl) -> Result<Self, ClientError> {
        let transport = Transport::for_url(url.as_url())?;
        Ok(Self { url, transport })
    }

    /// Where this server is reached.
    pub fn url(&self) -> &SigUrl {
        &self.url
    }

    /// Hands in the next event of a chain. Sending the same event again is safe: the server has it once.
    pub async fn append(&self, chain: PrimaryKey, event: &Verified<Event>) -> Result<Appended, AppendError> {
        let url = self.url.call(chain, &[]);
        let answer = self.transport.post(&url, event.canonical().to_owned(), HeaderMap::new()).await?;
        let already = match answer.status() {
            StatusCode::CREATED => false,
            StatusCode::OK => true,
            StatusCode::CONFLICT => return Err(AppendError::Behind { end: end_in_refusal(&answer)? }),
            _ => return Err(answer.refusal().into()),
        };
        let ChainEnd { seq, hash } = answer.json()?;
        if seq != event.document().seq || hash != EventHash::from(event) {
            return Err(answer.contradiction(Contradiction::OtherEvent).into());
        }
        Ok(Appended { seq, hash, already })
    }

    /// Where the chain ends, by the server's word; `None` when it has no event there.
    pub async fn head(&self, chain: PrimaryKey) -> Result<Option<ChainEnd>, ClientError> {
        let answer = self.transport.get(&self.url.call(chain, &["head"])).await?;
        found(&answer)?.then(|| answer.json()).transpose()
    }

    /// The events of a chain, or those after position `since`, to be read one by one; `None` when it has no event
    /// there.
    pub async fn read(&self, chain: PrimaryKey, since: Option<u64>) -> Result<Option<Events>, ClientError> {
        let mut url = self.url.call(chain, &[]);
        if let Some(seq) = since {
            url.query_pairs_mut().append_pair("since", &seq.to_string());
        }
        self.open(&url).await
    }

    /// The whole chain, verified from its first event on, one event at a time; `None` when it has no event there.
    pub async fn chain(&self, id: PrimaryKey) -> Result<Option<Chain>, ChainReadError> {
        self.chain_with(id, drop).await
    }

    /// [`chain`](Self::chain); `each` is given the events in their order, before it is known whether they are
    /// believed.
    pub async fn chain_with(
        &self,
        id: PrimaryKey,
        mut each: impl FnMut(Envelope),
    ) -> Result<Option<Chain>, ChainReadError> {
        let Some(mut events) = self.read(id, None).await? else { return Ok(None) };
        let mut chain: Option<Chain> = None;
        while let Some(line) = events.next().await? {
            let seq = chain.as_ref().map_or(0, |chain| chain.head().seq + 1);
            let fed = line.map_err(|fault| ChainError::Envelope(fault.into()));
            let fed = fed.and_then(|envelope| {
                each(envelope.clone());
                feed(id, &mut chain, envelope)
            });
            fed.map_err(|fault| ChainReadError::Broken { server: self.url.to_string(), seq, fault })?;
        }
        let is_end = |chain: &Chain| match events.etag().parse::<EventHash>() {
            Ok(end) => end == chain.head().hash,
            Err(_) => true, // the header is optional
        };
        match chain {
            Some(chain) if is_end(&chain) => Ok(Some(chain)),
            _ => Err(events.contradiction(Contradiction::ChainCutShort).into()),
        }
    }

    /// [`chain`](Self::chain), which must go on from what was seen before.
    pub async fn chain_since(
        &self,
        id: PrimaryKey,
        seen: Option<&Head>,
    ) -> Result<Option<Chain>, ChainReadError> {
        let chain = self.chain(id).await?;
        let Some(seen) = seen else { return Ok(chain) };
        let server = self.url.to_string();
        let shown = chain.as_ref().map(|chain| chain.head().seq);
        match chain.as_ref().map_or(Comparison::Shorter, |chain| chain.compare_to_head(seen)) {
            Comparison::Shorter => Err(ChainReadError::Shorter { server, shown, seen: seen.seq }),
            Comparison::Forked { seq } => Err(ChainReadError::Forked { server, seq }),
            Comparison::Same | Comparison::Longer => Ok(chain),
        }
    }

    /// The whole chain as `kez:zc1:` text, not checked; `None` when it has no event there. At most
    /// [`BODY_BYTES_MAX`](crate::BODY_BYTES_MAX), so only of a chain of some hundred events.
    pub async fn bundle(&self, chain: PrimaryKey) -> Result<Option<String>, ClientError> {
        let answer = self.transport.get(&self.url.call(chain, &["bundle"])).await?;
        found(&answer)?.then(|| answer.text()).transpose()
    }

    async fn open(&self, url: &Url) -> Result<Option<Events>, ClientError> {
        let call_max = Duration::from_secs(CHAIN_S_MAX);
        match self.transport.open(url, JSONL, HeaderMap::new(), call_max).await? {
            Ok(pieces) => Events::new(pieces).map(Some),
            Err(answer) if found(&answer)? => Err(answer.not_protocol(AnswerFault::NotJsonl)),
            Err(_) => Ok(None),
        }
    }
}

/// Checks that the chain of `record` has the record's key now.
pub fn check_key(record: &Record, chain: &Chain) -> Result<(), ChainReadError> {
    let (of_record, of_chain) = (PrimaryKey::from(record.primary), chain.primary());
    if of_record == of_chain {
        Ok(())
    } else {
        Err(ChainReadError::OtherKey { record: of_record, chain: of_chain })
    }
}

/// Gives a chain its next event, or its first.
fn feed(id: PrimaryKey, chain: &mut Option<Chain>, envelope: Envelope) -> Result<(), ChainError> {
    match chain {
        Some(chain) => chain.extend(envelope).map(|_| ()),
        None => Chain::genesis(id, envelope).map(|first| *chain = Some(first)),
    }
}

/// A refusal for the chain's end names it. A refusal of the same status for another reason does not count.
fn end_in_refusal(answer: &Answer) -> Result<Option<ChainEnd>, ClientError> {
    let refusal = answer.refusal();
    let Some(_) = refusal.problem() else { return Err(refusal) };
    let wire: Wire = answer.json()?;
    Ok(wire.seq.zip(wire.hash).map(|(seq, hash)| ChainEnd { seq, hash }))
}

#[cfg(test)]
mod tests {
    use kez_core::Seed;
    use kez_core::sigchain::{EVENTS_MAX, Op};

    use super::*;
    use crate::canned::Canned;
    use crate::events::LINE_BYTES_MAX;

    fn seed() -> Seed {
        Seed::from_bytes([0x42; 32])
    }

    fn id() -> PrimaryKey {
        seed().public_key().into()
    }

    /// A chain of `count` events, each line with its end, and what they come to.
    fn lines(count: usize) -> (Vec<String>, Chain) {
        let mut lines = Vec::new();
        let mut chain: Option<Chain> = None;
        for at in 0..count {
            let op = Op::Add { subject: format!("github:friend-{at}").parse().unwrap() };
            let event = chain.as_ref().map_or(Event::first(op.clone()), |chain| chain.head().next(op));
            let envelope = Envelope::sign(&event, &seed(), "2026-05-25T03:00:00Z".parse().unwrap()).unwrap();
            lines.push(format!("{}\n", envelope.canonical()));
            feed(id(), &mut chain, envelope).unwrap();
        }
        (lines, chain.unwrap())
    }

    fn jsonl(headers: &str, body: &str) -> String {
        let len = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\n{headers}Content-Length: {len}\r\n\r\n{body}"
        )
    }

    fn json(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    async fn server(answers: Vec<String>) -> (SigServer, Canned) {
        let canned = Canned::start(answers).await;
        (SigServer::new(canned.url("/").as_str().parse().unwrap()).unwrap(), canned)
    }

    async fn chain(answer: String) -> Result<Option<Chain>, ChainReadError> {
        server(vec![answer]).await.0.chain(id()).await
    }

    async fn fault(answer: String) -> ClientError {
        match chain(answer).await {
            Err(ChainReadError::Client(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_chain_is_verified_from_its_first_event_to_the_end_that_the_answer_names() {
        let (lines, whole) = lines(3);
        let etag = format!("ETag: \"{}\"\r\n", whole.head().hash);
        let (server, canned) = server(vec![jsonl(&etag, &lines.concat())]).await;
        let read = server.chain(id()).await.unwrap().unwrap();
        assert_eq!((read.head(), read.subjects().len()), (whole.head(), 3));
        let asked = format!("GET /v1/sigchains/ed25519/{} HTTP/1.1\r\n", id().value());
        assert!(canned.heard()[0].starts_with(&asked), "{}", canned.heard()[0]);

        let cut = fault(jsonl(&etag, &lines[..2].concat())).await;
        assert!(matches!(cut, ClientError::Contradiction { what: Contradiction::ChainCutShort, .. }));
        let empty = fault(jsonl("", "")).await;
        assert!(matches!(empty, ClientError::Contradiction { what: Contradiction::ChainCutShort, .. }));
    }

    #[tokio::test]
    async fn the_event_at_fault_is_named() {
        let (lines, _) = lines(3);
        let broken = async |body: String| match chain(jsonl("", &body)).await {
            Err(ChainReadError::Broken { seq, fault, .. }) => (seq, fault.code()),
            other => panic!("{other:?}"),
        };
        assert_eq!(broken([&*lines[0], &lines[2]].concat()).await, (1, "bad_sequence"));
        assert_eq!(broken([&*lines[1], &lines[0]].concat()).await, (0, "bad_sequence"));
        assert_eq!(broken(lines[0].replace("friend-0", "friend-9")).await, (0, "bad_signature"));
        assert_eq!(broken(format!("{}\n{}", lines[0], lines[1])).await, (1, "malformed"), "an empty line");
        assert_eq!(broken(format!("{}{}", lines[0], &lines[1][..90])).await, (1, "malformed"), "a torn line");
    }

    #[tokio::test]
    async fn a_chain_goes_on_from_what_was_seen_or_is_refused() {
        let (lines, whole) = lines(3);
        let other = lines[2].clone();
        let answers = (1..=3).map(|count| jsonl("", &lines[..count].concat())).collect();
        let (server, _canned) = server(answers).await;
        let seen = Head {
            seq: 1,
            hash: EventHash::from(&Envelope::parse(lines[1].trim().as_bytes()).unwrap()),
            ..*whole.head()
        };
        let shorter = server.chain_since(id(), Some(&seen)).await.unwrap_err();
        assert!(matches!(shorter, ChainReadError::Shorter { shown: Some(0), seen: 1, .. }), "{shorter}");
        assert_eq!(server.chain_since(id(), Some(&seen)).await.unwrap().unwrap().head().seq, 1);
        let forked =
            Head { hash: EventHash::from(&Envelope::parse(other.trim().as_bytes()).unwrap()), ..seen };
        let forked = server.chain_since(id(), Some(&forked)).await.unwrap_err();
        assert!(matches!(forked, ChainReadError::Forked { seq: 1, .. }), "{forked}");
    }

    #[tokio::test]
    async fn a_chain_that_vanished_is_shorter_and_one_that_never_was_is_none() {
        let gone = || json("404 Not Found", r#"{"code":"not_found"}"#);
        let (server, _canned) = server(vec![gone(), gone(), gone()]).await;
        assert!(server.chain_since(id(), None).await.unwrap().is_none());
        assert_eq!(server.head(id()).await.unwrap(), None);
        let (_, whole) = lines(1);
        let vanished = server.chain_since(id(), Some(whole.head())).await.unwrap_err();
        assert!(matches!(vanished, ChainReadError::Shorter { shown: None, seen: 0, .. }), "{vanished}");
    }

    #[tokio::test]
    async fn a_page_a_broken_off_answer_and_an_endless_line_are_no_chains() {
        let what = |error| match error {
            ClientError::NotProtocol { what, .. } => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what(fault(json("200 OK", "<html>")).await), AnswerFault::NotJsonl);
        assert_eq!(what(fault(json("404 Not Found", "<html>")).await), AnswerFault::NoCode);
        let (lines, _) = lines(2);
        let broken_off = jsonl("", &lines.concat()).replace(&lines[1], "");
        assert!(matches!(fault(broken_off).await, ClientError::Unreachable { .. }));
        let endless = jsonl("", &" ".repeat(LINE_BYTES_MAX + 1));
        assert_eq!(what(fault(endless).await), AnswerFault::LineTooLong);
    }

    #[tokio::test]
    async fn reading_stops_after_the_most_events_a_chain_can_have() {
        let (lines, _) = lines(1);
        let most = usize::try_from(EVENTS_MAX).unwrap();
        let (server, _canned) = server(vec![jsonl("", &lines[0].repeat(most + 1))]).await;
        let mut events = server.read(id(), Some(7)).await.unwrap().unwrap();
        for _ in 0..most {
            events.next().await.unwrap().unwrap().unwrap();
        }
        let fault = events.next().await.unwrap_err();
        assert!(
            matches!(fault, ClientError::NotProtocol { what: AnswerFault::ChainTooLarge, .. }),
            "{fault}"
        );
    }

    #[tokio::test]
    async fn an_event_is_confirmed_as_itself_or_not_at_all() {
        let (lines, whole) = lines(1);
        let event = || Envelope::parse(lines[0].trim().as_bytes()).unwrap().verify::<Event>().unwrap();
        let end = ChainEnd { seq: 0, hash: whole.head().hash };
        let confirmed = format!(r#"{{"seq":0,"hash":"{}"}}"#, end.hash);
        let (server, canned) = server(vec![
            json("201 Created", &confirmed),
            json("200 OK", &confirmed),
            json("201 Created", &confirmed.replace("\"seq\":0", "\"seq\":1")),
            json("409 Conflict", &confirmed.replacen('{', r#"{"code":"conflict","#, 1)),
            json("409 Conflict", r#"{"code":"conflict","seq":null,"hash":null}"#),
            json("409 Conflict", "<html>"),
            json("422 No", r#"{"code":"bad_signature"}"#),
        ])
        .await;
        let append = async || server.append(id(), &event()).await;
        assert_eq!(append().await.unwrap(), Appended { seq: 0, hash: end.hash, already: false });
        assert!(append().await.unwrap().already);
        let other = append().await.unwrap_err();
        assert!(matches!(
            other,
            AppendError::Client(ClientError::Contradiction { what: Contradiction::OtherEvent, .. })
        ));
        assert!(matches!(append().await, Err(AppendError::Behind { end: Some(at) }) if at == end));
        assert!(matches!(append().await, Err(AppendError::Behind { end: None })));
        assert!(matches!(append().await, Err(AppendError::Client(ClientError::NotProtocol { .. }))));
        assert!(matches!(append().await, Err(AppendError::Client(ClientError::Refused(_)))));
        assert!(
            canned.heard()[0].starts_with("POST /v1/sigchains/ed25519/2152f8d1"),
            "{}",
            canned.heard()[0]
        );
    }

    #[test]
    fn a_record_has_to_name_the_key_that_its_chain_has_now() {
        let (_, chain) = lines(1);
        let record = |key: Seed| Record {
            handle: "alice".parse().unwrap(),
            fqhn: "alice@kez.lat".parse().unwrap(),
            primary: key.public_key(),
            sigchain_url: "https://kez.lat/v1/sigchains/ed25519/2152".into(),
            registered_at: "2026-05-25T03:00:00Z".parse().unwrap(),
        };
        assert!(check_key(&record(seed()), &chain).is_ok());
        let other = check_key(&record(Seed::from_bytes([7; 32])), &chain).unwrap_err();
        assert!(matches!(other, ChainReadError::OtherKey { .. }), "{other}");
    }
}
