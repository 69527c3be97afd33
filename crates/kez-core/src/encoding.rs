//! The forms in which signed documents travel through text: pages, DNS, chats, files. SPEC "Encodings".
//!
//! [`Artifact::find`] reads any of them. It is lenient about what stands around a document and strict about the
//! document: what was found goes through the same reader as everything else.

mod find;
mod frame;
mod write;

pub use find::{Artifact, Damage, FindError, Form};
pub use write::{DNS_LABEL, DNS_SEGMENT_BYTES_MAX, markdown};
#[cfg(feature = "zstd-write")]
pub use write::{TooLarge, bundle, compact, dns_txt};

/// What one document in the compact form begins with.
pub const COMPACT_PREFIX: &str = "kez:z1:";

/// What a chain in the bundle form begins with.
pub const BUNDLE_PREFIX: &str = "kez:zc1:";

/// The JSON text in the compact form, in bytes: far above any document, far below what hurts to unpack.
pub const COMPACT_BYTES_MAX: usize = 64 * 1024;

/// The JSON lines in the bundle form, in bytes: a chain of the greatest length with usual events has half of it.
pub const BUNDLE_BYTES_MAX: usize = 16 * 1024 * 1024;
