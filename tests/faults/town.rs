//! Four people in three conversations who say things, come and go, and claim key packages, many at once; and what of that
//! the server has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use kez_core::http_signature::Signer;
use kez_core::{ConversationId, Members, MessageId};
use kez_serve::clock::{Clock as _, SystemClock};
use kez_testkit::framing::{FrameDraft, welcome};
use kez_testkit::mls::{Bundle, Leaf};
use kez_testkit::{Answer, Call, Chance, befriend_everybody, one_time_packages, seed};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::DEADLINE;
use crate::devices::{read, settle, signed};

/// Who is in all conversations all the time, and who comes and goes.
const STAYING: usize = 3;
const TALKS: usize = 3;
/// Connections that write at the same time.
const CLIENTS: usize = 12;
/// Long enough that a bundle fills some pages of the file.
const BUNDLE_PART_BYTES: usize = 4_000;

/// The people. A clone is the same town.
#[derive(Debug, Clone)]
pub(crate) struct Town {
    people: Arc<Vec<Person>>,
    /// By which the conversations were created.
    bundles: Arc<Vec<Bundle>>,
}

#[derive(Debug)]
struct Person {
    signer: Signer,
    leaf: Leaf,
}

/// A write of somebody.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    talk: usize,
    by: usize,
    mid: MessageId,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Frame(Vec<u8>),
    Bundle(Box<Bundle>),
}

/// People at work.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    town: Town,
    addr: SocketAddr,
    epochs: [AtomicU64; TALKS],
    outcome: Mutex<Outcome>,
    /// Writes that were acknowledged, and answers of whatever kind.
    counts: watch::Sender<(usize, usize)>,
    ending: AtomicBool,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    acknowledged: Vec<(Sent, u64)>,
    unanswered: Vec<Sent>,
    refused: Vec<Sent>,
    packages: Vec<Vec<u8>>,
}

impl Town {
    /// Registers everybody and creates the conversations.
    pub(crate) async fn found(addr: SocketAddr, file: &Path) -> Self {
        let (mut people, now) = (Vec::new(), SystemClock::new().now());
        for n in 0..=STAYING {
            let device = settle(addr, &seed(&format!("town {n}")), &format!("town-{n}-")).await;
            let packages = device.key_packages(40, now);
            let packages: Vec<_> = packages.iter().map(|package| BASE64URL_NOPAD.encode(package)).collect();
            let body = json!({"one_time": packages, "last_resort": BASE64URL_NOPAD.encode(&device.last_resort(now))});
            let uploaded = signed(addr, &device.signer(), "PUT", "/v1/keypackages", &body).send().await;
            uploaded.expect_status(200);
            people.push(Person { signer: device.signer(), leaf: device.leaf() });
        }
        befriend_everybody(file);
        let mut town = Self { people: Arc::new(people), bundles: Arc::default() };
        let mut chance = Chance::new(1);
        let bundles: Vec<_> = (0..TALKS).map(|talk| town.bundle(talk, 0, chance.id())).collect();
        for (talk, bundle) in bundles.iter().enumerate() {
            let body = json!({"cid": cid(talk), "kind": "group", "bundle": bundle.json()});
            town.post(addr, 0, "/v1/conversations", &body).send().await.expect_status(201);
        }
        town.bundles = Arc::new(bundles);
        town
    }

    /// Sets everybody to work until [`Load::end`] or the end of the server.
    pub(crate) async fn talk(&self, addr: SocketAddr, seed: u64) -> Load {
        let epochs = [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];
        for (talk, epoch) in epochs.iter().enumerate() {
            let shown = self.shown(addr, talk).await;
            epoch.store(shown["epoch"].as_u64().unwrap(), Ordering::Relaxed);
        }
        let shared = Arc::new(Shared {
            town: self.clone(),
            addr,
            epochs,
            outcome: Mutex::default(),
            counts: watch::Sender::new((0, 0)),
            ending: AtomicBool::new(false),
        });
        let mut chance = Chance::new(seed);
        let clients = (0..CLIENTS).map(|_| Arc::clone(&shared).work(Chance::new(chance.number()))).collect();
        Load { shared, clients }
    }

