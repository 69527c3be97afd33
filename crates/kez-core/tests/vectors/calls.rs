//! Signed calls, the digests of their bodies, and the keys of sessions.

use data_encoding::BASE64;
use kez_core::http_signature::{
    DigestError, KeyId, RequestParts, SignatureClaim, SignatureError, Signer, TimeError,
    check_content_digest, content_digest, sign,
};
use kez_core::{ExchangeSecret, PublicKey, Seed, SessionContext, SessionKey, Timestamp};
use serde::Deserialize;

use super::{bytes, each};

#[test]
fn content_digests() {
    #[derive(Deserialize)]
    struct Case {
        header: String,
        body_base64: String,
        ours: Option<bool>,
        error: Option<String>,
    }
    let check = |case: &Case| -> Result<(), DigestError> {
        check_content_digest(&case.header, &BASE64.decode(case.body_base64.as_bytes()).unwrap())
    };
    each("content-digest", "valid", |case: Case| {
        check(&case).unwrap();
        let body = BASE64.decode(case.body_base64.as_bytes()).unwrap();
        assert_eq!(Some(content_digest(&body) == case.header), case.ours);
    });
    each("content-digest", "invalid", |case: Case| {
        assert_eq!(Some(check(&case).unwrap_err().code()), case.error.as_deref());
    });
}

#[derive(Deserialize)]
struct Request {
    method: String,
    authority: String,
    path: String,
    query: Option<String>,
    content_digest: Option<String>,
}

impl Request {
    fn parts(&self) -> RequestParts<'_> {
        RequestParts {
            method: &self.method,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            content_digest: self.content_digest.as_deref(),
        }
    }
}

/// What both kinds of vectors have.
#[derive(Deserialize)]
struct Call {
    request: Request,
    signature_input: String,
    signature: String,
    public_key: Option<String>,
    session_key: Option<String>,
    now: Timestamp,
}

impl Call {
    /// All steps in their order; the code of the one that fails.
    fn check(&self) -> Result<SignatureClaim, &'static str> {
        let claim =
            SignatureClaim::parse(&self.signature_input, &self.signature).map_err(SignatureError::code)?;
        claim.check_time(self.now).map_err(TimeError::code)?;
        let parts = self.request.parts();
        let verified = match (&self.public_key, &self.session_key) {
            (Some(key), _) => claim.verify_device(&PublicKey::from_bytes(bytes(key)), &parts),
            (None, Some(key)) => claim.verify_session(&SessionKey::from_bytes(bytes(key)), &parts),
            (None, None) => panic!("a vector has a key"),
        };
        verified.map(|()| claim).map_err(SignatureError::code)
    }
}

#[derive(Deserialize)]
struct ValidCall {
    #[serde(flatten)]
    call: Call,
    seed: Option<String>,
    signed_again: bool,
    key_id: String,
    nonce: String,
    created: i64,
    expires: i64,
    base: String,
}

impl ValidCall {
    fn signer(&self) -> Signer {
        match self.key_id.parse().unwrap() {
            KeyId::Device { primary, device_id } => {
                let seed = Seed::from_bytes(bytes(self.seed.as_ref().unwrap()));
                Signer::Device { primary, device_id, seed }
            }
            KeyId::Session(token) => {
                let key = SessionKey::from_bytes(bytes(self.call.session_key.as_ref().unwrap()));
                Signer::Session { token, key }
            }
        }
    }
}

#[test]
fn signed_calls() {
    #[derive(Deserialize)]
    struct Invalid {
        #[serde(flatten)]
        call: Call,
        error: String,
    }
    each("http-signature", "valid", |case: ValidCall| {
        let (call, parts) = (&case.call, case.call.request.parts());
        let claim = call.check().unwrap();
        assert_eq!(claim.base(&parts).unwrap(), case.base);
        assert_eq!((claim.created(), claim.expires()), (case.created, case.expires));
        assert_eq!(claim.key_id().to_string(), case.key_id);
        assert_eq!(claim.nonce().as_str(), case.nonce);
        assert_eq!(claim.covers_body(), call.request.content_digest.is_some());
        if case.signed_again {
            let lifetime_s = case.expires - case.created;
            let again = sign(&case.signer(), &parts, case.created, lifetime_s, claim.nonce()).unwrap();
            assert_eq!(
                (again.signature_input, again.signature),
                (call.signature_input.clone(), call.signature.clone())
            );
        }
    });
    each("http-signature", "invalid", |case: Invalid| {
        assert_eq!(case.call.check().unwrap_err(), case.error);
    });
}

#[test]
fn sessions() {
    #[derive(Deserialize)]
    struct Valid {
        client_secret: String,
        server_secret: String,
        #[serde(flatten)]
        context: Context,
        session_key: String,
    }
    #[derive(Deserialize)]
    struct Invalid {
        secret: String,
        peer: String,
        #[serde(flatten)]
        context: Context,
    }
    #[derive(Deserialize)]
    struct Context {
        client: String,
        server: String,
        primary: String,
        device_id: String,
    }
    let context = |case: &Context| SessionContext {
        client: case.client.parse().unwrap(),
        server: case.server.parse().unwrap(),
        primary: case.primary.parse().unwrap(),
        device_id: case.device_id.parse().unwrap(),
    };
    each("session", "valid", |case: Valid| {
        let context = context(&case.context);
        let client = ExchangeSecret::from_bytes(bytes(&case.client_secret));
        let server = ExchangeSecret::from_bytes(bytes(&case.server_secret));
        assert_eq!((client.public_key(), server.public_key()), (context.client, context.server));
        for (secret, peer) in [(client, context.server), (server, context.client)] {
            let key = secret.session_key(&peer, &context).unwrap();
            assert_eq!(*key.expose(), bytes::<32>(&case.session_key));
        }
    });
    each("session", "invalid", |case: Invalid| {
        let secret = ExchangeSecret::from_bytes(bytes(&case.secret));
        assert!(secret.session_key(&case.peer.parse().unwrap(), &context(&case.context)).is_none());
    });
}
