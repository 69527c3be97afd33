//! The HTTP interface: one file per route. A handler extracts, decides, stores and responds; what it can answer
//! stands in its description, which is also the OpenAPI document.

pub(crate) mod account;
pub(crate) mod blobs;
pub(crate) mod contacts;
mod conversation_bodies;
pub(crate) mod conversations;
mod cursor;
pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod frames;
pub(crate) mod health;
pub(crate) mod inbox;
pub(crate) mod key_packages;
pub(crate) mod lookup;
pub(crate) mod nats_auth;
pub(crate) mod register;
pub(crate) mod resolve;
pub(crate) mod server_info;
pub(crate) mod session;
pub(crate) mod small_store;
pub(crate) mod web;
pub(crate) mod webfinger;

mod schema;
