//! Bodies of the calls about conversations.

use kez_core::{
    ConversationId, ConversationKind, ConversationState, DeviceId, FrameKind, Members, MessageId, PublicKey,
    Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::base64url::Base64Url;
use crate::conversations::ProposedBundle;
use crate::store::{Conversation, ConversationSummary, FramePage, NewWelcome, Recipient, StoredFrame};

/// A conversation to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewConversation)]
pub(crate) struct CreateBody {
    /// 16 random bytes; the id of the MLS group.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    pub cid: ConversationId,
    /// `direct`: two people; `group`; `self`: the devices of one.
    #[schema(value_type = String, example = "direct", pattern = "^(direct|group|self)$")]
    pub kind: ConversationKind,
    /// The commit that ends epoch 0.
    pub bundle: BundleBody,
}

/// A commit and what belongs to it. Accepted whole, or not at all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Bundle)]
pub(crate) struct BundleBody {
    /// 16 random bytes; the message id of the commit.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    id: MessageId,
    /// The epoch that the commit ends.
    epoch: u64,
    /// The MLS message; base64url without padding.
    #[schema(value_type = String)]
    commit: Base64Url,
    /// What newcomers need. One for each group of them.
    welcomes: Vec<WelcomeBody>,
    /// What a device needs to join by itself in the new epoch: opaque, at most 256 KiB; base64url without padding.
    #[schema(value_type = String)]
    group_info: Base64Url,
    /// Who is in the conversation from then on.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 64)]
    members_after: Vec<PublicKey>,
}

/// An MLS Welcome and the devices that it is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Welcome)]
struct WelcomeBody {
    /// The MLS message; base64url without padding.
    #[schema(value_type = String)]
    welcome: Base64Url,
    /// Active devices of `members_after`.
    to: Vec<RecipientBody>,
}

/// A device.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Recipient)]
struct RecipientBody {
    /// Whose.
    #[schema(value_type = String, pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: PublicKey,
    /// Which.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    device_id: DeviceId,
}

/// A conversation that was created.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedConversation)]
pub(crate) struct CreatedBody {
    /// Its id.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    pub cid: ConversationId,
    /// Its kind.
    #[schema(value_type = String, example = "direct")]
    pub kind: ConversationKind,
    /// `open`, or `pending`: a request. As it is now.
    #[schema(value_type = String, example = "open", pattern = "^(open|pending|closed)$")]
    pub state: ConversationState,
    /// Who was in it at first.
    #[schema(value_type = Vec<String>)]
    pub members: Members,
    /// 1, and one more each time a pair moves to a new conversation.
    pub generation: u64,
    /// 1: the epoch after its first commit.
    pub epoch: u64,
    /// 1: the number of that commit.
    pub seq: u64,
    /// When the server accepted it, to the millisecond.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A commit that was accepted.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedCommit)]
pub(crate) struct CommittedBody {
    /// The epoch that it begins.
    pub epoch: u64,
    /// Its number in the conversation.
    pub seq: u64,
    /// When the server accepted it, to the millisecond.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = Conversation)]
pub(crate) struct ConversationBody {
    /// Its id.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    cid: ConversationId,
    /// Its kind.
    #[schema(value_type = String, example = "direct")]
    kind: ConversationKind,
    /// `open`; `pending`: a request; `closed`: nobody writes to it any more.
    #[schema(value_type = String, example = "open", pattern = "^(open|pending|closed)$")]
    state: ConversationState,
    /// Of a closed one that goes on in another: that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{32}$")]
    replaced_by: Option<ConversationId>,
    /// Who is in it.
    #[schema(value_type = Vec<String>)]
    members: Members,
    /// 1, and one more each time a pair moves to a new conversation.
    generation: u64,
    /// The head: frames are accepted in this epoch.
    epoch: u64,
    /// The head: the number of the last frame.
    seq: u64,
    /// The first frame that the caller may still read.
    oldest: u64,
    /// The group info of the last commit; base64url without padding.
    #[schema(value_type = String)]
    group_info: Base64Url,
}

/// Conversations.
#[derive(Serialize, ToSchema)]
#[schema(as = ConversationList)]
pub(crate) struct ListBody {
    /// Oldest first.
    conversations: Vec<SummaryBody>,
    /// Where there is more: the `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next: Option<ConversationId>,
}

/// A line in a list of conversations.
#[derive(Serialize, ToSchema)]
#[schema(as = ConversationSummary)]
struct SummaryBody {
    /// Its id.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    cid: ConversationId,
    /// Its kind.
    #[schema(value_type = String, example = "direct")]
    kind: ConversationKind,
    /// `open`, `pending` or `closed`.
    #[schema(value_type = String, example = "open", pattern = "^(open|pending|closed)$")]
    state: ConversationState,
    /// The head: frames are accepted in this epoch.
    epoch: u64,
    /// The head: the number of the last frame.
    seq: u64,
}

/// One frame, `mid` and `frame`; or several, `frames`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Frames)]
pub(crate) struct FramesBody {
    /// The id of the one frame.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{32}$")]
    pub mid: Option<MessageId>,
    /// The one frame.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub frame: Option<Base64Url>,
    /// 1 to 16 frames.
    #[serde(default, deserialize_with = "present")]
    #[schema(max_items = 16)]
    pub frames: Option<Vec<FrameBody>>,
}

/// An MLS application message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Frame)]
pub(crate) struct FrameBody {
    /// 16 random bytes: the message's id, by which a repetition is known.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    pub mid: MessageId,
    /// The MLS message, at most 64 KiB; base64url without padding.
    #[schema(value_type = String)]
    pub frame: Base64Url,
}

/// A member that is there is not null.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Where one frame was put; or what became of several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = AppendedFrames)]
pub(crate) enum AppendedBody {
    /// One frame.
    One(PlacedBody),
    /// Several.
    Many(ResultsBody),
}

/// Where a frame was put.
#[derive(Serialize, ToSchema)]
#[schema(as = PlacedFrame)]
pub(crate) struct PlacedBody {
    /// Its number in the conversation.
    pub seq: u64,
    /// When the server accepted it, to the millisecond.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// What became of frames, in their order.
#[derive(Serialize, ToSchema)]
#[schema(as = FrameResults)]
pub(crate) struct ResultsBody {
    /// A verdict for each.
    pub results: Vec<ResultBody>,
}

/// What became of a frame: as if it had been sent alone.
#[derive(Serialize, ToSchema)]
#[schema(as = FrameResult)]
pub(crate) struct ResultBody {
    /// Its id.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    pub mid: MessageId,
    /// 201: accepted; 200: was accepted before; 400, 409, 413: refused.
    pub status: u16,
    /// Of a refused one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// Its number; with `stale_epoch` that of the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When the server accepted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// What else a refusal says, such as `epoch`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: Map<String, Value>,
}

/// A piece of a conversation's log.
#[derive(Serialize, ToSchema)]
#[schema(as = FramePage)]
pub(crate) struct PageBody {
    /// In the order of their numbers, without gaps.
    frames: Vec<StoredFrameBody>,
    /// The number of the last frame that the caller may read.
    seq: u64,
    /// The first frame that the caller may still read.
    oldest: u64,
}

/// A frame of a conversation's log.
#[derive(Serialize, ToSchema)]
#[schema(as = StoredFrame)]
struct StoredFrameBody {
    /// Its number in the conversation.
    seq: u64,
    /// When the server accepted it, to the millisecond.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Its id.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    mid: MessageId,
    /// `app` or `commit`.
    #[schema(value_type = String, example = "app", pattern = "^(app|commit)$")]
    kind: FrameKind,
    /// The MLS message; base64url without padding.
    #[schema(value_type = String)]
    frame: Base64Url,
}

impl From<BundleBody> for ProposedBundle {
    fn from(body: BundleBody) -> Self {
        Self {
            id: body.id,
            epoch: body.epoch,
            commit: body.commit.0,
            welcomes: body.welcomes.into_iter().map(NewWelcome::from).collect(),
            group_info: body.group_info.0,
            members_after: body.members_after,
        }
    }
}

impl From<WelcomeBody> for NewWelcome {
    fn from(body: WelcomeBody) -> Self {
        let recipient = |body: RecipientBody| Recipient { primary: body.primary, device_id: body.device_id };
        Self { bytes: body.welcome.0, to: body.to.into_iter().map(recipient).collect() }
    }
}

impl From<Conversation> for ConversationBody {
    fn from(found: Conversation) -> Self {
        Self {
            cid: found.cid,
            kind: found.kind,
            state: found.state,
            replaced_by: found.replaced_by,
            members: found.members,
            generation: found.generation,
            epoch: found.head.epoch,
            seq: found.head.seq,
            oldest: found.oldest,
            group_info: Base64Url(found.group_info),
        }
    }
}

impl ListBody {
    /// Of a list that goes on if it is longer than `limit`.
    pub(super) fn new(mut found: Vec<ConversationSummary>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let goes_on = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| goes_on).map(|last| last.cid);
        let line = |one: ConversationSummary| SummaryBody {
            cid: one.cid,
            kind: one.kind,
            state: one.state,
            epoch: one.head.epoch,
            seq: one.head.seq,
        };
        Self { conversations: found.into_iter().map(line).collect(), next }
    }
}

impl From<FramePage> for PageBody {
    fn from(page: FramePage) -> Self {
        let frame = |frame: StoredFrame| StoredFrameBody {
            seq: frame.seq,
            at: frame.at,
            mid: frame.mid,
            kind: frame.kind,
            frame: Base64Url(frame.bytes),
        };
        Self { frames: page.frames.into_iter().map(frame).collect(), seq: page.head, oldest: page.oldest }
    }
}
