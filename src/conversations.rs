//! What is asked of a conversation, checked as far as its own bytes tell: pure decisions. SPEC "Conversations".
//!
//! Whether the asker is a member, whether an id or an epoch is used up and who has which device is the store's.

use kez_core::mls_framing::{AppFrame, BadFrame, BadMessage, CommitFrame, Message, SUITE};
use kez_core::{BadMembers, ConversationId, ConversationKind, Members, MessageId, PublicKey, Timestamp};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

use crate::store::{AcceptedBundle, AcceptedFrame, NewWelcome};

/// The longest frame, in bytes: the largest padded payload with its headers, and some.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;

/// The longest bundle, in bytes of its commit, Welcomes and group info: a commit that adds 255 devices, twice.
pub(crate) const BUNDLE_BYTES_MAX: usize = 512 * 1024;

/// The longest group info, in bytes: a tree of 256 leaves, twice.
pub(crate) const GROUP_INFO_BYTES_MAX: usize = 256 * 1024;

/// The most devices that the Welcomes of a bundle may be for: the most leaves of a group.
pub(crate) const RECIPIENTS_MAX: usize = 256;

/// Why bytes are not a frame for the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FrameFault {
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("a frame has at most {FRAME_BYTES_MAX} bytes")]
    TooLarge,
    /// Not what its place in the request says.
    #[error(transparent)]
    Bad(#[from] BadFrame),
}

/// Why a bundle is none, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BundleFault {
    /// Longer than [`BUNDLE_BYTES_MAX`].
    #[error("commit, Welcomes and group info have at most {BUNDLE_BYTES_MAX} bytes")]
    TooLarge,
    /// The group info is longer than [`GROUP_INFO_BYTES_MAX`].
    #[error("the group info has at most {GROUP_INFO_BYTES_MAX} bytes")]
    GroupInfoTooLarge,
    /// `members_after` are no members.
    #[error(transparent)]
    Members(#[from] BadMembers),
    /// The commit is not a frame of the conversation.
    #[error(transparent)]
    Commit(#[from] BadFrame),
    /// The commit is of another epoch than the bundle; a first one is of epoch 0, and nobody joins by it.
    #[error("the commit does not end the epoch of the bundle")]
    Epoch,
    /// The committer would not be a member.
    #[error("the sender is not in members_after")]
    WithoutSender,
    /// A direct conversation has two members, one of own devices has one.
    #[error("a direct conversation has two members, one of own devices has one")]
    Kind,
    /// A Welcome is not one MLS message of that kind.
    #[error("a Welcome is not one")]
    Welcome(#[source] Option<BadMessage>),
    /// A Welcome is for nobody, for more than [`RECIPIENTS_MAX`], for a device twice, or for one of somebody else.
    #[error(
        "each Welcome is for devices of members, each device for one Welcome, {RECIPIENTS_MAX} devices at most"
    )]
    Recipients,
}

/// A bundle as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProposedBundle {
    /// Chosen by the client; the message id of the commit.
    pub id: MessageId,
    /// The epoch that the commit is to end.
    pub epoch: u64,
    /// The frame.
    pub commit: Vec<u8>,
    /// With their recipients.
    pub welcomes: Vec<NewWelcome>,
    /// Opaque.
    pub group_info: Vec<u8>,
    /// Who is to be in the conversation.
    pub members_after: Vec<PublicKey>,
}

/// Checks an application message.
pub(crate) fn check_frame(
    cid: ConversationId,
    id: MessageId,
    bytes: Vec<u8>,
) -> Result<AcceptedFrame, FrameFault> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(FrameFault::TooLarge);
    }
    let epoch = AppFrame::check(&bytes, cid, id)?.epoch();
    Ok(AcceptedFrame { id, epoch, bytes })
}

/// Checks the bundle by which `sender` creates a conversation of this kind at the server's time `now`.
pub(crate) fn check_first_bundle(
    bundle: ProposedBundle,
    cid: ConversationId,
    kind: ConversationKind,
    sender: &PublicKey,
    now: Timestamp,
) -> Result<AcceptedBundle, BundleFault> {
    let accepted = check(bundle, cid, Some(kind), sender, now)?;
    if accepted.epoch != 0 || accepted.is_external {
        return Err(BundleFault::Epoch);
    }
    let fits = match kind {
        ConversationKind::Direct => accepted.members_after.as_slice().len() == 2,
        ConversationKind::OwnDevices => accepted.members_after.as_slice().len() == 1,
        ConversationKind::Group => true,
    };
    if fits { Ok(accepted) } else { Err(BundleFault::Kind) }
}

