//! The one place where errors of the domain become HTTP answers. SPEC "Errors".
//!
//! Codes are stable; titles are per code; details are for people. A 5xx body is constant, its cause is logged once
//! by the edge.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kez_core::{BadEnrolment, EnvelopeError, ServerName, Timestamp};
use kez_serve::problem::{Problem, chain};
use kez_serve::rate::RetryAfter;

use crate::devices::DeviceRefusal;
use crate::registration::{Refusal, SKEW_MAX_S};
use crate::resolve::ResolveError;
use crate::store::{EnrolRefusal, RegisterRefusal, RevokeRefusal, StoreError};
use crate::webfinger::BadQuery;

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
    /// Too many calls.
    #[error(transparent)]
    RateLimited(#[from] RetryAfter),
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// NATS is not part of this server's configuration.
    #[error("this server runs without NATS")]
    NatsNotConfigured,
}

impl From<kez_core::json::Malformed> for ApiError {
    fn from(error: kez_core::json::Malformed) -> Self {
        Self::Envelope(error.into())
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
    match error {
        ApiError::Envelope(error) => match error {
            EnvelopeError::WrongType { .. } => bad(error.code(), "Another type of document"),
            EnvelopeError::KeyMismatch => bad(error.code(), "Keys do not agree"),
            EnvelopeError::BadSignature => bad(error.code(), "Signature does not verify"),
            _ => bad(error.code(), "Malformed document"),
        },
        ApiError::Registration(refusal) => match refusal {
            Refusal::WrongServer { server } => wrong_server(&detail, &server),
            Refusal::BadHandle(_) => bad("bad_handle", "Not a handle"),
            Refusal::Reserved { .. } => forbidden("reserved_handle", "Handle is reserved"),
            Refusal::ClockSkew { server_time } => clock_skew(&detail, server_time),
            Refusal::Closed => forbidden("registration_closed", "Registration is closed"),
            Refusal::InviteRequired => forbidden("invite_required", "An invite is required"),
        },
        ApiError::Register(refusal) => match refusal {
            RegisterRefusal::InviteRefused => forbidden("invite_required", "An invite is required"),
            RegisterRefusal::HandleTaken => conflict("handle_taken", "Handle is taken"),
            RegisterRefusal::KeyTaken => conflict("key_taken", "Key holds another handle"),
            RegisterRefusal::HandleConfusable => conflict("handle_confusable", "Handle looks like another"),
        },
        ApiError::EnvelopeUsed => conflict("envelope_used", "Registration was used before"),
        ApiError::BadEnrolment(_) | ApiError::Device(DeviceRefusal::Expired { .. }) => {
            bad("bad_enrolment", "Not an enrolment")
        }
        ApiError::Device(DeviceRefusal::WrongServer { server }) => wrong_server(&detail, &server),
        ApiError::Device(DeviceRefusal::ClockSkew { server_time }) => clock_skew(&detail, server_time),
        ApiError::Enrol(refusal) => match refusal {
            EnrolRefusal::NotRegistered => forbidden("not_registered", "Key holds no handle"),
            EnrolRefusal::DeviceRevoked => conflict("device_revoked", "Device was revoked"),
            EnrolRefusal::DeviceExists => conflict("device_exists", "Device has other keys"),
            EnrolRefusal::Superseded => conflict("superseded", "A later enrolment is stored"),
            EnrolRefusal::KeyInUse => conflict("key_in_use", "Key belongs to another device"),
            EnrolRefusal::TooManyDevices => forbidden("too_many_devices", "Too many devices"),
        },
        ApiError::Revoke(RevokeRefusal::UnknownDevice) => {
            refused(StatusCode::NOT_FOUND, "not_found", "Not found")
        }
        ApiError::BadKey => bad("bad_key", "Not a key"),
        ApiError::WebFinger(_) | ApiError::BadResource => bad("bad_resource", "Not a resource"),
        ApiError::NotFound => refused(StatusCode::NOT_FOUND, "not_found", "Not found"),
        ApiError::RateLimited(RetryAfter { seconds }) => {
            refused(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests").retry_after(seconds)
        }
        ApiError::Resolve(ResolveError::Busy) => StoreError::Busy.into(),
        ApiError::Resolve(error) => {
            Problem::new(StatusCode::BAD_GATEWAY, "resolve_failed", "Other server not reached")
                .caused_by(chain(&error))
        }
        ApiError::Store(error) => error.into(),
        ApiError::NatsNotConfigured => {
            refused(StatusCode::NOT_IMPLEMENTED, "nats_not_configured", "NATS is not configured")
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
