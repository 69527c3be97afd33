//! The digest of a body in the header `Content-Digest` (RFC 9530 section 2).

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::FIELD_BYTES_MAX;
use super::fields::{Item, Value, dictionary};

/// The one algorithm that counts. RFC 9530 section 5 has two that are fit for use, and one suffices.
const ALGORITHM: &str = "sha-256";

/// Why a `Content-Digest` does not speak for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Not a dictionary of RFC 8941, longer than [`FIELD_BYTES_MAX`], or its `sha-256` is there twice, has parameters
    /// or is not a byte sequence of 32 bytes in canonical base64.
    #[error("Content-Digest is not of the form sha-256=:<base64 of 32 bytes>:")]
    Malformed,
    /// There is no `sha-256`.
    #[error("Content-Digest has no sha-256")]
    Missing,
    /// It is the digest of another body.
    #[error("Content-Digest is not the digest of this body")]
    Mismatch,
}

impl DigestError {
    /// One word for each variant, as in the vectors.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::Mismatch => "mismatch",
        }
    }
}

/// The header for `body`: `sha-256=:<base64>:`.
pub fn content_digest(body: &[u8]) -> String {
    format!("{ALGORITHM}=:{}:", BASE64.encode(&Sha256::digest(body)))
}

/// Checks that `header` (several lines joined with `, `) has the SHA-256 of `body`; other algorithms are not looked at.
///
/// Not in constant time: neither side is a secret.
pub fn check_content_digest(header: &str, body: &[u8]) -> Result<(), DigestError> {
    let claimed = content_digest_sha256(header)?;
    if claimed == <[u8; 32]>::from(Sha256::digest(body)) { Ok(()) } else { Err(DigestError::Mismatch) }
}

/// The SHA-256 that `header` (several lines joined with `, `) claims, for a body that is read piece by piece.
pub fn content_digest_sha256(header: &str) -> Result<[u8; 32], DigestError> {
    if header.len() > FIELD_BYTES_MAX {
        return Err(DigestError::Malformed);
    }
    let members = dictionary(header).map_err(|_| DigestError::Malformed)?;
    let mut ours = members.iter().filter(|member| member.key == ALGORITHM);
    let member = ours.next().ok_or(DigestError::Missing)?;
    match member.value {
        Value::Item(Item::Bytes(base64)) if ours.next().is_none() && member.parameters.is_empty() => {
            BASE64.decode(base64.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok())
        }
        _ => None,
    }
    .ok_or(DigestError::Malformed)
}
