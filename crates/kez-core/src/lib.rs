//! The KEZ protocol, pure: what the bytes of an identity mean, and nothing else.
//!
//! Nothing here reads a clock, draws a random number, opens a file or a socket, or imports another crate of this
//! workspace: time and entropy are arguments. The same code runs in the servers, in the command line client and,
//! as wasm, in the browser. It never panics on input, by lint.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

mod blob;
mod claim;
mod contact;
mod conversation;
mod device;
pub mod encoding;
mod envelope;
mod frame;
mod handle;
pub mod http_signature;
mod identifier;
mod ids;
pub mod json;
mod key;
mod leaving;
pub mod mls_framing;
mod nostr;
mod phrase;
mod record;
mod registration;
mod session;
pub mod sigchain;
mod small_store;
mod text;
mod time;
#[cfg(test)]
mod vectors;
pub mod webfinger;

pub use blob::{BLOB_BYTES_MAX, BadBlobHash, BlobHash, PART_BYTES_MAX, PART_BYTES_MIN};
pub use claim::Claim;
pub use contact::{ContactChange, ContactState, ConversationState};
pub use conversation::ConversationKind;
pub use device::{
    BadCertificate, BadEnrolment, CERTIFICATE_BYTES, DEVICE_SECONDS_MAX, Device, DeviceCertificate,
    DeviceRevocation, Enrolment, NOT_BEFORE_SKEW_SECONDS_MAX,
};
pub use encoding::Artifact;
pub use envelope::{Document, DocumentKey, Envelope, EnvelopeError, Tag, Verified};
pub use frame::{
    BadMembers, FRAMES_BODY_BYTES_MAX, FRAMES_MAX, FrameKind, MEMBERS_MAX, Members, authenticated_data,
};
pub use handle::{
    BadFqhn, BadHandle, BadServerName, Fqhn, HANDLE_BYTES_MAX, HANDLE_BYTES_MIN, Handle, ServerName, Skeleton,
};
pub use identifier::{BadIdentifier, IDENTIFIER_BYTES_MAX, Identifier, PrimaryKey};
pub use ids::{BadId, ClaimId, ConversationId, DeviceId, MessageId};
pub use key::{BadSignature, PublicKey, Seed, Signature};
pub use leaving::{AccountDeletion, BadReceipt, DeletionReceipt, KEPT_AFTER_DELETION, SignedReceipt};
pub use nostr::NostrKey;
#[cfg(feature = "nostr")]
pub use nostr::NostrSecret;
pub use phrase::{BadPhrase, Phrase, WordCount};
pub use record::Record;
pub use registration::Registration;
pub use session::{
    BadExchangeKey, BadSessionToken, ExchangeKey, ExchangeSecret, SESSION_TOKEN_CHARS_MAX, SessionContext,
    SessionKey, SessionToken,
};
pub use small_store::{BadEntryName, ENTRY_BYTES_MAX, ENTRY_NAME_CHARS_MAX, EntryName};
pub use time::{BadTimestamp, Timestamp};
