//! The passphrase that locks a browser's vault.

use argon2::{Algorithm, Argon2, Params, Version};
use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

use crate::js::refusal;

/// The least that a vault is stretched with, in KiB: half of what is usual here, below which a file on disk was changed.
const MEMORY_KIB_MIN: u32 = 19 * 1024;

/// Stretches a passphrase to 32 bytes by Argon2id (RFC 9106) with one lane. `salt`: 16 bytes. Throws `bad_lock` when the
/// parameters are out of range; takes about a second.
#[wasm_bindgen(js_name = stretchPassphrase)]
pub fn stretch_passphrase(
    passphrase: String,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
) -> Result<Vec<u8>, JsValue> {
    let passphrase = Zeroizing::new(passphrase);
    let bad = |error: argon2::Error| refusal("bad_lock", &error.to_string());
    if memory_kib < MEMORY_KIB_MIN || salt.len() != 16 {
        return Err(refusal("bad_lock", "too little memory, or a salt of another length"));
    }
    let params = Params::new(memory_kib, passes, 1, Some(32)).map_err(bad)?;
    let mut key = vec![0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key)
        .map_err(bad)?;
    Ok(key)
}
