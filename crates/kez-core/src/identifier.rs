//! KEZ identifiers: `system:value`. SPEC "Identifiers".

use std::fmt;
use std::str::FromStr;

use crate::key::PublicKey;
use crate::nostr::NostrKey;
use crate::text::serde_as_text;

/// The longest identifier taken, in bytes. Ours: a did or a web address fits, a document does not.
pub const IDENTIFIER_BYTES_MAX: usize = 512;

/// An identifier in its normal form, such as `github:jason` or `dns:example.org`.
///
/// Systems are known ones (`ed25519`, `nostr`, `github`, `dns`, `bluesky`, `did`, `ens`, `ap`, `farcaster`, `web`)
/// or kept as they came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    text: String,
    system_len: usize,
}

/// The key that an identity is known by. Chat accounts have an Ed25519 key; sigchains also belong to nostr keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrimaryKey {
    /// `ed25519:<64 lower-case hex digits>`.
    Ed25519(PublicKey),
    /// `nostr:npub1…` (NIP-19).
    Nostr(NostrKey),
}

/// The text is not an identifier in the form its system asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of the form system:value")]
pub struct BadIdentifier;

impl Identifier {
    /// The part before the first colon.
    pub fn system(&self) -> &str {
        self.text.get(..self.system_len).unwrap_or_default()
    }

    /// The part after the first colon.
    pub fn value(&self) -> &str {
        self.text.get(self.system_len + 1..).unwrap_or_default()
    }

    /// The whole identifier.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Identifier {
    type Err = BadIdentifier;

    fn from_str(text: &str) -> Result<Self, BadIdentifier> {
        if text.len() > IDENTIFIER_BYTES_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(BadIdentifier);
        }
        let (system, value) = text.split_once(':').ok_or(BadIdentifier)?;
        let system = match system.to_ascii_lowercase() {
            alias if alias == "mastodon" => "ap".to_owned(),
            system => system,
        };
        let value = normal_value(&system, value)?;
        if system.is_empty() || value.is_empty() {
            return Err(BadIdentifier);
        }
        Ok(Self { text: format!("{system}:{value}"), system_len: system.len() })
    }
}

/// The one spelling of a value that two spellings of the same name share.
fn normal_value(system: &str, value: &str) -> Result<String, BadIdentifier> {
    Ok(match system {
        "ed25519" => crate::key::decode_hex::<32>(value).map(|_| value.to_owned()).ok_or(BadIdentifier)?,
        "nostr" => NostrKey::from_npub(value)?.to_npub(),
        "dns" => value.strip_suffix('.').unwrap_or(value).to_ascii_lowercase(),
        "ap" => value.strip_prefix('@').unwrap_or(value).to_ascii_lowercase(),
        "github" | "bluesky" => value.to_ascii_lowercase(),
        _ => value.to_owned(),
    })
}

impl PrimaryKey {
    /// `ed25519` or `nostr`: the part before the first colon.
    pub fn system(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "ed25519",
            Self::Nostr(_) => "nostr",
        }
    }

    /// The part after the first colon: 64 hex digits, or `npub1…`.
    pub fn value(&self) -> String {
        match self {
            Self::Ed25519(key) => key.to_hex(),
            Self::Nostr(key) => key.to_npub(),
        }
    }

    /// The first letters of [`value`](Self::value), for logs.
    pub fn short(&self) -> String {
        match self {
            Self::Ed25519(key) => key.short(),
            Self::Nostr(key) => key.short(),
        }
    }
}

impl From<PublicKey> for PrimaryKey {
    fn from(key: PublicKey) -> Self {
        Self::Ed25519(key)
    }
}

impl From<NostrKey> for PrimaryKey {
    fn from(key: NostrKey) -> Self {
        Self::Nostr(key)
    }
}

impl FromStr for PrimaryKey {
    type Err = BadIdentifier;

    fn from_str(text: &str) -> Result<Self, BadIdentifier> {
        match text.strip_prefix("nostr:") {
            Some(npub) => NostrKey::from_npub(npub).map(Self::Nostr),
            None => text.parse().map(Self::Ed25519),
        }
    }
}

impl fmt::Display for PrimaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.system(), self.value())
    }
}

serde_as_text!(PrimaryKey);

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

serde_as_text!(Identifier);
