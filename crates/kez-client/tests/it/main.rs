//! The client of a device against the real server, with real MLS messages.

mod devices;
mod key_packages;
mod link;
mod lost_answers;
mod town;
