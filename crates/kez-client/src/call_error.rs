//! Why a signed call has no result: the refusals that a caller acts on, each by its name.

use std::io;
use std::time::Duration;

use kez_core::{ConversationId, PublicKey, Timestamp};
use serde::Deserialize;

use crate::error::{ClientError, Problem};
use crate::transport::Answer;

/// Why a signed call has no result.
///
/// What is wrong for good, and what a caller can do nothing about, is [`Client`](Self::Client) with the server's words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The conversation is not in the epoch of what was sent: read on from what is known, and encrypt or commit anew.
    #[error("the conversation has moved on to epoch {epoch}")]
    StaleEpoch {
        /// Its epoch.
        epoch: u64,
        /// The number of its last frame.
        seq: u64,
    },
    /// These two people, or this account for itself, already have a conversation: join that one.
    #[error("the conversation exists already")]
    ConversationExists {
        /// Its id.
        cid: ConversationId,
    },
    /// Another conversation has this id.
    #[error("another conversation has this id")]
    CidTaken,
    /// Another message has this id.
    #[error("another message has this id")]
    MessageIdReused,
    /// What was asked for has been dropped: what is left begins later, and the device has missed something for good.
    #[error("what comes before {oldest} is no longer there")]
    Gone {
        /// The first number that is still there.
        oldest: u64,
    },
    /// The number lies beyond the last one: the server lost something, or it is another server.
    #[error("there is nothing up to this number yet")]
    BadCursor,
    /// The conversation is a request that the other side has not answered yet.
    #[error("the request has not been answered yet")]
    RequestPending,
    /// Somebody who was to be added has not accepted this account as a contact.
    #[error("somebody who was to be added has not accepted this account as a contact")]
    ContactRequired {
        /// Who.
        primary: PublicKey,
    },
    /// Too many requests of this account, or for that person, wait for an answer.
    #[error("too many requests wait for an answer")]
    RequestsLimited {
        /// Seconds to wait.
        retry_after_s: Option<u64>,
    },
    /// Nobody writes to the conversation any more.
    #[error("the conversation is closed")]
    ConversationClosed {
        /// Where it goes on, if it does.
        replaced_by: Option<ConversationId>,
    },
    /// The account is not in the conversation, if there is one by that id.
    #[error("this account is not in the conversation")]
    NotAMember,
    /// The server does not take calls of this device: never enrolled, revoked, or expired.
    #[error("the server does not know this device (any more)")]
    UnknownDevice,
    /// The session is over. A [`DeviceClient`](crate::DeviceClient) has tried another one.
    #[error("the session is over")]
    SessionEnded,
    /// The signature does not count at the server's time. A [`DeviceClient`](crate::DeviceClient) has corrected its
    /// clock once.
    #[error("the server's clock says something else")]
    SignatureExpired {
        /// The server's time.
        server_time: Option<Timestamp>,
    },
    /// The server's clock and this machine's are more than a day apart. Neither is followed: set the machine's, or ask
    /// whoever runs the server.
    #[error("this machine's clock is more than a day away from the server's, which says {server_time}")]
    ClockFarOff {
        /// The server's time.
        server_time: Timestamp,
    },
    /// Too many key packages of this account have been claimed.
    #[error("too many key packages of this account have been claimed for now")]
    ClaimsLimited {
        /// Seconds to wait.
        retry_after_s: Option<u64>,
    },
    /// Another claim had this id.
    #[error("another claim had this id")]
    IdReused,
    /// Another part of the blob is due.
    #[error("{offset} bytes of the blob are there")]
    WrongOffset {
        /// Where the next part has to begin.
        offset: u64,
    },
    /// Somebody else sends the same blob for this account: let them, or ask how far they are.
    #[error("the same blob is being sent by another call")]
    Displaced,
    /// What was sent has another SHA-256 than its name. All of it has been dropped.
    #[error("what was sent is not the blob of that name")]
    OtherBlob,
    /// The bytes that were to be sent cannot be read here.
    #[error("the bytes to send cannot be read")]
    Unreadable {
        /// Why.
        source: io::Error,
    },
    /// The account has used up what it may send, or keep in blobs.
    #[error("this account has used up its room on the server")]
    QuotaExceeded {
        /// Seconds until the same call succeeds; `None`: time alone does not help.
        retry_after_s: Option<u64>,
    },
    /// Something else is stored than was to be replaced: read it, merge, write again.
    #[error("version {version} is stored")]
    VersionMismatch {
        /// The stored version; 0: there never was one.
        version: u64,
    },
    /// The entry has no value.
    #[error("there is no value by that name")]
    NoValue {
        /// The version of its deletion; 0: it never had one.
        version: u64,
    },
    /// Nobody and nothing by that name.
    #[error("there is nobody and nothing by that name")]
    NotFound,
    /// Anything else.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The members of a problem body that only signed calls know.
