//! What a fuzzer throws bytes at. Used by `tests/fuzz.rs` on stable Rust and by `fuzz/` with libFuzzer.
//!
//! A seal and a signature keep a fuzzer out, so claims are sealed and signed here with keys of our own.

use data_encoding::BASE64URL_NOPAD;
use kez_core::{Seed, Timestamp};
use kez_nats_auth::{
    CallSubject, CalloutRequest, CurveSeed, Login, Nkey, NkeySeed, Role, is_safe_nonce, open, seal,
};

/// A target and its name, which is that of its file in `fuzz/fuzz_targets/`.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: [Target; 2] = [("nats_callout", callout), ("nats_text", texts)];

/// A sealed request, a token in a seal, or claims in a token.
pub(crate) fn callout(data: &[u8]) {
    let (ours, theirs) = (CurveSeed::from_bytes([1; 32]), CurveSeed::from_bytes([2; 32]));
    assert!(open(&ours, &theirs.public_key(), data).is_err(), "nobody sealed this");
    let sealed = seal(&theirs, &ours.public_key(), [3; 24], data).expect("a curve key");
    assert_eq!(open(&ours, &theirs.public_key(), &sealed).as_deref(), Ok(data));
    let issuer = NkeySeed::new(Role::Account, Seed::from_bytes([4; 32])).public_key();
    let now = Timestamp::from_unix(1_779_667_200, 0).expect("within the years");
    let server = "kez.lat".parse().expect("a server name");
    for token in [data.to_vec(), signed(data)] {
        let request = CalloutRequest::read(&token, &theirs.public_key(), &issuer, now.unix_seconds());
        if let Ok(request) = request {
            let _ = Login::check(&request, &server, now);
        }
    }
}

/// A key, a seed, a nonce or a subject.
pub(crate) fn texts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(key) = text.parse::<Nkey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(seed) = text.parse::<NkeySeed>() {
        assert_eq!(*seed.expose(), text);
    }
    if let Ok(seed) = text.parse::<CurveSeed>() {
        assert_eq!(*seed.expose(), text);
    }
    if is_safe_nonce(&text) {
        assert!(!text.contains(['{', '"', ' ', '/', '\0']));
    }
    if let Ok(call) = CallSubject::read(&text) {
        let again = format!("kez.rpc.{}.{}.{}", call.account.to_hex(), call.device, call.op);
        assert_eq!(again, text);
    }
}

/// `data` as claims that a server signed.
fn signed(data: &[u8]) -> Vec<u8> {
    let server = Seed::from_bytes([5; 32]);
    let head = BASE64URL_NOPAD.encode(br#"{"alg":"ed25519-nkey"}"#);
    let text = format!("{head}.{}", BASE64URL_NOPAD.encode(data));
    let signature = BASE64URL_NOPAD.encode(server.sign(text.as_bytes()).as_bytes());
    format!("{text}.{signature}").into_bytes()
}

/// Inputs to start from.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let seed = |role| NkeySeed::new(role, Seed::from_bytes([5; 32]));
    let (server, issuer) =
        (seed(Role::Server).public_key(), NkeySeed::new(Role::Account, Seed::from_bytes([4; 32])));
    let (user, xkey) = (seed(Role::User), CurveSeed::from_bytes([2; 32]).public_key());
    let nonce = "0123456789abcde";
    let signature = BASE64URL_NOPAD.encode(user.seed().sign(nonce.as_bytes()).as_bytes());
    let claims = format!(
        r#"{{"iss":"{server}","sub":"{}","aud":"nats-authorization-request","exp":1779667202,"jti":"x","nats":{{"type":"authorization_request","version":2,"user_nkey":"{u}","server_id":{{"id":"{server}","xkey":"{xkey}"}},"client_info":{{"kind":"Client","type":"nats","nonce":"{nonce}"}},"connect_opts":{{"nkey":"{u}","sig":"{signature}","auth_token":"e30"}}}}}}"#,
        issuer.public_key(),
        u = user.public_key(),
    );
    vec![
        claims.clone().into_bytes(),
        signed(claims.as_bytes()),
        server.to_string().into_bytes(),
        user.expose().as_bytes().to_vec(),
        format!("kez.rpc.{}.{}.hello", "ab".repeat(32), "0a".repeat(16)).into_bytes(),
        nonce.as_bytes().to_vec(),
    ]
}
