//! The KEZ chat home server: handles that people own, on one command.
//!
//! `main.rs` parses flags and runs a [`Server`]; tests run the same type. See ARCHITECTURE.md for a map.

mod age_clock;
mod app;
mod base64url;
mod base_url;
pub mod blobs;
mod bus;
mod caller;
mod callout;
mod commands;
mod contacts;
mod conversations;
mod devices;
mod error;
mod events;
mod http;
mod invite;
mod key_packages;
mod leaving;
mod nats;
mod record;
mod registration;
mod resolve;
mod retention;
mod secret;
mod sigchains;
mod web;
mod writes;

pub mod admin;
pub mod backup;
pub mod config;
pub mod router;
pub mod sending;
pub mod server;
pub mod small_store;
pub mod store;
pub mod webfinger;

pub use base_url::{BadBaseUrl, BaseUrl};
pub use base64url::Base64Url;
pub use devices::{DeviceRefusal, decide_enrolment, decide_revocation};
pub use events::StreamLimits;
pub use invite::{BadInviteToken, Invite, InviteHash, InviteToken};
pub use key_packages::{AcceptedKeyPackage, Upload};
pub use leaving::LeavingRefusal;
pub use nats::{NatsConfigError, NatsError, NatsKeyError, write_config as write_nats_config};
pub use registration::{Accepted, Policy, Refusal, SKEW_MAX_S, decide};
pub use resolve::{AddressRule, Lookup, Outgoing, OutgoingError, SystemLookup, is_public};
pub use server::{Server, StartError, World};
pub use sigchains::SigListener;
