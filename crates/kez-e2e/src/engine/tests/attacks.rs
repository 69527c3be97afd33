//! Members, former members and strangers who do not keep the rules.

use openmls::prelude::{LeafNodeIndex, LeafNodeParameters};
use openmls_traits::OpenMlsProvider as _;

use super::*;

fn group(others: &mut [&mut Phone]) -> (Log, Phone) {
    let (mut log, mut alice) = (Log::default(), Phone::new(1, 1));
    create(&mut log, ConversationKind::Group, &mut alice, others);
    (log, alice)
}

fn at_place(seq: u64, frame: &LogFrame) -> LogFrame {
    LogFrame { seq, ..frame.clone() }
}

/// What a device makes of a frame.
fn shown(phone: &mut Phone, frame: &LogFrame) -> Vec<Effect> {
    let step = phone.engine.frame(CID, frame, &BTreeSet::new()).unwrap();
    phone.take(step)
}

fn expect_unreadable(effects: &[Effect]) {
    let [Effect::Added { line, .. }, ..] = effects else { panic!("{effects:?}") };
    assert_eq!(line.what, What::Unreadable);
}

fn expect_frozen(phone: &mut Phone, frame: &LogFrame, why: crate::policy::Refusal) {
    let effects = shown(phone, frame);
    assert_eq!(effects, [Effect::Frozen { cid: CID, reason: why.to_string() }]);
    assert_eq!(phone.standing(), Standing::Frozen(why.to_string()));
    assert!(matches!(phone.engine.send(CID, any_mid(), &text("no")), Err(Fault::Frozen(_))));
}

/// A copy of a device as it is now, which goes on by itself.
fn copy(phone: &Phone) -> Phone {
    let engine = Engine::open(&phone.secrets, phone.disk.clone(), Box::new(System));
    let Phone { secrets, disk, read, .. } = phone;
    Phone { secrets: secrets.clone(), engine, disk: disk.clone(), packages: Vec::new(), read: *read }
}

#[test]
fn who_was_removed_reads_nothing_with_all_that_was_kept() {
    let (mut bob, mut carol) = (Phone::new(2, 1), Phone::new(3, 1));
    let (mut log, mut alice) = group(&mut [&mut bob, &mut carol]);
    let mut kept = copy(&bob);
    assert_eq!(change(&mut log, &mut alice, &Change::Remove(bob.primary())), Answer::Taken);
    log.sync(&mut carol);
    say(&mut log, &mut carol, "among us");
    log.sync(&mut alice);
    assert_eq!(alice.said(), ["among us"]);
    // It leaves the commit out, and takes what follows in its place.
    let next = kept.engine.conversation(CID).unwrap().unwrap().cursor + 1;
    expect_unreadable(&shown(&mut kept, &at_place(next, log.frames.last().unwrap())));
}

#[test]
fn who_comes_reads_nothing_of_before() {
    let mut bob = Phone::new(2, 1);
    let (mut log, mut alice) = group(&mut [&mut bob]);
    say(&mut log, &mut alice, "before");
    let old = log.frames.last().unwrap().clone();
    let mut carol = Phone::new(3, 1);
    let newcomer = carol.newcomer();
    assert_eq!(change(&mut log, &mut alice, &Change::Add(vec![newcomer])), Answer::Taken);
    log.sync(&mut carol);
    assert_eq!(carol.standing(), Standing::Active);
    let next = carol.engine.conversation(CID).unwrap().unwrap().cursor + 1;
    expect_unreadable(&shown(&mut carol, &at_place(next, &old)));
    assert!(!carol.said().contains(&"before".to_owned()));
}

#[test]
fn a_stolen_disk_opens_nothing_that_was_read_before() {
    let (mut log, mut alice, mut bob) = pair();
    say(&mut log, &mut alice, "read and gone");
    let frame = log.frames.last().unwrap().clone();
    log.sync(&mut bob);
    let mut stolen = copy(&bob);
    let next = stolen.engine.conversation(CID).unwrap().unwrap().cursor + 1;
    expect_unreadable(&shown(&mut stolen, &at_place(next, &frame)));
}

