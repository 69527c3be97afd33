//! The inbox as it fills: a stream that comes back by itself where it broke off.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;

use super::inbox::InboxEvent;
use super::without_gaps;
use crate::call_error::CallError;
use crate::device_client::DeviceClient;
use crate::error::{AnswerFault, Contradiction};
use crate::home_server::STREAM_S_MAX;
use crate::patience::Spent;
use crate::sse::{Blocks, MEDIA_TYPE, ServerEvent};
use crate::transport::Pieces;

/// The inbox as it fills.
///
/// A connection that ends, breaks off or falls silent is made anew after the last event that was given out, with the
/// waits of the client's [`Patience`](crate::Patience); an error is given out when that is used up, or when no attempt
/// can help. Asking again after an error begins again at the same place. After [`CallError::Gone`] that is no longer
/// there: go on with another stream, before `oldest`.
#[derive(Debug)]
#[must_use]
pub struct InboxStream {
    client: DeviceClient,
    after: u64,
    open: Option<Open>,
    /// On failures since the last event.
    spent: Spent,
    /// On streams that the server ended, since the last event.
    ends: Spent,
}

/// What a stream gives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamItem {
    /// A connection has been made; what the inbox holds up to this number comes now.
    Ready {
        /// The number of the inbox's last event.
        head: u64,
    },
    /// The next event.
    Event(InboxEvent),
}

#[derive(Debug)]
struct Open {
    pieces: Pieces,
    blocks: Blocks,
}

#[derive(Deserialize)]
struct Ready {
    head: u64,
}

#[derive(Deserialize)]
struct Gone {
    oldest: u64,
}

impl DeviceClient {
    /// The inbox after number `after`, and everything that comes into it from now on. Nothing is sent before the first
    /// item is asked for.
    pub fn events(&self, after: u64) -> InboxStream {
        InboxStream {
            client: self.clone(),
            after,
            open: None,
            spent: Spent::default(),
            ends: Spent::default(),
        }
    }
}

impl InboxStream {
    /// The next item, when there is one. When the future is dropped nothing is lost.
    pub async fn next(&mut self) -> Result<StreamItem, CallError> {
        loop {
            match self.attempt().await {
                Ok(Some(item)) => return Ok(item),
                Ok(None) => {
                    self.open = None;
                    self.client.wait_after_end(&mut self.ends).await;
                }
                Err(fault) => {
                    self.open = None;
                    let waited = self.client.wait(fault, &mut self.spent).await;
                    waited.inspect_err(|_| self.spent = Spent::default())?;
                }
            }
        }
    }

    /// The number of the last event that was given out.
    pub fn position(&self) -> u64 {
        self.after
    }

    /// `None`: the stream is over.
    async fn attempt(&mut self) -> Result<Option<StreamItem>, CallError> {
        if self.open.is_none() {
            self.open = Some(connect(&self.client, self.after).await?);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        while let Some(event) = open.next().await? {
            let Some(item) = read(&open.pieces, self.after, &event)? else { continue };
            if let StreamItem::Event(event) = &item {
                self.after = event.n;
                (self.spent, self.ends) = (Spent::default(), Spent::default());
            }
            return Ok(Some(item));
        }
        Ok(None)
    }
}

async fn connect(client: &DeviceClient, after: u64) -> Result<Open, CallError> {
    let request = client.request(Method::GET, &["events"]).query("after", &after.to_string());
    let pieces = client.open(&request, MEDIA_TYPE, Duration::from_secs(STREAM_S_MAX)).await?;
    if pieces.media_type() != MEDIA_TYPE {
        return Err(pieces.head().not_protocol(AnswerFault::NotEvents).into());
    }
    Ok(Open { pieces, blocks: Blocks::default() })
}

/// What an event means after number `after`; `None`: nothing to this client, which is older than it.
fn read(pieces: &Pieces, after: u64, event: &ServerEvent) -> Result<Option<StreamItem>, CallError> {
    let not_json = |_| pieces.head().not_protocol(AnswerFault::NotJson);
    let data = event.data.as_str();
    let event: InboxEvent = match event.kind.as_str() {
        "ready" => {
            let Ready { head } = serde_json::from_str(data).map_err(not_json)?;
            return Ok(Some(StreamItem::Ready { head }));
        }
        "gone" => {
            let Gone { oldest } = serde_json::from_str(data).map_err(not_json)?;
            return Err(gone(pieces, after, oldest));
        }
        "frame" | "welcome" | "device" => serde_json::from_str(data).map_err(not_json)?,
        // One with a number is the inbox's. If it was and cannot be read, the next one shows the gap.
        _ => match serde_json::from_str(data) {
            Ok(event) => event,
            Err(_) => return Ok(None),
        },
    };
    without_gaps(after, [event.n]).map_err(|what| pieces.head().contradiction(what))?;
    Ok(Some(StreamItem::Event(event)))
}

/// Where nothing is missing nothing can be gone: who went on at such a number would read events again.
fn gone(pieces: &Pieces, after: u64, oldest: u64) -> CallError {
    if oldest <= after.saturating_add(1) {
        return pieces.head().contradiction(Contradiction::OutOfOrder).into();
    }
    CallError::Gone { oldest }
}

impl Open {
    async fn next(&mut self) -> Result<Option<ServerEvent>, CallError> {
        loop {
            if let Some(event) = self.blocks.take() {
                return Ok(Some(event));
            }
            if self.blocks.is_full() {
                return Err(self.pieces.head().not_protocol(AnswerFault::EventTooLarge).into());
            }
            match self.pieces.next().await? {
                Some(piece) => self.blocks.push(&piece),
                None => return Ok(None),
            }
        }
    }
}
