//! Contacts: who asked whom, who accepted whom. SPEC "Contacts".

use kez_core::{ContactState, ConversationId, ConversationState, Handle, PublicKey, Timestamp};
use reqwest::Method;
use serde::Deserialize;

use super::{LARGE_BYTES_MAX, PAGE_ITEMS_MAX};
use crate::call_error::CallError;
use crate::device_client::DeviceClient;
use crate::error::Contradiction;

/// Somebody of the home server, by the server's word: look the key up before it is believed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Peer {
    /// The key.
    pub primary: PublicKey,
    /// The handle that it holds; `None`: none any more.
    pub handle: Option<Handle>,
    /// Since when it holds that.
    pub registered_at: Option<Timestamp>,
}

/// A contact, or a request that waits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Contact {
    /// Who it is.
    #[serde(flatten)]
    pub peer: Peer,
    /// What they are to this account.
    pub state: ContactState,
    /// When one asked the other.
    pub asked_at: Timestamp,
    /// Since when it is so.
    pub at: Timestamp,
    /// Of a request: when it ends.
    pub expires_at: Option<Timestamp>,
    /// The conversation of the two.
    pub cid: Option<ConversationId>,
    /// How often the two began anew.
    pub generation: Option<u64>,
}

/// The contacts of the account, page by page.
#[derive(Debug)]
#[must_use]
pub struct ContactPages {
    client: DeviceClient,
    after: Option<PublicKey>,
    has_ended: bool,
}

#[derive(Deserialize)]
struct Page {
    contacts: Vec<Contact>,
    next: Option<PublicKey>,
}

#[derive(Deserialize)]
struct Accepted {
    cid: ConversationId,
    state: ConversationState,
}

#[derive(Deserialize)]
struct Removed {
    primary: PublicKey,
    state: Option<ContactState>,
}

impl DeviceClient {
    /// The contacts of the account, and the requests that wait.
    pub fn contacts(&self) -> ContactPages {
        ContactPages { client: self.clone(), after: None, has_ended: false }
    }

    /// Accepts the request that a conversation is; does nothing where that was done.
    pub async fn accept(&self, cid: ConversationId) -> Result<(), CallError> {
        let answer =
            self.call(&self.request(Method::POST, &["conversations", &cid.to_string(), "accept"])).await?;
        let accepted: Accepted = answer.json()?;
        if accepted.cid != cid || accepted.state != ConversationState::Open {
            return Err(answer.contradiction(Contradiction::OtherConversation).into());
        }
        Ok(())
    }

    /// Declines the request of somebody, who does not notice, or makes a stranger of a contact, which closes the
    /// conversation of the two; what they are now, `None`: a stranger.
    pub async fn remove_contact(&self, primary: PublicKey) -> Result<Option<ContactState>, CallError> {
        let answer = self.call(&self.request(Method::DELETE, &["contacts", &primary.to_string()])).await?;
        let removed: Removed = answer.json()?;
        if removed.primary != primary {
            return Err(answer.contradiction(Contradiction::OtherKey).into());
        }
        Ok(removed.state)
    }
}

impl ContactPages {
    /// The next page; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Contact>>, CallError> {
        if self.has_ended {
            return Ok(None);
        }
        let mut request = self.client.request(Method::GET, &["contacts"]);
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
        Ok(Some(page.contacts))
    }
}
