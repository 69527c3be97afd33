//! Sigchains: read from their first event on, every signature and link checked.

use kez_core::PrimaryKey;
use kez_core::sigchain::Chain;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::js::{object, parse, refusal};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What a checked sigchain says. */
export interface ChainView {
  readonly id: string;
  readonly primary: string;
  readonly keySince: string;
  readonly seq: number;
  readonly head: string;
  readonly subjects: readonly { readonly subject: string; readonly since: string }[];
  readonly devices: readonly {
    readonly deviceId: string;
    readonly certificateSha256: string;
    readonly since: string;
    readonly revokedAt?: string;
  }[];
  readonly rotations: number;
}
"#;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChainView {
    id: String,
    primary: String,
    key_since: String,
    seq: u64,
    head: String,
    subjects: Vec<SubjectView>,
    devices: Vec<DeviceView>,
    rotations: usize,
}

#[derive(Serialize)]
struct SubjectView {
    subject: String,
    since: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceView {
    device_id: String,
    certificate_sha256: String,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

/// Reads the chain of `id` from its lines. Throws the code of the first fault, such as `bad_signature`.
#[wasm_bindgen(js_name = readChain, unchecked_return_type = "ChainView")]
pub fn read_chain(id: &str, jsonl: &str) -> Result<JsValue, JsValue> {
    let id: PrimaryKey = parse(id, "bad_identifier")?;
    let chain = Chain::read(Some(id), jsonl).map_err(|error| refusal(error.code(), &error.to_string()))?;
    let subjects = chain
        .subjects()
        .iter()
        .map(|(subject, held)| SubjectView { subject: subject.to_string(), since: held.since.to_string() });
    let devices = chain.devices().iter().map(|(device_id, device)| DeviceView {
        device_id: device_id.to_string(),
        certificate_sha256: device.certificate_sha256.to_string(),
        since: device.since.to_string(),
        revoked_at: device.revoked_at.map(|at| at.to_string()),
    });
    object(&ChainView {
        id: chain.id().to_string(),
        primary: chain.primary().to_string(),
        key_since: chain.key_since().to_string(),
        seq: chain.head().seq,
        head: chain.head().hash.to_string(),
        subjects: subjects.collect(),
        devices: devices.collect(),
        rotations: chain.rotations().len(),
    })
}
