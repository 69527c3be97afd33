//! One event of a sigchain, and the names in it.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::claim::subject;
use crate::envelope::{Document, Envelope, Tag, Verified, text};
use crate::identifier::{Identifier, PrimaryKey};
use crate::ids::DeviceId;
use crate::json::{INTEGER_MAX, Malformed, Object, Value};
use crate::key::decode_hex;
use crate::text::serde_as_text;

/// How the hash of an event is written: this and 64 lower-case hex digits.
const HASH_PREFIX: &str = "sha256:";

/// A statement of a chain's key, at one position of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The position, from 0.
    pub seq: u64,
    /// The hash of the event before; absent exactly at 0.
    pub prev: Option<EventHash>,
    /// What is stated.
    pub op: Op,
}

/// What an event states. Members of the inner payload that an operation does not know are kept in the signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// `add`: the subject is mine.
    Add {
        /// In normal form.
        subject: Identifier,
    },
    /// `revoke`: the subject is no longer mine.
    Revoke {
        /// In normal form.
        subject: Identifier,
    },
    /// `rotate`: the chain goes on under another key.
    Rotate {
        /// The key that signs from the next event on.
        new_primary: PrimaryKey,
        /// The new key's consent, an envelope of [`RotationProof`](super::RotationProof). Of the right shape only:
        /// [`append`](super::append) believes it or does not.
        proof: Box<Envelope>,
    },
    /// `add_device`: this device speaks for me.
    AddDevice {
        /// The device.
        device_id: DeviceId,
        /// SHA-256 of its certificate's bytes.
        certificate_sha256: Sha256Hex,
    },
    /// `revoke_device`: this device no longer speaks for me, and never will again.
    RevokeDevice {
        /// The device.
        device_id: DeviceId,
        /// SHA-256 of its last certificate's bytes.
        certificate_sha256: Sha256Hex,
    },
    /// Any other operation: kept, hashed, without effect.
    Unknown {
        /// Its name.
        op: String,
        /// Its inner payload as it came.
        payload: Object,
    },
}

/// What identifies an event: SHA-256 of the whole envelope in canonical form, written `sha256:` and 64 lower-case
/// hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventHash([u8; 32]);

/// A SHA-256 value, written as 64 lower-case hex digits without prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Hex([u8; 32]);

/// The text is not `sha256:` and 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event hash of the form sha256:<64 lower-case hex digits>")]
pub struct BadEventHash;

impl Document for Event {
    type Primary = PrimaryKey;
    const TAG: Tag = "sigchain_event";
    const TYPE: &'static str = "kez.sigchain.event";

    fn from_payload(payload: &Object) -> Result<Self, Malformed> {
        let (seq, prev) = position(payload)?;
        let op = text(payload, "op", "payload.op is not a string")?;
        let Some(Value::Object(inner)) = payload.get("payload") else {
            return Err(Malformed::Shape("payload.payload is not an object"));
        };
        Ok(Self { seq, prev, op: Op::read(op, inner)? })
    }

    fn to_payload(&self) -> Object {
        let mut payload = position_members(self.seq, self.prev);
        payload.insert("op".into(), self.op.name().into());
        payload.insert("payload".into(), Value::Object(self.op.inner()));
        payload
    }
}

impl Op {
    /// The member `op`.
    pub fn name(&self) -> &str {
        match self {
            Self::Add { .. } => "add",
            Self::Revoke { .. } => "revoke",
            Self::Rotate { .. } => "rotate",
            Self::AddDevice { .. } => "add_device",
            Self::RevokeDevice { .. } => "revoke_device",
            Self::Unknown { op, .. } => op,
        }
    }

    fn read(op: String, inner: &Object) -> Result<Self, Malformed> {
        Ok(match op.as_str() {
            "add" => Self::Add { subject: subject(inner)? },
            "revoke" => Self::Revoke { subject: subject(inner)? },
            "rotate" => Self::Rotate { new_primary: new_primary(inner)?, proof: Box::new(proof(inner)?) },
            "add_device" => {
                Self::AddDevice { device_id: device_id(inner)?, certificate_sha256: certificate(inner)? }
            }
            "revoke_device" => {
                Self::RevokeDevice { device_id: device_id(inner)?, certificate_sha256: certificate(inner)? }
            }
            _ => Self::Unknown { op, payload: inner.clone() },
        })
    }

