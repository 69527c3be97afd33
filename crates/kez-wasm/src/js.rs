//! Errors and objects as JavaScript has them.

use kez_core::Timestamp;
use serde::Serialize;
use wasm_bindgen::JsValue;

/// An `Error` with a stable code as its name.
pub(crate) fn refusal(code: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    error.set_name(code);
    error.into()
}

/// The bytes that a caller has to give exactly so many of.
pub(crate) fn exactly<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], JsValue> {
    bytes.try_into().map_err(|_| refusal("bad_length", &format!("{what} has {N} bytes")))
}

/// Text parsed into what it stands for.
pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
    code: &str,
) -> Result<T, JsValue> {
    text.parse().map_err(|error: T::Err| refusal(code, &error.to_string()))
}

/// Milliseconds since 1970, as `Date.now()` counts them.
pub(crate) fn time(millis: f64) -> Result<Timestamp, JsValue> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float becomes the nearest integer, and what is no time is refused"
    )]
    Timestamp::from_unix_millis(millis as i64)
        .ok_or_else(|| refusal("bad_timestamp", "not a time of the years 1 to 9999"))
}

/// A plain object with these members.
pub(crate) fn object<T: Serialize>(value: &T) -> Result<JsValue, JsValue> {
    let json = serde_json::to_string(value).map_err(|error| refusal("internal", &error.to_string()))?;
    js_sys::JSON::parse(&json)
}
