//! `GET /v1/store`, and `PUT`, `GET` and `DELETE /v1/store/{name}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, HeaderMap, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use kez_serve::etag;
use kez_serve::reply::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lookup::{Param, text};
use super::schema::ProblemBody;
use crate::app::App;
use crate::base64url::Base64Url;
use crate::caller::{Caller, Signed, SignedJson};
use crate::error::{ApiError, EntryError};
use crate::small_store::{BadEntryName, ENTRY_BYTES_MAX, EntryName, Expected};
use crate::store::EntryWrite;

/// The longest body, in bytes: a value in base64url, and what stands around it.
const BODY_BYTES_MAX: usize = ENTRY_BYTES_MAX.div_ceil(3) * 4 + 64;

/// A value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StoreValue)]
pub(crate) struct ValueBody {
    /// At most 64 KiB, in base64url without padding.
    #[schema(value_type = String)]
    data: Base64Url,
}

/// A version of an entry.
#[derive(Serialize, ToSchema)]
#[schema(as = StoreVersion)]
pub(crate) struct VersionBody {
    /// The entry.
    name: EntryNameText,
    /// 1 for its first write, then one more with each write and deletion.
    version: u64,
}

/// An entry.
#[derive(Serialize, ToSchema)]
#[schema(as = StoreEntry)]
pub(crate) struct EntryBody {
    /// Its name.
    name: EntryNameText,
    /// Its version.
    version: u64,
    /// The value, in base64url without padding.
    #[schema(value_type = String)]
    data: Base64Url,
}

/// The entries of an account.
#[derive(Serialize, ToSchema)]
#[schema(as = StoreEntries)]
pub(crate) struct EntriesBody {
    /// By name.
    #[schema(max_items = 256)]
    entries: Vec<ListedEntry>,
}

/// An entry without its value.
#[derive(Serialize, ToSchema)]
struct ListedEntry {
    /// Its name.
    name: EntryNameText,
    /// Its version.
    version: u64,
    /// How many bytes the value has.
    bytes: u64,
}

/// The name of an entry, for the description.
#[derive(Serialize, ToSchema)]
#[serde(transparent)]
#[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
struct EntryNameText(String);

/// A version with its tag in `ETag`.
pub(crate) struct Tagged<T>(StatusCode, u64, T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        (self.0, [(ETAG, tag(self.1))], Json(self.2)).into_response()
    }
}

/// The names of all entries of the caller's account.
#[utoipa::path(
    get, path = "/v1/store", tag = "small store",
    security(("signature" = [])),
    responses(
        (status = 200, description = "All that have a value", body = EntriesBody),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_entries(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
) -> Result<Json<EntriesBody>, ApiError> {
    let heads = app.store.entries(caller.account).await?;
    let entries = heads
        .into_iter()
        .map(|head| ListedEntry { name: EntryNameText(head.name), version: head.version, bytes: head.bytes })
        .collect();
    Ok(Json(EntriesBody { entries }))
}

/// Reads an entry of the caller's account.
#[utoipa::path(
    get, path = "/v1/store/{name}", tag = "small store",
    params(("name" = String, Path, description = "1 to 64 characters of `a-z 0-9 . _ -`")),
    security(("signature" = [])),
    responses(
        (status = 200, description = "The value; `ETag` is its version", body = EntryBody),
        (status = 304, description = "The client has this version"),
        (status = 400, description = "`bad_name`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no value; `version` is that of the deletion, or 0", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read_entry(
    State(app): State<Arc<App>>,
    name: Param,
    headers: HeaderMap,
    Signed(caller): Signed,
) -> Result<Response, ApiError> {
    let name = entry_name(name)?;
    let entry = app.store.entry(caller.account, &name).await?;
    let bytes = entry.bytes.ok_or(EntryError::NoValue { version: entry.version })?;
    let version = entry.version;
    if etag::is_known(&headers, &format!("\"{version}\"")) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag(version))]).into_response());
    }
    let body = EntryBody { name: EntryNameText(name.to_string()), version, data: Base64Url(bytes) };
    Ok(Tagged(StatusCode::OK, version, body).into_response())
}

/// Writes an entry of the caller's account, if its stored version is the one named.
///
/// `If-Match: "<version>"` replaces that version, also that of a deletion; `If-None-Match: *` writes where there is no
/// value.
#[utoipa::path(
    put, path = "/v1/store/{name}", tag = "small store",
    params(
        ("name" = String, Path, description = "1 to 64 characters of `a-z 0-9 . _ -`"),
        ("if-match" = Option<String>, Header, description = "The version to replace", example = "\"3\""),
        ("if-none-match" = Option<String>, Header, description = "`*`: there is no value yet"),
    ),
    request_body = ValueBody,
    security(("signature" = [])),
    responses(
        (status = 200, description = "Written, durably; `ETag` is the new version", body = VersionBody),
        (status = 400, description = "`bad_name`, `bad_precondition`, `malformed`, `digest_mismatch`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`, `too_many_entries`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "`version_mismatch` with the stored `version`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "`precondition_required`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn write_entry(
    State(app): State<Arc<App>>,
    name: Param,
    headers: HeaderMap,
    call: SignedJson<BODY_BYTES_MAX>,
) -> Result<Tagged<VersionBody>, ApiError> {
    let (name, expected) = (entry_name(name)?, expected(&headers)?);
    let ValueBody { data: Base64Url(bytes) } = call.parse()?;
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(EntryError::TooLarge.into());
    }
    write(&app, &call.caller, name, expected, Some(bytes)).await
}

