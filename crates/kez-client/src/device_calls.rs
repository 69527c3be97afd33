//! The calls of a device. SPEC "Device calls", "Key package calls", "Conversations", "Contacts", "Inbox and events",
//! "Blobs", "Small store".

mod account;
mod blobs;
mod contacts;
mod conversations;
mod devices;
mod frames;
mod inbox;
mod key_packages;
mod small_store;
mod stream;

use crate::error::Contradiction;

pub use account::Export;
pub use blobs::{BlobReader, BlobSource, BlobUpload, StoredBlob, UploadStep};
pub use contacts::{Contact, ContactPages, Peer};
pub use conversations::{
    Bundle, Committed, Conversation, ConversationPages, ConversationSummary, Created, Welcome, WelcomeTo,
};
pub use devices::{DeviceList, EnrolledDevice, ListedDevice, RevokedDevice};
pub use frames::{Frame, FramePage, FramePages, OutgoingFrame, Sent, SentFrames};
pub use inbox::{DeviceChange, Happening, InboxEvent, InboxPage, InboxPages};
pub use key_packages::{Claimed, ClaimedKeyPackage, KeyPackageCounts};
pub use small_store::{Entry, EntryHead, Replaces};
pub use stream::{InboxStream, StreamItem};

/// The most items of one page.
pub const PAGE_ITEMS_MAX: u16 = 500;

/// The largest answer of a page, in bytes: 1 MiB of frames becomes 4/3 of it in base64url, and one bundle with its
/// Welcome may stand alone in a page. With room for what stands around them.
const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The largest answer with group information or key packages, in bytes: 512 KiB in base64url, with room.
const LARGE_BYTES_MAX: usize = 1024 * 1024;

/// What a success that tells new from old says.
fn is_new(answer: &crate::transport::Answer) -> bool {
    answer.status() == reqwest::StatusCode::CREATED
}

/// Whether each number is the next one, the first after `after`; else what is wrong with them. Who acknowledges a number
/// gives up all before it, so none may be missing unnoticed.
fn without_gaps(after: u64, numbers: impl IntoIterator<Item = u64>) -> Result<(), Contradiction> {
    let mut last = after;
    numbers.into_iter().try_for_each(|number| match number.checked_sub(last) {
        None | Some(0) => Err(Contradiction::OutOfOrder),
        Some(1) => {
            last = number;
            Ok(())
        }
        Some(_) => Err(Contradiction::Gap),
    })
}

/// Whether each number is greater than the one before, the first than `after`.
fn rises(after: u64, numbers: impl Iterator<Item = u64>) -> bool {
    let mut last = after;
    numbers.into_iter().all(|number| std::mem::replace(&mut last, number) < number)
}
