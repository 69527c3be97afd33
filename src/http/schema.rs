//! Shapes of bodies for the OpenAPI document, where the type itself lives in a crate that knows no OpenAPI.
#![expect(dead_code, reason = "these types describe, they are never made")]

pub(super) use kez_serve::problem::ProblemBody;
use utoipa::ToSchema;

/// A handle and the key that holds it, by this server's word.
#[derive(ToSchema)]
#[schema(as = Record)]
pub(super) struct RecordBody {
    /// 3 to 32 characters of `a-z 0-9 _ -`.
    #[schema(example = "alice", pattern = "^[a-z0-9][a-z0-9_-]{2,31}$")]
    handle: String,
    /// The handle with its server.
    #[schema(example = "alice@kez.lat")]
    fqhn: String,
    /// The Ed25519 key.
    #[schema(
        example = "ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
        pattern = "^ed25519:[0-9a-f]{64}$"
    )]
    primary: String,
    /// Where the key's own signed log is served.
    #[schema(format = "uri")]
    sigchain_url: String,
    /// When this server accepted the registration.
    #[schema(example = "2026-05-25T03:00:00Z", format = DateTime)]
    registered_at: String,
}

/// A signed document: `{"kez", "payload", "signature"}`. SPEC "Envelopes".
#[derive(ToSchema)]
#[schema(as = RegistrationEnvelope)]
pub(super) struct RegistrationEnvelopeBody {
    /// The tag.
    #[schema(example = "handle_registration")]
    kez: String,
    /// What is signed, in its canonical form (RFC 8785).
    payload: RegistrationPayload,
    /// By the key named in the payload.
    signature: SignatureBody,
}

/// "I, the primary key, take this handle on this server."
#[derive(ToSchema)]
pub(super) struct RegistrationPayload {
    /// `kez.chat.handle_registration`.
    #[schema(example = "kez.chat.handle_registration")]
    r#type: String,
    /// 1.
    #[schema(example = 1)]
    version: i64,
    /// The key that signs.
    #[schema(
        example = "ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
        pattern = "^ed25519:[0-9a-f]{64}$"
    )]
    primary: String,
    /// UTC, at most 300 seconds from the server's time.
    #[schema(example = "2026-05-25T03:00:00Z", format = DateTime)]
    created_at: String,
    /// The wanted handle.
    #[schema(example = "alice")]
    handle: String,
    /// The name of this server.
    #[schema(example = "kez.lat")]
    server: String,
}

/// An Ed25519 signature.
#[derive(ToSchema)]
#[schema(as = Signature)]
pub(super) struct SignatureBody {
    /// `ed25519-sha512-jcs`.
    #[schema(example = "ed25519-sha512-jcs")]
    alg: String,
    /// The same key as `payload.primary`.
    key: String,
    /// 128 lower-case hex digits.
    #[schema(pattern = "^[0-9a-f]{128}$")]
    sig: String,
}

/// A signed document by which an account takes a device in. SPEC "Devices".
#[derive(ToSchema)]
#[schema(as = DeviceEnvelope)]
pub(super) struct DeviceEnvelopeBody {
    /// The tag.
    #[schema(example = "device")]
    kez: String,
    /// What is signed, in its canonical form (RFC 8785).
    payload: DevicePayload,
    /// By the key named in the payload.
    signature: SignatureBody,
}

