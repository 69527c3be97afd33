//! What devices must not get away with.

use data_encoding::BASE64URL_NOPAD;
use kez_core::http_signature::Signer;
use kez_core::{Device, DeviceCertificate, Envelope, Seed, Timestamp};
use kez_testkit::{MlsDevice, Net};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{claim, claiming, counts, device, fill, packages, put, refused, settle};
use crate::support::vectors;

const UPLOAD: &str = "/v1/keypackages";

async fn revoke(net: &Net, owner: &str, device: &str) {
    net.actor(owner).device(device).revoke().await.expect_status(200);
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().expect("text")
}

/// The device that the vectors are made for; vectors/ORIGINS.md says whose it is.
async fn device_of_vectors(net: &Net, vector: &Value) -> Signer {
    let owner = Seed::from_bytes(Sha256::digest("kez vectors bob").into());
    let certificate = BASE64URL_NOPAD.decode(text(vector, "certificate").as_bytes()).expect("base64url");
    let certificate = DeviceCertificate::parse(&certificate).expect("a certificate");
    let auth = Seed::from_bytes([7; 32]);
    let document = Device {
        server: net.server_name(),
        device_id: certificate.device_id(),
        auth_key: auth.public_key(),
        mls_key: text(vector, "mls_key").parse().expect("a key"),
        mls_certificate: certificate,
        expires_at: certificate.not_after(),
    };
    let registration = kez_core::Registration { handle: "bob".into(), server: net.server_name() };
    let signed = Envelope::sign(&registration, &owner, net.now()).expect("text").canonical().to_owned();
    net.register(signed).await.expect_status(201);
    let signed = Envelope::sign(&document, &owner, net.now()).expect("text").canonical().to_owned();
    net.post("/v1/devices").json(signed).send().await.expect_status(201);
    Signer::Device { primary: owner.public_key(), device_id: document.device_id, seed: auth }
}

/// Wrong suite, missing 0xF4B5, expired, too long a life, broken signatures, trailing bytes and all the others.
#[tokio::test]
async fn invalid_vectors_are_refused() {
    let good = &vectors("mls/key-package/valid")["one-time.json"];
    let net = Net::start().await;
    net.clock.set(text(good, "now").parse().expect("a time"));
    let signer = device_of_vectors(&net, good).await;
    let upload = |vector: &Value| {
        let call = net.call("PUT", UPLOAD).json(json!({"one_time": [vector["message"]]}).to_string());
        call.signed(&signer, net.now())
    };
    let mut tried = 0;
    for (name, vector) in vectors("mls/key-package/invalid") {
        let now: Timestamp = text(&vector, "now").parse().expect("a time");
        let is_of_device = ["certificate", "mls_key"].iter().all(|member| vector[member] == good[member]);
        if is_of_device && now.unix_seconds() > 0 {
            net.clock.set(now);
            let answer = refused(&net, upload(&vector), 400, "bad_key_package").await;
            assert!(text(&answer.json(), "detail").starts_with("one_time[0]: "), "{name}: {answer}");
            tried += 1;
        }
    }
    assert!(tried > 55, "{tried}");
    net.clock.set(text(good, "now").parse().expect("a time"));
    assert_eq!(upload(good).send().await.expect_status(200).json()["one_time"], 1);
}

#[tokio::test]
async fn a_package_of_another_device_or_person_is_refused() {
    let net = Net::start().await;
    let [phone, laptop] = settle(&net, "alice", ["phone", "laptop"]).await;
    let [mallory] = settle(&net, "mallory", ["phone"]).await;
    // The same device, by a certificate that its owner never handed in.
    let owner = net.actor("alice");
    let later = net.now().plus_seconds(1).expect("a time");
    let foreign =
        MlsDevice::until(owner.seed(), "phone", net.now(), later.plus_seconds(86_400).expect("a time"));
    for (uploader, maker) in [(&phone, &laptop), (&phone, &mallory), (&mallory, &phone), (&phone, &foreign)] {
        for body in [
            packages(&[uploader.key_packages(1, net.now()), maker.key_packages(1, net.now())].concat(), None),
            packages(&[], Some(&maker.last_resort(net.now()))),
        ] {
            refused(&net, net.signed(uploader, "PUT", UPLOAD, &body), 400, "bad_key_package").await;
        }
    }
}

#[tokio::test]
async fn a_last_resort_package_is_marked_and_no_other_is() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let (once, last) = (alice.key_packages(1, net.now()).remove(0), alice.last_resort(net.now()));
    for body in [packages(std::slice::from_ref(&last), None), packages(&[], Some(&once))] {
        refused(&net, net.signed(&alice, "PUT", UPLOAD, &body), 400, "bad_key_package").await;
    }
    put(&net, &alice, &packages(&[once], Some(&last))).await.expect_status(200);
}

