//! `POST /v1/devices`, `POST /v1/devices/revoke`, `GET /v1/u/{handle}/devices`.

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
    revoke(&net, phone.revocation()).await.expect_status(200);
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
