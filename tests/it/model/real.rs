//! Real MLS devices in one group: what each of them decrypts is what the others said while it was in it.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use kez_core::{ConversationId, MessageId, PublicKey};
use kez_testkit::mls::{Bundle, Leaf, Received};
use kez_testkit::{Answer, Call, Chance, MlsDevice, Net};
use serde_json::{Value, json};

use crate::support::short_or_full;

const CID: ConversationId = ConversationId::from_bytes([4; 16]);
const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
/// Each device is given as many one-time key packages at a time.
const PACKAGES: usize = 3;

/// A device at work.
struct Member {
    device: MlsDevice,
    /// The last event that it has taken in.
    cursor: u64,
    /// What it sent itself, which MLS gives nobody to decrypt twice.
    own: BTreeSet<MessageId>,
    heard: Vec<String>,
    /// What others said while it was in the group.
    expected: Vec<String>,
}

struct Group {
    net: Net,
    chance: Chance,
    members: Vec<Member>,
    inside: BTreeSet<usize>,
    said: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_device_decrypts_what_was_said_while_it_was_in() {
    let mut group = Group::begin(0x6d6c_7321).await;
    for _ in 0..short_or_full(60, 400) {
        group.step().await;
    }
    group.net.restart().await;
    for place in 0..group.members.len() {
        group.catch_up(place).await;
    }
    group.expect_alike();
    group.net.check_conversations();
    group.net.check_devices().await;
    group.net.check_key_packages();
    assert!(group.said > 50, "{} messages", group.said);
}

impl Group {
    /// Two devices of each of three people, the first of whom adds all the others.
    async fn begin(seed: u64) -> Self {
        let (net, chance) = (Net::today().await, Chance::new(seed));
        let mut group = Self { net, chance, members: Vec::new(), inside: BTreeSet::new(), said: 0 };
        for name in PEOPLE {
            let actor = group.net.actor(name);
            actor.register(name).await.expect_status(201);
            for device in ["phone", "laptop"] {
                let device = actor.mls_device(device);
                group.net.enrol(&device).await.expect_status(201);
                let (own, heard, expected) = (BTreeSet::new(), Vec::new(), Vec::new());
                group.members.push(Member { device, cursor: 0, own, heard, expected });
                group.refill(group.members.len() - 1).await;
            }
        }
        group.net.befriend_everybody();
        group.create().await;
        group
    }

    async fn create(&mut self) {
        let now = self.net.now();
        self.members[0].device.create(CID, "group", now);
        let mut packages = Vec::new();
        for owner in [0, 2, 4] {
            packages.extend(self.claim(0, self.members[owner].device.primary()).await);
        }
        let packages: Vec<_> = packages.into_iter().map(|(_, package)| package).collect();
        let bundle = self.members[0].adding(MessageId::from_bytes(self.chance.id()), &packages);
        let body = json!({"cid": CID, "kind": "group", "bundle": bundle.json()});
        self.post(0, "/v1/conversations", &body).send().await.expect_status(201);
        self.members[0].device.merge(CID);
        self.inside = (0..self.members.len()).collect();
    }

    async fn step(&mut self) {
        self.net.advance_s(120);
        let place = self.somebody();
        match self.chance.below(12) {
            0 => self.renew_keys(place).await,
            1 => self.commit_at_once().await,
            2 => self.remove_and_add().await,
            3 => self.enter_again(place).await,
            4 => self.catch_up(place).await,
            5 => self.net.restart().await,
            _ => self.say(place).await,
        }
    }

    fn somebody(&mut self) -> usize {
        *self.chance.one_of(&self.inside.iter().copied().collect::<Vec<_>>())
    }

