//! Documents of others: believed by the core's rules, or not.

use data_encoding::HEXLOWER;
use kez_core::{
    Device, DeviceRevocation, Document, Enrolment, Envelope, PublicKey, Registration, Signature,
    SignedReceipt, Verified,
};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::js::{exactly, object, parse, refusal};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A registration that its key has signed. */
export interface RegistrationView {
  readonly handle: string;
  readonly server: string;
  readonly primary: string;
  readonly createdAt: string;
  readonly canonical: string;
}
/** A device that its primary key has taken in; every part agrees. */
export interface DeviceView {
  readonly server: string;
  readonly deviceId: string;
  readonly authKey: string;
  readonly mlsKey: string;
  readonly primary: string;
  readonly createdAt: string;
  readonly expiresAt: string;
  /** SHA-256 of the certificate, hexadecimal. */
  readonly certificateSha256: string;
  readonly canonical: string;
}
/** A device that its primary key has let go. */
export interface RevocationView {
  readonly server: string;
  readonly deviceId: string;
  readonly primary: string;
  readonly createdAt: string;
}
/** What a server signed when it deleted an account. */
export interface ReceiptView {
  readonly server: string;
  readonly handle: string;
  readonly primary: string;
  readonly deletedAt: string;
  readonly kept: readonly string[];
}
"#;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationView<'a> {
    handle: &'a str,
    server: &'a str,
    primary: String,
    created_at: String,
    canonical: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceView<'a> {
    server: &'a str,
    device_id: String,
    auth_key: String,
    mls_key: String,
    primary: String,
    created_at: String,
    expires_at: String,
    certificate_sha256: String,
    canonical: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RevocationView<'a> {
    server: &'a str,
    device_id: String,
    primary: String,
    created_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptView<'a> {
    server: &'a str,
    handle: &'a str,
    primary: String,
    deleted_at: String,
    kept: &'a [String],
}

/// Reads and believes a registration. Throws `malformed`, `wrong_type`, `key_mismatch` or `bad_signature`.
#[wasm_bindgen(js_name = readRegistration, unchecked_return_type = "RegistrationView")]
pub fn read_registration(envelope: &str) -> Result<JsValue, JsValue> {
    let verified: Verified<Registration> = believe(envelope)?;
    object(&RegistrationView {
        handle: &verified.document().handle,
        server: &verified.document().server,
        primary: verified.primary().to_string(),
        created_at: verified.created_at().to_string(),
        canonical: verified.canonical(),
    })
}

/// Reads and believes a device and its certificate. Throws what [`read_registration`] throws, and the name of the part
/// that does not agree, such as `not_after`.
#[wasm_bindgen(js_name = readDevice, unchecked_return_type = "DeviceView")]
pub fn read_device(envelope: &str) -> Result<JsValue, JsValue> {
    let enrolment = enrolment(envelope)?;
    let device = enrolment.device();
    object(&DeviceView {
        server: &device.server,
        device_id: device.device_id.to_string(),
        auth_key: device.auth_key.to_string(),
        mls_key: device.mls_key.to_string(),
        primary: enrolment.primary().to_string(),
        created_at: enrolment.envelope().created_at().to_string(),
        expires_at: device.expires_at.to_string(),
        certificate_sha256: HEXLOWER.encode(&device.mls_certificate.sha256()),
        canonical: enrolment.envelope().canonical(),
    })
}

/// Reads and believes a revocation. Throws what [`read_registration`] throws.
#[wasm_bindgen(js_name = readRevocation, unchecked_return_type = "RevocationView")]
pub fn read_revocation(envelope: &str) -> Result<JsValue, JsValue> {
    let verified: Verified<DeviceRevocation> = believe(envelope)?;
    object(&RevocationView {
        server: &verified.document().server,
        device_id: verified.document().device_id.to_string(),
        primary: verified.primary().to_string(),
        created_at: verified.created_at().to_string(),
    })
}

/// Reads and believes a receipt of a deletion by the server with this key. Throws `malformed` or `bad_signature`.
#[wasm_bindgen(js_name = readReceipt, unchecked_return_type = "ReceiptView")]
pub fn read_receipt(receipt: &str, receipt_key: &str) -> Result<JsValue, JsValue> {
    let key: PublicKey = parse(receipt_key, "bad_identifier")?;
    let signed =
        SignedReceipt::parse(receipt.as_bytes()).map_err(|error| refusal("malformed", &error.to_string()))?;
    let believed = signed.verify(&key).map_err(|error| refusal("bad_signature", &error.to_string()))?;
    object(&ReceiptView {
        server: believed.server.as_str(),
        handle: believed.handle.as_str(),
        primary: believed.primary.to_string(),
        deleted_at: believed.deleted_at.to_string(),
        kept: &believed.kept,
    })
}

/// Whether `signature` (64 bytes) over `message` is of `public_key` (32 bytes), by the one rule of this protocol.
#[wasm_bindgen(js_name = verifySignature)]
pub fn verify_signature(public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, JsValue> {
    let key = PublicKey::from_bytes(exactly(public_key, "a public key")?);
    let signature = Signature::from_bytes(exactly(signature, "a signature")?);
    Ok(key.verify(message, &signature).is_ok())
}

/// A device document in which everything agrees.
pub(crate) fn enrolment(envelope: &str) -> Result<Enrolment, JsValue> {
    Enrolment::check(believe::<Device>(envelope)?).map_err(|error| refusal(error.name(), &error.to_string()))
}

fn believe<D: Document>(envelope: &str) -> Result<Verified<D>, JsValue> {
    Envelope::parse(envelope.as_bytes())
        .map_err(|error| refusal("malformed", &error.to_string()))?
        .verify()
        .map_err(|error| refusal(error.code(), &error.to_string()))
}
