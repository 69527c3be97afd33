//! Conversations: their creation, their commits, their state.

use kez_core::{
    ConversationId, ConversationKind, ConversationState, DeviceId, Members, MessageId, PublicKey, Timestamp,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{LARGE_BYTES_MAX, PAGE_ITEMS_MAX, is_new};
use crate::call_error::CallError;
use crate::device_client::DeviceClient;
use crate::error::Contradiction;

/// A commit with everything that appears together with it, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bundle {
    /// The commit's message id: the same bundle may be sent again under it.
    pub id: MessageId,
    /// The epoch that the commit ends.
    pub epoch: u64,
    /// The frame.
    #[serde(serialize_with = "crate::base64url::serialize")]
    pub commit: Vec<u8>,
    /// For those who are added.
    pub welcomes: Vec<Welcome>,
    /// The sealed group information of the new epoch.
    #[serde(serialize_with = "crate::base64url::serialize")]
    pub group_info: Vec<u8>,
    /// The people after the commit.
    pub members_after: Members,
}

/// A Welcome, and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Welcome {
    /// An `MLSMessage`.
    #[serde(serialize_with = "crate::base64url::serialize")]
    pub welcome: Vec<u8>,
    /// The devices.
    pub to: Vec<WelcomeTo>,
}

/// A device that a Welcome is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WelcomeTo {
    /// Its owner.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
}

/// The answer to an accepted creation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Created {
    /// The conversation.
    pub cid: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Who may write to it now: of a request nobody, but for its one frame.
    pub state: ConversationState,
    /// Its people.
    pub members: Members,
    /// Of a direct conversation: how often the two began anew.
    pub generation: u64,
    /// Its epoch.
    pub epoch: u64,
    /// The number of the creating commit.
    pub seq: u64,
    /// When the server accepted it.
    pub at: Timestamp,
    /// The very same creation had been accepted before: an earlier answer was lost.
    #[serde(skip)]
    pub already: bool,
}

/// A conversation as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Conversation {
    /// The conversation.
    pub cid: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Who may write to it.
    pub state: ConversationState,
    /// Of a closed one: where it goes on, if it does.
    pub replaced_by: Option<ConversationId>,
    /// Its people.
    pub members: Members,
    /// Of a direct conversation: how often the two began anew.
    pub generation: u64,
    /// Its epoch.
    pub epoch: u64,
    /// The number of its last frame.
    pub seq: u64,
    /// The number of its first frame that is still there.
    pub oldest: u64,
    /// The sealed group information of its epoch.
    #[serde(with = "crate::base64url")]
    pub group_info: Vec<u8>,
}

/// A conversation in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ConversationSummary {
    /// The conversation.
    pub cid: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Who may write to it.
    pub state: ConversationState,
    /// Its epoch.
    pub epoch: u64,
    /// The number of its last frame.
    pub seq: u64,
}

/// The answer to an accepted commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Committed {
    /// The new epoch.
    pub epoch: u64,
    /// The number of the commit.
    pub seq: u64,
    /// When the server accepted it.
    pub at: Timestamp,
    /// The very same commit had been accepted before: an earlier answer was lost.
    #[serde(skip)]
    pub already: bool,
}

/// The conversations of the account, page by page.
#[derive(Debug)]
#[must_use]
pub struct ConversationPages {
    client: DeviceClient,
    after: Option<ConversationId>,
    has_ended: bool,
}

#[derive(Serialize)]
struct Creation<'a> {
    cid: ConversationId,
    kind: ConversationKind,
    bundle: &'a Bundle,
}

#[derive(Deserialize)]
struct Page {
    conversations: Vec<ConversationSummary>,
    next: Option<ConversationId>,
}

impl DeviceClient {
    /// Begins a conversation with its first bundle. With a stranger it is a request; where the other side has asked, its
    /// request is accepted, and the answer is [`ConversationExists`](CallError::ConversationExists).
    pub async fn create_conversation(
        &self,
        cid: ConversationId,
        kind: ConversationKind,
        bundle: &Bundle,
    ) -> Result<Created, CallError> {
        let request = self.request(Method::POST, &["conversations"]).json(&Creation { cid, kind, bundle });
        let answer = self.call(&request).await?;
        let mut created: Created = answer.json()?;
        if created.cid != cid || created.kind != kind {
            return Err(answer.contradiction(Contradiction::OtherConversation).into());
        }
        if created.members != bundle.members_after {
            return Err(answer.contradiction(Contradiction::OtherMembers).into());
        }
        if !bundle.is_placed(created.epoch, created.seq) {
            return Err(answer.contradiction(Contradiction::OtherEpoch).into());
        }
        created.already = !is_new(&answer);
        Ok(created)
    }

    /// A conversation of the account.
    pub async fn conversation(&self, cid: ConversationId) -> Result<Conversation, CallError> {
        let request = self.request(Method::GET, &["conversations", &cid.to_string()]);
        let answer = self.call(&request.bytes_max(LARGE_BYTES_MAX)).await?;
        let conversation: Conversation = answer.json()?;
        if conversation.cid != cid {
            return Err(answer.contradiction(Contradiction::OtherConversation).into());
        }
        Ok(conversation)
    }

    /// The conversations of the account.
    pub fn conversations(&self) -> ConversationPages {
        ConversationPages { client: self.clone(), after: None, has_ended: false }
    }

    /// Changes a conversation's group.
    pub async fn commit(&self, cid: ConversationId, bundle: &Bundle) -> Result<Committed, CallError> {
        let path = ["conversations", &cid.to_string(), "commit"];
        let answer = self.call(&self.request(Method::POST, &path).json(bundle)).await?;
        let mut committed: Committed = answer.json()?;
        if !bundle.is_placed(committed.epoch, committed.seq) {
            return Err(answer.contradiction(Contradiction::OtherEpoch).into());
        }
        committed.already = !is_new(&answer);
        Ok(committed)
    }
}

impl Bundle {
    /// Whether the commit, once accepted, can have begun this epoch, under this number of the conversation.
    fn is_placed(&self, epoch: u64, seq: u64) -> bool {
        self.epoch.checked_add(1) == Some(epoch) && seq > 0
    }
}

impl ConversationPages {
    /// The next page; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<ConversationSummary>>, CallError> {
        if self.has_ended {
            return Ok(None);
        }
        let mut request = self.client.request(Method::GET, &["conversations"]);
        request = request.query("limit", &PAGE_ITEMS_MAX.to_string());
        if let Some(after) = self.after {
            request = request.query("after", &after.to_string());
        }
        let answer = self.client.call(&request.bytes_max(LARGE_BYTES_MAX)).await?;
        let page: Page = answer.json()?;
        // A cursor that stands still would be read for ever.
        if page.next.is_some() && page.next == self.after {
            return Err(answer.contradiction(Contradiction::OutOfOrder).into());
        }
        self.has_ended = page.next.is_none();
        self.after = page.next;
        Ok(Some(page.conversations))
    }
}