#[test]
fn keys_of_an_epoch_that_is_over_are_not_on_the_disk() {
    let (mut log, mut alice, mut bob) = pair();
    let secrets = |phone: &Phone| -> BTreeSet<Bytes> {
        let of_group = prefix(CID);
        let rows = phone.disk.iter().filter(|(key, _)| key.starts_with(&of_group));
        rows.map(|(_, content)| content.clone()).filter(|content| content.len() > 64).collect()
    };
    let (of_alice, of_bob) = (secrets(&alice), secrets(&bob));
    let authenticator = alice.authenticator();
    assert_eq!(change(&mut log, &mut bob, &Change::Renew), Answer::Taken);
    log.sync(&mut alice);
    for (phone, before) in [(&alice, &of_alice), (&bob, &of_bob)] {
        let left: Vec<_> = secrets(phone).intersection(before).cloned().collect();
        // The settings of the group are no secret, and stay.
        let is_settings = |content: &Bytes| String::from_utf8_lossy(content).contains("wire_format_policy");
        assert!(
            left.iter().all(is_settings),
            "{:?}",
            left.iter().map(|one| String::from_utf8_lossy(one)).collect::<Vec<_>>()
        );
        let text = serde_json::to_vec(&authenticator).unwrap();
        let needle = &text[1..text.len() - 1];
        let holds = |content: &Bytes| content.windows(needle.len()).any(|window| window == needle);
        assert!(!phone.disk.values().any(holds), "the old epoch's authenticator");
    }
}

/// A commit as a device makes it that does not judge itself.
fn lawless(
    log: &Log,
    phone: &Phone,
    bound_to: &Members,
    removed: &[u32],
    renew: bool,
    leaf: LeafNodeParameters,
) -> LogFrame {
    let mut group = phone.engine.decoded(CID).unwrap();
    let provider = phone.engine.provider();
    let id = any_mid();
    group.set_aad(kez_core::authenticated_data::commit(CID, id, bound_to));
    let made = group
        .commit_builder()
        .force_self_update(renew)
        .leaf_node_parameters(leaf)
        .propose_removals(removed.iter().map(|index| LeafNodeIndex::new(*index)))
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), &phone.engine.signer, |_| true)
        .unwrap()
        .stage_commit(&provider)
        .unwrap();
    let frame = message_bytes(&made.into_messages().0).unwrap();
    let seq = log.frames.len() as u64 + 1;
    LogFrame { seq, at: now(), mid: id, kind: FrameKind::Commit, frame }
}

#[test]
fn a_member_who_removes_another_freezes_the_group() {
    let (mut bob, mut carol) = (Phone::new(2, 1), Phone::new(3, 1));
    let (log, mut alice) = group(&mut [&mut bob, &mut carol]);
    let both = Members::try_from(vec![alice.primary(), bob.primary()]).unwrap();
    let frame = lawless(&log, &bob, &both, &[2], true, LeafNodeParameters::default());
    // That carol's device was revoked may be news: nothing is taken, nothing is refused.
    let before = alice.disk.clone();
    let need = Effect::Need { cid: CID, seq: frame.seq, owners: vec![carol.primary()] };
    assert_eq!(shown(&mut alice, &frame), [need]);
    assert_eq!(alice.disk, before);
    // It was not.
    let step = alice.engine.frame_with_all_known(CID, &frame, &BTreeSet::new()).unwrap();
    let effects = alice.take(step);
    assert!(matches!(effects.as_slice(), [Effect::Frozen { .. }]), "{effects:?}");
}

#[test]
fn anybody_removes_a_device_that_its_owner_revoked() {
    let (mut bob, mut tablet, mut carol) = (Phone::new(2, 1), Phone::new(2, 2), Phone::new(3, 1));
    let (mut log, mut alice) = group(&mut [&mut bob, &mut tablet, &mut carol]);
    let revoked = (tablet.primary(), tablet.engine.device_id());
    assert_eq!(change(&mut log, &mut carol, &Change::RemoveDevice(revoked.0, revoked.1)), Answer::Taken);
    let frame = log.frames.last().unwrap().clone();
    let need = Effect::Need { cid: CID, seq: frame.seq, owners: vec![bob.primary()] };
    // Alice is an admin: she would take it from herself, and still asks about carol's.
    assert_eq!(shown(&mut alice, &frame), [need]);
    let known = BTreeSet::from([revoked]);
    for phone in [&mut alice, &mut bob] {
        let step = phone.engine.frame(CID, &frame, &known).unwrap();
        phone.take(step);
        phone.read = frame.seq;
    }
    expect_same(&[&alice, &bob, &carol]);
    say(&mut log, &mut bob, "without the thief");
    log.sync_all(&mut [&mut alice, &mut carol]);
    assert_eq!(alice.said(), ["without the thief"]);
}

#[test]
fn a_commit_bound_to_other_people_freezes() {
    let (mut bob, mut carol) = (Phone::new(2, 1), Phone::new(3, 1));
    let (log, mut alice) = group(&mut [&mut bob, &mut carol]);
    let fewer = Members::try_from(vec![alice.primary(), bob.primary()]).unwrap();
    let frame = lawless(&log, &bob, &fewer, &[], true, LeafNodeParameters::default());
    expect_frozen(&mut alice, &frame, crate::policy::Refusal::Binding);
}