    /// Says one thing in the first conversation.
    pub(crate) async fn say(&self, addr: SocketAddr, chance: &mut Chance) -> Answer {
        let epoch = self.shown(addr, 0).await["epoch"].as_u64().unwrap();
        let sent = frame(0, 0, epoch, chance.id());
        self.call(addr, &sent).send().await
    }

    /// A commit that brings the one who comes and goes in where the epoch is even, and out where it is odd.
    fn bundle(&self, talk: usize, epoch: u64, id: [u8; 16]) -> Bundle {
        let (id, part) = (MessageId::from_bytes(id), id.repeat(BUNDLE_PART_BYTES / 16));
        let coming = epoch.is_multiple_of(2);
        let leaves: Vec<_> = self.people.iter().map(|person| person.leaf).collect();
        let members = &leaves[..STAYING + usize::from(coming)];
        let members_after = Members::try_from(members.iter().map(|leaf| leaf.primary).collect::<Vec<_>>());
        let members_after = members_after.unwrap();
        let commit = FrameDraft::commit(cid(talk), id, &members_after, epoch, &part).bytes();
        // To the others by one Welcome, at the beginning; to the one who comes by another.
        let mut welcomes = Vec::new();
        if epoch == 0 {
            welcomes.push((welcome(&part), leaves[1..STAYING].to_vec()));
        }
        if coming {
            welcomes.push((welcome(&part), leaves[STAYING..].to_vec()));
        }
        Bundle { id, epoch, commit, welcomes, group_info: part, members_after }
    }

    fn call(&self, addr: SocketAddr, sent: &Sent) -> Call {
        let (call, body) = match &sent.what {
            What::Frame(bytes) => {
                ("frames", json!({"mid": sent.mid, "frame": BASE64URL_NOPAD.encode(bytes)}))
            }
            What::Bundle(bundle) => ("commit", bundle.json()),
        };
        self.post(addr, sent.by, &format!("/v1/conversations/{}/{call}", cid(sent.talk)), &body)
    }

    fn claim(&self, addr: SocketAddr, by: usize, of: usize, id: [u8; 16]) -> Call {
        let body = json!({"primary": self.people[of].leaf.primary, "id": MessageId::from_bytes(id)});
        self.post(addr, by, "/v1/keypackages/claim", &body)
    }

    fn post(&self, addr: SocketAddr, by: usize, target: &str, body: &Value) -> Call {
        signed(addr, &self.people[by].signer, "POST", target, body)
    }

    async fn shown(&self, addr: SocketAddr, talk: usize) -> Value {
        let target = format!("/v1/conversations/{}", cid(talk));
        read(addr, &self.people[0].signer, &target).await.expect_status(200).json()
    }
}

impl Load {
    /// Waits until this many writes are acknowledged.
    pub(crate) async fn acknowledged(&self, count: usize) {
        self.reached(|(acknowledged, _)| *acknowledged >= count).await;
    }

    /// Waits until there are this many answers.
    pub(crate) async fn answered(&self, count: usize) {
        self.reached(|(_, answered)| *answered >= count).await;
    }

    async fn reached(&self, is_enough: impl Fn(&(usize, usize)) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        let reached = timeout(DEADLINE, counts.wait_for(is_enough)).await;
        drop(reached.expect("writes are answered").unwrap());
    }

    /// Waits for the calls under way, makes no more, and says what came back.
    pub(crate) async fn end(mut self) -> Outcome {
        self.shared.ending.store(true, Ordering::Relaxed);
        while let Some(client) = timeout(DEADLINE, self.clients.join_next()).await.expect("clients end") {
            client.unwrap();
        }
        std::mem::take(&mut *self.shared.outcome())
    }
}

impl Shared {
    async fn work(self: Arc<Self>, mut chance: Chance) {
        while !self.ending.load(Ordering::Relaxed) {
            let by = chance.below(STAYING);
            let is_there = if chance.once_in(15) {
                self.claim(by, &mut chance).await
            } else {
                self.write(by, &mut chance).await
            };
            if !is_there {
                return;
            }
        }
    }

    /// Whether the server is still there.
    async fn claim(&self, by: usize, chance: &mut Chance) -> bool {
        let call = self.town.claim(self.addr, by, STAYING, chance.id());
        let Some(answer) = call.try_send().await else { return false };
        if answer.status() == 200 {
            self.outcome().packages.extend(one_time_packages(&answer.json()));
        } else {
            assert!([429, 507].contains(&answer.status()), "{answer}");
        }
        true
    }

