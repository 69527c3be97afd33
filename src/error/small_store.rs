//! What is answered about the small store.

use http::StatusCode;
use kez_serve::problem::Problem;

use super::ApiError;
use crate::small_store::{BadEntryName, ENTRY_BYTES_MAX};
use crate::store::{EntryRefusal, StoreError};

/// Why a call about an entry is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    /// The path does not hold the name of an entry.
    #[error(transparent)]
    Name(#[from] BadEntryName),
    /// A write collides with what is stored.
    #[error(transparent)]
    Refused(#[from] EntryRefusal),
    /// There is no value by that name.
    #[error("there is no value by that name")]
    NoValue {
        /// The version of its deletion; 0: there never was one, or it is forgotten.
        version: u64,
    },
    /// A write does not say in a way that this call takes what it replaces.
    #[error("give If-Match: \"<version>\" or If-None-Match: *, one of them, once")]
    BadPrecondition,
    /// A write does not say what it replaces.
    #[error("give If-Match: \"<version>\", or If-None-Match: * to write the first")]
    PreconditionRequired,
    /// The value is too long.
    #[error("a value has at most {ENTRY_BYTES_MAX} bytes")]
    TooLarge,
}

pub(super) fn problem(error: &EntryError) -> Problem {
    let (status, code, title) = match error {
        EntryError::Name(_) => (StatusCode::BAD_REQUEST, "bad_name", "Not a name"),
        EntryError::Refused(EntryRefusal::DeviceRevoked) => return super::problem(ApiError::UnknownDevice),
        EntryError::Refused(EntryRefusal::AccountSuspended) => {
            return super::problem(ApiError::AccountSuspended);
        }
        EntryError::Refused(EntryRefusal::StorageFull) => return StoreError::Full.into(),
        EntryError::Refused(EntryRefusal::OtherVersion { .. }) => {
            (StatusCode::PRECONDITION_FAILED, "version_mismatch", "Another version is stored")
        }
        EntryError::Refused(EntryRefusal::TooMany) => {
            (StatusCode::FORBIDDEN, "too_many_entries", "Too many entries")
        }
        EntryError::NoValue { .. } => (StatusCode::NOT_FOUND, "not_found", "Not found"),
        EntryError::BadPrecondition => (StatusCode::BAD_REQUEST, "bad_precondition", "Not a precondition"),
        EntryError::PreconditionRequired => {
            (StatusCode::PRECONDITION_REQUIRED, "precondition_required", "Precondition required")
        }
        EntryError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Body too large"),
    };
    let problem = Problem::new(status, code, title).detail(error.to_string());
    match *error {
        EntryError::Refused(EntryRefusal::OtherVersion { version }) | EntryError::NoValue { version } => {
            problem.with("version", version)
        }
        EntryError::TooLarge => problem.with("bytes_max", ENTRY_BYTES_MAX),
        _ => problem,
    }
}
