//! The sig-server: keeps sigchains, for everybody who signs one.
//!
//! There are no accounts: the signature is the access control. An event is verified against the stored end of its chain
//! and becomes durable in one compare-and-swap; reading gives back the stored bytes. `main.rs` parses flags and runs a
//! [`SigServer`]; the home server mounts [`router::chains`] beside its own routes. SPEC "Sigchain server".
//!
//! Never to be imported here: the home server. This crate knows keys and chains, no handles.

mod chains;
mod error;
mod extension;
mod http;
mod limits;

pub mod config;
pub mod router;
pub mod server;
pub mod store;

pub use chains::Chains;
pub use extension::Extension;
pub use limits::{BadChainLimits, BadSize, ByteSize, ChainLimits, Quotas};
pub use server::{SigServer, StartError, World};

/// What `service` says in the answer of `/v1/healthz`: how one sig-server recognises another.
pub const SERVICE: &str = "kez-sig-server";