    async fn write(&self, by: usize, chance: &mut Chance) -> bool {
        let talk = chance.below(TALKS);
        let (epoch, id) = (self.epochs[talk].load(Ordering::Relaxed), chance.id());
        let sent = if chance.once_in(4) {
            let what = What::Bundle(Box::new(self.town.bundle(talk, epoch, id)));
            Sent { talk, by, mid: MessageId::from_bytes(id), what }
        } else {
            frame(talk, by, epoch, id)
        };
        let answer = self.town.call(self.addr, &sent).try_send().await;
        let Some(answer) = answer else {
            self.outcome().unanswered.push(sent);
            return false;
        };
        self.note(sent, &answer);
        true
    }

    fn note(&self, sent: Sent, answer: &Answer) {
        let mut outcome = self.outcome();
        let body = answer.json();
        if let Some(epoch) = body["epoch"].as_u64() {
            self.epochs[sent.talk].fetch_max(epoch, Ordering::Relaxed);
        }
        match answer.status() {
            201 => outcome.acknowledged.push((sent, body["seq"].as_u64().unwrap())),
            409 | 507 => outcome.refused.push(sent),
            _ => panic!("{answer}"),
        }
        let acknowledged = outcome.acknowledged.len();
        self.counts.send_modify(|counts| *counts = (acknowledged, counts.1 + 1));
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the conversations hold, as it was read.
#[derive(Debug, Default)]
pub(crate) struct Log {
    talks: [Vec<Value>; TALKS],
    places: BTreeMap<MessageId, u64>,
    bundles: BTreeMap<MessageId, Bundle>,
    packages: BTreeSet<Vec<u8>>,
}

impl Log {
    /// Reads what is new, and checks that it fits what came back: nothing that was acknowledged is missing, nothing
    /// that was refused is there, what was not answered is sent again and is there at most once.
    pub(crate) async fn follow(&mut self, town: &Town, addr: SocketAddr, outcome: &Outcome) {
        self.note(town, outcome);
        self.read(town, addr).await;
        for (sent, seq) in &outcome.acknowledged {
            self.expect(sent, *seq);
        }
        for sent in &outcome.refused {
            assert!(!self.places.contains_key(&sent.mid), "refused, and it is there: {sent:?}");
        }
        for sent in &outcome.unanswered {
            self.send_again(town, addr, sent).await;
        }
        self.expect_heads(town, addr).await;
    }

    fn note(&mut self, town: &Town, outcome: &Outcome) {
        let sent = outcome.acknowledged.iter().map(|(sent, _)| sent).chain(&outcome.unanswered);
        let bundles = sent.filter_map(|sent| match &sent.what {
            What::Bundle(bundle) => Some(&**bundle),
            What::Frame(_) => None,
        });
        self.bundles.extend(bundles.chain(&*town.bundles).map(|bundle| (bundle.id, bundle.clone())));
        for package in &outcome.packages {
            assert!(self.packages.insert(package.clone()), "a package was handed out twice");
        }
    }

    /// Reads what is new; no message comes twice.
    async fn read(&mut self, town: &Town, addr: SocketAddr) {
        for (talk, log) in self.talks.iter_mut().enumerate() {
            loop {
                let target = format!("/v1/conversations/{}/frames?after={}&limit=500", cid(talk), log.len());
                let page = read(addr, &town.people[0].signer, &target).await.expect_status(200).json();
                for frame in page["frames"].as_array().unwrap() {
                    log.push(frame.clone());
                    assert_eq!(frame["seq"], log.len());
                    let again = self.places.insert(mid(frame), log.len() as u64);
                    assert_eq!(again, None, "{} twice in {talk}", mid(frame));
                }
                if page["seq"] == log.len() {
                    break;
                }
            }
        }
    }

    fn expect(&self, sent: &Sent, seq: u64) {
        let found = self.talks[sent.talk].get(usize::try_from(seq - 1).unwrap());
        let found = found.unwrap_or_else(|| panic!("acknowledged as {seq}, and lost: {sent:?}"));
        let bytes = match &sent.what {
            What::Frame(bytes) => bytes,
            What::Bundle(bundle) => &bundle.commit,
        };
        assert_eq!((mid(found), &found["frame"]), (sent.mid, &BASE64URL_NOPAD.encode(bytes).into()));
    }

    async fn send_again(&mut self, town: &Town, addr: SocketAddr, sent: &Sent) {
        let answer = town.call(addr, sent).send().await;
        let before = self.places.get(&sent.mid).copied();
        self.read(town, addr).await;
        match answer.status() {
            201 => assert_eq!(before, None, "it was there before: {sent:?}"),
            200 => assert_eq!(answer.json()["seq"].as_u64(), before),
            _ => {
                answer.expect_problem(409, "stale_epoch");
                assert!(!self.places.contains_key(&sent.mid), "refused, and it is there: {sent:?}");
                return;
            }
        }
        self.expect(sent, answer.json()["seq"].as_u64().unwrap());
    }

    /// Epoch, members and group info are those of the last commit.
    async fn expect_heads(&self, town: &Town, addr: SocketAddr) {
        for (talk, log) in self.talks.iter().enumerate() {
            let commits: Vec<_> = log.iter().filter(|frame| frame["kind"] == "commit").collect();
            let last = &self.bundles[&mid(commits.last().unwrap())];
            let shown = town.shown(addr, talk).await;
            assert_eq!((&shown["epoch"], &shown["seq"]), (&commits.len().into(), &log.len().into()));
            assert_eq!(shown["members"], json!(last.members_after));
            assert_eq!(shown["group_info"], BASE64URL_NOPAD.encode(&last.group_info));
        }
    }

    /// Reads everything from the beginning: the same logs, and in each inbox what they say.
    pub(crate) async fn read_again(&mut self, town: &Town, addr: SocketAddr) -> String {
        self.read(town, addr).await;
        let mut again = Self::default();
        again.read(town, addr).await;
        assert_eq!(again.talks, self.talks);
        for person in &*town.people {
            let inbox = inbox(addr, person).await;
            for talk in 0..TALKS {
                let of_talk = inbox.iter().filter(|event| event["cid"] == json!(cid(talk)));
                let found: Vec<_> = of_talk.map(|event| (text(event, "type"), seq(event))).collect();
                assert_eq!(found, self.events(town, talk, person));
            }
        }
        let frames: usize = self.talks.iter().map(Vec::len).sum();
        format!("{frames} frames, {} packages", self.packages.len())
    }

    /// The events of a conversation that belong into an inbox.
    fn events(&self, town: &Town, talk: usize, person: &Person) -> Vec<(String, u64)> {
        let (mut events, mut is_member) = (Vec::new(), person.leaf == town.people[0].leaf);
        for frame in &self.talks[talk] {
            if is_member {
                events.push(("frame".to_owned(), seq(frame)));
            }
            if let Some(bundle) = self.bundles.get(&mid(frame)) {
                is_member = bundle.members_after.contains(&person.leaf.primary);
                let welcomes = bundle.welcomes.iter().filter(|(_, to)| to.contains(&person.leaf));
                events.extend(welcomes.map(|_| ("welcome".to_owned(), seq(frame))));
            }
        }
        events
    }
}

fn frame(talk: usize, by: usize, epoch: u64, id: [u8; 16]) -> Sent {
    let mid = MessageId::from_bytes(id);
    let bytes = FrameDraft::app(cid(talk), mid, epoch, &id.repeat(20)).bytes();
    Sent { talk, by, mid, what: What::Frame(bytes) }
}

/// A whole inbox, whose numbers have no gap.
async fn inbox(addr: SocketAddr, person: &Person) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let target = format!("/v1/inbox?after={}&limit=500", events.len());
        let page = read(addr, &person.signer, &target).await.expect_status(200).json();
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        assert!(events.iter().zip(1..).all(|(event, n): (_, u64)| event["n"] == n), "a gap");
        if page["head"] == events.len() {
            return events;
        }
    }
}

fn cid(talk: usize) -> ConversationId {
    ConversationId::from_bytes([u8::try_from(talk).unwrap() + 1; 16])
}

fn mid(frame: &Value) -> MessageId {
    text(frame, "mid").parse().unwrap()
}

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap()
}

fn text(event: &Value, member: &str) -> String {
    event[member].as_str().unwrap().to_owned()
}
