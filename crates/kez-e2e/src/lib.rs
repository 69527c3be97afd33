//! End-to-end encryption: one device, its conversations, and what it believes.
//!
//! MLS (RFC 9420) on OpenMLS, from the first message on. What is ours is around it: certificates of devices, frames that are
//! bound to their place, one [`policy`] for everybody, payloads that do not tell their length, and an [`Engine`] that stores
//! before it sends and before it acknowledges. SPEC "End-to-end encryption".
//!
//! The same code runs in the command line client and, as wasm, in the browser. Nothing here reads a clock, draws a random
//! number, opens a file or a socket: time, chance and storage are the host's. The servers never import this crate.
//!
//! One step after another, each stored before it counts:
//!
//! ```
//! # use kez_e2e::{Chance, DeviceSecrets, Effect, Engine, Fault, Step};
//! # use std::collections::BTreeMap;
//! struct Host {
//!     engine: Engine,
//!     disk: BTreeMap<Vec<u8>, Vec<u8>>, // any store that writes all of a step or nothing
//! }
//!
//! impl Host {
//!     /// Stores a step, and says what is to be done then.
//!     fn take(&mut self, step: Step) -> Result<Vec<Effect>, Fault> {
//!         for (key, change) in step.changes() {
//!             match change {
//!                 Some(content) => self.disk.insert(key.clone(), content.clone()),
//!                 None => self.disk.remove(key),
//!             };
//!         }
//!         self.engine.stored(step)
//!     }
//! }
//! ```
//!
//! | it happens | call | then |
//! | --- | --- | --- |
//! | the device is new, or few key packages are left | [`Engine::key_packages`] | upload them |
//! | somebody starts a conversation | [`Engine::create`] | ask the server; the log shows it as frame 1 |
//! | the inbox has a Welcome | [`Engine::welcome`] | acknowledge it |
//! | the inbox has a frame | [`Engine::frame`] | show it, acknowledge it |
//! | somebody writes | [`Engine::send`] | send the frame; the log shows it |
//! | people or devices change | [`Engine::change`] | send the bundle; the log shows it, or another one that came first |
//! | a new device, or one that could not follow | [`Engine::enter`] | send the bundle; the log shows it |
//! | the program starts | [`Engine::unsent`] | send all of it again |

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

mod bundle;
mod engine;
mod ephemeral;
mod facts;
mod fault;
mod files;
mod own_store;
mod payload;
pub mod policy;
mod records;
mod room;
mod safety;
mod seal;
mod settings;
mod storage;
#[cfg(test)]
mod vectors;

pub use bundle::{Bundle, Welcome};
pub use engine::{
    Change, ConversationView, DeviceSecrets, Effect, Engine, EntryInfo, Inside, Newcomer, Standing, Step,
};
pub use ephemeral::{
    EPHEMERAL_AGE_MS_MAX, EPHEMERAL_BYTES, Ephemeral, EphemeralKind, NotEphemeral, ephemeral_epoch,
};
pub use fault::Fault;
pub use files::{
    FILE_BYTES_MAX, FILE_CHUNK_BYTES, FILE_TAG_BYTES, FileFault, FileKey, FileOpener, FileSealer, SealedFile,
    open_file, seal_file, sealed_file_bytes,
};
pub use own_store::{BadRooms, ROOMS_MAX, Rooms, StoreKey};
pub use payload::{BODY_BYTES_MAX, BUCKETS, BadPayload, ChainHead, Content, File, Payload, ReplyTo, TooLong};
pub use records::{Device, Line, LogFrame, What};
pub use room::{BadRoom, GroupInfoKey, Room};
pub use safety::{BadSafetyQr, EpochCode, SafetyNumber, SafetyQr, Scanned};
pub use seal::{NotOpened, open_group_info};
pub use storage::{Bytes, Chance, Key, RecordFault};
