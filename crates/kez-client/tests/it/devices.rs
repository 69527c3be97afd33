//! Taking devices in and letting them go; sessions and clocks.

use kez_client::CallError;

use crate::town::Town;

#[tokio::test]
async fn a_device_is_taken_in_listed_and_let_go() {
    let town = Town::start().await;
    town.register("alice").await;
    let phone = town.phone("alice", "phone").await;
    let tablet = town.phone("alice", "tablet").await;
    let again = phone.client.enrol(&town.document(&phone)).await.expect("a renewal");
    assert_eq!((again.device_id, again.mls_key), (phone.mls.id(), phone.mls.mls_key()));

    let alice = "alice@kez.lat".parse().expect("an address");
    let listed = phone.client.home().devices(&alice, phone.key()).await.expect("a list").expect("alice");
    let ids: Vec<_> = listed.devices.iter().map(|device| device.enrolment.device().device_id).collect();
    assert_eq!(ids, [phone.mls.id(), tablet.mls.id()]);

    let revocation = town.revocation("alice", &tablet);
    let first = phone.client.revoke(&revocation).await.expect("a device to let go");
    town.net.advance_s(5);
    assert_eq!(phone.client.revoke(&revocation).await.expect("the same"), first);
    let listed = phone.client.home().devices(&alice, phone.key()).await.expect("a list").expect("alice");
    assert_eq!((listed.devices.len(), listed.revoked), (1, vec![first]));
    let nobody = "nobody@kez.lat".parse().expect("an address");
    assert!(phone.client.home().devices(&nobody, phone.key()).await.expect("an answer").is_none());
}

#[tokio::test]
async fn sessions_end_with_a_device_and_begin_anew_by_themselves() {
    let town = Town::start().await;
    town.register("alice").await;
    let phone = town.phone("alice", "phone").await;
    let tablet = town.phone("alice", "tablet").await;
    phone.client.key_package_counts().await.expect("counts");
    let opened = || town.link.requests("POST /v1/session ");
    assert_eq!(opened(), 2, "one for each device");

    phone.client.revoke(&town.revocation("alice", &tablet)).await.expect("a device to let go");
    assert_eq!(phone.client.key_package_counts().await.expect("counts").one_time, 3);
    let fault = tablet.client.key_package_counts().await.expect_err("a device that was let go");
    assert!(matches!(fault, CallError::UnknownDevice), "{fault:?}");

    let before = opened();
    town.net.advance_s(2 * 60 * 60);
    phone.client.key_package_counts().await.expect("counts");
    assert_eq!(opened(), before + 1, "a session lasts an hour");
}

#[tokio::test]
async fn a_device_that_is_not_taken_in_is_unknown() {
    let town = Town::start().await;
    town.register("alice").await;
    let phone = town.box_phone("alice", "phone", 0);
    let fault = phone.client.key_package_counts().await.expect_err("nobody");
    assert!(matches!(fault, CallError::UnknownDevice), "{fault:?}");
}

#[tokio::test]
async fn a_wrong_clock_is_set_by_the_servers() {
    let town = Town::start().await;
    town.register("alice").await;
    for (name, fast_s) in [("fast", 3 * 60 * 60), ("slow", -3 * 60 * 60)] {
        let phone = town.box_phone("alice", name, fast_s);
        phone.client.enrol(&town.document(&phone)).await.expect("a device that fits");
        assert_eq!(phone.client.key_package_counts().await.expect("counts").one_time, 0);
        assert_eq!(phone.client.server_time().unix_seconds(), town.net.now().unix_seconds());
    }
}