/// A package with the same `init_key` as this one, and another extension of `bytes` bytes, signed again.
fn with_extension(package: &[u8], owner: &Seed, device: &str, bytes: u16) -> Vec<u8> {
    let purpose = format!("kez-testkit/mls/{}/{device}", owner.public_key().to_hex());
    let mls = Seed::from_bytes(Sha256::digest(purpose).into());
    let vector = |content: &[u8]| {
        let length = u16::try_from(content.len()).expect("short");
        let wide = (0x4000 | length).to_be_bytes();
        let prefix = if length < 64 { &length.to_be_bytes()[1..] } else { &wide[..] };
        [prefix, content].concat()
    };
    let (unsigned, signature) = package.split_at(package.len() - 66);
    assert_eq!(
        (unsigned.last(), &signature[..2]),
        (Some(&0), &[0x40, 0x40][..]),
        "no extensions, a signature"
    );
    let extension = [&[0x0a, 0x0a][..], &vector(&vec![0; bytes.into()])].concat();
    let signed = [&unsigned[4..unsigned.len() - 1], &vector(&extension)].concat();
    let content = [vector(b"MLS 1.0 KeyPackageTBS"), vector(&signed)].concat();
    [&package[..4], &signed, &vector(mls.sign(&content).as_bytes())].concat()
}

#[tokio::test]
async fn an_init_key_is_used_once() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    let owner = net.actor("alice");
    let [first, second] = &alice.key_packages(2, net.now())[..] else { panic!("two packages") };
    let twin = with_extension(first, owner.seed(), "phone", 4);
    let call = |one_time: &[&Vec<u8>]| {
        let one_time: Vec<_> = one_time.iter().map(|package| (*package).clone()).collect();
        net.signed(&alice, "PUT", UPLOAD, &packages(&one_time, None))
    };
    for one_time in [[first, &twin], [first, first]] {
        refused(&net, call(&one_time), 400, "init_key_reused").await;
    }
    call(&[first]).send().await.expect_status(200);
    refused(&net, call(&[second, &twin]), 400, "init_key_reused").await;
    claim(&net, &bob, alice.primary(), 1).await.expect_status(200);
    refused(&net, call(&[&twin]), 400, "init_key_reused").await;
    assert_eq!(call(&[first]).send().await.expect_status(200).json()["one_time"], 0, "it was given");
    // Without the first, the twin would have been as good.
    let fresh = alice.key_packages(1, net.now()).remove(0);
    call(&[&with_extension(&fresh, owner.seed(), "phone", 4)]).send().await.expect_status(200);
}

#[tokio::test]
async fn a_package_has_1024_bytes_at_most() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let owner = net.actor("alice");
    let package = alice.key_packages(1, net.now()).remove(0);
    let added = |bytes| with_extension(&package, owner.seed(), "phone", bytes);
    let room = u16::try_from(1024 - added(100).len() + 100).expect("short");
    assert_eq!(added(room).len(), 1024);
    let call = |package| net.signed(&alice, "PUT", UPLOAD, &packages(&[package], None));
    refused(&net, call(added(room + 1)), 400, "bad_key_package").await;
    call(added(room)).send().await.expect_status(200);
}

