//! What a server signs when it has deleted an account.

use data_encoding::HEXLOWER;

use crate::envelope::text;
use crate::handle::{Handle, ServerName};
use crate::json::{self, Malformed, Object, Value};
use crate::key::{PublicKey, Seed, Signature};
use crate::time::Timestamp;

/// Separates receipts from everything else that is signed with an Ed25519 key.
const DOMAIN: &[u8] = b"kez-chat/deletion-receipt/v1\0";

/// `type` of a receipt.
const TYPE: &str = "kez.chat.deletion_receipt";

/// The only version there is.
const VERSION: i64 = 1;

/// What remains after a deletion, as a server of this version names it: the handle, so that nobody else takes it; hashes
/// of the accepted registrations and of the deletion, so that neither counts twice; frames that others have not fetched,
/// without their sender; the key's place in groups until members remove it; and what was published elsewhere, which no
/// home server can take back; and what the operator wrote down about the key.
pub const KEPT_AFTER_DELETION: [&str; 7] = [
    "handle",
    "registration_hashes",
    "deletion_hash",
    "frames_for_others",
    "group_places",
    "operator_records",
    "sigchain_events",
];

/// "I have deleted this account, and kept no more than this." Signed by a home server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionReceipt {
    /// The name of the server.
    pub server: ServerName,
    /// The handle that the account held.
    pub handle: Handle,
    /// The key that held it.
    pub primary: PublicKey,
    /// SHA-256 of the signed bytes of the [`AccountDeletion`](super::AccountDeletion).
    pub deletion_sha256: [u8; 32],
    /// When the last of the account was deleted, by the server's clock, in whole seconds.
    pub deleted_at: Timestamp,
    /// What remains: words such as those of [`KEPT_AFTER_DELETION`]. A reader may meet others.
    pub kept: Vec<String>,
}

/// A receipt with its signature, as it goes over the wire. Nothing about it is believed before [`verify`](Self::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    receipt: DeletionReceipt,
    key: PublicKey,
    signature: Signature,
    /// The receipt in canonical form, with members that this version does not know.
    canonical: String,
}

/// Why a receipt is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadReceipt {
    /// Signed with another key than the server's.
    #[error("the receipt is signed with another key")]
    OtherKey,
    /// The signature is not over this receipt.
    #[error("the signature does not verify")]
    BadSignature,
}

impl BadReceipt {
    /// The name of the fault, as in the vectors.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtherKey => "other_key",
            Self::BadSignature => "bad_signature",
        }
    }
}

impl DeletionReceipt {
    /// Signs as the server whose receipt key `seed` is. [`Malformed`] when a word of `kept` is no text of a document.
    pub fn sign(self, seed: &Seed) -> Result<SignedReceipt, Malformed> {
        let canonical = self.to_value().canonical()?;
        let receipt =
            Self::read(&object(json::parse(canonical.as_bytes())?, "the receipt is not an object")?)?;
        let signature = seed.sign(&signed_bytes(&canonical));
        Ok(SignedReceipt { receipt, key: seed.public_key(), signature, canonical })
    }

    fn to_value(&self) -> Value {
        let kept = self.kept.iter().map(|word| word.as_str().into()).collect();
        Value::Object(Object::from([
            ("type".into(), TYPE.into()),
            ("version".into(), Value::Integer(VERSION)),
            ("server".into(), self.server.as_str().into()),
            ("handle".into(), self.handle.as_str().into()),
            ("primary".into(), self.primary.to_string().as_str().into()),
            ("deletion_sha256".into(), HEXLOWER.encode(&self.deletion_sha256).as_str().into()),
            ("deleted_at".into(), self.deleted_at.to_string().as_str().into()),
            ("kept".into(), Value::Array(kept)),
        ]))
    }

    fn read(members: &Object) -> Result<Self, Malformed> {
        let is_ours = members.get("type").and_then(Value::as_str) == Some(TYPE)
            && members.get("version") == Some(&Value::Integer(VERSION));
        if !is_ours {
            return Err(Malformed::Shape("receipt.type or receipt.version is another one"));
        }
        Ok(Self {
            server: parsed(members, "server", "receipt.server is not a server name")?,
            handle: parsed(members, "handle", "receipt.handle is not a handle")?,
            primary: parsed(members, "primary", "receipt.primary is not an ed25519 key")?,
            deletion_sha256: HEXLOWER
                .decode(
                    text(members, "deletion_sha256", "receipt.deletion_sha256 is not a string")?.as_bytes(),
                )
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(Malformed::Shape("receipt.deletion_sha256 is not 64 lower-case hex digits"))?,
            deleted_at: parsed(
                members,
                "deleted_at",
                "receipt.deleted_at is not a time like 2026-05-25T03:00:00Z",
            )?,
            kept: words(members.get("kept"))?,
        })
    }
}

impl SignedReceipt {
    /// Reads strict JSON and checks the shape: exactly `receipt`, `key`, `sig`; further members of the receipt are
    /// signed, and taken.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut members = object(json::parse(bytes)?, "the answer is not an object")?;
        let key = parsed(&members, "key", "key is not an ed25519 key")?;
        let signature = Signature::from_hex(&text(&members, "sig", "sig is not a string")?)
            .ok_or(Malformed::Shape("sig is not 128 lower-case hex digits"))?;
        let receipt = members.remove("receipt").ok_or(Malformed::Shape("receipt is missing"))?;
        if members.len() != 2 {
            return Err(Malformed::Shape("a signed receipt has receipt, key, sig"));
        }
        let canonical = receipt.canonical()?;
        let receipt = DeletionReceipt::read(&object(receipt, "the receipt is not an object")?)?;
        Ok(Self { receipt, key, signature, canonical })
    }

    /// Believes the receipt, when it is signed with `key`, the receipt key of the server as it was known before.
    pub fn verify(&self, key: &PublicKey) -> Result<&DeletionReceipt, BadReceipt> {
        if self.key != *key {
            return Err(BadReceipt::OtherKey);
        }
        key.verify(&signed_bytes(&self.canonical), &self.signature).map_err(|_| BadReceipt::BadSignature)?;
        Ok(&self.receipt)
    }

    /// The key that it says it is signed with.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Receipt, key and signature in canonical form.
    pub fn to_json(&self) -> String {
        // The canonical form sorts its members: key, receipt, sig. None of the three needs escapes.
        format!(
            r#"{{"key":"{}","receipt":{},"sig":"{}"}}"#,
            self.key,
            self.canonical,
            self.signature.to_hex()
        )
    }
}

fn signed_bytes(canonical: &str) -> Vec<u8> {
    [DOMAIN, canonical.as_bytes()].concat()
}

fn object(value: Value, fault: &'static str) -> Result<Object, Malformed> {
    value.into_object().ok_or(Malformed::Shape(fault))
}

fn parsed<T: std::str::FromStr>(members: &Object, name: &str, fault: &'static str) -> Result<T, Malformed> {
    text(members, name, fault)?.parse().map_err(|_| Malformed::Shape(fault))
}

fn words(value: Option<&Value>) -> Result<Vec<String>, Malformed> {
    let fault = Malformed::Shape("receipt.kept is not a list of strings");
    let Some(Value::Array(items)) = value else { return Err(fault) };
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| fault.clone())).collect()
}
