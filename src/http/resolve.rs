//! `GET /v1/resolve`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use kez_core::{Fqhn, Record};
use kez_serve::client_addr::Client;
use serde::Serialize;
use utoipa::ToSchema;

use super::schema::{ProblemBody, RecordBody};
use crate::app::App;
use crate::error::ApiError;
use crate::webfinger;
use kez_serve::reply::Json;

/// Somebody, here or elsewhere.
#[derive(Serialize, ToSchema)]
pub(crate) struct Resolved {
    /// By the word of the server behind the `@`.
    #[schema(value_type = RecordBody)]
    record: Record,
}

/// The record of a person of any home server, for browsers, which may not ask other origins.
#[utoipa::path(
    get, path = "/v1/resolve", tag = "registry",
    params(("resource" = String, Query, description = "Exactly one name", example = "alice@example.org",
            pattern = "^[a-z0-9][a-z0-9_-]{2,31}@[a-z]([a-z0-9-]{0,20}[a-z0-9])?\\.[a-z]{2,20}$")),
    responses(
        (status = 200, description = "By the word of that server", body = Resolved),
        (status = 400, description = "`bad_resource`: not `handle@server`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: that server knows nobody by the name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "`resolve_failed`: that server cannot be asked, or answers wrongly", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resolve(
    State(app): State<Arc<App>>,
    client: Client,
    RawQuery(query): RawQuery,
) -> Result<Json<Resolved>, ApiError> {
    app.admit_resolution(client)?;
    let name = wanted(query.as_deref().unwrap_or_default()).ok_or(ApiError::BadResource)?;
    let record = if name.server() == app.server() {
        app.store.by_handle(name.handle()).await?.map(|account| app.records.record(account))
    } else {
        app.resolver.resolve(&name, client.net()).await?
    };
    Ok(Json(Resolved { record: record.ok_or(ApiError::NotFound)? }))
}

/// The name in the one `resource`, with or without `acct:` before it; hosts are compared without case.
fn wanted(query: &str) -> Option<Fqhn> {
    let resource = webfinger::resource(query).ok()?;
    let (handle, server) = resource.strip_prefix("acct:").unwrap_or(&resource).split_once('@')?;
    Some(Fqhn::new(handle.parse().ok()?, server.to_ascii_lowercase().parse().ok()?))
}