    /// Says one to four things in one request; catches up first when the epoch has ended meanwhile.
    async fn say(&mut self, place: usize) {
        let count = 1 + self.chance.below(4);
        if !self.members[place].device.is_in(CID) {
            self.catch_up(place).await; // its Welcome waits
        }
        loop {
            let (mut frames, mut texts) = (Vec::new(), Vec::new());
            for n in 0..count {
                let (mid, text) = (MessageId::from_bytes(self.chance.id()), format!("{} {n}", self.said));
                let frame = self.members[place].device.say(CID, mid, text.as_bytes());
                frames.push(json!({"mid": mid, "frame": BASE64URL_NOPAD.encode(&frame)}));
                self.members[place].own.insert(mid);
                texts.push(text);
            }
            let answer = self.post(place, &below("frames"), &json!({"frames": frames})).send().await;
            let results = answer.expect_status(200).json();
            let statuses: BTreeSet<_> = results["results"]
                .as_array()
                .expect("results")
                .iter()
                .map(|one| one["status"].as_u64())
                .collect();
            if statuses == BTreeSet::from([Some(201)]) {
                return self.note_said(place, &texts);
            }
            assert_eq!(statuses, BTreeSet::from([Some(409)]), "{results}");
            self.catch_up(place).await;
        }
    }

    fn note_said(&mut self, place: usize, texts: &[String]) {
        self.said += texts.len();
        for other in self.inside.iter().filter(|other| **other != place) {
            self.members[*other].expected.extend_from_slice(texts);
        }
    }

    async fn renew_keys(&mut self, place: usize) {
        self.catch_up(place).await;
        let bundle = self.members[place].adding(MessageId::from_bytes(self.chance.id()), &[]);
        self.commit(place, &bundle).await;
    }

    /// Three devices end the epoch at once; the losers drop what they prepared.
    async fn commit_at_once(&mut self) {
        let places: Vec<_> = (0..3).map(|_| self.somebody()).collect::<BTreeSet<_>>().into_iter().collect();
        let mut calls = Vec::new();
        for place in &places {
            self.catch_up(*place).await;
        }
        for place in &places {
            let bundle = self.members[*place].adding(MessageId::from_bytes(self.chance.id()), &[]);
            calls.push(self.post(*place, &below("commit"), &bundle.json()));
        }
        let answers = self.net.storm(calls, places.len()).await;
        assert_eq!(answers.iter().filter(|answer| answer.status() == 201).count(), 1, "one wins");
        for (place, answer) in places.into_iter().zip(answers) {
            self.members[place].settle(&answer);
        }
    }

    /// A device is removed, hears of it, and is added again.
    async fn remove_and_add(&mut self) {
        let (by, gone) = (self.somebody(), self.somebody());
        if by == gone {
            return;
        }
        self.catch_up(by).await;
        let leaf = self.members[gone].device.leaf();
        let bundle = self.members[by].removing(MessageId::from_bytes(self.chance.id()), leaf);
        self.commit(by, &bundle).await;
        self.inside.remove(&gone);
        self.catch_up(gone).await;
        assert!(!self.members[gone].device.is_in(CID));
        self.members[gone].device.forget(CID);
        let unheard = self.somebody();
        self.say(unheard).await;
        self.refill(gone).await;
        self.catch_up(by).await;
        let packages = self.claim(by, leaf.primary).await;
        let package =
            packages.into_iter().find(|(id, _)| *id == json!(leaf.device_id)).expect("one of its own");
        let bundle = self.members[by].adding(MessageId::from_bytes(self.chance.id()), &[package.1]);
        self.commit(by, &bundle).await;
        self.inside.insert(gone);
    }

    /// A device loses its state and comes back by itself.
    async fn enter_again(&mut self, place: usize) {
        self.catch_up(place).await;
        let shown =
            self.net.get_signed(&self.members[place].device, &format!("/v1/conversations/{CID}")).await;
        let group_info = bytes(&shown.expect_status(200).json()["group_info"]);
        let member = &mut self.members[place];
        let members = member.device.members(CID);
        member.device.forget(CID);
        let id = MessageId::from_bytes(self.chance.id());
        let bundle = member.device.enter(CID, id, &group_info, &members);
        member.own.insert(id);
        self.post(place, &below("commit"), &bundle.json()).send().await.expect_status(201);
        // It has no use for what is in its inbox up to its own commit: it took that in before.
    }

    async fn commit(&mut self, place: usize, bundle: &Bundle) {
        let answer = self.post(place, &below("commit"), &bundle.json()).send().await.expect_status(201);
        self.members[place].settle(&answer);
    }

