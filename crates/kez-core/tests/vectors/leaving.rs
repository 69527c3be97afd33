//! Deletions of accounts and their receipts.

use data_encoding::HEXLOWER;
use kez_core::{
    AccountDeletion, BadReceipt, Envelope, EnvelopeError, KEPT_AFTER_DELETION, PublicKey, Seed, SignedReceipt,
};
use serde::Deserialize;

use super::{bytes, each};

#[test]
fn account_deletions() {
    #[derive(Deserialize)]
    struct Valid {
        envelope: String,
        server: String,
        handle: String,
        primary: String,
        canonical: String,
        payload_sha256: String,
    }
    #[derive(Deserialize)]
    struct Invalid {
        envelope: String,
        error: String,
    }
    fn verified(envelope: &str) -> Result<kez_core::Verified<AccountDeletion>, EnvelopeError> {
        Envelope::parse(envelope.as_bytes()).map_err(EnvelopeError::from).and_then(Envelope::verify)
    }
    each("account-deletion", "valid", |case: Valid| {
        let verified = verified(&case.envelope).unwrap();
        assert_eq!(verified.document().server, case.server);
        assert_eq!(verified.document().handle, case.handle);
        assert_eq!(verified.primary().to_string(), case.primary);
        assert_eq!(verified.canonical(), case.canonical);
        assert_eq!(HEXLOWER.encode(verified.payload_sha256()), case.payload_sha256);
    });
    each("account-deletion", "invalid", |case: Invalid| {
        assert_eq!(verified(&case.envelope).unwrap_err().code(), case.error);
    });
}

#[test]
fn deletion_receipts() {
    #[derive(Deserialize)]
    struct Valid {
        signed: String,
        seed: Option<String>,
        key: PublicKey,
        server: String,
        handle: String,
        primary: String,
        deletion_sha256: String,
        deleted_at: String,
        kept: Vec<String>,
        canonical: String,
    }
    #[derive(Deserialize)]
    struct Invalid {
        signed: String,
        key: PublicKey,
        error: String,
    }
    each("deletion-receipt", "valid", |case: Valid| {
        let signed = SignedReceipt::parse(case.signed.as_bytes()).unwrap();
        let receipt = signed.verify(&case.key).unwrap();
        assert_eq!(signed.key(), case.key);
        assert_eq!(receipt.server.as_str(), case.server);
        assert_eq!(receipt.handle.as_str(), case.handle);
        assert_eq!(receipt.primary.to_string(), case.primary);
        assert_eq!(HEXLOWER.encode(&receipt.deletion_sha256), case.deletion_sha256);
        assert_eq!(receipt.deleted_at, case.deleted_at.parse().unwrap());
        assert_eq!(receipt.kept, case.kept);
        assert_eq!(signed.to_json(), case.canonical);
        if let Some(seed) = case.seed {
            assert_eq!(receipt.clone().sign(&Seed::from_bytes(bytes(&seed))).unwrap(), signed);
        }
    });
    each("deletion-receipt", "invalid", |case: Invalid| {
        let fault = match SignedReceipt::parse(case.signed.as_bytes()) {
            Ok(signed) => signed.verify(&case.key).map(drop).map_err(BadReceipt::name),
            Err(_) => Err("malformed"),
        };
        assert_eq!(fault, Err(case.error.as_str()));
    });
}

#[test]
fn what_is_kept_is_said_in_words_of_one_shape() {
    for word in KEPT_AFTER_DELETION {
        assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word}");
    }
}
