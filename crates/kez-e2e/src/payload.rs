//! What people say to each other: strict JSON, padded so that its length tells little. SPEC "Payloads".

use kez_core::json::{self, Value};
use kez_core::{DeviceId, MessageId, PublicKey};
use serde::{Deserialize, Serialize};

/// The longest text of a message, in bytes of UTF-8.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// What a padded payload may have, in bytes. Its length tells which of these it needed, and nothing more.
pub const BUCKETS: [usize; 5] = [256, 1024, 4096, 16_384, 61_440];

/// Before the JSON: its length, big-endian.
const LENGTH_BYTES: usize = 4;

/// The longest JSON of a payload: what the largest bucket has room for.
const JSON_BYTES_MAX: usize = 61_440 - LENGTH_BYTES;

/// A payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// 1.
    v: u8,
    /// When it was sent by the sender's clock, in Unix milliseconds: shown to people, never sorted by.
    pub sent_at: i64,
    /// The head of the sender's own sigchain, as the sender knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainHead>,
    /// What is said.
    #[serde(flatten)]
    pub content: Content,
}

/// The end of a sigchain: with it, a server that hides a revocation is found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// The position of its last event.
    pub seq: u64,
    /// The hash of its last event.
    pub head: String,
}

/// What is said, by its `t`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Something to read.
    Text {
        /// At most [`BODY_BYTES_MAX`].
        body: String,
        /// What it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<ReplyTo>,
    },
    /// A reaction to a message, or the end of one.
    Reaction {
        /// The message.
        target: MessageId,
        /// One emoji.
        emoji: String,
        /// Whether it is put or taken back.
        on: bool,
    },
    /// A new text for a message of the same person.
    Edit {
        /// The message.
        target: MessageId,
        /// At most [`BODY_BYTES_MAX`].
        body: String,
    },
    /// Takes a message of the same person back.
    Delete {
        /// The message.
        target: MessageId,
    },
    /// These messages have reached a device of the sender of this.
    Receipt {
        /// The messages.
        mids: Vec<MessageId>,
    },
    /// Everything up to this number has been read.
    Read {
        /// The number in the conversation.
        up_to: u64,
    },
    /// Files.
    Attachment {
        /// At least one.
        files: Vec<File>,
        /// At most [`BODY_BYTES_MAX`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// How the sender wants to be shown.
    Profile {
        /// A name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// A word about oneself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// How a group is shown; by an admin.
    Group {
        /// Its name.
        name: String,
    },
    /// A device's own name, for its owner's other devices.
    Device {
        /// The device.
        device_id: DeviceId,
        /// What its owner calls it.
        label: String,
    },
    /// To own devices: whether a person's key was compared.
    Safety {
        /// The person.
        primary: PublicKey,
        /// Whether it was.
        verified: bool,
    },
    /// The sender wants to be removed from the group.
    Leave {},
    /// Something of a newer version: kept as it came, shown as such. Never sent.
    #[serde(skip)]
    Unknown {
        /// Its `t`.
        t: String,
        /// All of it, as JSON.
        json: String,
    },
}

/// Which message is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The message.
    pub mid: MessageId,
    /// A bit of it, for whoever does not have it.
    pub quote: String,
}

/// A file that lies encrypted on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// SHA-256 of its ciphertext, in hex: its name on the server.
    pub blob: String,
    /// Its key, in base64url. Whoever has it can read the file.
    pub key: String,
    /// Bytes of the plain file.
    pub size: u64,
    /// Its name, as the sender had it: text to show, never a path.
    pub name: String,
    /// Its media type, as the sender says.
    pub mime: String,
    /// A small picture of it in base64url, 8 KiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumb: Option<String>,
}

/// Why bytes are not a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPayload {
    /// Not of a length that payloads are padded to, or its own length does not fit.
    #[error("the payload has a length that payloads do not have")]
    Length,
    /// What follows the JSON is not zeros.
    #[error("the payload's padding is not zeros")]
    Padding,
    /// Not strict JSON, or not an object with `v` 1 and a `t`.
    #[error("the payload is not one of version 1")]
    Form,
    /// A member of a known `t` is missing or is not what it must be.
    #[error("the payload has not the members that it must have")]
    Members,
}

