//! What can go wrong between a client and a server, by whose fault it was.

use kez_core::sigchain::EVENTS_MAX;
use kez_core::{ServerName, Timestamp};
use serde::Deserialize;

use crate::events::{CHAIN_BYTES_MAX, LINE_BYTES_MAX};

/// The longest text of a server that is kept for people to read, in characters.
const TEXT_CHARS_MAX: usize = 400;
/// The longest error code, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Name, connection, encryption, or a connection that broke: there is no whole answer. The server may or may
    /// not have done what was asked.
    #[error("{origin} cannot be reached")]
    Unreachable {
        /// `https://kez.lat`.
        origin: String,
        /// What failed. Its URL is left out.
        source: reqwest::Error,
    },
    /// No whole answer in time. The server may or may not have done what was asked.
    #[error("{origin} did not answer within {after_s} seconds")]
    TimedOut {
        /// `https://kez.lat`.
        origin: String,
        /// [`IDLE_S_MAX`](crate::IDLE_S_MAX) or [`STREAM_IDLE_S_MAX`](crate::STREAM_IDLE_S_MAX) without a byte;
        /// [`CALL_S_MAX`](crate::CALL_S_MAX), [`LARGE_CALL_S_MAX`](crate::LARGE_CALL_S_MAX) or
        /// [`CHAIN_S_MAX`](crate::CHAIN_S_MAX) altogether; or what a connection may take.
        after_s: u64,
        /// Part of the answer had come: a line that is slow, rather than a server that is gone.
        has_begun: bool,
    },
    /// A domain by whose name no web server can be reached.
    #[error("{server} cannot be the name of a web server")]
    NoHost {
        /// The part after the `@` of an address.
        server: ServerName,
    },
    /// This machine has no certificate authorities, so no https server can be recognised.
    #[error("this machine has no list of certificate authorities, so https servers cannot be recognised")]
    NoTrustRoots {
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The server understood, and said no.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The answer is not one that the protocol knows: most often no server of ours runs there.
    #[error("{origin} does not answer like a KEZ server: {what} (HTTP status {status})")]
    NotProtocol {
        /// `https://kez.lat`.
        origin: String,
        /// The HTTP status, 100 to 599.
        status: u16,
        /// What was wrong about the answer.
        what: AnswerFault,
    },
    /// The answer is well formed, and not about what was asked: the server is at fault, or somebody on the way.
    #[error("{origin} gave an answer that cannot be trusted: {what}")]
    Contradiction {
        /// `https://kez.lat`.
        origin: String,
        /// Which check failed.
        what: Contradiction,
    },
}

/// Why an answer is not one of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerFault {
    /// The body is larger than this call's answer can be: [`BODY_BYTES_MAX`](crate::BODY_BYTES_MAX), where the call
    /// sets no bound of its own.
    #[error("its answer is larger than one to this call can be")]
    TooLarge,
    /// The body is not the JSON that belongs to this call.
    #[error("its answer is not the JSON that belongs here")]
    NotJson,
    /// The body is not UTF-8 text.
    #[error("its answer is not text")]
    NotText,
    /// Neither success nor a problem body with a code.
    #[error("its answer is neither a success nor a refusal with a code")]
    NoCode,
    /// A redirect. None is followed: it could lead a caller to another server than the one named.
    #[error("it redirects elsewhere, which is not followed")]
    Redirect,
    /// The body is not `application/jsonl`, as chains are.
    #[error("its answer is no sigchain")]
    NotJsonl,
    /// The body is not `application/jsonl`, as exports are.
    #[error("its answer is no export")]
    NotExport,
    /// An export ends before its last line.
    #[error("its export is not whole")]
    ExportCutShort,
    /// A line of a chain is longer than [`LINE_BYTES_MAX`].
    #[error("a line of its sigchain is longer than {} KiB", LINE_BYTES_MAX / 1024)]
    LineTooLong,
    /// A chain is larger than [`CHAIN_BYTES_MAX`], or has more than [`EVENTS_MAX`] lines.
    #[error("its sigchain has more than {EVENTS_MAX} events or {} MiB", CHAIN_BYTES_MAX / (1024 * 1024))]
    ChainTooLarge,
    /// The body is not `text/event-stream`, as events are.
    #[error("its answer is no stream of events")]
    NotEvents,
    /// An event of a stream is larger than any can be.
    #[error("an event of its stream is larger than any can be")]
    EventTooLarge,
    /// The WebFinger account has no KEZ key, or no link to a record.
    #[error("its WebFinger answer names no KEZ key and record")]
    NoKezAccount,
}

