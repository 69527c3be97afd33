//! The inbox: what happened to an account, in order.

use kez_core::{ContactChange, ConversationId, ConversationKind, DeviceId, FrameKind, MessageId, Timestamp};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::contacts::Peer;
use super::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use crate::call_error::CallError;
use crate::device_client::DeviceClient;

/// An event of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct InboxEvent {
    /// Its number in the inbox.
    pub n: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Happening {
    /// Somebody sent a frame to a conversation, perhaps this device itself.
    Frame {
        /// The conversation.
        cid: ConversationId,
        /// Its number there.
        seq: u64,
        /// When the server accepted it.
        at: Timestamp,
        /// The message's id.
        mid: MessageId,
        /// What it carries.
        kind: FrameKind,
        /// An `MLSMessage`. The server's word until it has been decrypted.
        #[serde(with = "crate::base64url")]
        frame: Vec<u8>,
    },
    /// Somebody added devices of this account to a conversation.
    Welcome {
        /// The conversation.
        cid: ConversationId,
        /// Its kind.
        kind: ConversationKind,
        /// The number of the commit there.
        seq: u64,
        /// When the server accepted it.
        at: Timestamp,
        /// An `MLSMessage`.
        #[serde(with = "crate::base64url")]
        welcome: Vec<u8>,
        /// Those devices.
        device_ids: Vec<DeviceId>,
    },
    /// A device of this account changed.
    Device {
        /// The device.
        device_id: DeviceId,
        /// How.
        change: DeviceChange,
        /// When.
        at: Timestamp,
    },
    /// Something happened between this account and somebody.
    Contact {
        /// The conversation of the two.
        cid: ConversationId,
        /// What.
        change: ContactChange,
        /// When.
        at: Timestamp,
        /// The other side; `None`: it has left the server.
        #[serde(flatten)]
        peer: Option<Peer>,
    },
    /// Something that is newer than this client.
    #[serde(other)]
    Unknown,
}

/// How a device changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeviceChange {
    /// It was taken in.
    Enrolled,
    /// It has a new document.
    Renewed,
    /// It was let go.
    Revoked,
    /// Something that is newer than this client.
    #[serde(other)]
    Unknown,
}

/// Events in order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct InboxPage {
    /// Numbered without gaps.
    pub events: Vec<InboxEvent>,
    /// The number of the inbox's last event.
    pub head: u64,
}

/// The inbox, page by page.
#[derive(Debug)]
#[must_use]
pub struct InboxPages {
    client: DeviceClient,
    after: u64,
    /// How many items to ask for: fewer on a slow line.
    limit: u16,
}

#[derive(Serialize)]
struct Ack {
    n: u64,
}

#[derive(Deserialize)]
struct Acked {
    acked: u64,
}

impl DeviceClient {
    /// The inbox after number `after`.
    pub fn inbox(&self, after: u64) -> InboxPages {
        InboxPages { client: self.clone(), after, limit: PAGE_ITEMS_MAX }
    }

    /// Says that this device has stored everything up to number `n`. Gives the number up to which it has said so, which
    /// never falls.
    pub async fn acknowledge(&self, n: u64) -> Result<u64, CallError> {
        let request = self.request(Method::POST, &["inbox", "ack"]).json(&Ack { n });
        let Acked { acked } = self.call(&request).await?.json()?;
        Ok(acked)
    }
}

impl InboxPages {
    /// The next page, smaller ones where the line is slow; `None` at the end of the inbox, for now: the next call looks again.
    pub async fn next(&mut self) -> Result<Option<InboxPage>, CallError> {
        let request = |limit: &str| {
            let request =
                self.client.request(Method::GET, &["inbox"]).query("after", &self.after.to_string());
            request.query("limit", limit).bytes_max(PAGE_BYTES_MAX)
        };
        let answer = self.client.call_page(&mut self.limit, request).await?;
        let page: InboxPage = answer.json()?;
        let numbers = page.events.iter().map(|event| event.n);
        super::without_gaps(self.after, numbers).map_err(|what| answer.contradiction(what))?;
        let Some(last) = page.events.last() else { return Ok(None) };
        self.after = last.n;
        Ok(Some(page))
    }

    /// The number that has been read up to.
    pub fn position(&self) -> u64 {
        self.after
    }
}
