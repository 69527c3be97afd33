//! `POST /v1/devices`, `POST /v1/devices/revoke`, `GET /v1/u/{handle}/devices`.

use kez_chat_server::{decide_enrolment, decide_revocation};
use kez_core::{Device, DeviceCertificate, DeviceId, DeviceRevocation, Enrolment, Envelope, Timestamp};
use kez_testkit::{Answer, DeviceActor, Net};
use serde_json::json;

async fn enrol(net: &Net, envelope: String) -> Answer {
    net.post("/v1/devices").json(envelope).send().await
}

async fn revoke(net: &Net, envelope: String) -> Answer {
    net.post("/v1/devices/revoke").json(envelope).send().await
}

/// A server with alice and bob registered; alice's phone is enrolled.
async fn town() -> (Net, DeviceActor) {
    let net = Net::start().await;
    net.actor("bob").register("bob").await.expect_status(201);
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    (net, phone)
}

#[tokio::test]
async fn a_device_is_taken_in_and_listed() {
    let (net, phone) = town().await;
    let again = phone.enrol().await.expect_status(200).json();
    let expected = json!({
        "primary": phone.owner().key(),
        "device_id": phone.id(),
        "auth_key": phone.auth_seed().public_key(),
        "mls_key": phone.mls_seed().public_key(),
        "enrolled_at": "2026-05-25T03:00:00Z",
        "expires_at": "2027-05-25T03:00:00Z",
        "inbox_head": 0,
    });
    assert_eq!(again, expected);
    let list = net.get("/v1/u/alice/devices").await.expect_status(200).json();
    let envelope: serde_json::Value = serde_json::from_str(&phone.enrolment()).unwrap();
    let expected = json!({
        "primary": phone.owner().key(),
        "devices": [{"envelope": envelope, "enrolled_at": "2026-05-25T03:00:00Z"}],
        "revoked": [],
    });
    assert_eq!(list, expected);
    net.get("/v1/u/carol/devices").await.expect_problem(404, "not_found");
    let nobody = net.get("/v1/u/bob/devices").await.expect_status(200).json();
    assert_eq!((&nobody["devices"], &nobody["revoked"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_revoked_device_is_shown_as_such_and_never_enrols_again() {
    let (net, phone) = town().await;
    let revoked = json!({"device_id": phone.id(), "revoked_at": "2026-05-25T03:00:00Z"});
    let first = phone.revocation();
    assert_eq!(revoke(&net, first.clone()).await.expect_status(200).json(), revoked);
    net.advance_s(60);
    for again in [first, phone.revocation()] {
        assert_eq!(revoke(&net, again).await.expect_status(200).json(), revoked, "the first answer");
    }
    let list = net.get("/v1/u/alice/devices").await.json();
    assert_eq!((&list["devices"], &list["revoked"]), (&json!([]), &json!([revoked])));
    let other_keys = phone.owner().device("tablet").draft().with(|device| device.device_id = phone.id());
    for envelope in [phone.enrolment(), other_keys.certified().sign()] {
        enrol(&net, envelope).await.expect_problem(409, "device_revoked");
    }
    assert_eq!(net.get("/v1/u/alice/devices").await.json(), list);
}

/// What the handlers do not see: a write that is durable although its call failed.
#[tokio::test]
async fn a_write_that_nobody_told_of_counts_from_its_repetition_on() {
    let (net, phone) = town().await;
    let short = phone.owner().device("short");
    enrol(&net, short.enrolment_for(600)).await.expect_status(201);
    let inbox = async |device: &DeviceActor| device.signed(net.call("GET", "/v1/inbox")).send().await;
    inbox(&phone).await.expect_status(200);
    inbox(&short).await.expect_status(200);
    net.advance_s(1);
    // A renewal.
    let renewal = short.enrolment_for(1_200);
    let envelope = Envelope::parse(renewal.as_bytes()).unwrap().verify::<Device>().unwrap();
    let server = net.server_name().parse().unwrap();
    let wanted = decide_enrolment(&Enrolment::check(envelope).unwrap(), net.now(), &server).unwrap();
    net.store().enrol(wanted).await.unwrap().unwrap();
    net.advance_s(700);
    inbox(&short).await.expect_problem(401, "unknown_device");
    enrol(&net, renewal).await.expect_status(200);
    inbox(&short).await.expect_status(200);
    // A revocation.
    let revocation = phone.revocation();
    let envelope = Envelope::parse(revocation.as_bytes()).unwrap().verify::<DeviceRevocation>().unwrap();
    let wanted = decide_revocation(&envelope, net.now(), &server).unwrap();
    net.store().revoke(wanted).await.unwrap().unwrap();
    revoke(&net, revocation).await.expect_status(200);
    let session = json!({"key": "BAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiM"}).to_string();
    for call in [net.post("/v1/session").json(session), net.call("GET", "/v1/keypackages/count")] {
        phone.signed(call).send().await.expect_problem(401, "unknown_device");
    }
}

/// Sends documents that are refused; none changes anything.
async fn refuse(net: &Net, target: &str, cases: Vec<(&str, String, u16, &str)>) {
    let before = net.contents();
    for (name, envelope, status, code) in cases {
        let answer = net.post(target).json(envelope).send().await;
        assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{name}: {answer}");
        assert_eq!(net.contents(), before, "{name} changed something");
    }
    net.check_devices().await;
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[tokio::test]
async fn an_enrolment_that_is_not_believed_takes_nothing_in() {
    let (net, phone) = town().await;
    let tablet = phone.owner().device("tablet");
    let draft = || tablet.draft();
    let bobs = net.actor("bob").device("phone");
    let cases = vec![
        ("no JSON", "{".into(), 400, "malformed"),
        ("a revocation", phone.revocation(), 400, "wrong_type"),
        ("a registration", phone.owner().registration("alice"), 400, "wrong_type"),
        ("another type", draft().json().payload("type", "kez.claim").sign().text(), 400, "wrong_type"),
        ("another version", draft().json().payload("version", 2).sign().text(), 400, "wrong_type"),
        ("no id", draft().json().without("device_id").sign().text(), 400, "malformed"),
        (
            "an id in upper case",
            draft().json().payload("device_id", "A".repeat(32)).sign().text(),
            400,
            "malformed",
        ),
        ("another member", draft().json().envelope("more", 1).text(), 400, "malformed"),
        (
            "changed after signing",
            draft().json().payload("expires_at", "2026-05-26T03:00:00Z").text(),
            400,
            "bad_signature",
        ),
        (
            "by another key",
            draft().json().signature("key", net.actor("bob").key().to_string()).text(),
            400,
            "key_mismatch",
        ),
        (
            "for another server",
            draft().with(|it| it.server = "example.org".into()).sign(),
            400,
            "wrong_server",
        ),
        ("too early", tablet.draft_at(at("2026-05-25T03:05:00.000000001Z")).sign(), 400, "clock_skew"),
        ("too late", tablet.draft_at(at("2026-05-25T02:54:59.999999999Z")).sign(), 400, "clock_skew"),
        (
            "bob's certificate",
            draft().with(|it| it.mls_certificate = bobs.draft().device.mls_certificate).sign(),
            400,
            "bad_enrolment",
        ),
        (
            "another device's certificate",
            draft().with(|it| it.mls_certificate = phone.draft().device.mls_certificate).sign(),
            400,
            "bad_enrolment",
        ),
        (
            "a certificate for another key",
            draft().with(|it| it.mls_key = bobs.mls_seed().public_key()).sign(),
            400,
            "bad_enrolment",
        ),
        (
            "a certificate with another end",
            draft().with(|it| it.expires_at = at("2026-05-26T03:00:00Z")).sign(),
            400,
            "bad_enrolment",
        ),
        ("one key for both", draft().with(|it| it.auth_key = it.mls_key).sign(), 400, "bad_enrolment"),
        (
            "the primary as auth key",
            draft().with(|it| it.auth_key = phone.owner().key()).sign(),
            400,
            "bad_enrolment",
        ),
        ("a year and a second", tablet.enrolment_for(365 * 24 * 60 * 60 + 1), 400, "bad_enrolment"),
        ("a certificate of the past", certified(&tablet, "2026-05-24T02:59:59Z"), 400, "bad_enrolment"),
        (
            "over already",
            tablet.draft_at(at("2026-05-25T02:59:00Z")).lasting(60).sign(),
            400,
            "bad_enrolment",
        ),
        ("of nobody", net.actor("mallory").device("phone").enrolment(), 403, "not_registered"),
    ];
    refuse(&net, "/v1/devices", cases).await;
}

/// An enrolment whose certificate begins at `not_before`.
fn certified(device: &DeviceActor, not_before: &str) -> String {
    let draft = device.draft();
    let (owner, key) = (device.owner().seed(), draft.device.mls_key);
    let end = draft.device.expires_at;
    let certificate =
        DeviceCertificate::issue(owner, device.id(), &key, at(not_before), end).expect("a window");
    draft.with(|it| it.mls_certificate = certificate).sign()
}

#[tokio::test]
async fn what_is_stored_of_devices_is_not_overruled() {
    let (net, phone) = town().await;
    let bobs = net.actor("bob").device("phone");
    bobs.enrol().await.expect_status(201);
    let first = phone.enrolment();
    net.advance_s(10);
    enrol(&net, phone.enrolment()).await.expect_status(200);
    let tablet = phone.owner().device("tablet");
    let with_keys_of = |other: &DeviceActor, auth: bool, mls: bool| {
        let draft = tablet.draft().with(|it| {
            it.auth_key = if auth { other.auth_seed().public_key() } else { it.auth_key };
            it.mls_key = if mls { other.mls_seed().public_key() } else { it.mls_key };
        });
        draft.certified().sign()
    };
    let other_keys = tablet.draft().with(|it| it.device_id = phone.id()).certified().sign();
    let swapped = tablet.draft().with(|it| {
        (it.auth_key, it.mls_key) = (phone.mls_seed().public_key(), phone.auth_seed().public_key());
    });
    let cases = vec![
        ("the enrolment before the renewal", first, 409, "superseded"),
        ("an older one", phone.draft_at(at("2026-05-25T03:00:09Z")).sign(), 409, "superseded"),
        ("one of the same instant", phone.draft().lasting(60).sign(), 409, "superseded"),
        ("the same id with other keys", other_keys, 409, "device_exists"),
        ("the auth key of the phone", with_keys_of(&phone, true, false), 409, "key_in_use"),
        ("the MLS key of the phone", with_keys_of(&phone, false, true), 409, "key_in_use"),
        ("both, swapped", swapped.certified().sign(), 409, "key_in_use"),
        ("bob's auth key", with_keys_of(&bobs, true, false), 409, "key_in_use"),
        ("bob's MLS key", with_keys_of(&bobs, false, true), 409, "key_in_use"),
    ];
    refuse(&net, "/v1/devices", cases).await;
}

#[tokio::test]
async fn a_revocation_is_by_the_account_for_its_own_device_here_and_now() {
    let (net, phone) = town().await;
    let bob = net.actor("bob");
    bob.device("phone").enrol().await.expect_status(201);
    let signed_by_bob = {
        let mut envelope: serde_json::Value =
            serde_json::from_str(&bob.device("phone").revocation()).unwrap();
        envelope["payload"]["device_id"] = json!(phone.id());
        envelope
    };
    let alices_by_bob = {
        let mut envelope = signed_by_bob.clone();
        envelope["payload"]["primary"] = json!(phone.owner().key());
        envelope
    };
    let of_bobs = DeviceRevocation { server: net.server_name(), device_id: bob.device("phone").id() };
    let of_bobs = Envelope::sign(&of_bobs, phone.owner().seed(), net.now()).unwrap();
    let tablet = phone.owner().device("tablet");
    let cases = vec![
        ("changed after signing", signed_by_bob.to_string(), 400, "bad_signature"),
        ("alice's by bob's key", alices_by_bob.to_string(), 400, "key_mismatch"),
        ("an enrolment", phone.enrolment(), 400, "wrong_type"),
        ("for another server", phone.revocation_for("example.org", net.now()), 400, "wrong_server"),
        ("too early", phone.revocation_for("kez.lat", at("2026-05-25T03:05:01Z")), 400, "clock_skew"),
        ("too late", phone.revocation_for("kez.lat", at("2026-05-25T02:54:59Z")), 400, "clock_skew"),
        ("of no device", tablet.revocation(), 404, "not_found"),
        ("of bob's device by alice", of_bobs.canonical().to_owned(), 404, "not_found"),
        ("by nobody", net.actor("mallory").device("phone").revocation(), 404, "not_found"),
    ];
    refuse(&net, "/v1/devices/revoke", cases).await;
}

#[tokio::test]
async fn an_old_envelope_repeats_its_answer_and_does_nothing_more() {
    let (net, phone) = town().await;
    let (enrolment, answer) = (phone.enrolment(), phone.enrol().await.json());
    net.advance_s(100_000);
    let before = net.contents();
    assert_eq!(enrol(&net, enrolment).await.expect_status(200).json(), answer);
    assert_eq!(net.contents(), before);
}

#[tokio::test]
async fn sixteen_devices_are_active_and_the_seventeenth_waits() {
    let (net, phone) = town().await;
    for n in 2..=16 {
        phone.owner().device(&n.to_string()).enrol().await.expect_status(201);
    }
    let cases = vec![("one more", phone.owner().device("17").enrolment(), 403, "too_many_devices")];
    refuse(&net, "/v1/devices", cases).await;
    phone.revoke().await.expect_status(200);
    phone.owner().device("17").enrol().await.expect_status(201);
    let known = net.check_devices().await;
    assert_eq!((known.active, known.revoked), (16, 1));
}

#[tokio::test]
async fn an_expired_device_is_not_listed_until_it_is_renewed() {
    let (net, phone) = town().await;
    let short = phone.owner().device("short");
    enrol(&net, short.enrolment_for(60)).await.expect_status(201);
    let ids = async || {
        let list = net.get("/v1/u/alice/devices").await.expect_status(200).json();
        let devices = list["devices"].as_array().unwrap().iter();
        devices
            .map(|device| device["envelope"]["payload"]["device_id"].as_str().unwrap().parse().unwrap())
            .collect::<Vec<DeviceId>>()
    };
    net.advance_s(59);
    assert_eq!(ids().await, [phone.id(), short.id()]);
    net.advance_s(1);
    assert_eq!(ids().await, [phone.id()]);
    enrol(&net, short.enrolment_for(60)).await.expect_status(200);
    assert_eq!(ids().await, [phone.id(), short.id()]);
    net.restart().await;
    assert_eq!(ids().await, [phone.id(), short.id()]);
    net.check_devices().await;
}
