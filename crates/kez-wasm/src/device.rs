//! The keys of this browser.

use kez_core::{DeviceId, Seed};
use wasm_bindgen::prelude::*;

use crate::js::exactly;

/// A device: its id and the seeds of its two keys.
#[wasm_bindgen]
pub struct DeviceKeys {
    keys: Keys,
}

pub(crate) struct Keys {
    pub(crate) id: DeviceId,
    pub(crate) auth: Seed,
    pub(crate) mls: Seed,
}

#[wasm_bindgen]
impl DeviceKeys {
    /// From a device id of 16 bytes and two seeds of 32 bytes, random when the device is new.
    #[wasm_bindgen(constructor)]
    pub fn new(id: &[u8], auth_seed: &[u8], mls_seed: &[u8]) -> Result<DeviceKeys, JsValue> {
        let keys = Keys {
            id: DeviceId::from_bytes(exactly(id, "a device id")?),
            auth: Seed::from_bytes(exactly(auth_seed, "a seed")?),
            mls: Seed::from_bytes(exactly(mls_seed, "a seed")?),
        };
        Ok(Self { keys })
    }

    /// 32 hexadecimal digits.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> String {
        self.keys.id.to_string()
    }

    /// The key of its signed calls.
    #[wasm_bindgen(getter, js_name = authKey)]
    pub fn auth_key(&self) -> String {
        self.keys.auth.public_key().to_string()
    }

    /// Its signature key in MLS.
    #[wasm_bindgen(getter, js_name = mlsKey)]
    pub fn mls_key(&self) -> String {
        self.keys.mls.public_key().to_string()
    }
}

impl DeviceKeys {
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }
}
