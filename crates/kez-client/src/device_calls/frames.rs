//! Frames: saying something, and reading a conversation in order.

use kez_core::{ConversationId, FRAMES_BODY_BYTES_MAX, FRAMES_MAX, FrameKind, MessageId, Timestamp};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use crate::call_error::CallError;
use crate::device_client::DeviceClient;
use crate::error::{ClientError, Contradiction, Problem};

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

/// What became of several frames.
#[derive(Debug)]
#[must_use = "frames may have been refused, or not have been sent"]
#[non_exhaustive]
pub struct SentFrames {
    /// Of the first frames, in their order.
    pub verdicts: Vec<Result<Sent, CallError>>,
    /// Why the other frames have no verdict; `None`: there are none. Those were not sent, or, after a call without an
    /// answer, may have arrived.
    pub stopped: Option<CallError>,
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
    /// How many items to ask for: fewer on a slow line.
    limit: u16,
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
    retry_after_s: Option<u64>,
}

impl DeviceClient {
    /// Says something.
    pub async fn send(&self, cid: ConversationId, frame: &OutgoingFrame) -> Result<Sent, CallError> {
        Ok(self.call(&self.sending(cid).json(frame)).await?.json()?)
    }

    /// Says several things, in this order, in as many calls as their number and size need.
    ///
    /// Sends nothing more after a refusal that all the others would meet as well, or after a call without an answer.
    /// Sending what has no verdict again, and what has one, is safe.
    pub async fn send_all(&self, cid: ConversationId, frames: &[OutgoingFrame]) -> SentFrames {
        let mut sent = SentFrames { verdicts: Vec::with_capacity(frames.len()), stopped: None };
        let mut rest = frames;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest));
            match self.send_some(cid, now).await {
                Ok(verdicts) => sent.verdicts.extend(verdicts),
                Err(fault) => return SentFrames { stopped: Some(fault), ..sent },
            }
            let hopeless = sent.verdicts.iter().filter_map(|verdict| verdict.as_ref().err()).find_map(of_all);
            if let Some(fault) = hopeless.filter(|_| !later.is_empty()) {
                return SentFrames { stopped: Some(fault), ..sent };
            }
            rest = later;
        }
        sent
    }

    /// One call, a verdict for each frame.
    async fn send_some(
        &self,
        cid: ConversationId,
        frames: &[OutgoingFrame],
    ) -> Result<Vec<Result<Sent, CallError>>, CallError> {
        let answer = match self.call(&self.sending(cid).json(&Several { frames })).await {
            Ok(answer) => answer,
            // One that fits in no request: the others may.
            Err(fault) if frames.len() == 1 && is_too_large(&fault) => return Ok(vec![Err(fault)]),
            Err(fault) => return Err(fault),
        };
        let Results { results } = answer.json()?;
        let are_ours = results.iter().map(|verdict| verdict.mid).eq(frames.iter().map(|frame| frame.mid));
        let verdicts: Option<Vec<_>> = results.into_iter().map(Verdict::read).collect();
        verdicts.filter(|_| are_ours).ok_or_else(|| answer.contradiction(Contradiction::OtherMessage).into())
    }

    /// The frames of a conversation after number `after`.
    pub fn frames(&self, cid: ConversationId, after: u64) -> FramePages {
        FramePages { client: self.clone(), cid, after, limit: PAGE_ITEMS_MAX }
    }

    fn sending(&self, cid: ConversationId) -> crate::device_client::Request {
        self.request(Method::POST, &["conversations", &cid.to_string(), "frames"])
    }
}

/// How many of these frames fit in one request: one, whatever its size.
fn fitting(frames: &[OutgoingFrame]) -> usize {
    let mut bytes = r#"{"frames":[]}"#.len();
    let fits = |frame: &&OutgoingFrame| {
        bytes += frame.bytes() + 1; // a comma
        bytes <= FRAMES_BODY_BYTES_MAX
    };
    frames.iter().take(FRAMES_MAX).take_while(fits).count().max(1)
}

/// The same refusal for all other frames, where one says that they will meet it: they are of one epoch, sender and
/// conversation.
fn of_all(refusal: &CallError) -> Option<CallError> {
    match *refusal {
        CallError::StaleEpoch { epoch, seq } => Some(CallError::StaleEpoch { epoch, seq }),
        CallError::NotAMember => Some(CallError::NotAMember),
        CallError::UnknownDevice => Some(CallError::UnknownDevice),
        CallError::QuotaExceeded { retry_after_s } => Some(CallError::QuotaExceeded { retry_after_s }),
        _ => None,
    }
}

fn is_too_large(fault: &CallError) -> bool {
    matches!(fault, CallError::Client(ClientError::Refused(problem)) if problem.status == 413)
}

impl OutgoingFrame {
    /// The length of its JSON.
    fn bytes(&self) -> usize {
        r#"{"mid":"","frame":""}"#.len() + 32 + (self.frame.len() * 4).div_ceil(3)
    }
}

impl Verdict {
    /// `None` when it is none.
    fn read(self) -> Option<Result<Sent, CallError>> {
        if (200..300).contains(&self.status) {
            return Some(Ok(Sent { seq: self.seq?, at: self.at? }));
        }
        let problem = Problem::new(self.status, self.code?, self.detail.or(self.title).as_deref())?;
        let problem = Problem { retry_after_s: self.retry_after_s, ..problem };
        Some(Err(CallError::of_frame(problem, self.epoch, self.seq)))
    }
}

impl FramePages {
    /// The next page, smaller ones where the line is slow; `None` at the end of the conversation, for now: the next call looks again.
    pub async fn next(&mut self) -> Result<Option<FramePage>, CallError> {
        let path = ["conversations", &self.cid.to_string(), "frames"];
        let request = |limit: &str| {
            let request = self.client.request(Method::GET, &path).query("after", &self.after.to_string());
            request.query("limit", limit).bytes_max(PAGE_BYTES_MAX)
        };
        let answer = self.client.call_page(&mut self.limit, request).await?;
        let page: FramePage = answer.json()?;
        if !super::rises(self.after, page.frames.iter().map(|frame| frame.seq)) {
            return Err(answer.contradiction(Contradiction::OutOfOrder).into());
        }
        let Some(last) = page.frames.last() else { return Ok(None) };
        self.after = last.seq;
        Ok(Some(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(count: usize, len: usize) -> Vec<OutgoingFrame> {
        vec![OutgoingFrame { mid: MessageId::from_bytes([1; 16]), frame: vec![7; len] }; count]
    }

    #[test]
    fn frames_are_split_by_number_and_by_size() {
        assert_eq!(fitting(&frames(17, 10)), 16);
        assert_eq!(fitting(&frames(3, 10)), 3);
        assert_eq!(fitting(&frames(16, 61_440)), 8);
        assert_eq!(fitting(&frames(2, FRAMES_BODY_BYTES_MAX)), 1);
        for count in 9..=FRAMES_MAX {
            let about = (FRAMES_BODY_BYTES_MAX / count - 54) * 3 / 4;
            for len in about - 3..about + 3 {
                let frames = frames(count, len);
                let body = serde_json::to_string(&Several { frames: &frames }).unwrap();
                // The bound counts a comma more than there are.
                assert_eq!(fitting(&frames) == count, body.len() < FRAMES_BODY_BYTES_MAX, "{count} of {len}");
            }
        }
    }
}
