//! A server's judgement of a frame and of a key package.

use sha2::{Digest, Sha256};

use super::key_package::BASIC;
use super::{BadMessage, ContentType, KeyPackage, LeafSource, Lifetime, MLS_10, Message, SUITE, Sender};
use crate::device::DeviceCertificate;
use crate::frame::{Members, authenticated_data};
use crate::ids::{ConversationId, MessageId};
use crate::key::PublicKey;
use crate::time::Timestamp;

/// `kez_room`, the group context's private extension: every leaf of a conversation understands it.
pub const KEZ_ROOM: u16 = 0xF4B5;

/// The longest lifetime of a key package, `not_after` - `not_before`, in seconds: 84 days and one hour, the longest
/// that MLS clients take.
pub const KEY_PACKAGE_SECONDS_MAX: u64 = (84 * 24 + 1) * 60 * 60;

/// How far ahead of the server's time a key package may end, in seconds: 83 days, and one hour for clocks that differ.
pub const KEY_PACKAGE_AHEAD_SECONDS_MAX: u64 = (83 * 24 + 1) * 60 * 60;

/// The extension types that every MLS client understands without saying so (RFC 9420 section 7.2): 1 to 5.
const DEFAULT_EXTENSION_MAX: u16 = 5;

/// `last_resort`, the extension of a key package that its owner keeps the keys of after use.
const LAST_RESORT: u16 = 0x000A;

/// The length of an X25519 key, `Npk` of the suite's KEM (RFC 9180 section 7.1).
const HPKE_KEY_BYTES: usize = 32;

/// A frame that carries something said. [`AppFrame::check`] is the only constructor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppFrame {
    epoch: u64,
}

/// A frame that changes the group. [`CommitFrame::check`] is the only constructor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitFrame {
    epoch: u64,
    is_external: bool,
}

/// A key package that others may add a device by. [`CheckedKeyPackage::check`] is the only constructor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedKeyPackage {
    init_key_sha256: [u8; 32],
    not_after: Timestamp,
    is_last_resort: bool,
}

/// Why bytes are not the frame that the request says, in the order in which it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadFrame {
    /// Not one MLS message.
    #[error(transparent)]
    Message(#[from] BadMessage),
    /// Not a `PrivateMessage`; a commit may also be a `PublicMessage` of somebody who joins by it.
    #[error("not a private MLS message, nor an external commit")]
    WireFormat,
    /// It carries something else than the call is for.
    #[error("the MLS message is of another content type")]
    ContentType,
    /// Its group is not the conversation.
    #[error("the MLS message is of another group")]
    Group,
    /// Its authenticated data are not those of this conversation, message id and members.
    #[error("the authenticated data of the MLS message are not those of the request")]
    AuthenticatedData,
}

/// Why bytes are not a key package of the device, in the order in which it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadKeyPackage {
    /// Not one MLS message.
    #[error(transparent)]
    Message(#[from] BadMessage),
    /// An MLS message of another kind.
    #[error("not a key package")]
    WireFormat,
    /// Not of MLS 1.0.
    #[error("the key package is not of MLS 1.0")]
    Version,
    /// Not of the suite [`SUITE`].
    #[error("the key package is of another cipher suite")]
    Suite,
    /// Its credential does not hold the certificate that the device is enrolled with.
    #[error("the credential is not the device's certificate")]
    Credential,
    /// Its signature key is not the device's `mls_key`.
    #[error("the signature key is not the device's mls_key")]
    SignatureKey,
    /// `init_key` and `encryption_key` are not two keys of 32 bytes (RFC 9420 section 10.1).
    #[error("init_key and encryption_key are not two different keys of 32 bytes")]
    InitKey,
    /// The leaf does not understand MLS 1.0, [`SUITE`], basic credentials and [`KEZ_ROOM`], or has an extension that
    /// it does not understand (RFC 9420 section 7.3).
    #[error("the capabilities lack what every conversation needs")]
    Capabilities,
    /// The leaf is not of a key package, so it has no lifetime.
    #[error("the leaf is not that of a key package")]
    LeafSource,
    /// It is not valid yet, or no longer.
    #[error("the key package is not valid now")]
    NotValidNow,
    /// It ends more than [`KEY_PACKAGE_AHEAD_SECONDS_MAX`] from now, or lives longer than
    /// [`KEY_PACKAGE_SECONDS_MAX`].
    #[error("the key package lives too long")]
    TooLong,
    /// The leaf's or the package's signature is not good.
    #[error("a signature of the key package does not verify")]
    Signature,
}

