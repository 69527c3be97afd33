//! The primary key: made, restored, and what it signs.

use kez_core::sigchain::{Chain, Event, Op, Sha256Hex};
use kez_core::{
    AccountDeletion, Device, DeviceCertificate, DeviceId, DeviceRevocation, Document, Envelope, Phrase,
    Registration, Seed, WordCount,
};
use wasm_bindgen::prelude::*;

use crate::device::DeviceKeys;
use crate::documents::enrolment;
use crate::js::{exactly, parse, refusal, time};

/// A primary key with its seed.
#[wasm_bindgen]
pub struct Identity {
    seed: Seed,
}

#[wasm_bindgen]
impl Identity {
    /// From 32 bytes: fresh random ones, or those of a vault.
    #[wasm_bindgen(js_name = fromSeed)]
    pub fn from_seed(seed: &[u8]) -> Result<Identity, JsValue> {
        Ok(Self { seed: Seed::from_bytes(exactly(seed, "a seed")?) })
    }

    /// From 12 or 24 recovery words, in any case and with any white space. Throws `bad_phrase`.
    #[wasm_bindgen(js_name = fromPhrase)]
    pub fn from_phrase(words: &str) -> Result<Identity, JsValue> {
        Ok(Self { seed: parse::<Phrase>(words, "bad_phrase")?.seed() })
    }

    /// `ed25519:` and 64 hexadecimal digits.
    #[wasm_bindgen(getter)]
    pub fn primary(&self) -> String {
        self.seed.public_key().to_string()
    }

    /// The 24 recovery words. For the recovery sheet only.
    pub fn words(&self) -> String {
        Phrase::from_seed(&self.seed).words().to_string()
    }

    /// The 32 bytes of the seed. For sealing it into the vault only.
    pub fn seed(&self) -> Vec<u8> {
        self.seed.expose().to_vec()
    }

    /// The envelope that takes `handle` at `server`, signed at `now_ms`.
    pub fn register(&self, handle: &str, server: &str, now_ms: f64) -> Result<String, JsValue> {
        let handle = parse::<kez_core::Handle>(handle, "bad_handle")?.to_string();
        self.sign(&Registration { handle, server: server.to_owned() }, now_ms)
    }

    /// The envelope that takes a device in for `lifetime_s` seconds, with its certificate.
    pub fn enrol(
        &self,
        device: &DeviceKeys,
        server: &str,
        now_ms: f64,
        lifetime_s: u32,
    ) -> Result<String, JsValue> {
        let now = time(now_ms)?.truncated();
        let expires_at = now
            .plus_seconds(i64::from(lifetime_s))
            .ok_or_else(|| refusal("bad_timestamp", "the device would end after the year 9999"))?;
        let keys = device.keys();
        let certificate =
            DeviceCertificate::issue(&self.seed, keys.id, &keys.mls.public_key(), now, expires_at)
                .map_err(|error| refusal("bad_certificate", &error.to_string()))?;
        let document = Device {
            server: server.to_owned(),
            device_id: keys.id,
            auth_key: keys.auth.public_key(),
            mls_key: keys.mls.public_key(),
            mls_certificate: certificate,
            expires_at,
        };
        self.sign(&document, now_ms)
    }

    /// The envelope that lets a device go for ever.
    pub fn revoke(&self, device_id: &str, server: &str, now_ms: f64) -> Result<String, JsValue> {
        let device_id = parse(device_id, "bad_id")?;
        self.sign(&DeviceRevocation { server: server.to_owned(), device_id }, now_ms)
    }

    /// The envelope that ends the account at `server`.
    #[wasm_bindgen(js_name = deleteAccount)]
    pub fn delete_account(&self, handle: &str, server: &str, now_ms: f64) -> Result<String, JsValue> {
        self.sign(&AccountDeletion { server: server.to_owned(), handle: handle.to_owned() }, now_ms)
    }

    /// The event that names a device, given by its envelope, in the sigchain `jsonl` (empty when there is none yet).
    #[wasm_bindgen(js_name = announceDevice)]
    pub fn announce_device(&self, jsonl: &str, device: &str, now_ms: f64) -> Result<String, JsValue> {
        let (device_id, certificate_sha256) = named(device)?;
        self.append(jsonl, Op::AddDevice { device_id, certificate_sha256 }, now_ms)
    }

    /// The event that says in the sigchain `jsonl` that a device, given by its envelope, is let go.
    #[wasm_bindgen(js_name = announceRevocation)]
    pub fn announce_revocation(&self, jsonl: &str, device: &str, now_ms: f64) -> Result<String, JsValue> {
        let (device_id, certificate_sha256) = named(device)?;
        self.append(jsonl, Op::RevokeDevice { device_id, certificate_sha256 }, now_ms)
    }
}

impl Identity {
    fn sign<D: Document>(&self, document: &D, now_ms: f64) -> Result<String, JsValue> {
        Envelope::sign(document, &self.seed, time(now_ms)?.truncated_to_millis())
            .map(|envelope| envelope.canonical().to_owned())
            .map_err(|error| refusal("malformed", &error.to_string()))
    }

    fn append(&self, jsonl: &str, op: Op, now_ms: f64) -> Result<String, JsValue> {
        let event = if jsonl.is_empty() {
            Event::first(op)
        } else {
            let chain = Chain::read(Some(self.seed.public_key().into()), jsonl)
                .map_err(|error| refusal(error.code(), &error.to_string()))?;
            chain.head().next(op)
        };
        self.sign(&event, now_ms)
    }
}

/// How a sigchain names the device of this envelope.
fn named(device: &str) -> Result<(DeviceId, Sha256Hex), JsValue> {
    let enrolment = enrolment(device)?;
    let certificate = &enrolment.device().mls_certificate;
    Ok((enrolment.device().device_id, Sha256Hex::of(&certificate.to_bytes())))
}

/// Whether these are 12 or 24 recovery words that fit together; returns how many. Throws `bad_phrase` and says which
/// word is wrong.
#[wasm_bindgen(js_name = checkPhrase)]
pub fn check_phrase(words: &str) -> Result<u32, JsValue> {
    let phrase = parse::<Phrase>(words, "bad_phrase")?;
    Ok(if phrase.word_count() == WordCount::Twelve { 12 } else { 24 })
}
