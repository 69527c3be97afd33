//! Signed tokens as nats-server makes them: a JWT whose `alg` is `ed25519-nkey`.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use kez_core::{PublicKey, Signature};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::nkey::NkeySeed;

/// The longest token that is read, in bytes. A real request has 1.5 to 5 KiB.
pub const JWT_BYTES_MAX: usize = 16 * 1024;

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadJwt {
    /// Longer than [`JWT_BYTES_MAX`].
    #[error("longer than 16 KiB")]
    TooLong,
    /// Not three parts of base64url without padding, or not JSON in them.
    #[error("not a token of three parts")]
    Malformed,
    /// Signed in another way.
    #[error("another `alg` than ed25519-nkey")]
    Alg,
    /// Not signed by who it says.
    #[error("the signature does not verify")]
    Signature,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    alg: String,
}

/// Reads a token and checks that the key that `issuer` finds in the claims signed it.
pub(crate) fn read<T: DeserializeOwned>(
    text: &[u8],
    issuer: impl FnOnce(&T) -> Option<PublicKey>,
) -> Result<T, BadJwt> {
    if text.len() > JWT_BYTES_MAX {
        return Err(BadJwt::TooLong);
    }
    let mut parts = text.split(|byte| *byte == b'.');
    let (Some(head), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(BadJwt::Malformed);
    };
    if json::<Head>(head)?.alg != "ed25519-nkey" {
        return Err(BadJwt::Alg);
    }
    let read = json::<T>(claims)?;
    let signed = text.get(..head.len() + 1 + claims.len()).ok_or(BadJwt::Malformed)?;
    let signature =
        decode(signature)?.try_into().map(Signature::from_bytes).map_err(|_| BadJwt::Malformed)?;
    let issuer = issuer(&read).ok_or(BadJwt::Signature)?;
    issuer.verify(signed, &signature).map_err(|_| BadJwt::Signature)?;
    Ok(read)
}

/// Signs claims; their `jti`, `iat` and `iss` are seen to.
pub(crate) fn write(
    claims: &impl Serialize,
    issuer: &NkeySeed,
    iat: i64,
) -> Result<String, serde_json::Error> {
    let mut claims = serde_json::to_value(claims)?;
    if let Some(members) = claims.as_object_mut() {
        members.insert("iat".into(), iat.into());
        members.insert("iss".into(), issuer.public_key().to_string().into());
        let id = BASE32_NOPAD.encode(&Sha256::digest(serde_json::to_vec(&*members)?));
        members.insert("jti".into(), id.into());
    }
    let head = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{head}.{}", BASE64URL_NOPAD.encode(&serde_json::to_vec(&claims)?));
    let signature = issuer.seed().sign(signed.as_bytes());
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_bytes())))
}

fn json<T: DeserializeOwned>(part: &[u8]) -> Result<T, BadJwt> {
    serde_json::from_slice(&decode(part)?).map_err(|_| BadJwt::Malformed)
}

fn decode(part: &[u8]) -> Result<Vec<u8>, BadJwt> {
    BASE64URL_NOPAD.decode(part).map_err(|_| BadJwt::Malformed)
}
