//! Below `/.well-known`.

mod host_meta;
mod webfinger;
