//! Signed calls that nobody thought of: what is signed verifies, and nothing else does.

use kez_core::http_signature::{
    AHEAD_S_MAX, KeyId, LIFETIME_S_MAX, Nonce, RequestParts, SignatureClaim, SignatureError,
    SignatureHeaders, Signer, TimeError, check_content_digest, content_digest, sign,
};
use kez_core::{DeviceId, ExchangeSecret, PublicKey, Seed, SessionContext, SessionKey, Timestamp};
use proptest::prelude::*;

/// A request that owns its parts.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    method: String,
    authority: String,
    path: String,
    query: Option<String>,
    body: Option<Vec<u8>>,
}

/// A request, who signs it, and when.
#[derive(Debug, Clone)]
struct Call {
    request: Request,
    signer: Signer,
    created: i64,
    lifetime_s: i64,
    nonce: Nonce,
}

impl Call {
    fn sign(&self) -> SignatureHeaders {
        let digest = self.request.digest();
        sign(&self.signer, &self.request.parts(digest.as_deref()), self.created, self.lifetime_s, &self.nonce)
            .unwrap()
    }
}

impl Request {
    fn digest(&self) -> Option<String> {
        self.body.as_deref().map(content_digest)
    }

    fn parts<'a>(&'a self, content_digest: Option<&'a str>) -> RequestParts<'a> {
        RequestParts {
            method: &self.method,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            content_digest,
        }
    }

    /// What is signed, without the two spellings that some parts have.
    fn normal(&self) -> Self {
        let path = if self.path.is_empty() { "/".to_owned() } else { self.path.clone() };
        Self { path, query: Some(self.query.clone().unwrap_or_default()), ..self.clone() }
    }
}

fn verify(
    signer: &Signer,
    request: &Request,
    headers: &SignatureHeaders,
) -> Result<SignatureClaim, SignatureError> {
    let claim = SignatureClaim::parse(&headers.signature_input, &headers.signature)?;
    let digest = request.digest();
    let parts = request.parts(digest.as_deref());
    match signer {
        Signer::Device { seed, .. } => claim.verify_device(&seed.public_key(), &parts)?,
        Signer::Session { key, .. } => claim.verify_session(key, &parts)?,
    }
    Ok(claim)
}

fn request() -> impl Strategy<Value = Request> {
    let text = "[!-~]{0,12}";
    let body = prop::option::of(prop::collection::vec(any::<u8>(), 0..20));
    ("[A-Z]{3,7}", "[a-z.]{1,8}(:[1-9]{2})?", "(/[!-~]{0,8}){0,3}", prop::option::of(text), body)
        .prop_map(|(method, authority, path, query, body)| Request { method, authority, path, query, body })
}

