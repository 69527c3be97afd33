//! The one place where errors of the domain become HTTP answers. SPEC "Errors".
//!
//! Codes are stable; titles are per code; details are for people. A 5xx body is constant, its cause is logged once
//! by the edge.

mod blobs;
mod conversations;
mod small_store;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use kez_core::http_signature::{DigestError, SignatureError, TimeError};
use kez_core::{BadEnrolment, EnvelopeError, ServerName, Timestamp};
use kez_serve::problem::{Problem, chain};
use kez_serve::rate::RetryAfter;

use crate::caller::WeakKey;
use crate::devices::DeviceRefusal;
use crate::events::TooManyStreams;
use crate::key_packages::UploadFault;
use crate::leaving::LeavingRefusal;
use crate::registration::{Refusal, SKEW_MAX_S};
use crate::resolve::ResolveError;
use crate::store::{
    AckRefusal, ClaimRefusal, CursorRefusal, DeletionRefusal, EnrolRefusal, NoMailbox, RegisterRefusal,
    RevokeRefusal, StoreError, UploadRefusal,
};
use crate::webfinger::BadQuery;
use crate::writes::TooManyWrites;
pub(crate) use blobs::BlobError;
use conversations::ConversationError;
pub(crate) use small_store::EntryError;

/// When to try again to open a stream, in seconds. A stream whose client is gone without a word is noticed by the next
/// comment that cannot be sent, after 25 s of silence.
const STREAM_RETRY_S: u64 = 30;

/// When to try a write again of which too many are under way, in seconds: they take less.
const WRITE_RETRY_S: u64 = 1;

/// How calls are authenticated here (RFC 9110 section 11.6.1). The realm is one for each origin.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Signature realm=\"kez-chat\"");

