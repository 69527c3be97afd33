//! Below `/v1`.

mod account;
mod blobs;
mod by_primary;
mod contacts;
pub(crate) mod conversations;
mod devices;
mod events;
mod healthz;
mod inbox;
mod keypackages;
mod readyz;
mod register;
mod resolve;
mod server;
mod session;
mod sigchains;
mod signed;
mod store;
mod suspension;
mod u;