fn signer() -> impl Strategy<Value = Signer> {
    let device = (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(|(primary, id, seed)| {
        let (primary, device_id) = (PublicKey::from_bytes(primary), DeviceId::from_bytes(id));
        Signer::Device { primary, device_id, seed: Seed::from_bytes(seed) }
    });
    let session = ("[A-Za-z0-9_-]{1,256}", any::<[u8; 32]>()).prop_map(|(token, key)| Signer::Session {
        token: token.parse().unwrap(),
        key: SessionKey::from_bytes(key),
    });
    prop_oneof![device, session]
}

fn call() -> impl Strategy<Value = Call> {
    let times = (0_i64..4_000_000_000, 1..=LIFETIME_S_MAX);
    (request(), signer(), times, any::<[u8; 16]>()).prop_map(
        |(request, signer, (created, lifetime_s), nonce)| Call {
            request,
            signer,
            created,
            lifetime_s,
            nonce: Nonce::from_random(nonce),
        },
    )
}

proptest! {
    #[test]
    fn what_is_signed_is_read_back_and_verifies(call in call()) {
        let claim = verify(&call.signer, &call.request, &call.sign()).unwrap();
        prop_assert_eq!(claim.key_id(), &call.signer.key_id());
        prop_assert_eq!(claim.key_id(), &claim.key_id().to_string().parse::<KeyId>().unwrap());
        prop_assert_eq!((claim.created(), claim.expires()), (call.created, call.created + call.lifetime_s));
        prop_assert_eq!(claim.nonce(), &call.nonce);
        prop_assert_eq!(claim.covers_body(), call.request.body.is_some());
    }

    #[test]
    fn a_signature_is_good_for_one_request(call in call(), other in request(), which in 0..5) {
        let mut changed = call.request.clone();
        match which {
            0 => changed.method = other.method,
            1 => changed.authority = other.authority,
            2 => changed.path = other.path,
            3 => changed.query = other.query,
            _ => changed.body = other.body,
        }
        let is_same = changed.normal() == call.request.normal();
        prop_assert_eq!(verify(&call.signer, &changed, &call.sign()).is_ok(), is_same);
    }

    #[test]
    fn a_signature_is_good_for_one_key(call in call(), other in signer()) {
        prop_assert!(verify(&other, &call.request, &call.sign()).is_err());
    }

    /// Not even the label, which has to be the same in both.
    #[test]
    fn no_byte_of_a_header_can_change(call in call(), at in any::<prop::sample::Index>(), byte in b' '..=b'~') {
        let headers = call.sign();
        for is_input in [true, false] {
            let mut changed = headers.clone();
            let header = if is_input { &mut changed.signature_input } else { &mut changed.signature };
            let at = at.index(header.len());
            let is_free = header.as_bytes()[at] == byte;
            header.replace_range(at..=at, char::from(byte).encode_utf8(&mut [0; 4]));
            prop_assert_eq!(verify(&call.signer, &call.request, &changed).is_ok(), is_free, "{:?}", changed);
        }
    }

    #[test]
    fn a_signature_counts_within_its_window(call in call(), offset_s in -70_i64..140, nanos in 0..1_000_000_000_u32) {
        let headers = call.sign();
        let claim = SignatureClaim::parse(&headers.signature_input, &headers.signature).unwrap();
        let offset_nanos = i128::from(offset_s) * 1_000_000_000 + i128::from(nanos);
        let now = Timestamp::from_unix(call.created + offset_s, nanos).unwrap();
        let expected = if offset_nanos < -i128::from(AHEAD_S_MAX) * 1_000_000_000 {
            Some("ahead")
        } else if offset_nanos > i128::from(call.lifetime_s) * 1_000_000_000 {
            Some("expired")
        } else {
            None
        };
        prop_assert_eq!(claim.check_time(now).err().map(TimeError::code), expected);
    }

    #[test]
    fn a_digest_is_good_for_one_body(body in any::<Vec<u8>>(), other in any::<Vec<u8>>()) {
        let header = content_digest(&body);
        prop_assert!(check_content_digest(&header, &body).is_ok());
        prop_assert_eq!(check_content_digest(&header, &other).is_ok(), body == other);
    }

    #[test]
    fn both_sides_of_a_session_have_one_key(
        client in any::<[u8; 32]>(),
        server in any::<[u8; 32]>(),
        primary in any::<[u8; 32]>(),
        device_id in any::<[u8; 16]>(),
    ) {
        let (client, server) = (ExchangeSecret::from_bytes(client), ExchangeSecret::from_bytes(server));
        let context = SessionContext {
            client: client.public_key(),
            server: server.public_key(),
            primary: PublicKey::from_bytes(primary),
            device_id: DeviceId::from_bytes(device_id),
        };
        let ours = client.session_key(&context.server, &context).unwrap();
        let theirs = server.session_key(&context.client, &context).unwrap();
        prop_assert_eq!(ours.expose(), theirs.expose());
        let elsewhere = SessionContext { device_id: DeviceId::from_bytes(device_id.map(|byte| !byte)), ..context };
        let other = client.session_key(&context.server, &elsewhere).unwrap();
        prop_assert_ne!(ours.expose(), other.expose());
    }
}

#[test]
fn what_cannot_be_written_is_not_signed() {
    let signer = Signer::Session { token: "t".parse().unwrap(), key: SessionKey::from_bytes([7; 32]) };
    let nonce = Nonce::from_random([1; 16]);
    let request = Request {
        method: "GET".into(),
        authority: "kez.lat".into(),
        path: "/a\nb".into(),
        query: None,
        body: None,
    };
    let parts = request.parts(None);
    assert_eq!(sign(&signer, &parts, 0, 60, &nonce), Err(SignatureError::RequestParts));
    let parts = RequestParts { path: "/", ..parts };
    for (created, lifetime_s) in
        [(i64::MAX, 60), (i64::MIN, 0), (1_000_000_000_000_000, 0), (999_999_999_999_999, 1)]
    {
        let refused = sign(&signer, &parts, created, lifetime_s, &nonce);
        assert!(matches!(refused, Err(SignatureError::Parameters(_))), "{created} {lifetime_s}");
    }
}