/// Checks the bundle by which `sender` ends an epoch of a conversation at the server's time `now`.
pub(crate) fn check_bundle(
    bundle: ProposedBundle,
    cid: ConversationId,
    sender: &PublicKey,
    now: Timestamp,
) -> Result<AcceptedBundle, BundleFault> {
    check(bundle, cid, None, sender, now)
}

fn check(
    bundle: ProposedBundle,
    cid: ConversationId,
    creates: Option<ConversationKind>,
    sender: &PublicKey,
    now: Timestamp,
) -> Result<AcceptedBundle, BundleFault> {
    check_lengths(&bundle)?;
    let request_sha256 = request_sha256(&bundle, cid, creates);
    let members_after = Members::try_from(bundle.members_after)?;
    let commit = CommitFrame::check(&bundle.commit, cid, bundle.id, &members_after)?;
    if commit.epoch() != bundle.epoch {
        return Err(BundleFault::Epoch);
    }
    if !members_after.contains(sender) {
        return Err(BundleFault::WithoutSender);
    }
    check_welcomes(&bundle.welcomes, &members_after, commit.is_external())?;
    Ok(AcceptedBundle {
        id: bundle.id,
        epoch: bundle.epoch,
        commit: bundle.commit,
        is_external: commit.is_external(),
        welcomes: bundle.welcomes,
        group_info: bundle.group_info,
        members_after,
        request_sha256,
        at: now.truncated_to_millis(),
    })
}

fn check_lengths(bundle: &ProposedBundle) -> Result<(), BundleFault> {
    if bundle.group_info.len() > GROUP_INFO_BYTES_MAX {
        return Err(BundleFault::GroupInfoTooLarge);
    }
    let welcomes: usize = bundle.welcomes.iter().map(|welcome| welcome.bytes.len()).sum();
    let all = bundle.commit.len() + welcomes + bundle.group_info.len();
    if all > BUNDLE_BYTES_MAX { Err(BundleFault::TooLarge) } else { Ok(()) }
}

/// An external commit adds nobody, so there is nobody to welcome.
fn check_welcomes(welcomes: &[NewWelcome], members: &Members, is_external: bool) -> Result<(), BundleFault> {
    for welcome in welcomes {
        match Message::parse(&welcome.bytes) {
            Ok(Message::Welcome { cipher_suite: SUITE }) => {}
            Ok(_) => return Err(BundleFault::Welcome(None)),
            Err(fault) => return Err(BundleFault::Welcome(Some(fault))),
        }
    }
    let all: Vec<_> = welcomes.iter().flat_map(|welcome| &welcome.to).collect();
    let distinct: BTreeSet<_> = all.iter().collect();
    let is_good = all.len() <= RECIPIENTS_MAX
        && distinct.len() == all.len()
        && welcomes.iter().all(|welcome| !welcome.to.is_empty())
        && all.iter().all(|device| members.contains(&device.primary))
        && (welcomes.is_empty() || !is_external);
    if is_good { Ok(()) } else { Err(BundleFault::Recipients) }
}

/// SHA-256 of everything that was asked for, each part with its length before it: however a client writes it as JSON, a
/// repetition is one.
fn request_sha256(
    bundle: &ProposedBundle,
    cid: ConversationId,
    creates: Option<ConversationKind>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    };
    add(match creates {
        None => b"commit",
        Some(ConversationKind::Direct) => b"direct",
        Some(ConversationKind::Group) => b"group",
        Some(ConversationKind::OwnDevices) => b"self",
    });
    add(cid.as_bytes());
    add(bundle.id.as_bytes());
    add(&bundle.epoch.to_be_bytes());
    add(&bundle.commit);
    add(&bundle.group_info);
    add(&bundle.members_after.iter().flat_map(|member| *member.as_bytes()).collect::<Vec<_>>());
    for welcome in &bundle.welcomes {
        add(&welcome.bytes);
        for device in &welcome.to {
            add(device.primary.as_bytes());
            add(device.device_id.as_bytes());
        }
    }
    hash.finalize().into()
}