#[derive(Default, Deserialize)]
struct Members {
    epoch: Option<u64>,
    seq: Option<u64>,
    cid: Option<ConversationId>,
    oldest: Option<u64>,
    offset: Option<u64>,
    version: Option<u64>,
    primary: Option<PublicKey>,
    replaced_by: Option<ConversationId>,
    retry_after_s: Option<u64>,
}

impl CallError {
    /// What an answer means that is no success.
    pub(crate) fn of(answer: &Answer) -> Self {
        match answer.refusal() {
            ClientError::Refused(problem) => {
                let acted_on = answer.json().ok().and_then(|members| Self::known(&problem, &members));
                acted_on.unwrap_or(Self::Client(ClientError::Refused(problem)))
            }
            fault => Self::Client(fault),
        }
    }

    /// `None` also when a member is missing that belongs to the code.
    fn known(problem: &Problem, members: &Members) -> Option<Self> {
        Some(match problem.code.as_str() {
            "stale_epoch" => Self::StaleEpoch { epoch: members.epoch?, seq: members.seq? },
            "conversation_exists" => Self::ConversationExists { cid: members.cid? },
            "cid_taken" => Self::CidTaken,
            "mid_reused" => Self::MessageIdReused,
            "gone" => Self::Gone { oldest: members.oldest? },
            "bad_cursor" => Self::BadCursor,
            "request_pending" => Self::RequestPending,
            "contact_required" => Self::ContactRequired { primary: members.primary? },
            "requests_limited" => Self::RequestsLimited { retry_after_s: problem.retry_after_s },
            "conversation_closed" => Self::ConversationClosed { replaced_by: members.replaced_by },
            "not_a_member" => Self::NotAMember,
            "unknown_device" => Self::UnknownDevice,
            "session_ended" => Self::SessionEnded,
            "signature_expired" => Self::SignatureExpired { server_time: problem.server_time },
            "claims_limited" => Self::ClaimsLimited { retry_after_s: problem.retry_after_s },
            "id_reused" => Self::IdReused,
            "wrong_offset" => Self::WrongOffset { offset: members.offset? },
            "displaced" => Self::Displaced,
            "quota_exceeded" => {
                Self::QuotaExceeded { retry_after_s: problem.retry_after_s.or(members.retry_after_s) }
            }
            "version_mismatch" => Self::VersionMismatch { version: members.version? },
            "not_found" => match members.version {
                Some(version) => Self::NoValue { version },
                None => Self::NotFound,
            },
            _ => return None,
        })
    }

    /// One frame's refusal among others in one answer.
    pub(crate) fn of_frame(problem: Problem, epoch: Option<u64>, seq: Option<u64>) -> Self {
        let members = Members { epoch, seq, ..Members::default() };
        Self::known(&problem, &members).unwrap_or(Self::Client(ClientError::Refused(Box::new(problem))))
    }

    /// How long to wait at least before the same call may succeed as it is; `None`: it will not.
    pub(crate) fn try_again_after(&self) -> Option<Duration> {
        match self {
            Self::Client(ClientError::Refused(problem)) => matches!(problem.status, 429 | 502..=504)
                .then(|| Duration::from_secs(problem.retry_after_s.unwrap_or_default())),
            Self::Client(fault) => fault.is_transient().then_some(Duration::ZERO),
            _ => None,
        }
    }

    /// The code of the server's refusal, where it is none of the named ones.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Client(fault) => fault.problem().map(|problem| problem.code.as_str()),
            _ => None,
        }
    }
}
