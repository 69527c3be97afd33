//! Sessions: a key that a device and the server share for an hour at most, so that calls need no Ed25519. SPEC "Signed
//! calls".
//!
//! Both sides derive it by X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869). The secret bytes are arguments.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::ids::DeviceId;
use crate::key::PublicKey;
use crate::text::serde_as_text;

/// The longest session token, in characters. Ours: a sealed account, device, key and expiry fit, and so does the header.
pub const SESSION_TOKEN_CHARS_MAX: usize = 256;
/// The salt of HKDF, which keeps this use of a shared secret apart from any other.
const SALT: &[u8] = b"kez-chat/session/v1";

/// The name of a session, given by the server and opaque to everybody else: 1 to 256 characters of `A-Z a-z 0-9 - _`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionToken(Box<str>);

/// The 32 secret bytes that the calls of a session are signed with. Wiped when dropped; prints as `SessionKey(..)`.
#[derive(Clone)]
pub struct SessionKey(Zeroizing<[u8; 32]>);

/// One side's X25519 secret. Wiped when dropped; prints as `ExchangeSecret(..)`.
#[derive(Clone)]
pub struct ExchangeSecret(StaticSecret);

/// One side's X25519 public key: 32 bytes, written as 43 characters of base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangeKey([u8; 32]);

/// Who a session is between. Both sides put the same in, so a key made for one device is of no use to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionContext {
    /// The fresh key of the device that asked.
    pub client: ExchangeKey,
    /// The published key of the server.
    pub server: ExchangeKey,
    /// The account.
    pub primary: PublicKey,
    /// The device of this account.
    pub device_id: DeviceId,
}

/// The text is not a session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session token of 1 to 256 characters of base64url")]
pub struct BadSessionToken;

/// The text is not an X25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an X25519 key of 43 characters of base64url")]
pub struct BadExchangeKey;

impl SessionToken {
    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SessionKey {
    /// The key with these 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The 32 secret bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ExchangeSecret {
    /// The secret with these 32 random bytes; they are clamped when used (RFC 7748 section 5).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(StaticSecret::from(bytes))
    }

    /// What the other side is told.
    pub fn public_key(&self) -> ExchangeKey {
        ExchangeKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    /// The key of the session described by `context`, in which `peer` is the other side: `context.server` for the
    /// client, `context.client` for the server.
    ///
    /// `None` when `peer` is neither of them, or when it is a point of small order, which makes the shared secret all
    /// zero (RFC 7748 section 6.1).
    pub fn session_key(&self, peer: &ExchangeKey, context: &SessionContext) -> Option<SessionKey> {
        if *peer != context.client && *peer != context.server {
            return None;
        }
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(SALT), self.shared(peer)?.as_slice())
            .expand(&context.info(), &mut *key)
            .ok()?;
        Some(SessionKey(key))
    }

    fn shared(&self, peer: &ExchangeKey) -> Option<Zeroizing<[u8; 32]>> {
        let shared = self.0.diffie_hellman(&x25519_dalek::PublicKey::from(peer.0));
        shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
    }
}

impl ExchangeKey {
    /// The key with these 32 bytes (RFC 7748 section 5).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl SessionContext {
    /// The info of HKDF: client 32 ‖ server 32 ‖ primary 32 ‖ device id 16. Every part has its one length.
    fn info(&self) -> Vec<u8> {
        let parts: [&[u8]; 4] =
            [&self.client.0, &self.server.0, self.primary.as_bytes(), self.device_id.as_bytes()];
        parts.concat()
    }
}

impl FromStr for SessionToken {
    type Err = BadSessionToken;

    fn from_str(text: &str) -> Result<Self, BadSessionToken> {
        let fits = (1..=SESSION_TOKEN_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_base64url);
        if fits { Ok(Self(text.into())) } else { Err(BadSessionToken) }
    }
}

/// RFC 4648 section 5, without the padding.
pub(crate) fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

impl FromStr for ExchangeKey {
    type Err = BadExchangeKey;

    fn from_str(text: &str) -> Result<Self, BadExchangeKey> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| BadExchangeKey)?;
        bytes.try_into().map(Self).map_err(|_| BadExchangeKey)
    }
}

impl fmt::Display for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ExchangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

/// A token is no secret by itself, yet has no place in a log.
impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

impl fmt::Debug for ExchangeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExchangeSecret(..)")
    }
}

impl fmt::Debug for ExchangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExchangeKey({self})")
    }
}

serde_as_text!(SessionToken);
serde_as_text!(ExchangeKey);

#[cfg(test)]
mod tests;
