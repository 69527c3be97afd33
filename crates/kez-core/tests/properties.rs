//! Documents and chains that nobody thought of.

use std::collections::BTreeMap;

use kez_core::encoding::{self, DNS_SEGMENT_BYTES_MAX};
use kez_core::sigchain::{
    Chain, ChainError, Comparison, EVENTS_MAX, Event, EventHash, Head, Op, ReadError, RotationFault,
    RotationProof, Sha256Hex, append,
};
use kez_core::{
    Artifact, Claim, DeviceId, Document, Envelope, EnvelopeError, Identifier, NostrSecret, PrimaryKey,
    Registration, Seed, Timestamp,
};
use proptest::prelude::*;

/// Who can hold a chain.
#[derive(Debug, Clone)]
enum Holder {
    Ed25519(Seed),
    Nostr(NostrSecret),
}

impl Holder {
    fn number(number: u8) -> Self {
        let secret = [number + 1; 32];
        if number % 3 == 2 {
            Self::Nostr(NostrSecret::from_bytes(&secret).unwrap())
        } else {
            Self::Ed25519(Seed::from_bytes(secret))
        }
    }

    fn key(&self) -> PrimaryKey {
        match self {
            Self::Ed25519(seed) => seed.public_key().into(),
            Self::Nostr(secret) => secret.public_key().into(),
        }
    }

    fn sign<D: Document<Primary = PrimaryKey>>(&self, document: &D, at: Timestamp) -> Envelope {
        match self {
            Self::Ed25519(seed) => Envelope::sign(document, seed, at).unwrap(),
            Self::Nostr(secret) => Envelope::sign_nostr(document, secret, &[0; 32], at).unwrap(),
        }
    }
}

/// A step of a random chain. Small numbers, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    Add(u8),
    Revoke(u8),
    AddDevice(u8, u8),
    RevokeDevice(u8),
    Rotate(u8),
    Other(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_u8).prop_map(Step::Add),
        2 => (0..5_u8).prop_map(Step::Revoke),
        2 => (0..3_u8, any::<u8>()).prop_map(|(id, certificate)| Step::AddDevice(id, certificate)),
        1 => (0..3_u8).prop_map(Step::RevokeDevice),
        1 => (0..4_u8).prop_map(Step::Rotate),
        1 => "[a-z_]{0,6}x".prop_map(Step::Other),
    ]
}

fn subject(number: u8) -> Identifier {
    format!("dns:{number}.example.org").parse().unwrap()
}

fn at(seconds: usize) -> Timestamp {
    Timestamp::from_unix(1_779_667_200 + i64::try_from(seconds).unwrap(), 0).unwrap()
}

/// A chain as it should come out, and its lines.
#[derive(Debug, Default)]
struct Model {
    lines: Vec<Envelope>,
    subjects: BTreeMap<Identifier, u64>,
    devices: BTreeMap<DeviceId, (Sha256Hex, bool)>,
    keys: Vec<PrimaryKey>,
}

