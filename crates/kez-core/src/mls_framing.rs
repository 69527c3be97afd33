//! What a server reads of MLS messages (RFC 9420), and what it decides from that. SPEC "Conversation frames", "Key
//! packages".
//!
//! Headers only: no tree, no secret, nothing inside a Welcome or a ciphertext. An MLS library is never imported here.

mod checks;
mod key_package;
mod reader;
mod skip;

use reader::Reader;

pub use checks::{
    AppFrame, BadFrame, BadKeyPackage, CheckedKeyPackage, CommitFrame, KEY_PACKAGE_AHEAD_SECONDS_MAX,
    KEY_PACKAGE_SECONDS_MAX, KEZ_ROOM,
};
pub use key_package::{Capabilities, KeyPackage, LeafNode, LeafSource, Lifetime};
pub use reader::Numbers;

/// `ProtocolVersion mls10` (RFC 9420 section 6).
pub const MLS_10: u16 = 1;
/// The one cipher suite of KEZ: `MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519` (RFC 9420 section 17.1).
pub const SUITE: u16 = 0x0001;

/// An `MLSMessage` (RFC 9420 section 6): what stands outside its ciphertexts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message<'a> {
    /// `PublicMessage`: signed, not encrypted.
    Public {
        /// The group.
        group_id: &'a [u8],
        /// The group's epoch.
        epoch: u64,
        /// Who sent it, by its own word.
        sender: Sender,
        /// What it carries.
        content_type: ContentType,
        /// What the sender signed beside the content.
        authenticated_data: &'a [u8],
    },
    /// `PrivateMessage`: sender and content are encrypted.
    Private {
        /// The group.
        group_id: &'a [u8],
        /// The group's epoch.
        epoch: u64,
        /// What it carries.
        content_type: ContentType,
        /// What the sender signed beside the content.
        authenticated_data: &'a [u8],
    },
    /// `Welcome`: what newcomers need. Whom it is for is not read.
    Welcome {
        /// Its cipher suite.
        cipher_suite: u16,
    },
    /// `GroupInfo`: what one needs to join by an external commit.
    GroupInfo {
        /// The cipher suite of the group.
        cipher_suite: u16,
        /// The group.
        group_id: &'a [u8],
        /// The group's epoch.
        epoch: u64,
    },
    /// `KeyPackage`: by which a device can be added.
    KeyPackage(Box<KeyPackage<'a>>),
}

/// What a framed message carries (RFC 9420 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// Something said.
    Application,
    /// A proposal on its own.
    Proposal,
    /// A commit.
    Commit,
}

/// Who sent a `PublicMessage` (RFC 9420 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The member at this leaf.
    Member(u32),
    /// The external sender with this index.
    External(u32),
    /// Somebody who proposes to be added.
    NewMemberProposal,
    /// Somebody who joins by this commit.
    NewMemberCommit,
}

/// Why bytes are not one `MLSMessage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadMessage {
    /// The input ends inside a field, or a length reaches beyond it.
    #[error("the MLS message is cut short")]
    Truncated,
    /// The message, or a list in it, goes on after its end.
    #[error("bytes follow the MLS message")]
    TrailingBytes,
    /// A length in more bytes than it needs, or of the reserved form (RFC 9420 section 2.1.2).
    #[error("a length in the MLS message is not in its shortest form")]
    LengthPrefix,
    /// Another version than MLS 1.0.
    #[error("not a message of MLS 1.0")]
    Version,
    /// No wire format of RFC 9420.
    #[error("not a wire format of MLS 1.0")]
    WireFormat,
    /// A type or flag that RFC 9420 does not define where only the defined ones can be read on.
    #[error("the MLS message holds a value that RFC 9420 does not define")]
    UnknownValue,
    /// A list of extensions holds one type twice (RFC 9420 section 13.4).
    #[error("an extension stands twice in one list of the MLS message")]
    DuplicateExtension,
}