/// A check that an answer failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// The record is about another address than the one asked for, or about two.
    #[error("its record is about somebody else")]
    OtherHandle,
    /// The record names another key than the one asked for or registered.
    #[error("its record names another key")]
    OtherKey,
    /// The WebFinger answer is about another account.
    #[error("its WebFinger answer is about another account")]
    OtherSubject,
    /// WebFinger and the record that it points to name different keys, or the record does not exist.
    #[error("its WebFinger answer and its record disagree")]
    RecordDisagrees,
    /// WebFinger sends the client away from https, to a bare address or to another port.
    #[error("its WebFinger answer points to a place that is not an https address of a name")]
    UnfitLink,
    /// The chain ends before the event that the answer itself names as the last one (its `ETag`).
    #[error("its sigchain is not the one that its own answer names")]
    ChainCutShort,
    /// The answer to an append names another event than the one that was sent.
    #[error("it confirms another event than the one it was sent")]
    OtherEvent,
    /// The answer is about another device than the one that was sent, or about one with other keys.
    #[error("it answers for another device")]
    OtherDevice,
    /// The receipt is not for this deletion, or not signed with the receipt key that the server had named.
    #[error("its receipt is not one for this deletion, signed with the key that it had named")]
    UnfitReceipt,
    /// A device is listed whose document the primary key did not sign, or whose parts disagree.
    #[error("it lists a device that its owner did not take in")]
    UnfitDevice,
    /// The answer is about another conversation than the one asked for.
    #[error("it answers for another conversation")]
    OtherConversation,
    /// The conversation has other members than those that were sent.
    #[error("it answers for other members")]
    OtherMembers,
    /// The answer names another epoch than the one that the commit begins, or no place in the conversation.
    #[error("it answers for another epoch")]
    OtherEpoch,
    /// The verdicts are about other messages than those that were sent.
    #[error("it answers for other messages")]
    OtherMessage,
    /// A blob has another SHA-256 than its name, or the answer is about another one.
    #[error("what it gives is not the blob of that name")]
    OtherBlob,
    /// The answer is about another entry, or about another version than the write makes.
    #[error("it answers for another entry")]
    OtherEntry,
    /// Numbers that have to rise do not.
    #[error("what it gives is out of order")]
    OutOfOrder,
    /// Numbers that have to follow each other leave some out.
    #[error("something is missing in what it gives")]
    Gap,
}

/// A refusal by the server (RFC 9457). All text is the server's, cut to length and free of control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The stable code, such as `handle_taken`: 1 to 64 bytes of `a-z 0-9 _`.
    pub code: String,
    /// What happened, for people.
    pub detail: String,
    /// Seconds to wait before the next attempt (the header `Retry-After`).
    pub retry_after_s: Option<u64>,
    /// The server's clock, told with `clock_skew` and `signature_expired`.
    pub server_time: Option<Timestamp>,
}

impl ClientError {
    /// Whether the same call may succeed when it is simply sent again: no answer came, or a gateway's.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::NotProtocol { status, .. } => matches!(status, 502..=504),
            _ => false,
        }
    }

    /// The refusal, when the server gave one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

/// The members of a problem body that this client knows.
#[derive(Deserialize)]
struct Wire {
    code: String,
    title: Option<String>,
    detail: Option<String>,
    server_time: Option<Timestamp>,
}

impl Problem {
    /// Reads a body of `application/problem+json`; `None` when it has no usable `code`.
    pub(crate) fn read(status: u16, body: &[u8], retry_after_s: Option<u64>) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(body).ok()?;
        let problem = Self::new(status, wire.code, wire.detail.or(wire.title).as_deref())?;
        Some(Self { retry_after_s, server_time: wire.server_time, ..problem })
    }

    /// A problem with a usable `code`; without a text, that stands for it.
    pub(crate) fn new(status: u16, code: String, detail: Option<&str>) -> Option<Self> {
        let code_fits = (1..=CODE_BYTES_MAX).contains(&code.len())
            && code.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let detail = readable(detail.unwrap_or(&code));
        code_fits.then_some(Self { status, code, detail, retry_after_s: None, server_time: None })
    }
}

/// Text of a server as it may reach a terminal: no control characters, no invisible reordering, not endless.
fn readable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !is_directional(*c)).take(TEXT_CHARS_MAX).collect()
}

/// Marks that make text read in another order than it is written (Unicode UAX #9).
fn is_directional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_cannot_drive_a_terminal() {
        let body = br#"{"code":"handle_taken","detail":"\u001b[2Jtaken\u202e\n"}"#;
        assert_eq!(Problem::read(409, body, None).unwrap().detail, "[2Jtaken");
    }

    #[test]
    fn a_refusal_needs_a_code_of_the_known_form() {
        assert_eq!(Problem::read(400, br#"{"title":"Bad Request"}"#, None), None);
        assert_eq!(Problem::read(400, br#"{"code":"\u001b[2J"}"#, None), None);
        assert_eq!(Problem::read(400, br#"{"code":""}"#, None), None);
        assert_eq!(Problem::read(400, b"<html>", None), None);
    }
}
