//! Devices with each other, over a log that keeps the server's rules.

mod attacks;
mod walk;

use std::collections::BTreeSet;

use kez_core::{
    ConversationId, ConversationKind, DeviceCertificate, DeviceId, FrameKind, MessageId, PublicKey, Seed,
    Timestamp,
};

use super::*;
use crate::payload::{Content, Payload};
use crate::records::{LogFrame, What};
use crate::storage::random;

const CID: ConversationId = ConversationId::from_bytes([7; 16]);

struct System;

impl Chance for System {
    #[expect(clippy::disallowed_methods, reason = "a test's own chance")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "OpenMLS compares lifetimes with the machine's own clock")]
fn now() -> Timestamp {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_unix(i64::try_from(seconds).unwrap(), 0).unwrap()
}

fn mid(n: u8) -> MessageId {
    MessageId::from_bytes([n; 16])
}

fn any_mid() -> MessageId {
    MessageId::from_bytes(random(&System))
}

fn text(body: &str) -> Payload {
    Payload::new(1, Content::Text { body: body.to_owned(), reply_to: None })
}

/// A device with its disk.
struct Phone {
    secrets: DeviceSecrets,
    engine: Engine,
    disk: Rows,
    /// Key packages that the server has of it.
    packages: Vec<Vec<u8>>,
    /// Conversations that it has heard of, and how far it has read each.
    read: u64,
}

impl Phone {
    fn new(owner: u8, device: u8) -> Self {
        let (owner, mls) = (Seed::from_bytes([owner; 32]), Seed::from_bytes([100 + owner * 10 + device; 32]));
        let id = DeviceId::from_bytes([device; 16]);
        let until = now().plus_seconds(300 * 24 * 60 * 60).unwrap();
        let certificate = DeviceCertificate::issue(&owner, id, &mls.public_key(), now(), until).unwrap();
        let secrets = DeviceSecrets { certificate, mls };
        let engine = Engine::open(&secrets, [], Box::new(System));
        let mut phone = Self { secrets, engine, disk: Rows::new(), packages: Vec::new(), read: 0 };
        let step = phone.engine.key_packages(3, true, now()).unwrap();
        let effects = phone.take(step);
        let [Effect::UploadKeyPackages { one_time, last_resort: Some(_) }] = effects.as_slice() else {
            panic!()
        };
        phone.packages.clone_from(one_time);
        phone
    }

    /// Stores a step.
    fn take(&mut self, step: Step) -> Vec<Effect> {
        for (key, change) in step.changes() {
            match change {
                Some(content) => self.disk.insert(key.clone(), content.clone()),
                None => self.disk.remove(key),
            };
        }
        self.engine.stored(step).unwrap()
    }

    /// A crash: what was not stored is gone.
    fn crash(&mut self) {
        self.engine = Engine::open(&self.secrets, self.disk.clone(), Box::new(System));
    }

    fn primary(&self) -> PublicKey {
        self.engine.primary()
    }

    fn newcomer(&mut self) -> Newcomer {
        let key_package = self.packages.pop().unwrap();
        Newcomer { primary: self.primary(), device_id: self.engine.device_id(), key_package }
    }

    fn standing(&self) -> Standing {
        self.engine.conversation(CID).unwrap().unwrap().standing
    }

    fn authenticator(&self) -> Vec<u8> {
        self.engine.epoch_authenticator(CID).unwrap()
    }