/// Everything that a handler can answer instead of what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ApiError {
    /// The document is not believed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The registration is against the rules of this server.
    #[error(transparent)]
    Registration(#[from] Refusal),
    /// The registration collides with what is stored.
    #[error(transparent)]
    Register(#[from] RegisterRefusal),
    /// The same registration was accepted once, and its handle has since been given up.
    #[error("this registration was used before, and its handle has been given up; sign a new one")]
    EnvelopeUsed,
    /// The parts of a device document do not agree.
    #[error(transparent)]
    BadEnrolment(#[from] BadEnrolment),
    /// A document about a device is against the rules of this server.
    #[error(transparent)]
    Device(#[from] DeviceRefusal),
    /// An enrolment collides with what is stored.
    #[error(transparent)]
    Enrol(#[from] EnrolRefusal),
    /// A revocation names nothing that is stored.
    #[error(transparent)]
    Revoke(#[from] RevokeRefusal),
    /// A deletion is against the rules of this server.
    #[error(transparent)]
    Leaving(#[from] LeavingRefusal),
    /// A deletion collides with what is stored.
    #[error(transparent)]
    Deletion(#[from] DeletionRefusal),
    /// The signature of a call is missing, not of the profile, or not the device's.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The signature of a call does not count now.
    #[error("{error}")]
    SignatureTime {
        /// Why.
        error: TimeError,
        /// The server's time, in whole seconds.
        server_time: Timestamp,
    },
    /// The call was sent, or signed, to another server.
    #[error("signed calls are taken under the names of this server's public URLs only")]
    WrongAuthority,
    /// The device that signed was never taken in, was revoked or has expired: nobody learns which.
    #[error("no active device has this key id")]
    UnknownDevice,
    /// A primary key called what is for devices.
    #[error("this call is for devices; a primary key cannot make it")]
    DeviceRequired,
    /// The operator suspended the account.
    #[error("this account is suspended by the operator of this server")]
    AccountSuspended,
    /// The session is none of this server, or over.
    #[error("the session is over; open another one")]
    SessionEnded,
    /// The body is not the one that was signed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A session cannot be opened with this key.
    #[error(transparent)]
    WeakKey(#[from] WeakKey),
    /// The body has not the shape of this call.
    #[error("the body is not of the shape that this call takes")]
    Shape,
    /// The body cannot be read, or the request stands outside the edge.
    #[error("the body cannot be read")]
    Body(Box<Problem>),
    /// A call about a conversation is refused.
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    /// The query of a list is not one, or the list cannot go on there.
    #[error("give `after` and `limit` once each: an item of the list, and 1 to 500")]
    BadCursor,
    /// The path does not hold a key.
    #[error("not a key of the form ed25519:<64 lower-case hex digits> or nostr:npub1…")]
    BadKey,
    /// The WebFinger query is not one.
    #[error(transparent)]
    WebFinger(#[from] BadQuery),
    /// The query of `/v1/resolve` is not one.
    #[error("give one name, such as ?resource=alice@example.org")]
    BadResource,
    /// Nothing is known by that name.
    #[error("nothing is known here by that name")]
    NotFound,
    /// Somebody of another server cannot be looked up.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Key packages that are none of this device, or cannot be used.
    #[error(transparent)]
    KeyPackages(#[from] UploadFault),
    /// Key packages collide with those of before.
    #[error(transparent)]
    Upload(#[from] UploadRefusal),
    /// No key packages are handed out.
    #[error(transparent)]
    Claim(#[from] ClaimRefusal),
    /// A call about a blob is refused.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A call about an entry of the small store is refused.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Too many calls.
    #[error(transparent)]
    RateLimited(#[from] RetryAfter),
    /// The account sends too much.
    #[error("this account sends too much; try again in {} s", .0.seconds)]
    SendingLimited(RetryAfter),
    /// The inbox cannot be read from there.
    #[error(transparent)]
    Cursor(#[from] CursorRefusal),
    /// The acknowledgement does not count.
    #[error(transparent)]
    Ack(#[from] AckRefusal),
    /// The device or the account has as many streams as it may.
    #[error(transparent)]
    TooManyStreams(#[from] TooManyStreams),
    /// The account has as many writes under way as it may.
    #[error(transparent)]
    TooManyWrites(#[from] TooManyWrites),
    /// A stream has no head without a body.
    #[error("a stream of events is for GET")]
    NoHead,
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// NATS is not part of this server's configuration.
    #[error("this server runs without NATS")]
    NatsNotConfigured,
}

impl ApiError {
    /// What kez-serve says about a request that it cannot make sense of.
    pub(crate) fn body(problem: Problem) -> Self {
        Self::Body(Box::new(problem))
    }
}

impl From<kez_core::json::Malformed> for ApiError {
    fn from(error: kez_core::json::Malformed) -> Self {
        Self::Envelope(error.into())
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        problem(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        problem(self).into_response()
    }
}

fn problem(error: ApiError) -> Problem {
    let detail = error.to_string();
    let refused = |status, code, title| Problem::new(status, code, title).detail(detail.clone());
    let bad = |code, title| refused(StatusCode::BAD_REQUEST, code, title);
    let forbidden = |code, title| refused(StatusCode::FORBIDDEN, code, title);
    let conflict = |code, title| refused(StatusCode::CONFLICT, code, title);
    let not_now =
        |code, title, seconds| refused(StatusCode::TOO_MANY_REQUESTS, code, title).retry_after(seconds);
    let unauthorized =
        |code, title| refused(StatusCode::UNAUTHORIZED, code, title).header(WWW_AUTHENTICATE, CHALLENGE);
    match error {
        ApiError::Envelope(error) => bad(error.code(), envelope_title(&error)),
        ApiError::Registration(refusal) => match refusal {
            Refusal::WrongServer { server } => wrong_server(&detail, &server),
            Refusal::BadHandle(_) => bad("bad_handle", "Not a handle"),
            Refusal::Reserved { .. } => forbidden("reserved_handle", "Handle is reserved"),
            Refusal::ClockSkew { server_time } => clock_skew(&detail, server_time),
            Refusal::Closed => forbidden("registration_closed", "Registration is closed"),
            Refusal::InviteRequired => forbidden("invite_required", "An invite is required"),
        },
        ApiError::Register(refusal) => {
            let (status, code, title) = registration_words(refusal);
            refused(status, code, title)
        }
        ApiError::EnvelopeUsed => conflict("envelope_used", "Registration was used before"),
        ApiError::BadEnrolment(_) | ApiError::Device(DeviceRefusal::Expired { .. }) => {
            bad("bad_enrolment", "Not an enrolment")
        }
        ApiError::Device(DeviceRefusal::WrongServer { server }) => wrong_server(&detail, &server),
        ApiError::Device(DeviceRefusal::ClockSkew { server_time }) => clock_skew(&detail, server_time),
        ApiError::Leaving(refusal) => refused_leaving(&detail, refusal),
        ApiError::Deletion(DeletionRefusal::NotHeld) => refused_leaving(&detail, LeavingRefusal::NotHeld),
        ApiError::Enrol(refusal) => {
            let (status, code, title) = enrolment_words(refusal);
            refused(status, code, title)
        }
        ApiError::Revoke(RevokeRefusal::UnknownDevice) => {
            refused(StatusCode::NOT_FOUND, "not_found", "Not found")
        }
        ApiError::Signature(error) => {
            let (code, title) = signature_words(&error);
            unauthorized(code, title)
        }
        ApiError::SignatureTime { server_time, .. } => {
            unauthorized("signature_expired", "Signature does not count now")
                .with("server_time", server_time.to_string())
        }
        ApiError::WrongAuthority => unauthorized("wrong_authority", "Signed for another server"),
        ApiError::UnknownDevice => unauthorized("unknown_device", "No such device"),
        ApiError::DeviceRequired => forbidden("device_required", "For devices only"),
        ApiError::AccountSuspended => forbidden("account_suspended", "Account is suspended"),
        ApiError::SessionEnded => unauthorized("session_ended", "Session is over"),
        ApiError::Digest(_) => bad("digest_mismatch", "Not the body that was signed"),
        ApiError::WeakKey(_) => bad("bad_key", "Not a key"),
        ApiError::Shape => bad("malformed", "Malformed document"),
        ApiError::Body(problem) => *problem,
        ApiError::Conversation(error) => conversations::problem(&error),
        ApiError::BadKey => bad("bad_key", "Not a key"),
        ApiError::WebFinger(_) | ApiError::BadResource => bad("bad_resource", "Not a resource"),
        ApiError::NotFound => refused(StatusCode::NOT_FOUND, "not_found", "Not found"),
        ApiError::RateLimited(RetryAfter { seconds }) => {
            not_now("rate_limited", "Too many requests", seconds)
        }
        ApiError::SendingLimited(RetryAfter { seconds }) => {
            not_now("sending_limited", "Too much is sent", seconds)
        }
        ApiError::BadCursor
        | ApiError::Cursor(CursorRefusal::BeyondHead { .. })
        | ApiError::Ack(AckRefusal::BeyondHead { .. }) => bad("bad_cursor", "Not a place in this list"),
        ApiError::Cursor(CursorRefusal::Gone { oldest }) => {
            refused(StatusCode::GONE, "gone", "Dropped meanwhile").with("oldest", oldest)
        }
        ApiError::Ack(AckRefusal::NoMailbox(fault)) => match fault {
            NoMailbox::DeviceRevoked => problem(ApiError::UnknownDevice),
            NoMailbox::AccountSuspended => problem(ApiError::AccountSuspended),
        },
        ApiError::TooManyStreams(_) => not_now("too_many_streams", "Too many streams", STREAM_RETRY_S),
        ApiError::TooManyWrites(_) => not_now("too_many_writes", "Too many writes at once", WRITE_RETRY_S),
        ApiError::NoHead => {
            Problem::of_status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, HeaderValue::from_static("GET"))
        }
        ApiError::Resolve(ResolveError::Busy) => StoreError::Busy.into(),
        ApiError::Resolve(error) => {
            Problem::new(StatusCode::BAD_GATEWAY, "resolve_failed", "Other server not reached")
                .caused_by(chain(&error))
        }
        ApiError::KeyPackages(fault) => match fault {
            UploadFault::TooMany => forbidden("too_many_key_packages", "Too many key packages"),
            UploadFault::InitKeyReused => bad("init_key_reused", "Init key was used before"),
            UploadFault::Bad { .. } => bad("bad_key_package", "Not a key package of the device"),
        },
        ApiError::Upload(refusal) => refused_upload(refusal),
        ApiError::Claim(refusal) => claim(refusal),
        ApiError::Blob(error) => blobs::problem(&error),
        ApiError::Entry(error) => small_store::problem(&error),
        ApiError::Store(error) => error.into(),
        ApiError::NatsNotConfigured => {
            refused(StatusCode::NOT_IMPLEMENTED, "nats_not_configured", "NATS is not configured")
        }
    }
}

fn claim(refusal: ClaimRefusal) -> Problem {
    let refused = |status, code, title| Problem::new(status, code, title).detail(refusal.to_string());
    match refusal {
        ClaimRefusal::DeviceRevoked => problem(ApiError::UnknownDevice),
        ClaimRefusal::AccountSuspended => problem(ApiError::AccountSuspended),
        ClaimRefusal::IdReused => refused(StatusCode::CONFLICT, "id_reused", "Id was used before"),
        ClaimRefusal::NotFound => refused(StatusCode::NOT_FOUND, "not_found", "Not found"),
        ClaimRefusal::Limited { retry_after_s } => {
            refused(StatusCode::TOO_MANY_REQUESTS, "claims_limited", "Too many claims")
                .retry_after(retry_after_s)
        }
    }
}

fn refused_leaving(detail: &str, refusal: LeavingRefusal) -> Problem {
    match refusal {
        LeavingRefusal::WrongServer { server } => wrong_server(detail, &server),
        LeavingRefusal::ClockSkew { server_time } => clock_skew(detail, server_time),
        LeavingRefusal::NotHeld => {
            Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found").detail(detail.to_owned())
        }
    }
}

fn wrong_server(detail: &str, server: &ServerName) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "wrong_server", "Signed for another server")
        .detail(detail.to_owned())
        .with("server", server.as_str())
}

fn clock_skew(detail: &str, server_time: Timestamp) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "clock_skew", "Clocks do not agree")
        .detail(detail.to_owned())
        .with("server_time", server_time.to_string())
        .with("skew_max_s", SKEW_MAX_S)
}

type Words = (StatusCode, &'static str, &'static str);

fn registration_words(refusal: RegisterRefusal) -> Words {
    match refusal {
        RegisterRefusal::InviteRefused => (StatusCode::FORBIDDEN, "invite_required", "An invite is required"),
        RegisterRefusal::HandleTaken => (StatusCode::CONFLICT, "handle_taken", "Handle is taken"),
        RegisterRefusal::KeyTaken => (StatusCode::CONFLICT, "key_taken", "Key holds another handle"),
        RegisterRefusal::HandleConfusable => {
            (StatusCode::CONFLICT, "handle_confusable", "Handle looks like another")
        }
    }
}

fn refused_upload(refusal: UploadRefusal) -> Problem {
    let (status, code, title) = match refusal {
        UploadRefusal::DeviceRevoked => return problem(ApiError::UnknownDevice),
        UploadRefusal::AccountSuspended => return problem(ApiError::AccountSuspended),
        UploadRefusal::StorageFull => return StoreError::Full.into(),
        UploadRefusal::OtherCertificate => {
            (StatusCode::BAD_REQUEST, "bad_key_package", "Not a key package of the device")
        }
        UploadRefusal::InitKeyReused => {
            (StatusCode::BAD_REQUEST, "init_key_reused", "Init key was used before")
        }
        UploadRefusal::TooMany => (StatusCode::FORBIDDEN, "too_many_key_packages", "Too many key packages"),
    };
    Problem::new(status, code, title).detail(refusal.to_string())
}

fn enrolment_words(refusal: EnrolRefusal) -> Words {
    match refusal {
        EnrolRefusal::NotRegistered => (StatusCode::FORBIDDEN, "not_registered", "Key holds no handle"),
        EnrolRefusal::AccountSuspended => {
            (StatusCode::FORBIDDEN, "account_suspended", "Account is suspended")
        }
        EnrolRefusal::Leaving => (StatusCode::CONFLICT, "account_leaving", "Account is being deleted"),
        EnrolRefusal::DeviceRevoked => (StatusCode::CONFLICT, "device_revoked", "Device was revoked"),
        EnrolRefusal::DeviceExists => (StatusCode::CONFLICT, "device_exists", "Device has other keys"),
        EnrolRefusal::Superseded => (StatusCode::CONFLICT, "superseded", "A later enrolment is stored"),
        EnrolRefusal::KeyInUse => (StatusCode::CONFLICT, "key_in_use", "Key belongs to another device"),
        EnrolRefusal::TooManyDevices => (StatusCode::FORBIDDEN, "too_many_devices", "Too many devices"),
    }
}

fn envelope_title(error: &EnvelopeError) -> &'static str {
    match error {
        EnvelopeError::WrongType { .. } => "Another type of document",
        EnvelopeError::KeyMismatch => "Keys do not agree",
        EnvelopeError::BadSignature => "Signature does not verify",
        _ => "Malformed document",
    }
}

fn signature_words(error: &SignatureError) -> (&'static str, &'static str) {
    match error {
        SignatureError::Absent => ("signature_missing", "Signature is missing"),
        SignatureError::BadSignature => ("bad_signature", "Signature does not verify"),
        _ => ("signature_malformed", "Signature is not of the profile"),
    }
}
