//! The one table of routes. A route and its description are registered together.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use kez_serve::page;
use kez_sig_server::router as sig_server;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::{
    account, blobs, contacts, conversations, devices, events, frames, health, inbox, key_packages, lookup,
    nats_auth, register, resolve, server_info, session, small_store, web, webfinger,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "KEZ chat home server",
        description = "Handles that people own: take one, and find the key behind one. \
                       Every refusal is an `application/problem+json` body with a stable `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    modifiers(&SignedCalls),
    tags(
        (name = "registry", description = "Handles and the keys that hold them"),
        (name = "devices", description = "Devices that act for an account"),
        (name = "key packages", description = "What a device is added to conversations by"),
        (name = "conversations", description = "MLS groups that the server orders and cannot read"),
        (name = "contacts", description = "Who may write to whom"),
        (name = "inbox", description = "What an account has to read, and how far its devices are"),
        (name = "blobs", description = "Encrypted attachments"),
        (name = "small store", description = "Small encrypted values of an account"),
        (name = "account", description = "One's own data, and the end of them here"),
        (name = "server", description = "The server itself"),
        (name = "internal", description = "For the operator's own network"),
    )
)]
struct Description;

/// Adds the scheme that signed calls name in `security`.
struct SignedCalls;

impl Modify for SignedCalls {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let how = "An HTTP message signature (RFC 9421) of the caller's device, or of a session of it, in Signature and \
                   Signature-Input, over method, authority, path, query and Content-Digest. SPEC \"Signed calls\".";
        let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("Signature", how)));
        document.components.get_or_insert_default().add_security_scheme("signature", scheme);
    }
}

/// All routes with their descriptions.
fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        // For everybody
        .routes(routes!(register::register))
        .routes(routes!(lookup::by_handle))
        .routes(routes!(lookup::by_primary))
        .routes(routes!(devices::enrol))
        .routes(routes!(devices::revoke))
        .routes(routes!(devices::list))
        .routes(routes!(session::open))
        .routes(routes!(account::delete))
        .routes(routes!(account::export))
        .routes(routes!(conversations::create_conversation, conversations::list_conversations))
        .routes(routes!(conversations::show_conversation))
        .routes(routes!(conversations::commit))
        .routes(routes!(contacts::accept))
        .routes(routes!(contacts::list_contacts))
        .routes(routes!(contacts::remove_contact))
        .routes(routes!(frames::append_frames, frames::read_frames))
        .routes(routes!(inbox::inbox))
        .routes(routes!(inbox::ack))
        .routes(routes!(events::events))
        .routes(routes!(webfinger::webfinger))
        .routes(routes!(webfinger::host_meta))
        .routes(routes!(resolve::resolve))
        .routes(routes!(server_info::server_info))
        // For devices
        .routes(routes!(key_packages::upload))
        .routes(routes!(key_packages::count))
        .routes(routes!(key_packages::claim))
        .routes(routes!(blobs::send_blob, blobs::read_blob, blobs::delete_blob))
        .routes(routes!(small_store::list_entries))
        .routes(routes!(small_store::write_entry, small_store::read_entry, small_store::delete_entry))
        // For operators
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(nats_auth::nats_auth))
}

/// The routes of a running server.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (api, _) = described().split_for_parts();
    let chains = app.chains.clone().map_or_else(Router::new, sig_server::chains);
    api.route("/openapi.json", get(async |State(app): State<Arc<App>>| app.openapi.json()))
        .route("/openapi", get(async |State(app): State<Arc<App>>| app.openapi.page()))
        .route(page::STYLE_PATH, get(async || page::style()))
        .fallback(web::web)
        .with_state(app)
        .merge(chains)
}

/// The OpenAPI document, pretty-printed, as it is committed and served.
pub fn openapi_json() -> String {
    let mut document = described().into_openapi();
    document.merge(sig_server::chains_openapi());
    // invariant: the document is plain data with string keys.
    #[expect(clippy::expect_used, reason = "plain data with string keys is JSON")]
    let json = serde_json::to_string_pretty(&document).expect("an OpenAPI document is JSON");
    json + "\n"
}
