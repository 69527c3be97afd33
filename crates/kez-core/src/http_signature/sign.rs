//! The caller's side.

use data_encoding::BASE64;
use hmac::Mac;

use super::TAG;
use super::base::{Component, RequestParts, profile_base, signature_params};
use super::claim::hmac;
use super::error::SignatureError;
use super::fields::Item;
use super::key_id::{KeyId, Nonce};
use crate::ids::DeviceId;
use crate::key::{PublicKey, Seed};
use crate::session::{SessionKey, SessionToken};

/// The label of our signatures. A reader goes by the tag.
const LABEL: &str = "kez";

/// Who signs calls, with the secret.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A device, with the seed of its auth key.
    Device {
        /// The account.
        primary: PublicKey,
        /// The device of this account.
        device_id: DeviceId,
        /// Of the device's auth key, which is not the primary.
        seed: Seed,
    },
    /// A device within a session.
    Session {
        /// The session's name.
        token: SessionToken,
        /// The session's key.
        key: SessionKey,
    },
}

/// The values of the two headers that sign a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// Of `Signature-Input`.
    pub signature_input: String,
    /// Of `Signature`.
    pub signature: String,
}

/// Signs `parts` at `created` (Unix seconds, by the server's clock) for `lifetime_s` seconds, of which a reader allows
/// [`LIFETIME_S_MAX`](super::LIFETIME_S_MAX).
///
/// Fails with [`SignatureError::RequestParts`] when a part has characters that no request can have, and with
/// [`SignatureError::Parameters`] when a time has more than 15 digits (RFC 8941 section 3.3.1).
pub fn sign(
    signer: &Signer,
    parts: &RequestParts<'_>,
    created: i64,
    lifetime_s: i64,
    nonce: &Nonce,
) -> Result<SignatureHeaders, SignatureError> {
    let key_id = signer.key_id();
    let key_text = key_id.to_string();
    let parameters = [
        ("created", integer(Some(created))?),
        ("expires", integer(created.checked_add(lifetime_s))?),
        ("nonce", Item::String(nonce.as_str())),
        ("keyid", Item::String(&key_text)),
        ("alg", Item::String(key_id.alg())),
        ("tag", Item::String(TAG)),
    ];
    let count = Component::ALL.len() - usize::from(parts.content_digest.is_none());
    let components = Component::ALL.get(..count).unwrap_or_default();
    let params = signature_params(components.iter().map(|component| component.name()), &parameters)
        .ok_or(SignatureError::Parameters("one is neither text nor an integer"))?;
    let signature = signer.sign(&profile_base(components, &params, parts)?)?;
    Ok(SignatureHeaders {
        signature_input: format!("{LABEL}={params}"),
        signature: format!("{LABEL}=:{}:", BASE64.encode(&signature)),
    })
}

impl Signer {
    /// How a reader finds the key.
    pub fn key_id(&self) -> KeyId {
        match self {
            Self::Device { primary, device_id, .. } => {
                KeyId::Device { primary: *primary, device_id: *device_id }
            }
            Self::Session { token, .. } => KeyId::Session(token.clone()),
        }
    }

    fn sign(&self, base: &str) -> Result<Vec<u8>, SignatureError> {
        match self {
            Self::Device { seed, .. } => Ok(seed.sign(base.as_bytes()).as_bytes().to_vec()),
            Self::Session { key, .. } => Ok(hmac(key, base)?.finalize().into_bytes().to_vec()),
        }
    }
}

fn integer(number: Option<i64>) -> Result<Item<'static>, SignatureError> {
    const INTEGER_MAX: u64 = 999_999_999_999_999;
    number
        .filter(|number| number.unsigned_abs() <= INTEGER_MAX)
        .map(Item::Integer)
        .ok_or(SignatureError::Parameters("a time has more than 15 digits"))
}
