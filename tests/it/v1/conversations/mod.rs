//! `/v1/conversations` and what is below it.

mod commit;
mod create;
mod flood;
mod frames;
mod races;
mod read;
mod real;
mod sending;
mod strangers;

use data_encoding::BASE64URL_NOPAD;
use kez_core::{ConversationId, Members, MessageId};
use kez_testkit::framing::{FrameDraft, welcome};
use kez_testkit::mls::{Bundle, Leaf};
use kez_testkit::{Answer, Call, DeviceActor, Net};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const CONVERSATIONS: &str = "/v1/conversations";

/// A server and the first devices of these people.
pub(super) async fn people<const N: usize>(names: [&str; N]) -> (Net, [DeviceActor; N]) {
    let net = Net::start().await;
    let devices = names.map(|name| net.actor(name).device("phone"));
    for device in &devices {
        device.set_up().await;
    }
    (net, devices)
}

pub(crate) fn cid(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

/// The message id that belongs to a name.
pub(super) fn mid(name: &str) -> MessageId {
    let digest: [u8; 32] = Sha256::digest(name).into();
    MessageId::from_bytes(*digest.first_chunk().expect("16 of 32 bytes"))
}

fn members(devices: &[&DeviceActor]) -> Members {
    Members::try_from(devices.iter().map(|device| device.owner().key()).collect::<Vec<_>>()).expect("members")
}

fn leaf(device: &DeviceActor) -> Leaf {
    Leaf { primary: device.owner().key(), device_id: device.id() }
}

/// A bundle that a server cannot tell from a real one: to these members, with a Welcome for these devices.
pub(crate) fn bundle(
    cid: ConversationId,
    name: &str,
    epoch: u64,
    after: &[&DeviceActor],
    greeted: &[&DeviceActor],
) -> Bundle {
    let (id, members_after) = (mid(name), members(after));
    let commit = FrameDraft::commit(cid, id, &members_after, epoch, name.as_bytes()).bytes();
    let to: Vec<_> = greeted.iter().map(|device| leaf(device)).collect();
    let welcomes = if to.is_empty() { Vec::new() } else { vec![(welcome(name.as_bytes()), to)] };
    Bundle { id, epoch, commit, welcomes, group_info: name.as_bytes().to_vec(), members_after }
}

/// The body that creates a conversation.
pub(crate) fn creation(cid: ConversationId, kind: &str, bundle: &Bundle) -> Value {
    json!({"cid": cid, "kind": kind, "bundle": bundle.json()})
}

/// The body that appends one frame.
pub(super) fn said(cid: ConversationId, name: &str, epoch: u64) -> Value {
    frame(mid(name), &FrameDraft::app(cid, mid(name), epoch, name.as_bytes()))
}

fn frame(mid: MessageId, draft: &FrameDraft) -> Value {
    json!({"mid": mid, "frame": BASE64URL_NOPAD.encode(&draft.bytes())})
}

pub(super) fn posting(device: &DeviceActor, target: &str, body: &Value) -> Call {
    device.signed(device.owner().net().post(target).json(body.to_string()))
}

pub(crate) async fn post(device: &DeviceActor, target: &str, body: &Value) -> Answer {
    posting(device, target, body).send().await
}

pub(super) async fn get(device: &DeviceActor, target: &str) -> Answer {
    device.signed(device.owner().net().call("GET", target)).send().await
}

pub(super) fn below(cid: ConversationId, call: &str) -> String {
    format!("{CONVERSATIONS}/{cid}/{call}")
}

pub(super) async fn commit(device: &DeviceActor, cid: ConversationId, bundle: &Bundle) -> Answer {
    post(device, &below(cid, "commit"), &bundle.json()).await
}

pub(super) async fn say(device: &DeviceActor, cid: ConversationId, name: &str, epoch: u64) -> Answer {
    post(device, &below(cid, "frames"), &said(cid, name, epoch)).await
}

/// The numbers of the frames that a device is given.
pub(super) async fn log(device: &DeviceActor, cid: ConversationId) -> Vec<u64> {
    let page = get(device, &below(cid, "frames?limit=500")).await.expect_status(200).json();
    numbers(&page)
}

fn numbers(page: &Value) -> Vec<u64> {
    page["frames"]
        .as_array()
        .expect("frames")
        .iter()
        .map(|one| one["seq"].as_u64().expect("a number"))
        .collect()
}

/// A group of these people by the first, number 1.
async fn group<const N: usize>(names: [&str; N]) -> (Net, [DeviceActor; N]) {
    let (net, devices) = people(names).await;
    let all: Vec<_> = devices.iter().collect();
    let bundle = bundle(cid(1), "creation", 0, &all, all.get(1..).unwrap_or_default());
    post(&devices[0], CONVERSATIONS, &creation(cid(1), "group", &bundle)).await.expect_status(201);
    (net, devices)
}