    /// What it has read, in order.
    fn said(&self) -> Vec<String> {
        let mut lines = self.engine.history(CID, None, 1_000).unwrap();
        lines.reverse();
        let body = |line: Line| match line.what {
            What::Said { payload: Payload { content: Content::Text { body, .. }, .. }, .. } => Some(body),
            What::Unreadable => Some("?".to_owned()),
            _ => None,
        };
        lines.into_iter().filter_map(body).collect()
    }
}

/// What the server keeps of the one conversation, by its rules.
#[derive(Default)]
struct Log {
    kind: Option<ConversationKind>,
    epoch: u64,
    frames: Vec<LogFrame>,
    welcomes: Vec<(u64, crate::bundle::Welcome)>,
    group_info: Vec<u8>,
    members: Option<Members>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Taken,
    Stale,
}

impl Log {
    fn publish(&mut self, effect: &Effect) -> Answer {
        match effect {
            Effect::Create { kind, bundle, .. } => {
                if self.kind.is_some() && self.frames[0].mid != bundle.id {
                    return Answer::Stale;
                }
                self.kind = Some(*kind);
                self.bundle(bundle)
            }
            Effect::Commit { bundle, .. } => self.bundle(bundle),
            Effect::Frame { mid, frame, .. } => {
                if let Some(stored) = self.frames.iter().find(|stored| stored.mid == *mid) {
                    assert_eq!(stored.frame, *frame, "an id stands for one message");
                    return Answer::Taken;
                }
                let checked = kez_core::mls_framing::AppFrame::check(frame, CID, *mid).expect("a good frame");
                if checked.epoch() != self.epoch {
                    return Answer::Stale;
                }
                self.append(FrameKind::App, *mid, frame);
                Answer::Taken
            }
            _ => Answer::Taken,
        }
    }

    fn bundle(&mut self, bundle: &Bundle) -> Answer {
        if self.frames.iter().any(|stored| stored.mid == bundle.id) {
            return Answer::Taken;
        }
        if bundle.epoch != self.epoch {
            return Answer::Stale;
        }
        let checked =
            kez_core::mls_framing::CommitFrame::check(&bundle.commit, CID, bundle.id, &bundle.members_after);
        checked.expect("a good commit");
        self.epoch += 1;
        self.append(FrameKind::Commit, bundle.id, &bundle.commit);
        let seq = self.frames.len() as u64;
        self.welcomes.extend(bundle.welcomes.iter().map(|welcome| (seq, welcome.clone())));
        self.group_info.clone_from(&bundle.group_info);
        self.members = Some(bundle.members_after.clone());
        Answer::Taken
    }

    fn append(&mut self, kind: FrameKind, mid: MessageId, frame: &[u8]) {
        let seq = self.frames.len() as u64 + 1;
        self.frames.push(LogFrame { seq, at: now(), mid, kind, frame: frame.to_vec() });
    }

    /// Brings a device up to date, and sends what it wants to send, until nothing is left.
    fn sync(&mut self, phone: &mut Phone) {
        loop {
            let mut effects = Vec::new();
            let me = (phone.primary(), phone.engine.device_id());
            while phone.read < self.frames.len() as u64 {
                let frame = self.frames[usize::try_from(phone.read).unwrap()].clone();
                phone.read += 1;
                for (_, welcome) in
                    self.welcomes.iter().filter(|(seq, one)| *seq == frame.seq && one.to.contains(&me))
                {
                    let step = phone.engine.welcome(CID, self.kind.unwrap(), frame.seq, &welcome.welcome);
                    if let Ok(step) = step {
                        effects.extend(phone.take(step));
                    }
                }
                let step = phone.engine.frame(CID, &frame, &BTreeSet::new()).unwrap();
                effects.extend(phone.take(step));
            }
            let before = self.frames.len();
            for effect in &effects {
                self.publish(effect);
            }
            if self.frames.len() == before {
                return;
            }
        }
    }

