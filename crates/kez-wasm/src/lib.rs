//! What the web client calls in its Worker: the protocol core behind wasm-bindgen.
//!
//! A thin face. Bytes and text come in, bytes, text and plain objects go out; every rule is in `kez-core`, so that the
//! browser believes exactly what the servers and the command line believe. Nothing here reads a clock or draws a random
//! number: the Worker passes both in. No network, no storage.
//!
//! Secrets live in [`Identity`], [`DeviceKeys`] and [`Caller`], on this side of the boundary; `free()` wipes them, and so
//! does the end of the Worker.
//!
//! What is refused throws an `Error` whose `name` is a stable code, such as `bad_phrase`, and whose `message` is English.

mod calls;
mod chain;
mod device;
mod documents;
mod handle;
mod identity;
mod js;
mod lock;

pub use calls::{Caller, Exchange, content_digest};
pub use chain::read_chain;
pub use device::DeviceKeys;
pub use documents::{read_device, read_receipt, read_registration, read_revocation, verify_signature};
pub use handle::{handle_fault, parse_address};
pub use identity::{Identity, check_phrase};
pub use lock::stretch_passphrase;
