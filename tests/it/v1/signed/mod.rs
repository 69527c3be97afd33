//! Signed calls, forged in every way: each refusal has its code, and none changes anything.

mod letter;
mod limits;
mod names;
mod sessions;

use kez_testkit::{DeviceActor, Net};

use letter::{Letter, next};

/// Alice with a phone, bob with another one.
async fn town() -> (Net, DeviceActor, DeviceActor) {
    let net = Net::start().await;
    let (phone, other) = (net.actor("alice").device("phone"), net.actor("bob").device("phone"));
    phone.set_up().await;
    other.set_up().await;
    (net, phone, other)
}

/// What is wrong, the answer to it, and how a good letter becomes so.
type Case<'a> = (&'a str, u16, &'a str, &'a dyn Fn(&mut Letter));

/// Sends what each change makes of a good letter; then the good letter still passes.
async fn refuse(cases: &[Case<'_>]) {
    let (net, phone, _) = town().await;
    for (name, status, code, change) in cases {
        let mut letter = Letter::new(&phone);
        change(&mut letter);
        let before = net.contents();
        let answer = letter.send(&net).await;
        assert_eq!((answer.status(), answer.code().as_str()), (*status, *code), "{name}: {answer}");
        let challenge = (*status == 401).then_some("Signature realm=\"kez-chat\"");
        assert_eq!(answer.header("www-authenticate"), challenge, "{name}");
        assert_eq!(net.contents(), before, "{name} changed something");
        Letter::new(&phone).send(&net).await.expect_status(200);
    }
}

#[tokio::test]
async fn a_signature_counts_for_one_request_only() {
    refuse(&[
        ("another path was signed", 401, "bad_signature", &|it| it.signed.path = "/v1/session".into()),
        ("a query was added", 401, "bad_signature", &|it| it.sent.target.push_str("?a=b")),
        ("a query was signed", 401, "bad_signature", &|it| it.signed.query = "?a=b".into()),
        ("another method was signed", 401, "bad_signature", &|it| it.signed.method = "PUT".into()),
        ("another body was signed", 400, "digest_mismatch", &|it| it.sent.body = next()),
        ("a space was added", 400, "digest_mismatch", &|it| it.sent.body.push(' ')),
        ("another body has its own digest", 401, "bad_signature", &|it| {
            it.sent.body = next();
            it.sent.digest = Some(letter::digest(&it.sent.body));
        }),
        ("no body", 400, "digest_mismatch", &|it| it.sent.body.clear()),
        ("no digest", 401, "bad_signature", &|it| it.sent.digest = None),
        ("no digest was signed", 400, "digest_mismatch", &|it| {
            (it.signed.digest, it.sent.digest) = (String::new(), None);
        }),
        ("a digest of another kind", 400, "digest_mismatch", &|it| {
            it.signed.digest = "sha-512=:AAAA:".into();
            it.sent.digest = Some(it.signed.digest.clone());
        }),
        ("another server was signed to", 401, "bad_signature", &|it| it.signed.authority = "kez.lat".into()),
    ])
    .await;
}

#[tokio::test]
async fn a_signature_counts_for_one_device_only() {
    refuse(&[
        ("bob's key id", 401, "bad_signature", &|it| it.keyid = it.key_id_of("bob", "phone")),
        ("a device that never was", 401, "unknown_device", &|it| it.keyid = it.key_id_of("alice", "tablet")),
        ("bob's account, alice's device", 401, "unknown_device", &|it| {
            it.keyid = it.key_id_of("alice", "phone").replace(&it.key_of("alice"), &it.key_of("bob"));
        }),
        ("nobody's account", 401, "unknown_device", &|it| it.keyid = it.key_id_of("mallory", "phone")),
        ("by the primary key", 401, "bad_signature", &|it| it.seed = it.phone.owner().seed().clone()),
        ("by the key of MLS", 401, "bad_signature", &|it| it.seed = it.phone.mls_seed()),
        ("by bob's device", 401, "bad_signature", &|it| {
            it.seed = it.phone.owner().net().actor("bob").device("phone").auth_seed();
        }),
        ("no device", 401, "signature_malformed", &|it| it.keyid = it.key_of("alice")),
        ("a key id in upper case", 401, "signature_malformed", &|it| it.keyid = it.keyid.to_uppercase()),
        ("nothing at all", 401, "signature_malformed", &|it| it.keyid = String::new()),
    ])
    .await;
}

#[tokio::test]
async fn a_signature_counts_for_a_minute_only() {
    let times = |created: i64, expires: i64| move |it: &mut Letter| it.times(created, expires);
    refuse(&[
        ("over", 401, "signature_expired", &times(-60, -1)),
        ("of the future", 401, "signature_expired", &times(6, 66)),
        ("too long", 401, "signature_expired", &times(0, 61)),
        ("too long, begun long ago", 401, "signature_expired", &times(-86_400, 60)),
        ("no time", 401, "signature_expired", &times(0, 0)),
        ("backwards", 401, "signature_expired", &times(0, -60)),
        ("no created", 401, "signature_malformed", &|it| it.without("created")),
        ("no expires", 401, "signature_malformed", &|it| it.without("expires")),
    ])
    .await;
    let (net, phone, _) = town().await;
    let mut late = Letter::new(&phone);
    late.times(-61, -1);
    assert_eq!(late.send(&net).await.json()["server_time"], "2026-05-25T03:00:00Z");
    for (created, expires) in [(-60, 0), (5, 65), (0, 1)] {
        let mut letter = Letter::new(&phone);
        letter.times(created, expires);
        letter.send(&net).await.expect_status(200);
    }
}

#[tokio::test]
async fn a_signature_has_every_part_and_no_other() {
    refuse(&[
        ("none", 401, "signature_missing", &|it| it.is_signed = false),
        ("another's tag", 401, "signature_missing", &|it| it.tag = "other".into()),
        ("no tag", 401, "signature_missing", &|it| it.without("tag")),
        ("no method", 401, "signature_malformed", &|it| it.uncover("@method")),
        ("no authority", 401, "signature_malformed", &|it| it.uncover("@authority")),
        ("no path", 401, "signature_malformed", &|it| it.uncover("@path")),
        ("no query", 401, "signature_malformed", &|it| it.uncover("@query")),
        ("no digest", 401, "signature_malformed", &|it| it.uncover("content-digest")),
        ("one more", 401, "signature_malformed", &|it| it.covered.push("content-type".into())),
        ("one twice", 401, "signature_malformed", &|it| it.covered.push("@path".into())),
        ("no nonce", 401, "signature_malformed", &|it| it.without("nonce")),
        ("a short nonce", 401, "signature_malformed", &|it| it.nonce = "short".into()),
        ("no alg", 401, "signature_malformed", &|it| it.without("alg")),
        ("the alg of sessions", 401, "signature_malformed", &|it| it.alg = "hmac-sha256".into()),
        ("an alg of others", 401, "signature_malformed", &|it| it.alg = "rsa-pss-sha512".into()),
        ("one more parameter", 401, "signature_malformed", &|it| it.further = ";context=\"x\"".into()),
        ("one parameter twice", 401, "signature_malformed", &|it| {
            it.further = ";nonce=\"0123456789abcdef\"".into();
        }),
        ("a nonce changed later", 401, "bad_signature", &|it| it.swap = ("0123456789", "9876543210")),
        ("an end changed later", 401, "bad_signature", &|it| {
            it.swap = ("expires=1779678060", "expires=1779678059");
        }),
        ("two of ours", 401, "signature_malformed", &|it| it.copies = 2),
        ("a flipped bit", 401, "bad_signature", &|it| it.spoil = |bytes| bytes[0] ^= 1),
        ("a flipped bit at the end", 401, "bad_signature", &|it| it.spoil = |bytes| bytes[63] ^= 0x10),
        ("zeros", 401, "bad_signature", &|it| it.spoil = |bytes| bytes.fill(0)),
        ("a short one", 401, "signature_malformed", &|it| it.spoil = |bytes| bytes.truncate(32)),
    ])
    .await;
}

#[tokio::test]
async fn a_device_that_is_gone_calls_no_more() {
    let (net, phone, other) = town().await;
    let tablet = net.actor("alice").device("tablet");
    tablet.enrol().await.expect_status(201);
    let kept = Letter::new(&phone);
    kept.send(&net).await.expect_status(200);
    phone.revoke().await.expect_status(200);
    let before = net.contents();
    for letter in [kept, Letter::new(&phone)] {
        letter.send(&net).await.expect_problem(401, "unknown_device");
    }
    assert_eq!(net.contents(), before);
    for device in [&tablet, &other] {
        Letter::new(device).send(&net).await.expect_status(200);
    }
    net.restart().await;
    Letter::new(&phone).send(&net).await.expect_problem(401, "unknown_device");
    Letter::new(&tablet).send(&net).await.expect_status(200);
    // The end of the others comes by itself; a renewal brings a device back.
    net.advance_s(365 * 24 * 60 * 60 - 1);
    Letter::new(&tablet).send(&net).await.expect_status(200);
    net.advance_s(1);
    Letter::new(&tablet).send(&net).await.expect_problem(401, "unknown_device");
    tablet.enrol().await.expect_status(200);
    Letter::new(&tablet).send(&net).await.expect_status(200);
}

#[tokio::test]
async fn a_body_is_read_for_devices_only() {
    let (net, phone, _) = town().await;
    let mut huge = Letter::new(&phone);
    huge.sent.body = "x".repeat(100_000);
    huge.send(&net).await.expect_problem(413, "too_large");
    huge.spoil = |bytes| bytes[0] ^= 1;
    huge.send(&net).await.expect_problem(401, "bad_signature");
    let mut plain = Letter::new(&phone);
    plain.content_type = "text/plain";
    plain.send(&net).await.expect_problem(415, "unsupported_media_type");
    for body in ["", "{}", "null", r#"{"n":"1"}"#, r#"{"n":-1}"#, r#"{"n":1,"n":2}"#] {
        let mut odd = Letter::new(&phone);
        odd.write(body);
        odd.send(&net).await.expect_problem(400, "malformed");
    }
}
