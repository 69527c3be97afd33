//! Who signed a call, and what makes the call unlike any other: the parameters `keyid`, `alg` and `nonce`.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::ids::DeviceId;
use crate::key::PublicKey;
use crate::session::{SessionToken, is_base64url};

/// The shortest nonce, in characters: what 12 random bytes need.
pub const NONCE_CHARS_MIN: usize = 16;
/// The longest nonce, in characters: what 48 random bytes need, and more than anybody does.
pub const NONCE_CHARS_MAX: usize = 64;

/// The parameter `keyid`. It settles the algorithm, which `alg` must name as well.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyId {
    /// `<primary>/<device_id>`: the auth key of this device, `alg="ed25519"`.
    Device {
        /// The account.
        primary: PublicKey,
        /// The device of this account.
        device_id: DeviceId,
    },
    /// `<token>`: the key of this session, `alg="hmac-sha256"`.
    Session(SessionToken),
}

/// The text is no `keyid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key id of the form ed25519:<64 hex digits>/<32 hex digits> or a session token")]
pub struct BadKeyId;

/// The parameter `nonce`: 16 to 64 characters of `A-Z a-z 0-9 - _`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nonce(Box<str>);

/// The text is no nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a nonce of 16 to 64 characters of base64url")]
pub struct BadNonce;

impl KeyId {
    /// The name that the algorithm has in RFC 9421 section 6.2.2.
    pub fn alg(&self) -> &'static str {
        match self {
            Self::Device { .. } => "ed25519",
            Self::Session(_) => "hmac-sha256",
        }
    }
}

impl Nonce {
    /// The nonce of these 16 random bytes, which may serve for one call only.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(BASE64URL_NOPAD.encode(&bytes).into())
    }

    /// The nonce as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = BadKeyId;

    fn from_str(text: &str) -> Result<Self, BadKeyId> {
        let Some((primary, device_id)) = text.split_once('/') else {
            return text.parse().map(Self::Session).map_err(|_| BadKeyId);
        };
        let primary = primary.parse().map_err(|_| BadKeyId)?;
        let device_id = device_id.parse().map_err(|_| BadKeyId)?;
        Ok(Self::Device { primary, device_id })
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { primary, device_id } => write!(f, "{primary}/{device_id}"),
            Self::Session(token) => write!(f, "{token}"),
        }
    }
}

impl FromStr for Nonce {
    type Err = BadNonce;

    fn from_str(text: &str) -> Result<Self, BadNonce> {
        let fits =
            (NONCE_CHARS_MIN..=NONCE_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_base64url);
        if fits { Ok(Self(text.into())) } else { Err(BadNonce) }
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
