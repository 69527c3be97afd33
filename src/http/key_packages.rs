//! `PUT /v1/keypackages`, `GET /v1/keypackages/count`, `POST /v1/keypackages/claim`.

use std::sync::Arc;

use axum::extract::State;
use kez_core::{ClaimId, PublicKey};
use kez_serve::client_addr::Client;
use kez_serve::reply::Json;
use serde::Deserialize;
use utoipa::ToSchema;

use super::schema::{ClaimedKeyPackagesBody, KeyPackageCountsBody, ProblemBody};
use crate::app::App;
use crate::base64url::Base64Url;
use crate::caller::{Caller, Signed, SignedJson};
use crate::error::ApiError;
use crate::key_packages::{KEY_PACKAGE_BYTES_MAX, Upload, UploadFault, Uploader, decide};
use crate::store::{Claim, Claimed, KeyPackageCounts, ONE_TIME_MAX, UploadRefusal};

/// The longest upload, in bytes: all packages that one call may bring, each as long as it may be, in base64url with
/// quotes and comma; and what stands around them.
const UPLOAD_BYTES_MAX: usize =
    (ONE_TIME_MAX as usize + 1) * (KEY_PACKAGE_BYTES_MAX.div_ceil(3) * 4 + 3) + 1024;

/// The longest claim, in bytes: a key and an id.
const CLAIM_BYTES_MAX: usize = 1024;

/// Key packages of the calling device, for others to add it to conversations by.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyPackageUpload)]
pub(crate) struct UploadBody {
    /// For one use each, the first to be used first; base64url without padding.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 100)]
    one_time: Vec<Base64Url>,
    /// For when these are used up; takes the place of the one before.
    #[schema(value_type = Option<String>)]
    last_resort: Option<Base64Url>,
}

/// Whose key packages are wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyPackageClaim)]
pub(crate) struct ClaimBody {
    /// The person.
    #[schema(
        value_type = String,
        example = "ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
        pattern = "^ed25519:[0-9a-f]{64}$"
    )]
    primary: PublicKey,
    /// 16 random bytes, new for each claim: by it, the same claim sent again gets the same answer.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    id: ClaimId,
}

/// Uploads key packages of the calling device.
///
/// They are added to those of before, all or none; a package that was uploaded before is left as it is.
#[utoipa::path(
    put, path = "/v1/keypackages", tag = "key packages",
    request_body = UploadBody,
    security(("signature" = [])),
    responses(
        (status = 200, description = "What others can be given now", body = KeyPackageCountsBody),
        (status = 400, description = "`malformed`, `digest_mismatch`, `bad_key_package`, `init_key_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`, `too_many_key_packages`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    client: Client,
    call: SignedJson<UPLOAD_BYTES_MAX>,
) -> Result<Json<KeyPackageCounts>, ApiError> {
    app.admit_upload(client)?;
    let upload = decided(&app, &call.caller, call.parse()?).await?;
    let store = Arc::clone(&app.store);
    let added = async move { Ok::<_, ApiError>(store.add_key_packages(upload).await??) };
    Ok(Json(app.write(call.caller.account, added).await?))
}

/// How many key packages of the calling device others can still be given.
#[utoipa::path(
    get, path = "/v1/keypackages/count", tag = "key packages",
    security(("signature" = [])),
    responses(
        (status = 200, description = "Refill below 20", body = KeyPackageCountsBody),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn count(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
) -> Result<Json<KeyPackageCounts>, ApiError> {
    Ok(Json(app.store.key_package_counts(caller.device, app.clock.now()).await?))
}

/// Hands out one key package of each active device of a person.
///
/// A one-time package is handed out once; the last-resort one when none is left. Of the caller's own devices the calling
/// one is left out.
#[utoipa::path(
    post, path = "/v1/keypackages/claim", tag = "key packages",
    request_body = ClaimBody,
    security(("signature" = [])),
    responses(
        (status = 200, description = "The same for ten minutes, under the same id", body = ClaimedKeyPackagesBody),
        (status = 400, description = "`malformed`, `digest_mismatch`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: nobody with an active device", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`id_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`claims_limited`, `rate_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn claim(
    State(app): State<Arc<App>>,
    call: SignedJson<CLAIM_BYTES_MAX>,
) -> Result<Json<Claimed>, ApiError> {
    let ClaimBody { primary, id } = call.parse()?;
    let caller = call.caller;
    let claim =
        Claim { claimer: caller.account, device: caller.device, id, target: primary, at: app.clock.now() };
    let store = Arc::clone(&app.store);
    let claimed = async move { Ok::<_, ApiError>(store.claim_key_packages(claim).await??) };
    Ok(Json(app.write(caller.account, claimed).await?))
}

/// Decides on a thread that may be busy: 101 packages are 202 signatures, some 10 ms.
async fn decided(app: &App, caller: &Caller, body: UploadBody) -> Result<Upload, ApiError> {
    let device = app.store.active_device(&caller.primary, &caller.device_id).await?;
    let device = device.ok_or(UploadRefusal::DeviceRevoked)?;
    let uploader =
        Uploader { device: device.device, certificate: device.certificate, mls_key: device.mls_key };
    let (one_time, last_resort) = (body.one_time.into_iter().map(|package| package.0), body.last_resort);
    let (one_time, last_resort) = (one_time.collect(), last_resort.map(|package| package.0));
    let now = app.clock.now();
    let decided = tokio::task::spawn_blocking(move || decide(&uploader, one_time, last_resort, now)).await;
    match decided {
        Ok(decided) => decided.map_err(UploadFault::into),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => std::future::pending().await, // the runtime ends: nobody waits any more
        },
    }
}