    fn inner(&self) -> Object {
        match self {
            Self::Add { subject } | Self::Revoke { subject } => {
                Object::from([("subject".into(), subject.as_str().into())])
            }
            Self::Rotate { new_primary, proof } => Object::from([
                ("new_primary".into(), new_primary.to_string().as_str().into()),
                ("proof".into(), proof.to_value()),
            ]),
            Self::AddDevice { device_id, certificate_sha256 }
            | Self::RevokeDevice { device_id, certificate_sha256 } => Object::from([
                ("device_id".into(), device_id.to_string().as_str().into()),
                ("certificate_sha256".into(), certificate_sha256.to_string().as_str().into()),
            ]),
            Self::Unknown { payload, .. } => payload.clone(),
        }
    }
}

/// `seq` and `prev` of an event, or of the consent to one.
pub(super) fn position(payload: &Object) -> Result<(u64, Option<EventHash>), Malformed> {
    let Some(Value::Integer(seq)) = payload.get("seq") else {
        return Err(Malformed::Shape("payload.seq is not an integer"));
    };
    let seq = u64::try_from(*seq).map_err(|_| Malformed::Shape("payload.seq is below 0"))?;
    let prev = payload.get("prev").map(event_hash).transpose()?;
    if prev.is_none() != (seq == 0) {
        return Err(Malformed::Shape("payload.prev is absent exactly when payload.seq is 0"));
    }
    Ok((seq, prev))
}

/// The members that [`position`] reads.
pub(super) fn position_members(seq: u64, prev: Option<EventHash>) -> Object {
    // No chain comes near: positions end at EVENTS_MAX.
    let seq = i64::try_from(seq).unwrap_or(INTEGER_MAX);
    let mut members = Object::from([("seq".into(), Value::Integer(seq))]);
    if let Some(prev) = prev {
        members.insert("prev".into(), prev.to_string().as_str().into());
    }
    members
}

fn event_hash(value: &Value) -> Result<EventHash, Malformed> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or(Malformed::Shape("payload.prev is not sha256: and 64 lower-case hex digits"))
}

fn new_primary(inner: &Object) -> Result<PrimaryKey, Malformed> {
    text(inner, "new_primary", "new_primary is not a string")?
        .parse()
        .map_err(|_| Malformed::Shape("new_primary is not an ed25519 or nostr key"))
}

fn proof(inner: &Object) -> Result<Envelope, Malformed> {
    Envelope::from_value(inner.get("proof").cloned().ok_or(Malformed::Shape("proof is missing"))?)
}

fn device_id(inner: &Object) -> Result<DeviceId, Malformed> {
    text(inner, "device_id", "device_id is not a string")?
        .parse()
        .map_err(|_| Malformed::Shape("device_id is not 32 lower-case hex digits"))
}

fn certificate(inner: &Object) -> Result<Sha256Hex, Malformed> {
    let text = text(inner, "certificate_sha256", "certificate_sha256 is not a string")?;
    decode_hex(&text)
        .map(Sha256Hex)
        .ok_or(Malformed::Shape("certificate_sha256 is not 64 lower-case hex digits"))
}

impl EventHash {
    /// The hash with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of SHA-256.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<&Envelope> for EventHash {
    fn from(envelope: &Envelope) -> Self {
        Self(Sha256::digest(envelope.canonical().as_bytes()).into())
    }
}

impl From<&Verified<Event>> for EventHash {
    fn from(event: &Verified<Event>) -> Self {
        Self(event.envelope_sha256())
    }
}

impl Sha256Hex {
    /// The value with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// SHA-256 of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for EventHash {
    type Err = BadEventHash;

    fn from_str(text: &str) -> Result<Self, BadEventHash> {
        text.strip_prefix(HASH_PREFIX).and_then(decode_hex).map(Self).ok_or(BadEventHash)
    }
}

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH_PREFIX}{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

serde_as_text!(EventHash);

impl fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
