//! `GET /v1/store`, and `PUT`, `GET` and `DELETE /v1/store/{name}`.

use data_encoding::BASE64URL_NOPAD;
use kez_testkit::{Answer, Call, DeviceActor, Net};
use serde_json::json;

async fn device(net: &Net, name: &str) -> DeviceActor {
    let device = net.actor(name).device("phone");
    device.set_up().await;
    device
}

async fn start() -> (Net, DeviceActor) {
    let net = Net::start().await;
    let alice = device(&net, "alice").await;
    (net, alice)
}

fn writing(device: &DeviceActor, name: &str, value: &[u8]) -> Call {
    let body = json!({"data": BASE64URL_NOPAD.encode(value)}).to_string();
    device.owner().net().call("PUT", &format!("/v1/store/{name}")).json(body)
}

async fn create(device: &DeviceActor, name: &str, value: &[u8]) -> Answer {
    device.signed(writing(device, name, value).header("if-none-match", "*")).send().await
}

async fn replace(device: &DeviceActor, name: &str, tag: &str, value: &[u8]) -> Answer {
    device.signed(writing(device, name, value).header("if-match", tag)).send().await
}

async fn call(device: &DeviceActor, method: &str, target: &str) -> Answer {
    device.signed(device.owner().net().call(method, target)).send().await
}

#[tokio::test]
async fn a_value_is_replaced_by_who_knows_its_version() {
    let (net, alice) = start().await;
    let unknown = call(&alice, "GET", "/v1/store/rooms").await.expect_problem(404, "not_found");
    assert_eq!(unknown.json()["version"], 0);
    let created = create(&alice, "rooms", b"one").await.expect_status(200);
    assert_eq!(
        (created.header("etag"), created.json()),
        (Some("\"1\""), json!({"name": "rooms", "version": 1}))
    );
    let taken = create(&alice, "rooms", b"x").await.expect_problem(412, "version_mismatch");
    assert_eq!(taken.json()["version"], 1);
    assert_eq!(replace(&alice, "rooms", "\"1\"", b"two").await.expect_status(200).json()["version"], 2);
    replace(&alice, "rooms", "\"1\"", b"x").await.expect_problem(412, "version_mismatch");
    net.restart().await;
    let got = call(&alice, "GET", "/v1/store/rooms").await.expect_status(200);
    assert_eq!(got.json(), json!({"name": "rooms", "version": 2, "data": BASE64URL_NOPAD.encode(b"two")}));
    let known = net.call("GET", "/v1/store/rooms").header("if-none-match", "\"2\"");
    alice.signed(known).send().await.expect_status(304);
    let list = call(&alice, "GET", "/v1/store").await.expect_status(200).json();
    assert_eq!(list, json!({"entries": [{"name": "rooms", "version": 2, "bytes": 3}]}));
}

#[tokio::test]
async fn a_write_has_to_say_what_it_replaces() {
    let (net, alice) = start().await;
    alice.signed(writing(&alice, "a", b"x")).send().await.expect_problem(428, "precondition_required");
    for tag in ["*", "1", "W/\"1\"", "\"0\"", "\"01\"", "\"1\", \"2\""] {
        replace(&alice, "a", tag, b"x").await.expect_problem(400, "bad_precondition");
    }
    replace(&alice, "a", "\"1\"", b"x").await.expect_problem(412, "version_mismatch");
    create(&alice, "a", b"x").await.expect_status(200);
    call(&alice, "DELETE", "/v1/store/a").await.expect_problem(428, "precondition_required");
    let any = net.call("DELETE", "/v1/store/a").header("if-none-match", "*");
    alice.signed(any).send().await.expect_problem(428, "precondition_required");
    let old = net.call("DELETE", "/v1/store/a").header("if-match", "\"7\"");
    alice.signed(old).send().await.expect_problem(412, "version_mismatch");
    let own = net.call("DELETE", "/v1/store/a").header("if-match", "\"1\"");
    assert_eq!(alice.signed(own).send().await.expect_status(200).json()["version"], 2);
    let gone = call(&alice, "GET", "/v1/store/a").await.expect_problem(404, "not_found");
    assert_eq!(gone.json()["version"], 2);
    assert_eq!(call(&alice, "GET", "/v1/store").await.json(), json!({"entries": []}));
    assert_eq!(replace(&alice, "a", "\"2\"", b"y").await.expect_status(200).json()["version"], 3);
}

