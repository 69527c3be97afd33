//! Shapes for the OpenAPI document, where the type itself lives in a crate that knows no OpenAPI.
#![expect(dead_code, reason = "these types describe, they are never made")]

pub(super) use kez_serve::problem::ProblemBody;
use utoipa::ToSchema;

/// A signed event: `{"kez", "payload", "signature"}`. SPEC "Sigchains".
#[derive(ToSchema)]
#[schema(as = SigchainEvent)]
pub(super) struct EventBody {
    /// The tag.
    #[schema(example = "sigchain_event")]
    kez: String,
    /// What is signed, in its canonical form (RFC 8785).
    payload: EventPayload,
    /// By the key named in the payload.
    signature: EventSignature,
}

/// "I, the key of this chain, state this after what I have stated before."
#[derive(ToSchema)]
pub(super) struct EventPayload {
    /// `kez.sigchain.event`.
    #[schema(example = "kez.sigchain.event")]
    r#type: String,
    /// 1.
    #[schema(example = 1)]
    version: i64,
    /// The key that signs: the one the chain has at this place.
    #[schema(example = "ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12")]
    primary: String,
    /// UTC, by the signer's clock.
    #[schema(example = "2026-05-25T00:00:00Z", format = DateTime)]
    created_at: String,
    /// The position, from 0.
    #[schema(example = 0, minimum = 0, maximum = 9999)]
    seq: u64,
    /// The hash of the event before; absent exactly at 0.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    prev: Option<String>,
    /// `add`, `revoke`, `rotate`, `add_device`, `revoke_device`, or one that is kept without effect.
    #[schema(example = "add")]
    op: String,
    /// What the operation is about.
    #[schema(value_type = Object, example = json!({"subject": "github:jason"}))]
    payload: String,
}

/// A signature of an Ed25519 or a nostr key.
#[derive(ToSchema)]
pub(super) struct EventSignature {
    /// `ed25519-sha512-jcs` or `nostr-secp256k1-schnorr-sha256-jcs`.
    #[schema(example = "ed25519-sha512-jcs")]
    alg: String,
    /// The same key as `payload.primary`.
    key: String,
    /// 128 lower-case hex digits.
    #[schema(pattern = "^[0-9a-f]{128}$")]
    sig: String,
}

/// The event does not go on from where the chain ends: a [`ProblemBody`] that tells the end.
#[derive(ToSchema)]
#[schema(as = NotTheHead)]
pub(super) struct NotTheHeadBody {
    /// `urn:kez:problem:` and the code.
    #[schema(example = "urn:kez:problem:bad_sequence")]
    r#type: String,
    /// The same for each occurrence.
    #[schema(example = "Does not extend the chain")]
    title: String,
    /// The status of the answer.
    #[schema(example = 409)]
    status: u16,
    /// `bad_sequence` or `wrong_prev`.
    #[schema(example = "bad_sequence", pattern = "^[a-z0-9_]+$")]
    code: String,
    /// What is special about this occurrence.
    detail: Option<String>,
    /// The position of the last event; null: the chain has none.
    seq: Option<u64>,
    /// The hash of the last event; null: the chain has none.
    hash: Option<String>,
    /// How many events the chain has.
    count: u64,
}