#[test]
fn a_device_that_turns_into_another_freezes() {
    let (log, mut alice, bob) = pair();
    let both = log.members.clone().unwrap();
    let mallory = Phone::new(9, 1);
    // Its own key under somebody else's certificate.
    let stolen =
        CredentialWithKey { credential: mallory.engine.credential().credential, ..bob.engine.credential() };
    let leaf = LeafNodeParameters::builder().with_credential_with_key(stolen).build();
    let frame = lawless(&log, &bob, &both, &[], true, leaf);
    expect_frozen(&mut alice, &frame, crate::policy::Refusal::NotCertified);
}

#[test]
fn a_member_whose_bytes_are_changed_is_not_followed_and_not_believed() {
    let (mut log, mut alice, mut bob) = pair();
    say(&mut log, &mut alice, "true");
    let good = log.frames.last().unwrap().clone();
    for at in [0, 10, good.frame.len() / 2, good.frame.len() - 1] {
        let mut flipped = good.clone();
        flipped.frame[at] ^= 1;
        expect_unreadable(&shown(&mut copy(&bob), &flipped));
    }
    log.sync(&mut bob);
    assert_eq!(bob.said(), ["true"]);
}

#[test]
fn a_stranger_finds_no_way_in() {
    let (log, alice, _bob) = pair();
    let mut mallory = Phone::new(9, 1);
    let key = alice.engine.rooms().unwrap()[&CID].clone();
    let members = log.members.clone().unwrap();
    let mut info =
        EntryInfo { epoch: log.epoch, members: &members, group_info: &log.group_info, gi_key: &key };
    // Even with the key of the room: the people would not be those that the server names.
    assert!(matches!(mallory.engine.enter(CID, any_mid(), &info), Err(Fault::BadEntry(_))));
    let wrong = GroupInfoKey::from_bytes([1; 32]);
    info.gi_key = &wrong;
    assert!(matches!(mallory.engine.enter(CID, any_mid(), &info), Err(Fault::BadEntry(_))));
}

#[test]
fn typing_is_told_to_members_once() {
    let (_log, alice, mut bob) = pair();
    let sealed = alice.engine.seal_ephemeral(CID, crate::EphemeralKind::Typing, now()).unwrap();
    let event = bob.engine.open_ephemeral(CID, &sealed, now()).unwrap().unwrap();
    assert_eq!((event.sender, event.device_id), (alice.primary(), alice.engine.device_id()));
    let again = bob.engine.open_ephemeral(CID, &sealed, now()).unwrap();
    assert_eq!(again, Err(crate::NotEphemeral::Stale));
    let mut stranger = Phone::new(9, 1);
    assert!(stranger.engine.open_ephemeral(CID, &sealed, now()).is_err());
}

#[test]
fn keys_are_renewed_after_a_welcome_a_week_and_many_messages() {
    let (mut log, mut alice, mut bob) = pair();
    let due = |phone: &Phone, days: i64| {
        phone.engine.is_renewal_due(CID, now().plus_seconds(days * 24 * 60 * 60).unwrap()).unwrap()
    };
    assert!(due(&bob, 0), "came in by a Welcome");
    assert!(!due(&alice, 6) && due(&alice, 8));
    assert_eq!(change(&mut log, &mut bob, &Change::Renew), Answer::Taken);
    assert!(!due(&bob, 0) && due(&bob, 8));
    log.sync(&mut alice);
    for _ in 0..200 {
        let step = alice.engine.send(CID, any_mid(), &text("x")).unwrap();
        alice.take(step);
    }
    assert!(due(&alice, 0));
}

#[test]
fn a_server_that_shows_other_bytes_under_an_own_id_freezes() {
    let (mut log, mut alice, mut bob) = pair();
    let frozen = |effects: &[Effect]| matches!(effects, [Effect::Frozen { .. }]);
    // A message.
    let mut sender = copy(&alice);
    let step = sender.engine.send(CID, mid(70), &text("mine")).unwrap();
    sender.take(step);
    say(&mut log, &mut bob, "not mine");
    let others = log.frames.last().unwrap().clone();
    assert!(frozen(&shown(&mut sender, &LogFrame { mid: mid(70), ..others })));
    // A change.
    log.sync(&mut alice);
    let step = alice.engine.change(CID, mid(71), &Change::Renew, now()).unwrap();
    alice.take(step);
    let both = log.members.clone().unwrap();
    let others = lawless(&log, &bob, &both, &[], true, LeafNodeParameters::default());
    assert!(frozen(&shown(&mut alice, &LogFrame { mid: mid(71), ..others })));
}