fn build(steps: &[Step]) -> (Model, Option<Chain>) {
    let mut model = Model::default();
    let mut chain: Option<Chain> = None;
    let mut holder = Holder::number(0);
    let id = holder.key();
    model.keys.push(id);
    for step in steps {
        let head = chain.as_ref().map(Chain::head);
        let now = at(model.lines.len());
        let mut next = holder.clone();
        let op = match step {
            Step::Add(number) => {
                model.subjects.entry(subject(*number)).or_insert(model.lines.len() as u64);
                Op::Add { subject: subject(*number) }
            }
            Step::Revoke(number) => {
                model.subjects.remove(&subject(*number));
                Op::Revoke { subject: subject(*number) }
            }
            Step::AddDevice(number, certificate) => {
                let (device_id, certificate) =
                    (DeviceId::from_bytes([*number; 16]), Sha256Hex::of(&[*certificate]));
                let entry = model.devices.entry(device_id).or_insert((certificate, false));
                if !entry.1 {
                    entry.0 = certificate;
                }
                Op::AddDevice { device_id, certificate_sha256: certificate }
            }
            Step::RevokeDevice(number) => {
                let (device_id, certificate) = (DeviceId::from_bytes([*number; 16]), Sha256Hex::of(b"last"));
                model.devices.entry(device_id).or_insert((certificate, true)).1 = true;
                Op::RevokeDevice { device_id, certificate_sha256: certificate }
            }
            Step::Rotate(number) => {
                next = Holder::number(*number);
                if next.key() == holder.key() {
                    continue;
                }
                let proof =
                    head.map_or(RotationProof { chain: id, seq: 0, prev: None }, RotationProof::after);
                model.keys.push(next.key());
                Op::Rotate { new_primary: next.key(), proof: Box::new(next.sign(&proof, now)) }
            }
            Step::Other(op) => Op::Unknown { op: op.clone(), payload: BTreeMap::new() },
        };
        let event = head.map_or_else(|| Event::first(op.clone()), |head| head.next(op.clone()));
        let envelope = holder.sign(&event, now);
        match &mut chain {
            Some(chain) => drop(chain.extend(envelope.clone()).unwrap()),
            None => chain = Some(Chain::genesis(id, envelope.clone()).unwrap()),
        }
        model.lines.push(envelope);
        holder = next;
    }
    (model, chain)
}

fn jsonl(lines: &[Envelope]) -> String {
    lines.iter().flat_map(|line| [line.canonical(), "\n"]).collect()
}