/// "This device acts for me on this server, with these two keys, until then."
#[derive(ToSchema)]
pub(super) struct DevicePayload {
    /// `kez.chat.device`.
    #[schema(example = "kez.chat.device")]
    r#type: String,
    /// 1.
    #[schema(example = 1)]
    version: i64,
    /// The key that signs.
    #[schema(pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: String,
    /// UTC, at most 300 seconds from the server's time.
    #[schema(example = "2026-05-25T03:00:00Z", format = DateTime)]
    created_at: String,
    /// The name of this server.
    #[schema(example = "kez.lat")]
    server: String,
    /// 16 random bytes.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    device_id: String,
    /// The key of its signed calls.
    #[schema(pattern = "^ed25519:[0-9a-f]{64}$")]
    auth_key: String,
    /// Its signature key in MLS.
    #[schema(pattern = "^ed25519:[0-9a-f]{64}$")]
    mls_key: String,
    /// 129 bytes in base64url without padding. SPEC "Device certificates".
    #[schema(pattern = "^[A-Za-z0-9_-]{172}$")]
    mls_certificate: String,
    /// UTC, in whole seconds, at most 365 days after `created_at`.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A signed document by which an account lets a device go. SPEC "Devices".
#[derive(ToSchema)]
#[schema(as = DeviceRevocationEnvelope)]
pub(super) struct RevocationEnvelopeBody {
    /// The tag.
    #[schema(example = "device_revocation")]
    kez: String,
    /// What is signed, in its canonical form (RFC 8785).
    payload: RevocationPayload,
    /// By the key named in the payload.
    signature: SignatureBody,
}

/// "This device no longer acts for me on this server, and never will again."
#[derive(ToSchema)]
pub(super) struct RevocationPayload {
    /// `kez.chat.device_revocation`.
    #[schema(example = "kez.chat.device_revocation")]
    r#type: String,
    /// 1.
    #[schema(example = 1)]
    version: i64,
    /// The key that signs.
    #[schema(pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: String,
    /// UTC, at most 300 seconds from the server's time.
    #[schema(example = "2026-05-25T03:00:00Z", format = DateTime)]
    created_at: String,
    /// The name of this server.
    #[schema(example = "kez.lat")]
    server: String,
    /// The device.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    device_id: String,
}

/// A signed document by which a key ends its account. SPEC "Account deletion".
#[derive(ToSchema)]
#[schema(as = AccountDeletionEnvelope)]
pub(super) struct DeletionEnvelopeBody {
    /// The tag.
    #[schema(example = "account_deletion")]
    kez: String,
    /// What is signed, in its canonical form (RFC 8785).
    payload: DeletionPayload,
    /// By the key named in the payload.
    signature: SignatureBody,
}

/// "Delete my account and everything of it from this server."
#[derive(ToSchema)]
pub(super) struct DeletionPayload {
    /// `kez.chat.account_deletion`.
    #[schema(example = "kez.chat.account_deletion")]
    r#type: String,
    /// 1.
    #[schema(example = 1)]
    version: i64,
    /// The key that signs.
    #[schema(pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: String,
    /// UTC, at most 300 seconds from the server's time.
    #[schema(example = "2026-05-25T03:00:00Z", format = DateTime)]
    created_at: String,
    /// The name of this server.
    #[schema(example = "kez.lat")]
    server: String,
    /// The handle that the key holds here.
    #[schema(example = "alice")]
    handle: String,
}

/// What this server signs when it has deleted an account. SPEC "Account deletion".
#[derive(ToSchema)]
#[schema(as = SignedDeletionReceipt)]
pub(super) struct SignedReceiptBody {
    /// What is signed, in its canonical form (RFC 8785), after the text `kez-chat/deletion-receipt/v1` and a zero byte.
    receipt: ReceiptBody,
    /// The receipt key of this server, as in `GET /v1/server`.
    #[schema(pattern = "^ed25519:[0-9a-f]{64}$")]
    key: String,
    /// Ed25519.
    #[schema(pattern = "^[0-9a-f]{128}$")]
    sig: String,
}

/// "I have deleted this account, and kept no more than this."
#[derive(ToSchema)]
#[schema(as = DeletionReceipt)]
pub(super) struct ReceiptBody {
    /// `kez.chat.deletion_receipt`.
    #[schema(example = "kez.chat.deletion_receipt")]
    r#type: String,
    /// 1.
    #[schema(example = 1)]
    version: i64,
    /// The name of this server.
    #[schema(example = "kez.lat")]
    server: String,
    /// The handle that the account held.
    #[schema(example = "alice")]
    handle: String,
    /// The key that held it.
    #[schema(pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: String,
    /// SHA-256 of the signed bytes of the deletion.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    deletion_sha256: String,
    /// When the last of the account was deleted.
    #[schema(format = DateTime)]
    deleted_at: String,
    /// What remains.
    kept: Vec<String>,
}

/// How many key packages of a device others can still be given.
#[derive(ToSchema)]
#[schema(as = KeyPackageCounts)]
pub(super) struct KeyPackageCountsBody {
    /// One-time packages, at most 100.
    one_time: u32,
    /// Whether there is one for when these are used up.
    last_resort: bool,
}

/// What a claim is given, in the order in which the devices were enrolled.
#[derive(ToSchema)]
#[schema(as = ClaimedKeyPackages)]
pub(super) struct ClaimedKeyPackagesBody {
    /// A package of each device that has one.
    key_packages: Vec<ClaimedKeyPackageBody>,
    /// The ids of the devices that have none.
    missing: Vec<String>,
}

/// A key package that was handed out.
#[derive(ToSchema)]
#[schema(as = ClaimedKeyPackage)]
pub(super) struct ClaimedKeyPackageBody {
    /// The device that it adds.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    device_id: String,
    /// An `MLSMessage` with a `KeyPackage` (RFC 9420); base64url without padding.
    key_package: String,
    /// Whether others are given the same one.
    last_resort: bool,
}