impl BadFrame {
    /// A stable name of the fault, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message(fault) => fault.name(),
            Self::WireFormat => "not_private",
            Self::ContentType => "content_type",
            Self::Group => "group",
            Self::AuthenticatedData => "authenticated_data",
        }
    }
}

impl BadKeyPackage {
    /// A stable name of the fault, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message(fault) => fault.name(),
            Self::WireFormat => "not_a_key_package",
            Self::Version => "package_version",
            Self::Suite => "suite",
            Self::Credential => "credential",
            Self::SignatureKey => "signature_key",
            Self::InitKey => "init_key",
            Self::Capabilities => "capabilities",
            Self::LeafSource => "leaf_source",
            Self::NotValidNow => "not_valid_now",
            Self::TooLong => "too_long",
            Self::Signature => "signature",
        }
    }
}

impl AppFrame {
    /// Checks that `bytes` are one private application message of this conversation under this id.
    pub fn check(bytes: &[u8], conversation: ConversationId, message: MessageId) -> Result<Self, BadFrame> {
        let header = Header::of(&Message::parse(bytes)?).ok_or(BadFrame::WireFormat)?;
        if header.is_external {
            return Err(BadFrame::WireFormat);
        }
        header.check(
            ContentType::Application,
            conversation,
            &authenticated_data::app(conversation, message),
        )?;
        Ok(Self { epoch: header.epoch })
    }

    /// The epoch that the message is encrypted in.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl CommitFrame {
    /// Checks that `bytes` are one commit of this conversation under this id, after which it has these members: private,
    /// or public from somebody who joins by it.
    pub fn check(
        bytes: &[u8],
        conversation: ConversationId,
        message: MessageId,
        members_after: &Members,
    ) -> Result<Self, BadFrame> {
        let header = Header::of(&Message::parse(bytes)?).ok_or(BadFrame::WireFormat)?;
        let expected = authenticated_data::commit(conversation, message, members_after);
        header.check(ContentType::Commit, conversation, &expected)?;
        Ok(Self { epoch: header.epoch, is_external: header.is_external })
    }

    /// The epoch that the commit ends.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the sender joins by this commit.
    pub fn is_external(&self) -> bool {
        self.is_external
    }
}

/// What both wire formats of a frame say.
struct Header<'a> {
    group_id: &'a [u8],
    epoch: u64,
    content_type: ContentType,
    authenticated_data: &'a [u8],
    is_external: bool,
}

impl<'a> Header<'a> {
    /// The header of a private message, or of a public one whose sender can have no other. Members never send in
    /// public: the server would read their proposals.
    fn of(message: &Message<'a>) -> Option<Self> {
        match *message {
            Message::Private { group_id, epoch, content_type, authenticated_data } => {
                Some(Self { group_id, epoch, content_type, authenticated_data, is_external: false })
            }
            Message::Public {
                group_id,
                epoch,
                sender: Sender::NewMemberCommit,
                content_type,
                authenticated_data,
            } => Some(Self { group_id, epoch, content_type, authenticated_data, is_external: true }),
            _ => None,
        }
    }

    fn check(
        &self,
        content_type: ContentType,
        conversation: ConversationId,
        authenticated_data: &[u8],
    ) -> Result<(), BadFrame> {
        if self.content_type != content_type {
            return Err(BadFrame::ContentType);
        }
        if self.group_id != conversation.as_bytes() {
            return Err(BadFrame::Group);
        }
        if self.authenticated_data != authenticated_data {
            return Err(BadFrame::AuthenticatedData);
        }
        Ok(())
    }
}

