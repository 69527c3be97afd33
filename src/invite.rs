//! Invite tokens: made by the operator, used up by registrations.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use kez_core::Timestamp;
use kez_serve::rng::{self, Rng};
use sha2::{Digest, Sha256};

/// What a token starts with, so that people and secret scanners recognise one.
const PREFIX: &str = "kez-invite-";
/// Random bytes in a token.
const TOKEN_BYTES: usize = 16;

/// A token as it is handed to people: `kez-invite-` and 22 base64url digits. Prints as `InviteToken(..)` in debug
/// output.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteToken(String);

/// What the store keeps of a token: SHA-256 of its text. A token has 128 random bits, so this cannot be reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InviteHash(pub [u8; 32]);

/// A token that still works, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its number.
    pub id: i64,
    /// How many people may still register with it.
    pub uses_left: u32,
    /// When it stops working.
    pub expires_at: Timestamp,
}

/// The text is not an invite token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an invite token of the form kez-invite-…")]
pub struct BadInviteToken;

impl InviteToken {
    /// A new token.
    pub fn new(rng: &dyn Rng) -> Self {
        Self(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&rng::bytes::<TOKEN_BYTES>(rng))))
    }

    /// The text to hand out.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the store knows it by.
    pub fn hash(&self) -> InviteHash {
        InviteHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl FromStr for InviteToken {
    type Err = BadInviteToken;

    fn from_str(text: &str) -> Result<Self, BadInviteToken> {
        let digits = text.strip_prefix(PREFIX).ok_or(BadInviteToken)?;
        match BASE64URL_NOPAD.decode(digits.as_bytes()) {
            Ok(bytes) if bytes.len() == TOKEN_BYTES => Ok(Self(text.to_owned())),
            _ => Err(BadInviteToken),
        }
    }
}

impl fmt::Debug for InviteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteToken(..)")
    }
}