#[tokio::test]
async fn nobody_sees_the_entries_of_others() {
    let (net, alice) = start().await;
    let mallory = device(&net, "mallory").await;
    create(&alice, "rooms", b"hers").await.expect_status(200);
    for (method, target) in [("GET", "/v1/store"), ("GET", "/v1/store/rooms"), ("DELETE", "/v1/store/rooms")]
    {
        net.call(method, target).send().await.expect_problem(401, "signature_missing");
        let stranger = net.actor("stranger").device("phone");
        stranger.signed(net.call(method, target)).send().await.expect_problem(401, "unknown_device");
    }
    writing(&alice, "rooms", b"x").send().await.expect_problem(401, "signature_missing");
    let there = call(&mallory, "GET", "/v1/store/rooms").await.expect_problem(404, "not_found");
    let not_there = call(&mallory, "GET", "/v1/store/nothing").await.expect_problem(404, "not_found");
    assert_eq!(there.body(), not_there.body());
    replace(&mallory, "rooms", "\"1\"", b"x").await.expect_problem(412, "version_mismatch");
    create(&mallory, "rooms", b"his").await.expect_status(200);
    let laptop = net.actor("alice").device("laptop");
    laptop.enrol().await.expect_status(201);
    let got = call(&laptop, "GET", "/v1/store/rooms").await.expect_status(200).json();
    assert_eq!(got["data"], BASE64URL_NOPAD.encode(b"hers"));
}

#[tokio::test]
async fn of_32_writers_one_wins_each_version() {
    let (net, alice) = start().await;
    create(&alice, "race", b"0").await.expect_status(200);
    for version in 1..=3 {
        let tag = format!("\"{version}\"");
        let calls = (0..32_u8).map(|n| alice.signed(writing(&alice, "race", &[n]).header("if-match", &tag)));
        let answers = net.together(calls.collect()).await;
        let won: Vec<_> = (0..32_u8).zip(&answers).filter(|(_, answer)| answer.status() == 200).collect();
        let [(winner, _)] = won[..] else { panic!("{} winners", won.len()) };
        assert_eq!(answers.iter().filter(|answer| answer.status() == 412).count(), 31);
        let got = call(&alice, "GET", "/v1/store/race").await.json();
        assert_eq!(got["data"], BASE64URL_NOPAD.encode(&[winner]));
        assert_eq!(got["version"], version + 1);
    }
}

#[tokio::test]
async fn names_values_and_their_number_are_bounded() {
    let (net, alice) = start().await;
    for name in ["A", ".a", "a%2Fb", "%FF", &"a".repeat(65)] {
        create(&alice, name, b"x").await.expect_problem(400, "bad_name");
        call(&alice, "GET", &format!("/v1/store/{name}")).await.expect_problem(400, "bad_name");
    }
    create(&alice, "full", &vec![7; 64 * 1024]).await.expect_status(200);
    create(&alice, "more", &vec![7; 64 * 1024 + 1]).await.expect_problem(413, "too_large");
    for body in
        ["{}", "[]", "{\"data\":\"=\"}", "{\"data\":\"\",\"more\":1}", "{\"data\":\"\",\"data\":\"\"}"]
    {
        let call = net.call("PUT", "/v1/store/a").json(body).header("if-none-match", "*");
        alice.signed(call).send().await.expect_problem(400, "malformed");
    }
    let calls =
        (1..256).map(|n| alice.signed(writing(&alice, &format!("n{n}"), b"").header("if-none-match", "*")));
    for answer in net.storm(calls.collect(), 16).await {
        answer.expect_status(200);
    }
    create(&alice, "more", b"").await.expect_problem(403, "too_many_entries");
    let list = call(&alice, "GET", "/v1/store").await.json();
    assert_eq!(list["entries"].as_array().unwrap().len(), 256);
}
