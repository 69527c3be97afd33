//! The one place where errors of the domain become HTTP answers. SPEC "Sigchain server".
//!
//! Codes are stable; titles are per code; details are for people. A 5xx body is constant, its cause is logged once
//! by the edge.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kez_core::EnvelopeError;
use kez_core::sigchain::{ChainError, Head};
use kez_serve::problem::Problem;
use kez_serve::rate::RetryAfter;
use kez_serve::storage::StoreError;
use serde_json::Value;

use crate::http::bundle::CHAIN_BYTES_MAX;

/// Everything that a handler can answer instead of what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ApiError {
    /// The document is not the next event of the chain.
    #[error("{fault}")]
    Chain {
        /// What is wrong with it.
        fault: ChainError,
        /// Where the chain ends.
        head: Option<Box<Head>>,
    },
    /// The path does not hold a key.
    #[error("not a key of the form ed25519/<64 lower-case hex digits> or nostr/npub1…")]
    BadKey,
    /// The query does not hold one position.
    #[error("give one position, such as ?since=12, or none")]
    BadSince,
    /// The key has no chain here.
    #[error("this key has no sigchain here")]
    NotFound,
    /// The chain is too long for a bundle.
    #[error("the chain is too long for a bundle; read it as it is")]
    BundleTooLarge,
    /// Too many calls, or too many events.
    #[error(transparent)]
    RateLimited(#[from] RetryAfter),
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApiError {
    /// A document that is refused whatever the chain is.
    pub(crate) fn document(error: impl Into<EnvelopeError>) -> Self {
        Self::Chain { fault: ChainError::Envelope(error.into()), head: None }
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
    let wrong = |code, title| refused(StatusCode::UNPROCESSABLE_ENTITY, code, title);
    let conflict =
        |code, head| with_head(refused(StatusCode::CONFLICT, code, "Does not extend the chain"), head);
    match error {
        ApiError::Chain { fault, head } => match (fault.code(), fault) {
            (code, ChainError::Envelope(EnvelopeError::WrongType { .. })) => {
                bad(code, "Another type of document")
            }
            (code, ChainError::Envelope(EnvelopeError::KeyMismatch)) => wrong(code, "Keys do not agree"),
            (code, ChainError::Envelope(EnvelopeError::BadSignature)) => {
                wrong(code, "Signature does not verify")
            }
            (code, ChainError::Envelope(_)) => bad(code, "Malformed document"),
            (code, ChainError::WrongPrimary { .. }) => wrong(code, "Not the key of the chain"),
            (code, ChainError::BadRotation { .. }) => wrong(code, "Not handed over"),
            (code, ChainError::TooLong { .. }) => refused(StatusCode::FORBIDDEN, code, "Chain is full"),
            (code, _) => conflict(code, head.as_deref()),
        },
        ApiError::BadKey => bad("bad_key", "Not a key"),
        ApiError::BadSince => bad("bad_since", "Not a position"),
        ApiError::NotFound => refused(StatusCode::NOT_FOUND, "not_found", "Not found"),
        ApiError::BundleTooLarge => {
            refused(StatusCode::CONFLICT, "bundle_too_large", "Too long for a bundle")
                .with("bytes_max", CHAIN_BYTES_MAX)
        }
        ApiError::RateLimited(RetryAfter { seconds }) => {
            refused(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests").retry_after(seconds)
        }
        ApiError::Store(error) => error.into(),
    }
}

/// Where the chain ends, so that the writer can go on from there without asking again.
fn with_head(problem: Problem, head: Option<&Head>) -> Problem {
    problem
        .with("seq", head.map_or(Value::Null, |head| head.seq.into()))
        .with("hash", head.map_or(Value::Null, |head| head.hash.to_string().into()))
        .with("count", head.map_or(0, |head| head.seq + 1))
}

#[cfg(test)]
mod tests {
    use kez_core::sigchain::EVENTS_MAX;

    use super::*;

    /// A writer signs again after 409, and must not after anything else.
    #[test]
    fn only_another_end_of_the_chain_is_a_conflict() {
        let answer = |fault| {
            let problem = problem(ApiError::Chain { fault, head: None });
            (problem.status().as_u16(), problem.code())
        };
        assert_eq!(answer(ChainError::BadSequence { expected: 2, found: 1 }), (409, "bad_sequence"));
        assert_eq!(answer(ChainError::WrongPrev { seq: 2 }), (409, "wrong_prev"));
        assert_eq!(answer(ChainError::WrongPrimary { seq: 2 }), (422, "wrong_primary"));
        assert_eq!(answer(ChainError::TooLong { max: EVENTS_MAX }), (403, "chain_full"));
        assert_eq!(answer(EnvelopeError::BadSignature.into()), (422, "bad_signature"));
        assert_eq!(answer(EnvelopeError::KeyMismatch.into()), (422, "key_mismatch"));
        assert_eq!(answer(EnvelopeError::WrongType { expected: "x" }.into()), (400, "wrong_type"));
    }
}
