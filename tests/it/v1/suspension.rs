//! What a suspended account's devices are answered, and everybody else about it.

use kez_core::Handle;
use kez_core::http_signature::Signer;
use kez_testkit::{Answer, DEADLINE, DeviceActor, Net, StreamEnd};
use serde_json::json;
use tokio::time::timeout;

fn handle(name: &str) -> Handle {
    name.parse().expect("a handle")
}

/// Alice with a phone that has called, and bob with another one.
async fn town() -> (Net, DeviceActor, DeviceActor) {
    let net = Net::start().await;
    let (phone, other) = (net.actor("alice").device("phone"), net.actor("bob").device("phone"));
    phone.set_up().await;
    other.set_up().await;
    (net, phone, other)
}

async fn call(net: &Net, signer: &Signer) -> Answer {
    net.call("GET", "/v1/keypackages/count").signed(signer, net.now()).send().await
}

/// Calls until the answer has this status: what the store says is noticed within a second.
async fn until(net: &Net, signer: &Signer, status: u16) -> Answer {
    let answers = async {
        loop {
            let answer = call(net, signer).await;
            if answer.status() == status {
                return answer;
            }
        }
    };
    timeout(DEADLINE, answers).await.unwrap_or_else(|_| panic!("never answered {status}"))
}

async fn suspend(net: &Net, name: &str) {
    net.store().suspend(&handle(name), None, net.now()).await.unwrap().expect("suspended");
}

async fn reinstate(net: &Net, name: &str) {
    net.store().reinstate(&handle(name), net.now()).await.unwrap().expect("reinstated");
}

#[tokio::test]
async fn a_device_in_memory_and_an_open_session_are_refused_and_come_back() {
    let (net, phone, other) = town().await;
    let session = phone.open_session().await;
    call(&net, &phone.signer()).await.expect_status(200);
    call(&net, &session).await.expect_status(200);
    suspend(&net, "alice").await;
    until(&net, &phone.signer(), 403).await.expect_problem(403, "account_suspended");
    call(&net, &session).await.expect_problem(403, "account_suspended");
    phone
        .signed(phone.opening("CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk".parse().unwrap()))
        .send()
        .await
        .expect_problem(403, "account_suspended");
    phone.enrol().await.expect_problem(403, "account_suspended");
    phone.owner().device("tablet").enrol().await.expect_problem(403, "account_suspended");
    call(&net, &other.signer()).await.expect_status(200);
    reinstate(&net, "alice").await;
    until(&net, &phone.signer(), 200).await;
    call(&net, &session).await.expect_status(200);
    phone.enrol().await.expect_status(200);
    phone.owner().device("tablet").enrol().await.expect_status(201);
}

/// The end comes by itself, without another event.
#[tokio::test]
async fn an_open_stream_ends() {
    let (net, phone, other) = town().await;
    let stream = async |device: &DeviceActor| {
        let call = device.signed(net.call("GET", "/v1/events?after=1"));
        let mut events = call.stream().await.expect("a stream");
        events.ready().await;
        events
    };
    let (mut events, mut others) = (stream(&phone).await, stream(&other).await);
    suspend(&net, "alice").await;
    assert_eq!(events.end().await, StreamEnd::Finished);
    let refused = phone.signed(net.call("GET", "/v1/events")).stream().await.expect_err("no stream");
    refused.expect_problem(403, "account_suspended");
    other.owner().device("tablet").enrol().await.expect_status(201);
    others.expect("device").await;
    reinstate(&net, "alice").await;
    until(&net, &phone.signer(), 200).await;
    stream(&phone).await;
}

/// Its identity is its own.
#[tokio::test]
async fn a_suspended_account_is_found_as_ever() {
    let (net, phone, _) = town().await;
    let paths = [
        "/v1/u/alice".to_owned(),
        "/v1/u/alice/devices".to_owned(),
        format!("/v1/by-primary/{}", phone.owner().key()),
        "/.well-known/webfinger?resource=acct:alice@kez.lat".to_owned(),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(net.get(path).await.expect_status(200).text().to_owned());
    }
    suspend(&net, "alice").await;
    until(&net, &phone.signer(), 403).await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(net.get(path).await.expect_status(200).text(), before, "{path}");
    }
    net.check_registry().await;
}

/// Who has lost a device can let it go also now.
#[tokio::test]
async fn a_suspended_account_revokes_its_devices() {
    let (net, phone, _) = town().await;
    suspend(&net, "alice").await;
    phone.revoke().await.expect_status(200);
    call(&net, &phone.signer()).await.expect_problem(401, "unknown_device");
}

/// A refusal is told to who holds the device's key only.
#[tokio::test]
async fn a_forged_call_does_not_tell_that_an_account_is_suspended() {
    let (net, phone, other) = town().await;
    suspend(&net, "alice").await;
    until(&net, &phone.signer(), 403).await;
    let (primary, device_id) = (phone.owner().key(), phone.id());
    let forged = Signer::Device { primary, device_id, seed: other.auth_seed() };
    call(&net, &forged).await.expect_problem(401, "bad_signature");
    let unknown = phone.owner().device("tablet");
    call(&net, &unknown.signer()).await.expect_problem(401, "unknown_device");
}

#[tokio::test]
async fn a_key_that_never_took_a_device_in_takes_none_in() {
    let net = Net::start().await;
    let phone = net.actor("alice").device("phone");
    phone.owner().register("alice").await.expect_status(201);
    suspend(&net, "alice").await;
    phone.enrol().await.expect_problem(403, "account_suspended");
    net.get("/v1/u/alice").await.expect_status(200);
    // Under another handle it is still the same key.
    net.give_up("alice").await;
    phone.owner().register("alison").await.expect_status(201);
    phone.enrol().await.expect_problem(403, "account_suspended");
    reinstate(&net, "alison").await;
    phone.enrol().await.expect_status(201);
}

#[tokio::test]
async fn a_suspension_outlives_the_server() {
    let (net, phone, _) = town().await;
    let session = phone.open_session().await;
    suspend(&net, "alice").await;
    net.restart().await;
    for signer in [phone.signer(), session.clone()] {
        call(&net, &signer).await.expect_problem(403, "account_suspended");
    }
    net.stop().await;
    net.start_again().await;
    reinstate(&net, "alice").await;
    until(&net, &session, 200).await;
    assert_eq!(net.store().audit(None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_is_given_key_packages_of_a_suspended_account() {
    let net = Net::today().await;
    let (alice, bob) = (net.actor("alice"), net.actor("bob"));
    for actor in [&alice, &bob] {
        actor.device("phone").set_up().await;
    }
    let phone = alice.mls_device("phone");
    let last_resort = data_encoding::BASE64URL_NOPAD.encode(&phone.last_resort(net.now()));
    let upload = json!({"one_time": [], "last_resort": last_resort});
    let upload = async || net.signed(&phone, "PUT", "/v1/keypackages", &upload).send().await;
    upload().await.expect_status(200);
    let claim = async |n: u8| {
        let body = json!({"primary": alice.key(), "id": format!("{n:032x}")});
        net.signed(&bob.mls_device("phone"), "POST", "/v1/keypackages/claim", &body).send().await
    };
    claim(1).await.expect_status(200);
    suspend(&net, "alice").await;
    claim(2).await.expect_problem(404, "not_found");
    claim(1).await.expect_problem(409, "id_reused");
    upload().await.expect_problem(403, "account_suspended");
    reinstate(&net, "alice").await;
    let given = claim(3).await.expect_status(200).json();
    assert_eq!(given["key_packages"].as_array().map(Vec::len), Some(1), "nothing was deleted");
}