impl BadMessage {
    /// A stable name of the fault, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::LengthPrefix => "length_prefix",
            Self::Version => "version",
            Self::WireFormat => "wire_format",
            Self::UnknownValue => "unknown_value",
            Self::DuplicateExtension => "duplicate_extension",
        }
    }
}

impl<'a> Message<'a> {
    /// Reads one message that fills `bytes` exactly. The caller bounds the length of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadMessage> {
        let mut reader = Reader::new(bytes);
        if reader.u16()? != MLS_10 {
            return Err(BadMessage::Version);
        }
        let message = match reader.u16()? {
            1 => public(&mut reader)?,
            2 => private(&mut reader)?,
            3 => welcome(&mut reader)?,
            4 => group_info(&mut reader)?,
            5 => Self::KeyPackage(Box::new(key_package::key_package(&mut reader)?)),
            _ => return Err(BadMessage::WireFormat),
        };
        reader.finish()?;
        Ok(message)
    }
}

/// RFC 9420 section 6.2: `FramedContent`, `FramedContentAuthData` and, of members, the membership tag.
fn public<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, BadMessage> {
    let group_id = reader.vector()?;
    let epoch = reader.u64()?;
    let sender = sender(reader)?;
    let authenticated_data = reader.vector()?;
    let content_type = content_type(reader)?;
    match content_type {
        ContentType::Application => skip::opaque(reader)?,
        ContentType::Proposal => skip::proposal(reader)?,
        ContentType::Commit => skip::commit(reader)?,
    }
    let _signature = reader.vector()?;
    if content_type == ContentType::Commit {
        let _confirmation_tag = reader.vector()?;
    }
    if matches!(sender, Sender::Member(_)) {
        let _membership_tag = reader.vector()?;
    }
    Ok(Message::Public { group_id, epoch, sender, content_type, authenticated_data })
}

/// RFC 9420 section 6.3.
fn private<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, BadMessage> {
    let group_id = reader.vector()?;
    let epoch = reader.u64()?;
    let content_type = content_type(reader)?;
    let authenticated_data = reader.vector()?;
    let _encrypted_sender_data = reader.vector()?;
    let _ciphertext = reader.vector()?;
    Ok(Message::Private { group_id, epoch, content_type, authenticated_data })
}

/// RFC 9420 section 12.4.3.1.
fn welcome<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, BadMessage> {
    let cipher_suite = reader.u16()?;
    let _secrets = reader.vector()?;
    let _encrypted_group_info = reader.vector()?;
    Ok(Message::Welcome { cipher_suite })
}

/// RFC 9420 sections 12.4.3 and 8.1.
fn group_info<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, BadMessage> {
    if reader.u16()? != MLS_10 {
        return Err(BadMessage::Version);
    }
    let cipher_suite = reader.u16()?;
    let group_id = reader.vector()?;
    let epoch = reader.u64()?;
    let _tree_hash = reader.vector()?;
    let _confirmed_transcript_hash = reader.vector()?;
    key_package::extensions(reader)?;
    key_package::extensions(reader)?;
    let _confirmation_tag = reader.vector()?;
    let _signer = reader.u32()?;
    let _signature = reader.vector()?;
    Ok(Message::GroupInfo { cipher_suite, group_id, epoch })
}

fn sender(reader: &mut Reader<'_>) -> Result<Sender, BadMessage> {
    match reader.u8()? {
        1 => reader.u32().map(Sender::Member),
        2 => reader.u32().map(Sender::External),
        3 => Ok(Sender::NewMemberProposal),
        4 => Ok(Sender::NewMemberCommit),
        _ => Err(BadMessage::UnknownValue),
    }
}

fn content_type(reader: &mut Reader<'_>) -> Result<ContentType, BadMessage> {
    match reader.u8()? {
        1 => Ok(ContentType::Application),
        2 => Ok(ContentType::Proposal),
        3 => Ok(ContentType::Commit),
        _ => Err(BadMessage::UnknownValue),
    }
}
