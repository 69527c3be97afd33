//! `GET /.well-known/webfinger` (RFC 7033), `GET /.well-known/host-meta` (RFC 6415).

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use kez_serve::client_addr::Client;
use kez_serve::reply::bare;

use super::schema::ProblemBody;
use crate::app::App;
use crate::error::ApiError;
use crate::webfinger::{JRD_JSON, Jrd, Query};

/// How long both answers may be used: a handle's key changes rarely, and never silently.
const FRESH: HeaderValue = HeaderValue::from_static("max-age=300");

/// Who holds `acct:handle@server`, or `https://server/@handle`.
#[utoipa::path(
    get, path = "/.well-known/webfinger", tag = "registry",
    params(
        ("resource" = String, Query, description = "Exactly one URI", example = "acct:alice@kez.lat", pattern = "^[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,500}$"),
        ("rel" = Option<Vec<String>>, Query, description = "Only links of these relations, at most 16; repeatable", max_items = 16),
    ),
    responses(
        (status = 200, description = "A resource descriptor (RFC 7033 section 4.4)", body = Jrd, content_type = "application/jrd+json"),
        (status = 304, description = "Unchanged since the ETag of If-None-Match"),
        (status = 400, description = "`bad_resource`: missing, repeated or not a URI", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: not a person of this server", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn webfinger(
    State(app): State<Arc<App>>,
    client: Client,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.admit_lookup(client)?;
    let query = Query::parse(query.as_deref().unwrap_or_default(), app.server(), &app.public_urls)?;
    let handle = query.handle.as_ref().ok_or(ApiError::NotFound)?;
    let account = app.store.by_handle(handle).await?.ok_or(ApiError::NotFound)?;
    Ok(fresh(&headers, JRD_JSON, app.descriptors.json(&account, &query)))
}

/// Where WebFinger is answered, for clients that begin here.
#[utoipa::path(
    get, path = "/.well-known/host-meta", tag = "registry",
    responses(
        (status = 200, description = "An XRD with the lrdd template", body = String, content_type = "application/xrd+xml"),
        (status = 304, description = "Unchanged since the ETag of If-None-Match"),
    )
)]
pub(crate) async fn host_meta(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let template = format!("{}/.well-known/webfinger?resource={{uri}}", app.public_url());
    let template = template.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let xrd = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <XRD xmlns=\"http://docs.oasis-open.org/ns/xri/xrd-1.0\">\n  \
         <Link rel=\"lrdd\" type=\"{JRD_JSON}\" template=\"{template}\"/>\n</XRD>\n"
    );
    fresh(&headers, "application/xrd+xml", xrd.into_bytes())
}

/// A body with its entity tag, or 304 when the client has it (RFC 9110 section 13.1.2).
fn fresh(request: &HeaderMap, content_type: &'static str, body: Vec<u8>) -> Response {
    let etag = etag(&body);
    let is_known = kez_serve::etag::is_known(request, &etag);
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { bare(body) };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, FRESH);
    headers.insert(ETAG, HeaderValue::from_maybe_shared(etag).unwrap_or(HeaderValue::from_static("\"\"")));
    response
}

/// Two bodies of one URL have different tags, but for one chance in 2^64. Nothing secret hangs on it.
fn etag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("\"{:016x}\"", hasher.finish())
}