    /// Takes in what is new in the inbox, in pages, and acknowledges it.
    async fn catch_up(&mut self, place: usize) {
        loop {
            let limit = 1 + self.chance.below(20);
            let member = &mut self.members[place];
            let target = format!("/v1/inbox?after={}&limit={limit}", member.cursor);
            let page = self.net.get_signed(&member.device, &target).await.expect_status(200).json();
            for event in page["events"].as_array().expect("events") {
                member.take(event);
            }
            if page["head"] == member.cursor {
                break;
            }
        }
        let body = json!({"n": self.members[place].cursor});
        self.post(place, "/v1/inbox/ack", &body).send().await.expect_status(200);
    }

    /// Uploads key packages for those who add this device.
    async fn refill(&mut self, place: usize) {
        let device = &self.members[place].device;
        let packages = device.key_packages(PACKAGES, self.net.now());
        let packages: Vec<_> = packages.iter().map(|package| BASE64URL_NOPAD.encode(package)).collect();
        let call = self.net.signed(device, "PUT", "/v1/keypackages", &json!({"one_time": packages}));
        call.send().await.expect_status(200);
    }

    /// A key package of each device of a person but the caller, with its device.
    async fn claim(&mut self, place: usize, primary: PublicKey) -> Vec<(Value, Vec<u8>)> {
        let id = MessageId::from_bytes(self.chance.id());
        let body = json!({"primary": primary, "id": id});
        let answer = self.post(place, "/v1/keypackages/claim", &body).send().await.expect_status(200);
        let answer = answer.json();
        let packages = answer["key_packages"].as_array().expect("a list").iter();
        packages.map(|one| (one["device_id"].clone(), bytes(&one["key_package"]))).collect()
    }

    fn post(&self, place: usize, target: &str, body: &Value) -> Call {
        self.net.signed(&self.members[place].device, "POST", target, body)
    }

    fn expect_alike(&self) {
        let authenticator = self.members[0].device.epoch_authenticator(CID);
        for member in &self.members {
            assert_eq!(member.heard, member.expected, "{:?}", member.device.leaf());
            assert_eq!(member.device.epoch_authenticator(CID), authenticator);
        }
    }
}

impl Member {
    /// A commit that adds the devices of these packages, which may be none.
    fn adding(&mut self, id: MessageId, packages: &[Vec<u8>]) -> Bundle {
        self.own.insert(id);
        self.device.add(CID, id, packages)
    }

    fn removing(&mut self, id: MessageId, leaf: Leaf) -> Bundle {
        self.own.insert(id);
        self.device.remove_device(CID, id, leaf)
    }

    /// Makes the prepared commit the present state, or drops it.
    fn settle(&mut self, answer: &Answer) {
        if answer.status() == 201 {
            self.device.merge(CID);
        } else {
            answer.clone().expect_problem(409, "stale_epoch");
            self.device.discard(CID);
        }
    }

    /// Takes in one event, which has to be the next one.
    fn take(&mut self, event: &Value) {
        self.cursor += 1;
        assert_eq!(event["n"], self.cursor);
        match event["type"].as_str() {
            Some("welcome") => {
                let to = event["device_ids"].as_array().expect("ids");
                if to.contains(&json!(self.device.leaf().device_id)) {
                    assert_eq!(self.device.join(&bytes(&event["welcome"])), CID);
                }
            }
            Some("frame") => self.take_frame(event),
            _ => {}
        }
    }

    fn take_frame(&mut self, event: &Value) {
        let mid: MessageId = event["mid"].as_str().and_then(|mid| mid.parse().ok()).expect("an id");
        if self.own.contains(&mid) || !self.device.is_in(CID) {
            return;
        }
        match self.device.receive(CID, &bytes(&event["frame"])) {
            Received::Said(text) => self.heard.push(String::from_utf8(text).expect("text")),
            Received::Commit => assert_eq!(event["kind"], "commit"),
        }
    }
}

fn below(call: &str) -> String {
    format!("/v1/conversations/{CID}/{call}")
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64URL_NOPAD.decode(value.as_str().expect("text").as_bytes()).expect("base64url")
}
