//! Signed calls (RFC 9421), by the device's key or by a session. SPEC "Signed calls".

use kez_core::http_signature::{self, Nonce, RequestParts, Signer};
use kez_core::{ExchangeKey, ExchangeSecret, SessionContext};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::device::DeviceKeys;
use crate::js::{exactly, object, parse, refusal};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** The headers that sign a request. */
export interface SignatureHeaders {
  readonly signatureInput: string;
  readonly signature: string;
}
"#;

/// Signs calls.
#[wasm_bindgen]
pub struct Caller {
    signer: Signer,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Headers {
    signature_input: String,
    signature: String,
}

#[wasm_bindgen]
impl Caller {
    /// By the auth key of a device of `primary`.
    #[wasm_bindgen(js_name = byDevice)]
    pub fn by_device(primary: &str, device: &DeviceKeys) -> Result<Caller, JsValue> {
        let keys = device.keys();
        let primary = parse(primary, "bad_identifier")?;
        Ok(Self { signer: Signer::Device { primary, device_id: keys.id, seed: keys.auth.clone() } })
    }

    /// Signs a request at `created_s` (Unix seconds by the server's clock) for `lifetime_s` seconds.
    ///
    /// `authority` is host and port as in the URL, `query` is without `?`, `content_digest` that of the body if there is
    /// one, `nonce` 16 random bytes.
    #[wasm_bindgen(unchecked_return_type = "SignatureHeaders")]
    #[expect(clippy::too_many_arguments, reason = "the parts of a request that a signature covers")]
    pub fn sign(
        &self,
        method: &str,
        authority: &str,
        path: &str,
        query: &str,
        content_digest: Option<String>,
        created_s: f64,
        lifetime_s: u32,
        nonce: &[u8],
    ) -> Result<JsValue, JsValue> {
        let parts = RequestParts {
            method,
            authority,
            path,
            query: Some(query),
            content_digest: content_digest.as_deref(),
        };
        let nonce = Nonce::from_random(exactly(nonce, "a nonce")?);
        #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
        let headers = http_signature::sign(&self.signer, &parts, created_s as i64, lifetime_s.into(), &nonce)
            .map_err(|error| refusal(error.code(), &error.to_string()))?;
        object(&Headers { signature_input: headers.signature_input, signature: headers.signature })
    }
}

/// `Content-Digest` of a body (RFC 9530).
#[wasm_bindgen(js_name = contentDigest)]
pub fn content_digest(body: &[u8]) -> String {
    http_signature::content_digest(body)
}

/// This side of the key agreement that opens a session.
#[wasm_bindgen]
pub struct Exchange {
    secret: ExchangeSecret,
}

#[wasm_bindgen]
impl Exchange {
    /// From 32 random bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(secret: &[u8]) -> Result<Exchange, JsValue> {
        Ok(Self { secret: ExchangeSecret::from_bytes(exactly(secret, "a secret")?) })
    }

    /// What goes to the server.
    #[wasm_bindgen(getter, js_name = publicKey)]
    pub fn public_key(&self) -> String {
        self.secret.public_key().to_string()
    }

    /// Who signs the calls of the session `token`, which the server with `server_key` gave to this device. Throws
    /// `bad_exchange_key` when the server's key is none.
    pub fn caller(
        &self,
        server_key: &str,
        primary: &str,
        device_id: &str,
        token: &str,
    ) -> Result<Caller, JsValue> {
        let server: ExchangeKey = parse(server_key, "bad_exchange_key")?;
        let context = SessionContext {
            client: self.secret.public_key(),
            server,
            primary: parse(primary, "bad_identifier")?,
            device_id: parse(device_id, "bad_id")?,
        };
        let key = self
            .secret
            .session_key(&server, &context)
            .ok_or_else(|| refusal("bad_exchange_key", "the server's key is of small order"))?;
        Ok(Caller { signer: Signer::Session { token: parse(token, "bad_session_token")?, key } })
    }
}
