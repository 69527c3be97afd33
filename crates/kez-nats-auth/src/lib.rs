//! NATS logins by KEZ keys, pure: what the bytes of the auth callout mean, and whom they let in.
//!
//! Bytes in, bytes out; the time and every random byte are arguments. Nothing here opens a socket, reads a clock or knows
//! a store, and it never panics on input, by lint. SPEC "NATS". Never to be imported here: anything but `kez-core`.

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

mod grant;
mod jwt;
mod login;
mod nkey;
mod request;
mod response;
mod seal;
mod subject;

pub use grant::{Device, Grant};
pub use jwt::{BadJwt, JWT_BYTES_MAX};
pub use login::{Login, LoginRefusal, NONCE_CHARS_MAX, NONCE_CHARS_MIN, TOKEN_BYTES_MAX, is_safe_nonce};
pub use nkey::{BadNkey, CurveSeed, Nkey, NkeySeed, Role};
pub use request::{BadRequest, CalloutRequest, EXPIRES_IN_S_MAX};
pub use response::{Addressee, admit, refuse};
pub use seal::{BadSeal, SEAL_NONCE_BYTES, open, seal};
pub use subject::{BadSubject, CallSubject, InboxToken, OP_CHARS_MAX, PRIMARY_DEVICE};
