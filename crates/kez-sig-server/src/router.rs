//! The one table of routes. A route and its description are registered together.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use kez_serve::page;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::chains::Chains;
use crate::http::{append, bundle, head, health, read};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "KEZ sig-server",
        description = "Keeps sigchains: takes events that their keys have signed, in order, and gives them to everybody. \
                       Every refusal is an `application/problem+json` body with a stable `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags((name = "server", description = "The server itself"))
)]
struct Description;

#[derive(OpenApi)]
#[openapi(tags((name = "sigchains", description = "What keys say about themselves, in order")))]
struct ChainsDescription;

/// The routes of chains with their descriptions.
fn chains_described() -> OpenApiRouter<Arc<Chains>> {
    OpenApiRouter::with_openapi(ChainsDescription::openapi())
        .routes(routes!(append::append, read::read))
        .routes(routes!(head::head))
        .routes(routes!(bundle::bundle))
}

/// All routes of a sig-server with their descriptions.
fn described() -> OpenApiRouter<Arc<Chains>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(chains_described())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// The routes of chains, to be merged into the routes of another server.
pub fn chains(chains: Arc<Chains>) -> Router {
    let (api, _) = chains_described().split_for_parts();
    with_alias(api).with_state(chains)
}

/// The description of [`chains`].
pub fn chains_openapi() -> utoipa::openapi::OpenApi {
    chains_described().into_openapi()
}

/// The routes of a sig-server.
pub fn router(chains: Arc<Chains>) -> Router {
    let (api, _) = described().split_for_parts();
    with_alias(api)
        .route("/openapi.json", get(async |State(chains): State<Arc<Chains>>| chains.openapi.json()))
        .route("/openapi", get(async |State(chains): State<Arc<Chains>>| chains.openapi.page()))
        .route(page::STYLE_PATH, get(async || page::style()))
        .with_state(chains)
}

/// The other name of the path that events are sent to.
fn with_alias(api: Router<Arc<Chains>>) -> Router<Arc<Chains>> {
    api.route("/v1/sigchains/{system}/{id}/events", post(append::append))
}

/// The OpenAPI document of a sig-server, pretty-printed.
pub fn openapi_json() -> String {
    let document = described().into_openapi();
    // invariant: the document is plain data with string keys.
    #[expect(clippy::expect_used, reason = "plain data with string keys is JSON")]
    let json = serde_json::to_string_pretty(&document).expect("an OpenAPI document is JSON");
    json + "\n"
}
