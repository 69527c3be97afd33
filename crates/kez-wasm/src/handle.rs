//! Handles, as somebody types them.

use kez_core::{BadHandle, Fqhn, Handle};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::js::{object, parse};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Why a text is no handle that can be taken. */
export type HandleFault = 'length' | 'start' | 'character' | 'reserved';
/** Both parts of `alice@example.org`. */
export interface AddressView {
  readonly handle: string;
  readonly server: string;
}
"#;

#[derive(Serialize)]
struct AddressView<'a> {
    handle: &'a str,
    server: &'a str,
}

/// What is wrong with a handle that somebody wants to take; `undefined` when nothing is.
#[wasm_bindgen(js_name = handleFault, unchecked_return_type = "HandleFault | undefined")]
pub fn handle_fault(text: &str) -> JsValue {
    let fault = match text.parse::<Handle>() {
        Ok(handle) => handle.reserved().map(|_| "reserved"),
        Err(BadHandle::Length) => Some("length"),
        Err(BadHandle::Start) => Some("start"),
        Err(_) => Some("character"),
    };
    fault.map_or(JsValue::UNDEFINED, JsValue::from_str)
}

/// Takes `alice@example.org` apart. Throws `bad_address`.
#[wasm_bindgen(js_name = parseAddress, unchecked_return_type = "AddressView")]
pub fn parse_address(text: &str) -> Result<JsValue, JsValue> {
    let address: Fqhn = parse(text, "bad_address")?;
    object(&AddressView { handle: address.handle().as_str(), server: address.server().as_str() })
}
