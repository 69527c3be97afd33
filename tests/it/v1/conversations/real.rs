//! With the bytes of a real MLS library.

use data_encoding::BASE64URL_NOPAD;
use kez_core::ConversationId;
use kez_testkit::mls::Received;
use kez_testkit::{MlsDevice, Net};
use serde_json::{Value, json};

use super::{CONVERSATIONS, below, cid, creation, mid};

async fn device(net: &Net, person: &str, name: &str) -> MlsDevice {
    let actor = net.actor(person);
    let registered = actor.register(person).await;
    assert!(registered.status() < 300 || registered.code() == "key_taken", "{registered}");
    let device = actor.mls_device(name);
    net.enrol(&device).await.expect_status(201);
    net.befriend_everybody();
    device
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64URL_NOPAD.decode(value.as_str().expect("text").as_bytes()).expect("base64url")
}

async fn say(net: &Net, device: &mut MlsDevice, cid: ConversationId, name: &str) {
    let frame = BASE64URL_NOPAD.encode(&device.say(cid, mid(name), name.as_bytes()));
    let body = json!({"mid": mid(name), "frame": frame});
    net.signed(device, "POST", &below(cid, "frames"), &body).send().await.expect_status(201);
}

/// The frames after a number, as the server gives them.
async fn frames(net: &Net, device: &MlsDevice, cid: ConversationId, after: u64) -> Vec<Vec<u8>> {
    let page = net.get_signed(device, &below(cid, &format!("frames?after={after}"))).await.expect_status(200);
    page.json()["frames"].as_array().expect("frames").iter().map(|one| bytes(&one["frame"])).collect()
}

#[tokio::test]
async fn two_people_and_a_second_device_talk() {
    let net = Net::today().await;
    let mut alice = device(&net, "alice", "phone").await;
    let mut bob = device(&net, "bob", "phone").await;
    let cid = cid(1);
    alice.create(cid, "direct", net.now());
    let first = alice.add(cid, mid("first"), &bob.key_packages(1, net.now()));
    let created = net.signed(&alice, "POST", CONVERSATIONS, &creation(cid, "direct", &first)).send().await;
    assert_eq!(created.expect_status(201).json()["epoch"], 1);
    alice.merge(cid);
    assert_eq!(bob.join(first.welcome()), cid);
    say(&net, &mut alice, cid, "hello").await;
    say(&net, &mut bob, cid, "hello yourself").await;
    let heard = frames(&net, &bob, cid, 0).await;
    assert_eq!(bob.receive(cid, &heard[0]), Received::Said(b"hello".to_vec()));
    let heard = frames(&net, &alice, cid, 2).await;
    assert_eq!(alice.receive(cid, &heard[0]), Received::Said(b"hello yourself".to_vec()));
    // A second device of Bob's enters by itself, from what the server keeps of the last commit.
    let mut laptop = device(&net, "bob", "laptop").await;
    let seen = net.get_signed(&laptop, &format!("{CONVERSATIONS}/{cid}")).await.expect_status(200).json();
    let entry = laptop.enter(cid, mid("entry"), &bytes(&seen["group_info"]), &alice.members(cid));
    let entered = net.signed(&laptop, "POST", &below(cid, "commit"), &entry.json()).send().await;
    assert_eq!(entered.expect_status(201).json()["epoch"], 2);
    for device in [&mut alice, &mut bob] {
        let commit = frames(&net, device, cid, 3).await;
        assert_eq!(device.receive(cid, &commit[0]), Received::Commit);
        assert_eq!(device.epoch_authenticator(cid), laptop.epoch_authenticator(cid));
    }
    say(&net, &mut laptop, cid, "from my laptop").await;
    let heard = frames(&net, &alice, cid, 4).await;
    assert_eq!(alice.receive(cid, &heard[0]), Received::Said(b"from my laptop".to_vec()));
    net.check_conversations();
}
