//! BIP-340 signatures and NIP-19 keys.

use kez_core::{NostrKey, NostrSecret, Signature};
use serde::Deserialize;

use super::{bytes, each};

#[derive(Deserialize)]
struct Case {
    secret: Option<String>,
    aux: Option<String>,
    public_key: String,
    npub: Option<String>,
    hash: String,
    signature: String,
}

impl Case {
    fn is_believed(&self) -> bool {
        NostrKey::from_bytes(bytes(&self.public_key))
            .verify(&bytes(&self.hash), &Signature::from_bytes(bytes(&self.signature)))
            .is_ok()
    }
}

#[test]
fn signatures() {
    each("nostr", "valid", |case: Case| {
        assert!(case.is_believed());
        let key = NostrKey::from_bytes(bytes(&case.public_key));
        if let Some(npub) = &case.npub {
            assert_eq!(&key.to_npub(), npub);
            assert_eq!(NostrKey::from_npub(npub), Ok(key));
        }
        if let (Some(secret), Some(aux)) = (&case.secret, &case.aux) {
            let secret = NostrSecret::from_bytes(&bytes(secret)).unwrap();
            assert_eq!(secret.public_key(), key);
            assert_eq!(secret.sign(&bytes(&case.hash), &bytes(aux)).unwrap().to_hex(), case.signature);
        }
    });
    each("nostr", "invalid", |case: Case| assert!(!case.is_believed()));
}