fn fault(id: PrimaryKey, lines: &[Envelope]) -> (usize, &'static str) {
    match Chain::read(Some(id), &jsonl(lines)).unwrap_err() {
        ReadError::Event { line, fault } => (line, fault.code()),
        ReadError::Empty => (0, "empty"),
        other => panic!("{other}"),
    }
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let text = "[ -~äß€\u{1f600}\\\\\"`]{0,40}";
    let registration = (text, text).prop_map(|(handle, server)| {
        Envelope::sign(&Registration { handle, server }, &Seed::from_bytes([1; 32]), at(0)).unwrap()
    });
    let claim =
        ("[a-z]{1,8}", "[!-~ä€]{1,200}", any::<bool>(), 0..4_u8).prop_map(|(system, value, ends, holder)| {
            let subject = format!("x-{system}:{value}").parse().unwrap();
            Holder::number(holder).sign(&Claim { subject, expires_at: ends.then(|| at(99)) }, at(1))
        });
    prop_oneof![registration, claim]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_form_gives_the_document_back(envelope in envelope(), before in "[a-z .\n]{0,40}") {
        let expected = Ok(Artifact::Envelope(Box::new(envelope.clone())));
        let compact = encoding::compact(&envelope).unwrap();
        prop_assert_eq!(&Artifact::find(envelope.canonical()), &expected);
        prop_assert_eq!(&Artifact::find(&compact), &expected);
        prop_assert_eq!(&Artifact::find(&format!("{before}\n{compact}\n")), &expected);
        let fence = encoding::markdown(&envelope);
        prop_assert_eq!(&Artifact::find(&format!("{before}\n{fence}\n{before}")), &expected);
        let strings = encoding::dns_txt(&envelope).unwrap();
        prop_assert!(strings.iter().all(|string| (1..=DNS_SEGMENT_BYTES_MAX).contains(&string.len())));
        prop_assert_eq!(&Artifact::find(&strings.concat()), &expected);
        prop_assert_eq!(&Artifact::find(&format!("\"{}\"", strings.join("\" \""))), &expected);
    }

    #[test]
    fn a_damaged_compact_form_is_corrupt_and_never_another_document(
        envelope in envelope(),
        at in any::<prop::sample::Index>(),
        digit in "[A-Za-z0-9_-]",
        cut in any::<bool>(),
    ) {
        let mut compact = encoding::compact(&envelope).unwrap();
        let prefix = encoding::COMPACT_PREFIX.len();
        let at = prefix + at.index(compact.len() - prefix);
        if cut { compact.truncate(at) } else { compact.replace_range(at..=at, &digit) }
        match Artifact::find(&compact) {
            Err(error) => prop_assert_eq!(error.code(), "corrupt"),
            // A changed literal gives another text, which no signature covers.
            Ok(found) => for found in found.into_envelopes() {
                prop_assert!(found == envelope || found.clone().verify::<Claim>().is_err());
                prop_assert!(found == envelope || found.verify::<Registration>().is_err());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_chain_says_what_was_put_into_it(steps in prop::collection::vec(step(), 1..24)) {
        let (model, chain) = build(&steps);
        let Some(chain) = chain else { return Ok(()) };
        let subjects: BTreeMap<_, _> =
            chain.subjects().iter().map(|(subject, added)| (subject.clone(), added.seq)).collect();
        prop_assert_eq!(subjects, model.subjects);
        for (line, hash) in model.lines.iter().zip(chain.hashes()) {
            prop_assert_eq!(EventHash::from(line), *hash);
        }
        let devices: BTreeMap<_, _> = chain
            .devices()
            .iter()
            .map(|(id, device)| (*id, (device.certificate_sha256, device.revoked_at.is_some())))
            .collect();
        prop_assert_eq!(devices, model.devices);
        prop_assert_eq!(chain.rotations().len() + 1, model.keys.len());
        prop_assert_eq!(Some(&chain.primary()), model.keys.last());

        let text = jsonl(&model.lines);
        let read = Chain::read(Some(chain.id()), &text).unwrap();
        prop_assert_eq!(read.head(), chain.head());
        prop_assert_eq!(read.compare_to(&chain), Comparison::Same);
        let mut head: Option<Head> = None;
        for line in &model.lines {
            head = Some(append(chain.id(), head.as_ref(), line.clone()).unwrap().head);
        }
        prop_assert_eq!(head.as_ref(), Some(chain.head()), "the end alone is enough to go on");

        let bundle = encoding::bundle(&text).unwrap();
        prop_assert_eq!(Artifact::find(&bundle).unwrap(), Artifact::Chain(model.lines.clone()));
        if model.lines.len() > 1 {
            prop_assert_eq!(Artifact::find(&text).unwrap(), Artifact::Chain(model.lines));
        }
    }

    #[test]
    fn a_damaged_chain_is_refused_for_what_was_done(
        steps in prop::collection::vec(step(), 3..16),
        place in any::<prop::sample::Index>(),
    ) {
        let (model, chain) = build(&steps);
        let Some(chain) = chain.filter(|chain| chain.head().seq >= 2) else { return Ok(()) };
        let (id, lines) = (chain.id(), model.lines);
        let at = place.index(lines.len() - 1);

        prop_assert_eq!(fault(id, &lines[at + 1..]), (1, "bad_sequence"), "truncated at its start");
        let mut gap = lines.clone();
        gap.remove(at);
        prop_assert_eq!(fault(id, &gap), (at + 1, "bad_sequence"), "an event is missing");
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        prop_assert_eq!(fault(id, &swapped), (at + 1, "bad_sequence"), "two have changed places");
        let mut twice = lines.clone();
        twice.insert(at, lines[at].clone());
        prop_assert_eq!(fault(id, &twice), (at + 2, "bad_sequence"), "one stands twice");

        // The same statement, signed again a second later by the same key: what follows hangs on the first one.
        let event = lines[at].clone().verify::<Event>().unwrap();
        let signer = (0..4).map(Holder::number).find(|holder| holder.key() == event.primary()).unwrap();
        let mut re_signed = lines.clone();
        re_signed[at] = signer.sign(event.document(), event.created_at().plus_seconds(1).unwrap());
        prop_assert_eq!(fault(id, &re_signed), (at + 2, "wrong_prev"), "signed again");
        let other = Chain::read(Some(id), &jsonl(&re_signed[..=at])).unwrap();
        prop_assert_eq!(other.compare_to(&chain), Comparison::Forked { seq: at as u64 });

        let mut forged = lines.clone();
        forged[at] = Holder::number(40).sign(event.document(), event.created_at());
        prop_assert_eq!(fault(id, &forged), (at + 1, "wrong_primary"), "signed by a stranger");
        let broken = lines[at].canonical().replace("\"type\":", "\"note\":1,\"type\":");
        let mut changed = lines.clone();
        changed[at] = Envelope::parse(broken.as_bytes()).unwrap();
        prop_assert_eq!(fault(id, &changed), (at + 1, "bad_signature"), "changed");

        let shorter = Chain::read(Some(id), &jsonl(&lines[..=at])).unwrap();
        prop_assert_eq!(shorter.compare_to(&chain), Comparison::Shorter);
        prop_assert_eq!(chain.compare_to(&shorter), Comparison::Longer);
        prop_assert_eq!(shorter.compare_to_head(chain.head()), Comparison::Shorter);
    }
}

/// The code is the same for all of them; people are told which it is.
#[test]
fn a_refused_rotation_says_why() {
    let (old, new, other) = (Holder::number(0), Holder::number(2), Holder::number(1));
    let head = Head { chain: old.key(), primary: old.key(), seq: 4, hash: EventHash::from_bytes([7; 32]) };
    let right = RotationProof::after(&head);
    let fault = |new_primary: PrimaryKey, proof: Envelope| {
        let event = head.next(Op::Rotate { new_primary, proof: Box::new(proof) });
        match append(head.chain, Some(&head), old.sign(&event, at(0))) {
            Err(ChainError::BadRotation { seq: 5, fault }) => Some(fault),
            Ok(appended) => {
                assert_eq!(appended.head.primary, new_primary);
                None
            }
            Err(other) => panic!("{other}"),
        }
    };
    let by_new = |proof: &RotationProof| new.sign(proof, at(0));
    assert_eq!(fault(new.key(), by_new(&right)), None);
    assert_eq!(fault(new.key(), other.sign(&right, at(0))), Some(RotationFault::OtherKey));
    let chain = RotationProof { chain: other.key(), ..right.clone() };
    assert_eq!(fault(new.key(), by_new(&chain)), Some(RotationFault::OtherChain));
    let later = RotationProof { seq: 6, ..right.clone() };
    assert_eq!(fault(new.key(), by_new(&later)), Some(RotationFault::OtherPosition));
    let elsewhere = RotationProof { prev: Some(EventHash::from_bytes([8; 32])), ..right.clone() };
    assert_eq!(fault(new.key(), by_new(&elsewhere)), Some(RotationFault::OtherPosition));
    assert_eq!(fault(old.key(), old.sign(&right, at(0))), Some(RotationFault::SameKey));
    let claim = new.sign(&Claim { subject: subject(0), expires_at: None }, at(0));
    let not_a_proof = EnvelopeError::WrongType { expected: RotationProof::TAG };
    assert_eq!(fault(new.key(), claim), Some(RotationFault::Proof(not_a_proof)));
}

#[test]
fn a_full_chain_takes_no_more() {
    let holder = Holder::number(0);
    let chain = holder.key();
    let hash = EventHash::from_bytes([7; 32]);
    let add = |head: &Head| holder.sign(&head.next(Op::Add { subject: subject(0) }), at(0));
    let head = Head { chain, primary: chain, seq: EVENTS_MAX - 2, hash };
    let last = append(chain, Some(&head), add(&head)).unwrap().head;
    assert_eq!(last.seq, EVENTS_MAX - 1);
    assert_eq!(append(chain, Some(&last), add(&last)).unwrap_err(), ChainError::TooLong { max: EVENTS_MAX });
}

#[test]
fn what_is_too_large_is_not_written() {
    let handle = "a".repeat(encoding::COMPACT_BYTES_MAX);
    let large = Registration { handle, server: "example.org".into() };
    let large = Envelope::sign(&large, &Seed::from_bytes([1; 32]), at(0)).unwrap();
    assert_eq!(encoding::compact(&large).unwrap_err().bytes_max, encoding::COMPACT_BYTES_MAX);
    let lines = "{}\n".repeat(encoding::BUNDLE_BYTES_MAX / 3 + 1);
    assert_eq!(encoding::bundle(&lines).unwrap_err().bytes_max, encoding::BUNDLE_BYTES_MAX);
}