    fn sync_all(&mut self, phones: &mut [&mut Phone]) {
        for _ in 0..2 {
            for phone in &mut *phones {
                self.sync(phone);
            }
        }
    }
}

/// Sends and reads back.
fn say(log: &mut Log, phone: &mut Phone, body: &str) {
    let step = phone.engine.send(CID, any_mid(), &text(body)).unwrap();
    for effect in phone.take(step) {
        assert_eq!(log.publish(&effect), Answer::Taken);
    }
    log.sync(phone);
}

fn change(log: &mut Log, phone: &mut Phone, change: &Change) -> Answer {
    let step = phone.engine.change(CID, any_mid(), change, now()).unwrap();
    let effects = phone.take(step);
    let answer = log.publish(&effects[0]);
    log.sync(phone);
    answer
}

fn create(log: &mut Log, kind: ConversationKind, phone: &mut Phone, others: &mut [&mut Phone]) {
    let newcomers: Vec<_> = others.iter_mut().map(|other| other.newcomer()).collect();
    let step = phone.engine.create(CID, mid(1), kind, &newcomers, now()).unwrap();
    let effects = phone.take(step);
    assert_eq!(log.publish(&effects[0]), Answer::Taken);
    log.sync(phone);
    for other in others {
        log.sync(other);
    }
}

fn enter(log: &mut Log, phone: &mut Phone, gi_key: &GroupInfoKey) -> Answer {
    let info = EntryInfo {
        epoch: log.epoch,
        members: &log.members.clone().unwrap(),
        group_info: &log.group_info.clone(),
        gi_key,
    };
    let step = phone.engine.enter(CID, any_mid(), &info).unwrap();
    let effects = phone.take(step);
    let answer = log.publish(&effects[0]);
    log.sync(phone);
    answer
}

fn pair() -> (Log, Phone, Phone) {
    let (mut log, mut alice, mut bob) = (Log::default(), Phone::new(1, 1), Phone::new(2, 1));
    create(&mut log, ConversationKind::Direct, &mut alice, &mut [&mut bob]);
    (log, alice, bob)
}

fn expect_same(phones: &[&Phone]) {
    for phone in phones {
        assert_eq!(phone.standing(), Standing::Active);
        assert_eq!(phone.authenticator(), phones[0].authenticator());
        assert_eq!(
            phone.engine.conversation(CID).unwrap().unwrap().inside,
            phones[0].engine.conversation(CID).unwrap().unwrap().inside
        );
    }
}

#[test]
fn two_people_talk() {
    let (mut log, mut alice, mut bob) = pair();
    assert_eq!((alice.standing(), bob.standing()), (Standing::Active, Standing::Active));
    say(&mut log, &mut alice, "hello");
    log.sync(&mut bob);
    say(&mut log, &mut bob, "hello yourself");
    log.sync_all(&mut [&mut alice, &mut bob]);
    expect_same(&[&alice, &bob]);
    for phone in [&alice, &bob] {
        assert_eq!(phone.said(), ["hello", "hello yourself"]);
    }
    assert!(alice.engine.unsent().unwrap().is_empty());
}

#[test]
fn what_is_written_during_a_change_is_encrypted_anew() {
    let (mut log, mut alice, mut bob) = pair();
    let step = alice.engine.send(CID, mid(9), &text("late")).unwrap();
    let late = alice.take(step);
    assert_eq!(change(&mut log, &mut bob, &Change::Renew), Answer::Taken);
    assert_eq!(log.publish(&late[0]), Answer::Stale);
    log.sync_all(&mut [&mut alice, &mut bob]);
    assert_eq!((alice.said(), bob.said()), (vec!["late".to_owned()], vec!["late".to_owned()]));
    expect_same(&[&alice, &bob]);
}

#[test]
fn of_two_changes_one_comes_first_and_the_other_can_be_made_again() {
    let (mut log, mut alice, mut bob) = pair();
    let step = alice.engine.change(CID, mid(9), &Change::Renew, now()).unwrap();
    let lost = alice.take(step);
    assert_eq!(change(&mut log, &mut bob, &Change::Renew), Answer::Taken);
    assert_eq!(log.publish(&lost[0]), Answer::Stale);
    log.sync(&mut alice);
    assert_eq!(change(&mut log, &mut alice, &Change::Renew), Answer::Taken);
    log.sync(&mut bob);
    say(&mut log, &mut bob, "after both");
    log.sync_all(&mut [&mut alice, &mut bob]);
    expect_same(&[&alice, &bob]);
    assert_eq!(alice.said(), ["after both"]);
}

#[test]
fn a_second_device_comes_in_by_itself_and_reads_what_follows() {
    let (mut log, mut alice, mut bob) = pair();
    say(&mut log, &mut alice, "before");
    let mut tablet = Phone::new(1, 2);
    let key = alice.engine.rooms().unwrap()[&CID].clone();
    assert_eq!(enter(&mut log, &mut tablet, &key), Answer::Taken);
    log.sync_all(&mut [&mut alice, &mut bob, &mut tablet]);
    say(&mut log, &mut bob, "after");
    log.sync_all(&mut [&mut alice, &mut tablet]);
    expect_same(&[&alice, &bob, &tablet]);
    assert_eq!(tablet.said(), ["after"]);
    assert_eq!(alice.said(), ["before", "after"]);
}

#[test]
fn a_group_changes_and_who_was_removed_reads_no_more() {
    let (mut log, mut alice, mut bob, mut carol) =
        (Log::default(), Phone::new(1, 1), Phone::new(2, 1), Phone::new(3, 1));
    create(&mut log, ConversationKind::Group, &mut alice, &mut [&mut bob]);
    say(&mut log, &mut alice, "one");
    log.sync(&mut bob);
    let carols = carol.newcomer();
    // Bob is no admin.
    let refused = bob.engine.change(CID, mid(8), &Change::Add(vec![carols.clone()]), now());
    assert!(matches!(refused, Err(Fault::NotAllowed("add"))), "{refused:?}");
    assert_eq!(change(&mut log, &mut alice, &Change::Add(vec![carols])), Answer::Taken);
    log.sync_all(&mut [&mut bob, &mut carol]);
    say(&mut log, &mut carol, "two");
    log.sync_all(&mut [&mut alice, &mut bob]);
    expect_same(&[&alice, &bob, &carol]);
    let refused = bob.engine.change(CID, mid(8), &Change::Remove(carol.primary()), now());
    assert!(matches!(refused, Err(Fault::NotAllowed("remove"))), "{refused:?}");
    assert_eq!(change(&mut log, &mut alice, &Change::Remove(bob.primary())), Answer::Taken);
    log.sync_all(&mut [&mut bob, &mut carol]);
    assert_eq!(bob.standing(), Standing::Left);
    say(&mut log, &mut carol, "three");
    log.sync_all(&mut [&mut alice, &mut bob]);
    assert_eq!((alice.said().len(), carol.said().len()), (3, 2));
    assert_eq!(bob.said(), ["one", "two"]);
    let of_the_group = prefix(CID);
    assert!(
        !bob.disk.keys().any(|key| key.starts_with(&of_the_group)),
        "keys of a conversation that was left"
    );
}

/// At every moment between two writes of the disk.
#[test]
fn a_crash_at_any_moment_loses_and_doubles_nothing() {
    let (mut log, mut alice, mut bob) = pair();
    // Before it was stored: nothing happened.
    drop(alice.engine.send(CID, mid(20), &text("never")).unwrap());
    alice.crash();
    assert!(alice.engine.unsent().unwrap().is_empty());
    // Stored, not sent.
    let step = alice.engine.send(CID, mid(21), &text("stored")).unwrap();
    drop(alice.take(step));
    alice.crash();
    for effect in alice.engine.unsent().unwrap() {
        assert_eq!(log.publish(&effect), Answer::Taken);
    }
    // Sent, the answer lost, sent again.
    alice.crash();
    for effect in alice.engine.unsent().unwrap() {
        assert_eq!(log.publish(&effect), Answer::Taken);
    }
    log.sync_all(&mut [&mut alice, &mut bob]);
    // A change: stored, not sent; then sent, not seen.
    let step = bob.engine.change(CID, mid(22), &Change::Renew, now()).unwrap();
    drop(bob.take(step));
    bob.crash();
    for effect in bob.engine.unsent().unwrap() {
        assert_eq!(log.publish(&effect), Answer::Taken);
    }
    bob.crash();
    // Received, not stored: received again.
    let frame = log.frames.last().unwrap().clone();
    drop(alice.engine.frame(CID, &frame, &BTreeSet::new()).unwrap());
    alice.crash();
    log.sync_all(&mut [&mut alice, &mut bob]);
    say(&mut log, &mut bob, "end");
    log.sync_all(&mut [&mut alice, &mut bob]);
    for phone in [&alice, &bob] {
        assert_eq!(phone.said(), ["stored", "end"]);
    }
    expect_same(&[&alice, &bob]);
}

#[test]
fn a_crash_between_entering_and_the_log_goes_on() {
    let (mut log, mut alice, mut bob) = pair();
    let mut tablet = Phone::new(1, 2);
    let key = alice.engine.rooms().unwrap()[&CID].clone();
    let members = log.members.clone().unwrap();
    let info =
        EntryInfo { epoch: log.epoch, members: &members, group_info: &log.group_info.clone(), gi_key: &key };
    let step = tablet.engine.enter(CID, mid(30), &info).unwrap();
    drop(tablet.take(step));
    tablet.crash();
    for effect in tablet.engine.unsent().unwrap() {
        assert_eq!(log.publish(&effect), Answer::Taken);
    }
    tablet.crash();
    log.sync_all(&mut [&mut alice, &mut bob, &mut tablet]);
    expect_same(&[&alice, &bob, &tablet]);
    // One that comes too late is dropped, and made again.
    let mut laptop = Phone::new(2, 2);
    let (members, old) = (log.members.clone().unwrap(), log.group_info.clone());
    let info = EntryInfo { epoch: log.epoch, members: &members, group_info: &old, gi_key: &key };
    let step = laptop.engine.enter(CID, mid(31), &info).unwrap();
    let late = laptop.take(step);
    assert_eq!(change(&mut log, &mut alice, &Change::Renew), Answer::Taken);
    assert_eq!(log.publish(&late[0]), Answer::Stale);
    let step = laptop.engine.entry_refused(CID).unwrap();
    assert_eq!(laptop.take(step), [Effect::Lost { cid: CID }]);
    assert_eq!(enter(&mut log, &mut laptop, &key), Answer::Taken);
    log.sync_all(&mut [&mut alice, &mut bob, &mut tablet, &mut laptop]);
    expect_same(&[&alice, &bob, &tablet, &laptop]);
}

#[test]
fn a_device_whose_disk_went_back_comes_in_anew() {
    let (mut log, mut alice, mut bob) = pair();
    let old = alice.disk.clone();
    say(&mut log, &mut alice, "one");
    assert_eq!(change(&mut log, &mut alice, &Change::Renew), Answer::Taken);
    log.sync(&mut bob);
    let (read, key) = (alice.read, alice.engine.rooms().unwrap()[&CID].clone());
    alice.disk = old;
    alice.crash();
    alice.read = read - 2;
    log.sync(&mut alice);
    assert_eq!(alice.standing(), Standing::Lost);
    assert_eq!(enter(&mut log, &mut alice, &key), Answer::Taken);
    log.sync_all(&mut [&mut alice, &mut bob]);
    say(&mut log, &mut bob, "two");
    log.sync_all(&mut [&mut alice, &mut bob]);
    expect_same(&[&alice, &bob]);
    assert!(alice.said().ends_with(&["two".to_owned()]));
}

#[test]
fn a_gap_is_told_and_nothing_is_taken() {
    let (mut log, mut alice, mut bob) = pair();
    say(&mut log, &mut alice, "one");
    say(&mut log, &mut alice, "two");
    let last = log.frames.last().unwrap().clone();
    let step = bob.engine.frame(CID, &last, &BTreeSet::new()).unwrap();
    assert!(step.changes().is_empty());
    assert_eq!(bob.take(step), [Effect::Gap { cid: CID, after: 1 }]);
    log.sync(&mut bob);
    assert_eq!(bob.said(), ["one", "two"]);
}

#[test]
fn a_step_from_an_old_state_is_not_taken() {
    let (_log, mut alice, _bob) = pair();
    let first = alice.engine.send(CID, mid(40), &text("one")).unwrap();
    let second = alice.engine.send(CID, mid(41), &text("two")).unwrap();
    alice.take(first);
    assert!(matches!(alice.engine.stored(second), Err(Fault::StaleStep)));
}

#[test]
fn a_message_at_another_place_is_not_read() {
    let (mut log, mut alice, mut bob) = pair();
    say(&mut log, &mut alice, "here");
    let mut moved = log.frames.last().unwrap().clone();
    moved.mid = mid(50);
    let step = bob.engine.frame(CID, &moved, &BTreeSet::new()).unwrap();
    let effects = bob.take(step);
    let [Effect::Added { line, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(line.what, What::Unreadable);
}

#[test]
fn a_sent_message_changes_few_records() {
    let (mut log, mut alice, mut bob) = pair();
    let step = alice.engine.send(CID, mid(60), &text("x")).unwrap();
    assert_eq!(step.changes().len(), 3, "message secrets, what waits, the conversation");
    let effects = alice.take(step);
    log.publish(&effects[0]);
    let frame = log.frames.last().unwrap().clone();
    let step = bob.engine.frame(CID, &frame, &BTreeSet::new()).unwrap();
    assert_eq!(step.changes().len(), 3, "message secrets, the line, the conversation");
}
