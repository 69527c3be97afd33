//! What every server of this workspace does alike, whatever it serves.
//!
//! - [`listen`]: accepting connections and serving HTTP/1.1 on them, within limits, until a shutdown.
//! - [`edge`]: what every request meets first and every response last; [`problem`]: error bodies (RFC 9457).
//! - [`client_addr`], [`rate`], [`body`]: whose request it is, how often, and its body within limits.
//! - [`reply`], [`etag`], [`health`], [`openapi`], [`page`]: answers that are the same everywhere.
//! - [`sqlite`], [`postgres`], [`storage`]: one durable file, or a database that many share; what a store says when it
//!   cannot answer.
//! - [`place`]: where a server keeps what it keeps.
//! - [`clock`], [`rng`]: time and chance as dependencies.
//! - [`flags`], [`telemetry`], [`signals`]: how a process is told, speaks and ends.
//!
//! Never to be imported here: anything about handles, registrations, chains, conversations or devices, and any crate of
//! this workspace but `kez-core`, of which only general types such as `Timestamp` are for use. A word of the product's
//! domain in this crate is a mistake.

pub mod body;
pub mod client_addr;
pub mod clock;
pub mod edge;
pub mod etag;
pub mod flags;
pub mod health;
pub mod listen;
pub mod openapi;
pub mod page;
pub mod place;
pub mod postgres;
pub mod problem;
pub mod rate;
pub mod reply;
pub mod rng;
pub mod signals;
pub mod sqlite;
pub mod storage;
pub mod telemetry;
