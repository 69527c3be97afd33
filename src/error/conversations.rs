//! What is answered about conversations.

use http::StatusCode;
use kez_serve::problem::Problem;

use super::ApiError;
use crate::contacts::{REQUEST_BUNDLE_BYTES_MAX, REQUEST_FRAME_BYTES_MAX, REQUESTS_RETRY_S};
use crate::conversations::{
    BUNDLE_BYTES_MAX, BundleFault, FRAME_BYTES_MAX, FrameFault, GROUP_INFO_BYTES_MAX,
};
use crate::sending::NoRoom;
use crate::store::{
    AcceptRefusal, BundleRefusal, FrameRefusal, Head, NotAdmitted, PageRefusal, RemoveRefusal, StoreError,
};

/// Why a call about a conversation is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConversationError {
    /// The caller is not in such a conversation, and learns no more.
    #[error("you are not in such a conversation")]
    NotAMember,
    /// A frame is none.
    #[error(transparent)]
    Frame(FrameFault),
    /// A frame comes too late, or under a used id.
    #[error(transparent)]
    FrameRefused(FrameRefusal),
    /// A bundle is none.
    #[error(transparent)]
    Bundle(BundleFault),
    /// A bundle collides with what is stored.
    #[error(transparent)]
    BundleRefused(BundleRefusal),
    /// What is asked for was dropped.
    #[error("the log begins at {oldest}")]
    Gone {
        /// The first frame that the caller may still read.
        oldest: u64,
    },
}

pub(super) fn problem(error: &ConversationError) -> Problem {
    let (status, code, title) = words(error);
    let problem = Problem::new(status, code, title).detail(error.to_string());
    match error {
        ConversationError::Frame(FrameFault::TooLarge) => problem.with("bytes_max", FRAME_BYTES_MAX),
        ConversationError::Bundle(BundleFault::TooLarge) => problem.with("bytes_max", BUNDLE_BYTES_MAX),
        ConversationError::Bundle(BundleFault::GroupInfoTooLarge) => {
            problem.with("bytes_max", GROUP_INFO_BYTES_MAX)
        }
        ConversationError::FrameRefused(FrameRefusal::StaleEpoch(Head { epoch, seq })) => {
            problem.with("epoch", *epoch).with("seq", *seq)
        }
        ConversationError::FrameRefused(FrameRefusal::NoRoom(NoRoom::Quota {
            retry_after_s: Some(seconds),
        })) => {
            // Also where it stands among the verdicts on several frames, which have no headers.
            problem.retry_after(*seconds).with("retry_after_s", *seconds)
        }
        ConversationError::BundleRefused(BundleRefusal::ConversationExists { cid }) => {
            problem.with("cid", cid.to_string())
        }
        ConversationError::FrameRefused(FrameRefusal::RequestFrameTooLarge) => {
            problem.with("bytes_max", REQUEST_FRAME_BYTES_MAX)
        }
        ConversationError::FrameRefused(FrameRefusal::Closed { replaced_by: Some(cid) }) => {
            problem.with("replaced_by", cid.to_string())
        }
        ConversationError::BundleRefused(refusal) => about_contacts(problem, *refusal),
        ConversationError::Gone { oldest } => problem.with("oldest", *oldest),
        _ => problem,
    }
}

fn about_contacts(problem: Problem, refusal: BundleRefusal) -> Problem {
    match refusal {
        BundleRefusal::ContactRequired { primary } => problem.with("primary", primary.to_string()),
        BundleRefusal::RequestTooLarge => problem.with("bytes_max", REQUEST_BUNDLE_BYTES_MAX),
        BundleRefusal::RequestsSent | BundleRefusal::RequestsReceived => {
            problem.retry_after(REQUESTS_RETRY_S)
        }
        _ => problem,
    }
}

type Words = (StatusCode, &'static str, &'static str);

const fn bad(code: &'static str, title: &'static str) -> Words {
    (StatusCode::BAD_REQUEST, code, title)
}

const fn conflict(code: &'static str, title: &'static str) -> Words {
    (StatusCode::CONFLICT, code, title)
}

const STRANGER: Words = (StatusCode::FORBIDDEN, "not_a_member", "Not a member");
const REQUEST_PENDING: Words = (StatusCode::FORBIDDEN, "request_pending", "Request is not answered yet");
const REQUESTS_LIMITED: Words =
    (StatusCode::TOO_MANY_REQUESTS, "requests_limited", "Too many requests wait for an answer");