impl BadPayload {
    /// A stable name of the fault, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Padding => "padding",
            Self::Form => "form",
            Self::Members => "members",
        }
    }
}

/// The payload is too long to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message has at most {max} bytes, and this one has {bytes}")]
pub struct TooLong {
    /// What it has.
    pub bytes: usize,
    /// What it may have.
    pub max: usize,
}

impl Payload {
    /// A payload of now.
    pub fn new(sent_at: i64, content: Content) -> Self {
        Self { v: 1, sent_at, chain: None, content }
    }

    /// The padded bytes: length, JSON, zeros.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TooLong> {
        let max = JSON_BYTES_MAX;
        if let Some(bytes) = self.content.body().map(str::len).filter(|bytes| *bytes > BODY_BYTES_MAX) {
            return Err(TooLong { bytes, max: BODY_BYTES_MAX });
        }
        let json = self.to_json();
        let bytes = json.len();
        let bucket = BUCKETS.into_iter().find(|bucket| bytes + LENGTH_BYTES <= *bucket);
        let bucket = bucket.ok_or(TooLong { bytes, max })?;
        let length = u32::try_from(bytes).map_err(|_| TooLong { bytes, max })?;
        let mut padded = length.to_be_bytes().to_vec();
        padded.extend_from_slice(json.as_bytes());
        padded.resize(bucket, 0);
        Ok(padded)
    }

    /// Its JSON, in canonical form.
    pub fn to_json(&self) -> String {
        if let Content::Unknown { json, .. } = &self.content {
            return json.clone();
        }
        let text = serde_json::to_string(self).unwrap_or_default();
        json::parse(text.as_bytes()).and_then(|value| value.canonical()).unwrap_or_default()
    }

    /// Reads padded bytes.
    pub fn parse(padded: &[u8]) -> Result<Self, BadPayload> {
        if !BUCKETS.contains(&padded.len()) {
            return Err(BadPayload::Length);
        }
        let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>().ok_or(BadPayload::Length)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BadPayload::Length)?;
        let (json, padding) = rest.split_at_checked(length).ok_or(BadPayload::Length)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(BadPayload::Padding);
        }
        Self::parse_json(json)
    }

    /// Reads the JSON of a payload.
    pub fn parse_json(text: &[u8]) -> Result<Self, BadPayload> {
        let value = json::parse(text).map_err(|_| BadPayload::Form)?;
        let canonical = value.canonical().map_err(|_| BadPayload::Form)?;
        let members = value.into_object().ok_or(BadPayload::Form)?;
        if members.get("v") != Some(&Value::Integer(1)) {
            return Err(BadPayload::Form);
        }
        let t = members.get("t").and_then(Value::as_str).ok_or(BadPayload::Form)?;
        if KNOWN.contains(&t) {
            let payload: Self = serde_json::from_str(&canonical).map_err(|_| BadPayload::Members)?;
            let fits = payload.content.body().is_none_or(|body| body.len() <= BODY_BYTES_MAX);
            return if fits { Ok(payload) } else { Err(BadPayload::Members) };
        }
        let Some(Value::Integer(sent_at)) = members.get("sent_at") else { return Err(BadPayload::Members) };
        let content = Content::Unknown { t: t.to_owned(), json: canonical };
        Ok(Self { v: 1, sent_at: *sent_at, chain: None, content })
    }
}

