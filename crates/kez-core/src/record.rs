//! What a home server says about a handle. SPEC "Records".

use serde::{Deserialize, Serialize};

use crate::handle::{Fqhn, Handle};
use crate::key::PublicKey;
use crate::time::Timestamp;

/// The answer to a lookup: exactly these five members.
///
/// It is the server's word. The key's own word is the sigchain at `sigchain_url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `alice`.
    pub handle: Handle,
    /// `alice@example.org`.
    pub fqhn: Fqhn,
    /// The Ed25519 key that holds the handle.
    pub primary: PublicKey,
    /// Where the key's sigchain is served: `<sig-server>/v1/sigchains/ed25519/<hex>`.
    pub sigchain_url: String,
    /// When the home server accepted the registration, by its clock, in whole seconds.
    pub registered_at: Timestamp,
}
