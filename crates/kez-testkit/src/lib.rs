//! What tests of the home server stand on: the real server on a free port, a clock moved by hand, people with fixed
//! keys, and an oracle that believes nothing it cannot verify.
//!
//! ```no_run
//! # async fn one_key_holds_one_handle() {
//! use kez_testkit::Net;
//!
//! let net = Net::start().await;
//! let alice = net.actor("alice");
//! alice.register("alice").await.expect_status(201);
//! assert_eq!(alice.register("alice2").await.code(), "key_taken");
//! net.check_registry().await;
//! # }
//! ```
//!
//! Everything here panics where a test should fail. Every wait has a deadline; nothing sleeps and nothing is tried
//! twice. A development dependency only: never to be imported by a program.

mod actor;
mod answer;
mod chains;
mod chance;
mod client;
mod contacts;
mod contents;
mod device;
mod device_oracle;
mod events;
pub mod framing;
mod key_packages;
pub mod mls;
mod nats;
mod net;
mod oracle;
mod postgres;
pub mod process;
mod sending_oracle;
mod sig_net;
mod talk_oracle;

pub use actor::{Actor, Draft, seed};
pub use answer::Answer;
pub use chains::{ChainWriter, check_chains};
pub use chance::Chance;
pub use client::{Call, DEADLINE};
pub use contacts::befriend_everybody;
pub use device::{DeviceActor, DeviceDraft};
pub use device_oracle::Devices;
pub use events::{Event, Events, StreamEnd};
pub use key_packages::{KeyPackagesOfAll, KeyPackagesOfDevice, one_time_packages};
pub use mls::MlsDevice;
pub use nats::{NatsPeer, NatsServer, NatsVersion, Said, Wire, nats_login};
pub use net::{Net, START, Setup};
pub use oracle::Registry;
pub use postgres::{PostgresDatabase, PostgresServer};
pub use sig_net::SigNet;
pub use talk_oracle::{Talk, check_conversations};

/// Bytes that differ in every run: ids of what is sent once, and what a client draws.
pub fn fill_random(bytes: &mut [u8]) {
    kez_serve::rng::Rng::fill(&kez_serve::rng::SystemRng, bytes);
}
