//! Frames: saying something, and reading a conversation in order.

use kez_core::{ConversationId, FrameKind, MessageId, Timestamp};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use crate::call_error::CallError;
use crate::device_client::DeviceClient;
use crate::error::{Contradiction, Problem};

/// A frame on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutgoingFrame {
    /// The message's id: the same frame may be sent again under it.
    pub mid: MessageId,
    /// An `MLSMessage`.
    #[serde(serialize_with = "crate::base64url::serialize")]
    pub frame: Vec<u8>,
}

/// Where an accepted frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Sent {
    /// Its number in the conversation.
    pub seq: u64,
    /// When the server accepted it.
    pub at: Timestamp,
}

/// A frame of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Frame {
    /// Its number in the conversation.
    pub seq: u64,
    /// When the server accepted it.
    pub at: Timestamp,
    /// The message's id.
    pub mid: MessageId,
    /// What it carries.
    pub kind: FrameKind,
    /// An `MLSMessage`. The server's word until it has been decrypted.
    #[serde(with = "crate::base64url")]
    pub frame: Vec<u8>,
}

/// Frames in order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct FramePage {
    /// Their numbers rise.
    pub frames: Vec<Frame>,
    /// The number of the conversation's last frame.
    pub seq: u64,
    /// The number of its first frame that is still there.
    pub oldest: u64,
}

/// The frames of a conversation, page by page.
#[derive(Debug)]
#[must_use]
pub struct FramePages {
    client: DeviceClient,
    cid: ConversationId,
    after: u64,
}

#[derive(Serialize)]
struct Several<'a> {
    frames: &'a [OutgoingFrame],
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Verdict>,
}

/// Of one frame among several.
#[derive(Deserialize)]
struct Verdict {
    mid: MessageId,
    status: u16,
    code: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    epoch: Option<u64>,
    seq: Option<u64>,
    at: Option<Timestamp>,
}

impl DeviceClient {
    /// Says something.
    pub async fn send(&self, cid: ConversationId, frame: &OutgoingFrame) -> Result<Sent, CallError> {
        Ok(self.call(&self.sending(cid).json(frame)).await?.json()?)
    }

    /// Says several things, in this order, with one verdict each. The server bounds their number.
    pub async fn send_all(
        &self,
        cid: ConversationId,
        frames: &[OutgoingFrame],
    ) -> Result<Vec<Result<Sent, CallError>>, CallError> {
        let answer = self.call(&self.sending(cid).json(&Several { frames })).await?;
        let Results { results } = answer.json()?;
        let are_ours = results.iter().map(|verdict| verdict.mid).eq(frames.iter().map(|frame| frame.mid));
        let verdicts: Option<Vec<_>> = results.into_iter().map(Verdict::read).collect();
        verdicts.filter(|_| are_ours).ok_or_else(|| answer.contradiction(Contradiction::OtherMessage).into())
    }

    /// The frames of a conversation after number `after`.
    pub fn frames(&self, cid: ConversationId, after: u64) -> FramePages {
        FramePages { client: self.clone(), cid, after }
    }

    fn sending(&self, cid: ConversationId) -> crate::device_client::Request {
        self.request(Method::POST, &["conversations", &cid.to_string(), "frames"])
    }
}

impl Verdict {
    /// `None` when it is none.
    fn read(self) -> Option<Result<Sent, CallError>> {
        if (200..300).contains(&self.status) {
            return Some(Ok(Sent { seq: self.seq?, at: self.at? }));
        }
        let problem = Problem::new(self.status, self.code?, self.detail.or(self.title).as_deref())?;
        Some(Err(CallError::of_frame(problem, self.epoch, self.seq)))
    }
}

impl FramePages {
    /// The next page; `None` at the end of the conversation, for now: the next call looks again.
    pub async fn next(&mut self) -> Result<Option<FramePage>, CallError> {
        let path = ["conversations", &self.cid.to_string(), "frames"];
        let request = self.client.request(Method::GET, &path).query("after", &self.after.to_string());
        let request = request.query("limit", &PAGE_ITEMS_MAX.to_string()).bytes_max(PAGE_BYTES_MAX);
        let answer = self.client.call(&request).await?;
        let page: FramePage = answer.json()?;
        if !super::rises(self.after, page.frames.iter().map(|frame| frame.seq)) {
            return Err(answer.contradiction(Contradiction::OutOfOrder).into());
        }
        let Some(last) = page.frames.last() else { return Ok(None) };
        self.after = last.seq;
        Ok(Some(page))
    }
}