const TOO_LARGE: Words = (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Body too large");
const BAD_FRAME: Words = bad("bad_frame", "Not a frame of this conversation");
const BAD_MEMBERS: Words = bad("bad_members", "Members not possible");
const BAD_WELCOME: Words = bad("bad_welcome", "Welcome not possible");

fn words(error: &ConversationError) -> Words {
    match error {
        ConversationError::NotAMember => STRANGER,
        ConversationError::Frame(FrameFault::TooLarge) => TOO_LARGE,
        ConversationError::Frame(FrameFault::Bad(_)) => BAD_FRAME,
        ConversationError::FrameRefused(refusal) => match refusal {
            FrameRefusal::MidReused => conflict("mid_reused", "Message id was used"),
            FrameRefusal::RequestPending => REQUEST_PENDING,
            FrameRefusal::RequestFrameTooLarge => TOO_LARGE,
            FrameRefusal::Closed { .. } => conflict("conversation_closed", "Conversation is closed"),
            FrameRefusal::StaleEpoch(_) => conflict("stale_epoch", "Conversation is in another epoch"),
            FrameRefusal::NoRoom(_) => (StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded", "Quota is used up"),
        },
        ConversationError::Bundle(fault) => match fault {
            BundleFault::TooLarge | BundleFault::GroupInfoTooLarge => TOO_LARGE,
            BundleFault::Commit(_) | BundleFault::Epoch => BAD_FRAME,
            BundleFault::Members(_) | BundleFault::WithoutSender | BundleFault::Kind => BAD_MEMBERS,
            BundleFault::Welcome(_) | BundleFault::Recipients => BAD_WELCOME,
        },
        ConversationError::BundleRefused(refusal) => refused_bundle(*refusal),
        ConversationError::Gone { .. } => (StatusCode::GONE, "gone", "Dropped"),
    }
}

fn refused_bundle(refusal: BundleRefusal) -> Words {
    match refusal {
        BundleRefusal::NotAdmitted(_) => STRANGER,
        BundleRefusal::CidTaken => conflict("cid_taken", "Conversation id is taken"),
        BundleRefusal::ConversationExists { .. } => conflict("conversation_exists", "Conversation exists"),
        BundleRefusal::TooManyConversations => {
            (StatusCode::FORBIDDEN, "too_many_conversations", "Too many conversations")
        }
        BundleRefusal::Frame(refusal) => words(&ConversationError::FrameRefused(refusal)),
        BundleRefusal::BadMembers(_) => BAD_MEMBERS,
        BundleRefusal::BadWelcome => BAD_WELCOME,
        BundleRefusal::ContactRequired { .. } => {
            (StatusCode::FORBIDDEN, "contact_required", "Not a contact of the newcomer")
        }
        BundleRefusal::RequestTooLarge => TOO_LARGE,
        BundleRefusal::RequestsSent | BundleRefusal::RequestsReceived => REQUESTS_LIMITED,
    }
}

impl From<NotAdmitted> for ApiError {
    fn from(refusal: NotAdmitted) -> Self {
        match refusal {
            NotAdmitted::DeviceRevoked => Self::UnknownDevice,
            NotAdmitted::AccountSuspended => Self::AccountSuspended,
            NotAdmitted::NotAMember => ConversationError::NotAMember.into(),
        }
    }
}

impl From<FrameFault> for ApiError {
    fn from(fault: FrameFault) -> Self {
        ConversationError::Frame(fault).into()
    }
}

impl From<FrameRefusal> for ApiError {
    fn from(refusal: FrameRefusal) -> Self {
        match refusal {
            FrameRefusal::NoRoom(NoRoom::Storage) => StoreError::Full.into(),
            other => ConversationError::FrameRefused(other).into(),
        }
    }
}

impl From<BundleFault> for ApiError {
    fn from(fault: BundleFault) -> Self {
        ConversationError::Bundle(fault).into()
    }
}

impl From<BundleRefusal> for ApiError {
    fn from(refusal: BundleRefusal) -> Self {
        match refusal {
            BundleRefusal::NotAdmitted(refusal) => refusal.into(),
            BundleRefusal::Frame(refusal) => refusal.into(),
            other => ConversationError::BundleRefused(other).into(),
        }
    }
}

impl From<AcceptRefusal> for ApiError {
    fn from(refusal: AcceptRefusal) -> Self {
        match refusal {
            AcceptRefusal::NotAdmitted(refusal) => refusal.into(),
            AcceptRefusal::Pending => FrameRefusal::RequestPending.into(),
            AcceptRefusal::Closed { replaced_by } => FrameRefusal::Closed { replaced_by }.into(),
        }
    }
}

impl From<RemoveRefusal> for ApiError {
    fn from(refusal: RemoveRefusal) -> Self {
        match refusal {
            RemoveRefusal::NotAdmitted(refusal) => refusal.into(),
            RemoveRefusal::Pending => FrameRefusal::RequestPending.into(),
        }
    }
}

impl From<PageRefusal> for ApiError {
    fn from(refusal: PageRefusal) -> Self {
        match refusal {
            PageRefusal::NotAMember => ConversationError::NotAMember.into(),
            PageRefusal::Gone { oldest } => ConversationError::Gone { oldest }.into(),
        }
    }
}