#[tokio::test]
async fn a_body_is_what_is_described_and_nothing_else() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let package = BASE64URL_NOPAD.encode(&alice.key_packages(1, net.now()).remove(0));
    let signed = |method: &str, target: &str, body: &str| {
        net.call(method, target).json(body.to_owned()).signed(&alice.signer(), net.now())
    };
    for body in [
        "[]".to_owned(),
        r#"{"one_time":null}"#.to_owned(),
        r#"{"one_time":[1]}"#.to_owned(),
        r#"{"onetime":[]}"#.to_owned(),
        r#"{"one_time":[],"one_time":[]}"#.to_owned(),
        r#"{"one_time":[]"#.to_owned(),
        format!(r#"{{"one_time":["{package}="]}}"#),
        format!(r#"{{"one_time":["{package} "]}}"#),
        format!(r#"{{"last_resort":["{package}"]}}"#),
    ] {
        refused(&net, signed("PUT", UPLOAD, &body), 400, "malformed").await;
    }
    let (key, id) = (alice.primary(), "0".repeat(32));
    for body in [
        format!(r#"{{"primary":"{key}"}}"#),
        format!(r#"{{"primary":"{key}","id":"{}"}}"#, "0".repeat(31)),
        format!(r#"{{"primary":"{key}","id":"{}"}}"#, "A".repeat(32)),
        format!(r#"{{"primary":"{}","id":"{id}"}}"#, key.to_hex()),
        format!(r#"{{"primary":"{key}","id":"{id}","n":1}}"#),
    ] {
        refused(&net, signed("POST", "/v1/keypackages/claim", &body), 400, "malformed").await;
    }
    let long = format!(r#"{{"one_time":[],"last_resort":null{}}}"#, " ".repeat(150_000));
    refused(&net, signed("PUT", UPLOAD, &long), 413, "too_large").await;
}

#[tokio::test]
async fn nobody_acts_for_another_device() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let [mallory] = settle(&net, "mallory", ["phone"]).await;
    fill(&net, &alice, 2).await;
    let body = packages(&alice.key_packages(1, net.now()), None).to_string();
    let upload = || net.call("PUT", UPLOAD).json(body.clone());
    refused(&net, upload(), 401, "signature_missing").await;
    let signer = |primary, device_id| Signer::Device { primary, device_id, seed: mallory.auth().clone() };
    let as_alice = signer(alice.primary(), alice.id());
    refused(&net, upload().signed(&as_alice, net.now()), 401, "bad_signature").await;
    let as_hers = signer(alice.primary(), mallory.id());
    refused(&net, upload().signed(&as_hers, net.now()), 401, "unknown_device").await;
    let count = net.call("GET", "/v1/keypackages/count");
    refused(&net, count.clone(), 401, "signature_missing").await;
    refused(&net, count.signed(&as_alice, net.now()), 401, "bad_signature").await;
    // A good signature of alice's, with something else in its place.
    let call = claiming(&net, &alice, mallory.primary(), 1);
    let other = json!({"primary": alice.primary(), "id": format!("{:032x}", 1)}).to_string();
    refused(&net, call.clone().body(other), 400, "digest_mismatch").await;
    net.advance_s(61);
    refused(&net, call, 401, "signature_expired").await;
    assert_eq!(counts(&net, &alice).await["one_time"], 2);
}

#[tokio::test]
async fn a_captured_call_does_nothing_new() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    let body = packages(&alice.key_packages(2, net.now()), Some(&alice.last_resort(net.now())));
    let upload = net.signed(&alice, "PUT", UPLOAD, &body);
    upload.clone().send().await.expect_status(200);
    let claiming = claiming(&net, &bob, alice.primary(), 1);
    let first = claiming.clone().send().await.expect_status(200);
    let held = net.check_key_packages();
    assert_eq!(upload.send().await.expect_status(200).json()["one_time"], 1);
    assert_eq!(claiming.send().await.expect_status(200).body(), first.body());
    assert_eq!(net.check_key_packages(), held);
}

#[tokio::test]
async fn a_revoked_device_gives_and_takes_nothing() {
    let net = Net::start().await;
    let [phone, laptop] = settle(&net, "alice", ["phone", "laptop"]).await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    for device in [&phone, &laptop, &bob] {
        fill(&net, device, 3).await;
    }
    let before = claim(&net, &bob, phone.primary(), 1).await.expect_status(200);
    let body = packages(&phone.key_packages(1, net.now()), None);
    revoke(&net, "alice", "phone").await;
    refused(&net, net.signed(&phone, "PUT", UPLOAD, &body), 401, "unknown_device").await;
    refused(&net, claiming(&net, &phone, bob.primary(), 1), 401, "unknown_device").await;
    net.get_signed(&phone, "/v1/keypackages/count").await.expect_problem(401, "unknown_device");
    let held = net.check_key_packages();
    assert_eq!((held.devices[&phone.id()].one_time, held.devices[&phone.id()].last_resort), (0, false));
    let given = claim(&net, &bob, phone.primary(), 2).await.expect_status(200).json();
    assert_eq!(given["key_packages"].as_array().map(Vec::len), Some(1));
    assert_eq!(given["key_packages"][0]["device_id"], laptop.id().to_string());
    assert_eq!(given["missing"], json!([]));
    assert_eq!(claim(&net, &bob, phone.primary(), 1).await.body(), before.body(), "what was answered stays");
    revoke(&net, "alice", "laptop").await;
    refused(&net, claiming(&net, &bob, phone.primary(), 3), 404, "not_found").await;
}

#[tokio::test]
async fn an_expired_device_gives_nothing() {
    let net = Net::start().await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    let alice = net.actor("alice");
    alice.register("alice").await.expect_status(201);
    let end = net.now().plus_seconds(86_400).expect("a time");
    let short = MlsDevice::until(alice.seed(), "phone", net.now(), end);
    net.enrol(&short).await.expect_status(201);
    fill(&net, &short, 3).await;
    claim(&net, &bob, short.primary(), 1).await.expect_status(200);
    net.advance_s(86_400);
    refused(&net, claiming(&net, &bob, short.primary(), 2), 404, "not_found").await;
    let body = packages(&[], None);
    refused(&net, net.signed(&short, "PUT", UPLOAD, &body), 401, "unknown_device").await;
}

/// The new certificate makes all packages of before useless: members would refuse to add the device by them later.
#[tokio::test]
async fn a_renewed_device_begins_anew() {
    let net = Net::start().await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    let [old] = settle(&net, "alice", ["phone"]).await;
    fill(&net, &old, 3).await;
    let again = packages(&old.key_packages(1, net.now()), None);
    net.advance_s(86_400);
    let renewed = device(&net, "alice", "phone");
    net.enrol(&renewed).await.expect_status(200);
    assert_eq!(counts(&net, &renewed).await, json!({"one_time": 0, "last_resort": false}));
    let given = claim(&net, &bob, renewed.primary(), 1).await.expect_status(200).json();
    assert_eq!(given, json!({"key_packages": [], "missing": [renewed.id()]}));
    refused(&net, net.signed(&renewed, "PUT", UPLOAD, &again), 400, "bad_key_package").await;
    fill(&net, &renewed, 1).await;
}
