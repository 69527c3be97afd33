//! What is answered about blobs.

use http::header::CONTENT_RANGE;
use http::{HeaderValue, StatusCode};
use kez_serve::problem::Problem;

use super::ApiError;
use crate::blobs::upload::PartFault;
use crate::blobs::{BadBlobHash, BadPart};
use crate::store::{BlobRefusal, StoreError};

/// Why a call about a blob is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// The path does not hold the name of a blob.
    #[error(transparent)]
    Name(#[from] BadBlobHash),
    /// Not a part of a blob.
    #[error(transparent)]
    Form(#[from] BadPart),
    /// A part of a blob that is not due, or makes another blob.
    #[error(transparent)]
    Part(#[from] PartFault),
    /// A blob collides with what is stored.
    #[error(transparent)]
    Refused(#[from] BlobRefusal),
    /// The blob has no such bytes.
    #[error("the blob has {size} bytes")]
    NoSuchRange {
        /// How many it has.
        size: u64,
    },
}

/// When an account with too many uploads should try again, in seconds: one of them may have come to its end.
const UPLOADS_RETRY_S: u64 = 60;

pub(super) fn problem(error: &BlobError) -> Problem {
    let (status, code, title) = match error {
        BlobError::Name(_) => (StatusCode::BAD_REQUEST, "bad_blob", "Not a blob"),
        BlobError::Form(fault) => form(*fault),
        BlobError::Part(fault) => part(*fault),
        BlobError::Refused(BlobRefusal::DeviceRevoked) => return super::problem(ApiError::UnknownDevice),
        BlobError::Refused(BlobRefusal::AccountSuspended) => {
            return super::problem(ApiError::AccountSuspended);
        }
        BlobError::Refused(BlobRefusal::StorageFull) => return StoreError::Full.into(),
        BlobError::Refused(refusal) => refused(*refusal),
        BlobError::NoSuchRange { size } => return no_such_range(*size),
    };
    let problem = Problem::new(status, code, title).detail(error.to_string());
    match *error {
        BlobError::Form(BadPart::TooLarge { bytes_max }) => problem.with("bytes_max", bytes_max),
        BlobError::Part(PartFault::WrongOffset { offset }) => problem.with("offset", offset),
        BlobError::Refused(BlobRefusal::NoUpload) => problem.with("offset", 0),
        BlobError::Refused(BlobRefusal::OtherSize { bytes }) => problem.with("bytes", bytes),
        BlobError::Refused(BlobRefusal::TooManyUploads) => problem.retry_after(UPLOADS_RETRY_S),
        _ => problem,
    }
}

type Words = (StatusCode, &'static str, &'static str);

const WRONG_OFFSET: Words = (StatusCode::CONFLICT, "wrong_offset", "Another part is due");
const BAD_RANGE: Words = (StatusCode::BAD_REQUEST, "bad_range", "Not a part of a blob");

fn form(fault: BadPart) -> Words {
    match fault {
        BadPart::NoLength => (StatusCode::LENGTH_REQUIRED, "length_required", "Length required"),
        BadPart::BadRange | BadPart::TooSmall => BAD_RANGE,
        BadPart::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Body too large"),
    }
}

fn part(fault: PartFault) -> Words {
    match fault {
        PartFault::WrongOffset { .. } => WRONG_OFFSET,
        PartFault::Displaced => (StatusCode::CONFLICT, "displaced", "Another request took over"),
        PartFault::OtherBlob => (StatusCode::BAD_REQUEST, "digest_mismatch", "Not the body that was signed"),
    }
}

fn refused(refusal: BlobRefusal) -> Words {
    match refusal {
        BlobRefusal::OtherSize { .. } => (StatusCode::CONFLICT, "wrong_size", "Blob has another size"),
        BlobRefusal::QuotaExceeded => (StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded", "Quota is used up"),
        BlobRefusal::TooManyUploads => {
            (StatusCode::TOO_MANY_REQUESTS, "too_many_uploads", "Too many uploads")
        }
        BlobRefusal::NoUpload
        | BlobRefusal::DeviceRevoked
        | BlobRefusal::AccountSuspended
        | BlobRefusal::StorageFull => WRONG_OFFSET,
    }
}

/// RFC 9110 section 15.5.17.
fn no_such_range(size: u64) -> Problem {
    let problem = Problem::of_status(StatusCode::RANGE_NOT_SATISFIABLE);
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(range) => problem.header(CONTENT_RANGE, range),
        Err(_) => problem,
    }
}
