//! What can be wrong with a signature of a call.

use super::{AHEAD_S_MAX, LIFETIME_S_MAX};

/// Why the signature of a call is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// No member of `Signature-Input` has our tag.
    #[error("Signature-Input has no signature with tag=\"kez-chat\"")]
    Absent,
    /// Two members have our tag, or the label of ours is there twice in one of the headers.
    #[error("there is more than one signature with tag=\"kez-chat\"")]
    Repeated,
    /// This header is no dictionary of RFC 8941, or longer than [`FIELD_BYTES_MAX`](super::FIELD_BYTES_MAX).
    #[error("{0} is not a dictionary of structured fields")]
    Malformed(&'static str),
    /// The covered components are not exactly those of the profile.
    #[error(
        "the covered components are not exactly \"@method\" \"@authority\" \"@path\" \"@query\", with \
         \"content-digest\" when there is a body"
    )]
    Components,
    /// The parameters are not exactly those of the profile; what is wrong with them.
    #[error("the signature's parameters: {0}")]
    Parameters(&'static str),
    /// `keyid` is not a device or a session.
    #[error("the signature's keyid is not <primary>/<device id> or a session")]
    KeyId,
    /// `alg` is not the algorithm that belongs to this kind of `keyid`.
    #[error("the signature's alg does not belong to its keyid")]
    Algorithm,
    /// `nonce` is not 16 to 64 characters of base64url.
    #[error("the signature's nonce is not 16 to 64 characters of base64url")]
    Nonce,
    /// `Signature` has no bytes under the label, or not as many as the algorithm makes.
    #[error("Signature has not the bytes that the algorithm makes")]
    SignatureBytes,
    /// A digest is covered although there is no body, or not covered although there is one.
    #[error("\"content-digest\" is covered exactly when there is a body")]
    Body,
    /// A part of the request has characters that cannot stand in a signature base (RFC 9421 section 2.5).
    #[error("the request has characters that cannot be signed")]
    RequestParts,
    /// A device's signature is checked with a session's key, or the other way round.
    #[error("the signature was made with another kind of key")]
    KeyKind,
    /// The key did not make this signature over this request.
    #[error("the signature does not verify")]
    BadSignature,
}

/// Why a signature does not count now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// `expires` is not 1 to [`LIFETIME_S_MAX`] seconds after `created`.
    #[error("the signature is made for {lifetime_s} s; 1 to {LIFETIME_S_MAX} are allowed")]
    Lifetime {
        /// `expires` minus `created`, in seconds.
        lifetime_s: i64,
    },
    /// `created` is more than [`AHEAD_S_MAX`] in the future.
    #[error("the signature is made {ahead_s} s ahead of this server's time; {AHEAD_S_MAX} are allowed")]
    Ahead {
        /// `created` minus now, in seconds, rounded up.
        ahead_s: i64,
    },
    /// `expires` has passed.
    #[error("the signature expired {late_s} s ago")]
    Expired {
        /// Now minus `expires`, in seconds, rounded down.
        late_s: i64,
    },
}

impl SignatureError {
    /// One word for each variant, as in the vectors; the text of the error gives the detail.
    pub fn code(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Repeated => "repeated",
            Self::Malformed(_) => "malformed",
            Self::Components => "components",
            Self::Parameters(_) => "parameters",
            Self::KeyId => "key_id",
            Self::Algorithm => "algorithm",
            Self::Nonce => "nonce",
            Self::SignatureBytes => "signature_bytes",
            Self::Body => "body",
            Self::RequestParts => "request_parts",
            Self::KeyKind => "key_kind",
            Self::BadSignature => "bad_signature",
        }
    }
}

impl TimeError {
    /// One word for each variant, as in the vectors; the text of the error gives the detail.
    pub fn code(self) -> &'static str {
        match self {
            Self::Lifetime { .. } => "lifetime",
            Self::Ahead { .. } => "ahead",
            Self::Expired { .. } => "expired",
        }
    }
}
