//! The client of a device against the real server, with real MLS messages.

mod account;
mod blobs;
mod contacts;
mod conversations;
mod devices;
mod key_packages;
mod link;
mod lost_answers;
mod small_store;
mod stream;
mod town;