/// In records: the JSON as it is said, as one text.
pub(crate) mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Payload;

    pub(crate) fn serialize<S: Serializer>(payload: &Payload, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&payload.to_json())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        let text = String::deserialize(deserializer)?;
        Payload::parse_json(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

/// Every `t` that this version understands.
const KNOWN: [&str; 12] = [
    "text",
    "reaction",
    "edit",
    "delete",
    "receipt",
    "read",
    "attachment",
    "profile",
    "group",
    "device",
    "safety",
    "leave",
];

impl Content {
    fn body(&self) -> Option<&str> {
        match self {
            Self::Text { body, .. } | Self::Edit { body, .. } => Some(body),
            Self::Attachment { body, .. } => body.as_deref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> Payload {
        Payload::new(1_779_678_000_000, Content::Text { body: body.to_owned(), reply_to: None })
    }

    #[test]
    fn a_payload_is_padded_to_few_lengths() {
        let lengths: Vec<_> = [0, 1, 150, 400, 3_000, 9_000, 16_384]
            .map(|length| text(&"x".repeat(length)).to_bytes().unwrap().len())
            .into();
        assert_eq!(lengths, [256, 256, 256, 1024, 4096, 16_384, 61_440]);
        assert_eq!(text(&"x".repeat(16_385)).to_bytes(), Err(TooLong { bytes: 16_385, max: BODY_BYTES_MAX }));
    }

    #[test]
    fn what_is_written_is_read() {
        let mid = MessageId::from_bytes([1; 16]);
        let contents = [
            Content::Text { body: "hé".into(), reply_to: Some(ReplyTo { mid, quote: "q".into() }) },
            Content::Reaction { target: mid, emoji: "👍".into(), on: true },
            Content::Edit { target: mid, body: "b".into() },
            Content::Delete { target: mid },
            Content::Receipt { mids: vec![mid] },
            Content::Read { up_to: 7 },
            Content::Profile { name: Some("A".into()), note: None },
            Content::Group { name: "G".into() },
            Content::Device { device_id: DeviceId::from_bytes([2; 16]), label: "phone".into() },
            Content::Leave {},
        ];
        for content in contents {
            let payload = Payload::new(5, content);
            assert_eq!(Payload::parse(&payload.to_bytes().unwrap()), Ok(payload));
        }
        assert_eq!(text("hi").to_json(), r#"{"body":"hi","sent_at":1779678000000,"t":"text","v":1}"#);
    }

    #[test]
    fn what_is_newer_is_kept() {
        let json = r#"{"sent_at":5,"t":"poll","v":1,"x":[1]}"#;
        let payload = Payload::parse_json(json.as_bytes()).unwrap();
        assert_eq!(payload.content, Content::Unknown { t: "poll".into(), json: json.into() });
    }

    #[test]
    fn nothing_else_is_read() {
        let good = text("hi").to_bytes().unwrap();
        let change = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert_eq!(Payload::parse(&good[..255]), Err(BadPayload::Length));
        assert_eq!(Payload::parse(&change(2, 9)), Err(BadPayload::Length));
        assert_eq!(Payload::parse(&change(255, 1)), Err(BadPayload::Padding));
        assert_eq!(Payload::parse(&change(4, b'x')), Err(BadPayload::Form));
        for (json, fault) in [
            (r#"{"sent_at":5,"t":"text","v":1}"#, BadPayload::Members),
            (r#"{"body":1,"sent_at":5,"t":"text","v":1}"#, BadPayload::Members),
            (r#"{"body":"x","t":"text","v":1}"#, BadPayload::Members),
            (r#"{"body":"x","sent_at":5,"t":"text","v":2}"#, BadPayload::Form),
            (r#"{"body":"x","body":"y","sent_at":5,"t":"text","v":1}"#, BadPayload::Form),
            (r#"{"body":"x","sent_at":5.5,"t":"text","v":1}"#, BadPayload::Form),
            (r#"{"t":"unknown","v":1}"#, BadPayload::Members),
        ] {
            assert_eq!(Payload::parse_json(json.as_bytes()), Err(fault), "{json}");
        }
        let long = format!(r#"{{"body":"{}","sent_at":5,"t":"text","v":1}}"#, "x".repeat(16_385));
        assert_eq!(Payload::parse_json(long.as_bytes()), Err(BadPayload::Members));
    }
}
