//! A client of KEZ servers: typed calls, bounded answers, and nothing taken on trust that can be checked.
//!
//! [`HomeServer`] speaks to one server at a URL the user gave; [`discover`] finds people of any other domain by
//! WebFinger. Every answer is bounded in size and time, redirects are not followed, and an answer that speaks of
//! somebody else than was asked for is an error. What a record says about a key remains the server's word.
//!
//! [`SigServer`] hands in and reads sigchains, which are the keys' own words: a chain is verified event by event while
//! it comes in, and against what was seen of it before.
//!
//! [`DeviceClient`] speaks to the home server as one device: it signs each call, within a session where it can, sends a
//! call again whose answer was lost, and reads the inbox as a stream that survives its connections. Attachments go and come part
//! by part, never whole in memory, and are not to be used before their hash was seen to fit. What MLS messages hold is the
//! caller's to encrypt and to judge; here they are bytes.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use kez_client::{CallError, DeviceClient, DeviceKeys, HomeServer, Machine, OutgoingFrame, StreamItem};
//! # use kez_core::{ConversationId, MessageId};
//! # async fn talk(keys: DeviceKeys, machine: Arc<dyn Machine>, cid: ConversationId, mid: MessageId, frame: Vec<u8>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let home = HomeServer::new("https://kez.lat".parse()?)?;
//! let device = DeviceClient::new(home, keys, machine)?;
//! match device.send(cid, &OutgoingFrame { mid, frame }).await {
//!     Ok(sent) => println!("number {} of the conversation", sent.seq),
//!     Err(CallError::StaleEpoch { epoch, .. }) => println!("encrypt anew, in epoch {epoch}"),
//!     Err(fault) => return Err(fault.into()),
//! }
//! let mut events = device.events(0);
//! loop {
//!     if let StreamItem::Event(event) = events.next().await? {
//!         println!("{:?}", event.what); // store what it says, then:
//!         device.acknowledge(event.n).await?;
//!     }
//! }
//! # }
//! ```
//!
//! Nothing here prompts, prints, reads a clock or keeps state on disk, and the servers never import this crate.

mod base64url;
mod base_url;
mod call_error;
#[cfg(test)]
mod canned;
mod device_calls;
mod device_client;
mod domain;
mod error;
mod events;
mod home_server;
mod invite;
mod machine;
mod patience;
mod sig_server;
mod sig_url;
mod sse;
mod transport;
mod webfinger;

pub use base_url::{BadBaseUrl, BaseUrl};
pub use call_error::CallError;
pub use device_calls::{
    BlobReader, BlobSource, BlobUpload, Bundle, Claimed, ClaimedKeyPackage, Committed, Contact, ContactPages,
    Conversation, ConversationPages, ConversationSummary, Created, DeviceChange, DeviceList, EnrolledDevice,
    Entry, EntryHead, Export, Frame, FramePage, FramePages, Happening, InboxEvent, InboxPage, InboxPages,
    InboxStream, KeyPackageCounts, ListedDevice, OutgoingFrame, PAGE_ITEMS_MAX, Peer, Replaces,
    RevokedDevice, Sent, SentFrames, StoredBlob, StreamItem, UploadStep, Welcome, WelcomeTo,
};
pub use device_client::{DeviceClient, DeviceKeys};
pub use domain::points_to;
pub use error::{AnswerFault, ClientError, Contradiction, Problem};
pub use events::{CHAIN_BYTES_MAX, Events, LINE_BYTES_MAX, Line};
pub use home_server::{
    HomeServer, Registered, RegistrationPolicy, STREAM_IDLE_S_MAX, STREAM_S_MAX, ServerInfo,
};
pub use invite::{BadInvite, INVITE_BYTES_MAX, Invite};
pub use machine::{Machine, Sleep};
pub use patience::Patience;
pub use sig_server::{AppendError, Appended, CHAIN_S_MAX, ChainEnd, ChainReadError, SigServer, check_key};
pub use sig_url::{BadChainUrl, BadSigUrl, ChainUrl, SigUrl};
pub use transport::{BODY_BYTES_MAX, CALL_S_MAX, IDLE_S_MAX, LARGE_CALL_S_MAX};
pub use webfinger::{Discovered, discover};