/// Deletes an entry of the caller's account, if its stored version is the one named by `If-Match`.
#[utoipa::path(
    delete, path = "/v1/store/{name}", tag = "small store",
    params(
        ("name" = String, Path, description = "1 to 64 characters of `a-z 0-9 . _ -`"),
        ("if-match" = Option<String>, Header, description = "The version to delete", example = "\"3\""),
    ),
    security(("signature" = [])),
    responses(
        (status = 200, description = "Deleted, durably; the deletion has a version too", body = VersionBody),
        (status = 400, description = "`bad_name`, `bad_precondition`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "`version_mismatch` with the stored `version`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "`precondition_required`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_entry(
    State(app): State<Arc<App>>,
    name: Param,
    headers: HeaderMap,
    Signed(caller): Signed,
) -> Result<Tagged<VersionBody>, ApiError> {
    let name = entry_name(name)?;
    match expected(&headers)? {
        Expected::Nothing => Err(EntryError::PreconditionRequired.into()),
        expected @ Expected::Version(_) => write(&app, &caller, name, expected, None).await,
    }
}

async fn write(
    app: &App,
    caller: &Caller,
    name: EntryName,
    expected: Expected,
    bytes: Option<Vec<u8>>,
) -> Result<Tagged<VersionBody>, ApiError> {
    let text = EntryNameText(name.to_string());
    let (account, device, at) = (caller.account, caller.device, app.clock.now());
    let write = EntryWrite { account, device, name, expected, bytes, at };
    let store = Arc::clone(&app.store);
    let written =
        async move { Ok::<_, ApiError>(store.write_entry(write).await?.map_err(EntryError::from)?) };
    let version = app.write(account, written).await?;
    Ok(Tagged(StatusCode::OK, version, VersionBody { name: text, version }))
}

fn entry_name(name: Param) -> Result<EntryName, EntryError> {
    Ok(text(name).ok_or(BadEntryName)?.parse::<EntryName>()?)
}

/// Exactly one of the two preconditions, in the one form that this call takes of each.
fn expected(headers: &HeaderMap) -> Result<Expected, EntryError> {
    let one = |name| {
        let mut lines = headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (Some(_), Some(_)) => Err(EntryError::BadPrecondition),
            (line, _) => Ok(line.map(HeaderValue::as_bytes)),
        }
    };
    match (one(IF_MATCH)?, one(IF_NONE_MATCH)?) {
        (None, None) => Err(EntryError::PreconditionRequired),
        (None, Some(b"*")) => Ok(Expected::Nothing),
        (Some(tag), None) => version(tag).map(Expected::Version).ok_or(EntryError::BadPrecondition),
        _ => Err(EntryError::BadPrecondition),
    }
}

/// The version of a strong entity tag (RFC 9110 section 8.8.3), as [`tag`] writes it.
fn version(tag: &[u8]) -> Option<u64> {
    const DIGITS_MAX: usize = 15;
    let digits = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_number = (1..=DIGITS_MAX).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && !digits.starts_with(b"0");
    if is_number { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

fn tag(version: u64) -> HeaderValue {
    // invariant: digits and quotes are visible ASCII.
    #[expect(clippy::expect_used, reason = "digits and quotes are visible ASCII")]
    HeaderValue::try_from(format!("\"{version}\"")).expect("visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(http::HeaderName, &'static str)]) -> Result<Expected, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        expected(&headers).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_write_names_what_it_replaces_in_one_way() {
        assert_eq!(read(&[(IF_NONE_MATCH, "*")]), Ok(Expected::Nothing));
        assert_eq!(read(&[(IF_MATCH, "\"17\"")]), Ok(Expected::Version(17)));
        assert_eq!(read(&[]), Err("PreconditionRequired".into()));
        for tag in [
            "*",
            "17",
            "\"\"",
            "\"0\"",
            "\"017\"",
            "W/\"17\"",
            "\"17\", \"18\"",
            "\"-1\"",
            "\"1234567890123456\"",
        ] {
            assert_eq!(read(&[(IF_MATCH, tag)]), Err("BadPrecondition".into()), "{tag}");
        }
        assert_eq!(read(&[(IF_NONE_MATCH, "\"17\"")]), Err("BadPrecondition".into()));
        assert_eq!(read(&[(IF_MATCH, "\"1\""), (IF_MATCH, "\"1\"")]), Err("BadPrecondition".into()));
        assert_eq!(read(&[(IF_MATCH, "\"1\""), (IF_NONE_MATCH, "*")]), Err("BadPrecondition".into()));
    }
}
