//! Signed calls: HTTP Message Signatures (RFC 9421) in the one profile that the home server takes. SPEC "Signed calls".
//!
//! A caller covers method, authority, path, query and, when there is a body, its digest (RFC 9530), with the auth key of
//! a device or the key of a [session](crate::SessionKey). A reader goes through four steps, each with its own error:
//! [`check_content_digest`] over the body, [`SignatureClaim::parse`], [`SignatureClaim::check_time`], and
//! [`verify_device`](SignatureClaim::verify_device) or [`verify_session`](SignatureClaim::verify_session) with the key
//! that [`KeyId`] names. What a nonce has been used for is not known here.

mod base;
mod claim;
mod digest;
mod error;
mod fields;
mod key_id;
mod sign;

pub use base::RequestParts;
pub use claim::SignatureClaim;
pub use digest::{DigestError, check_content_digest, content_digest, content_digest_sha256};
pub use error::{SignatureError, TimeError};
pub use key_id::{BadKeyId, BadNonce, KeyId, NONCE_CHARS_MAX, NONCE_CHARS_MIN, Nonce};
pub use sign::{SignatureHeaders, Signer, sign};

/// The longest time between `created` and `expires`, in seconds: what a captured call can be replayed within.
pub const LIFETIME_S_MAX: i64 = 60;
/// How far `created` may lie in the future, in seconds. Clients correct their clocks by the server's.
pub const AHEAD_S_MAX: i64 = 5;
/// The longest `Signature-Input`, `Signature` or `Content-Digest`, in bytes, all lines joined. Ours: six times what the
/// longest signature needs, which leaves room for those of proxies.
pub const FIELD_BYTES_MAX: usize = 4096;
/// The parameter `tag` (RFC 9421 section 2.3): only signatures that carry it are looked at.
pub const TAG: &str = "kez-chat";