impl CheckedKeyPackage {
    /// Checks that `bytes` are a key package of the device that is enrolled with `stored` and `mls_key`, for use from
    /// `now` on.
    ///
    /// A client makes packages from its day before to 83 days ahead. One that is uploaded later than it was made is as
    /// good, so nothing but the whole lifetime bounds how long ago it began.
    pub fn check(
        bytes: &[u8],
        stored: &DeviceCertificate,
        mls_key: &PublicKey,
        now: Timestamp,
    ) -> Result<Self, BadKeyPackage> {
        let Message::KeyPackage(package) = Message::parse(bytes)? else {
            return Err(BadKeyPackage::WireFormat);
        };
        check_fields(&package, stored, mls_key)?;
        let not_after = check_lifetime(package.leaf_node.source, now)?;
        package.verify().map_err(|_| BadKeyPackage::Signature)?;
        Ok(Self {
            init_key_sha256: Sha256::digest(package.init_key).into(),
            not_after,
            is_last_resort: package.extensions.contains(&LAST_RESORT),
        })
    }

    /// SHA-256 of the `init_key`, which no two packages share.
    pub fn init_key_sha256(&self) -> &[u8; 32] {
        &self.init_key_sha256
    }

    /// The last second of its lifetime.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether its owner keeps the keys after use (the extension `last_resort`).
    pub fn is_last_resort(&self) -> bool {
        self.is_last_resort
    }
}

fn check_fields(
    package: &KeyPackage<'_>,
    stored: &DeviceCertificate,
    mls_key: &PublicKey,
) -> Result<(), BadKeyPackage> {
    let leaf = &package.leaf_node;
    if package.version != MLS_10 {
        return Err(BadKeyPackage::Version);
    }
    if package.cipher_suite != SUITE {
        return Err(BadKeyPackage::Suite);
    }
    if leaf.identity != stored.to_bytes() {
        return Err(BadKeyPackage::Credential);
    }
    if leaf.signature_key != mls_key.as_bytes() {
        return Err(BadKeyPackage::SignatureKey);
    }
    let have_length = [package.init_key, leaf.encryption_key].iter().all(|key| key.len() == HPKE_KEY_BYTES);
    if !have_length || package.init_key == leaf.encryption_key {
        return Err(BadKeyPackage::InitKey);
    }
    if understands_conversations(package) { Ok(()) } else { Err(BadKeyPackage::Capabilities) }
}

fn understands_conversations(package: &KeyPackage<'_>) -> bool {
    let leaf = &package.leaf_node;
    let can = &leaf.capabilities;
    let is_understood = |kind: &u16| *kind <= DEFAULT_EXTENSION_MAX || can.extensions.contains(*kind);
    can.versions.contains(MLS_10)
        && can.cipher_suites.contains(SUITE)
        && can.credentials.contains(BASIC)
        && can.extensions.contains(KEZ_ROOM)
        && leaf.extensions.iter().all(is_understood)
}

fn check_lifetime(source: LeafSource<'_>, now: Timestamp) -> Result<Timestamp, BadKeyPackage> {
    let LeafSource::KeyPackage(Lifetime { not_before, not_after }) = source else {
        return Err(BadKeyPackage::LeafSource);
    };
    let seconds_now = u64::try_from(now.unix_seconds()).map_err(|_| BadKeyPackage::NotValidNow)?;
    if not_before > seconds_now || not_after <= seconds_now {
        return Err(BadKeyPackage::NotValidNow);
    }
    let ahead = not_after.saturating_sub(seconds_now);
    if ahead > KEY_PACKAGE_AHEAD_SECONDS_MAX || not_after.saturating_sub(not_before) > KEY_PACKAGE_SECONDS_MAX
    {
        return Err(BadKeyPackage::TooLong);
    }
    i64::try_from(not_after)
        .ok()
        .and_then(|seconds| Timestamp::from_unix(seconds, 0))
        .ok_or(BadKeyPackage::TooLong)
}
