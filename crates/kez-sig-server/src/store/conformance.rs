//! What every engine of [`ChainStore`] has to pass. Each case gets a fresh, empty store.

use futures_util::TryStreamExt as _;
use kez_core::sigchain::{Chain, Event, Head, Op, RotationProof};
use kez_core::{Envelope, Identifier, PrimaryKey, Seed, Timestamp};
use kez_serve::rate::RetryAfter;
use kez_serve::storage::StoreError;

use super::{AppendRefusal, Appended, ChainStore, Reading, Totals};
use crate::extension::Extension;
use crate::limits::{ByteSize, ChainLimits, Quotas};

/// Makes one test of each case; `$open` gives a fresh store and what keeps it alive.
macro_rules! chain_store_conformance {
    ($open:expr) => {
        $crate::store::conformance::chain_store_conformance!(
            $open;
            an_appended_chain_is_read_as_it_was_signed,
            reading_goes_on_after_a_place,
            a_reading_ends_where_the_chain_ended,
            a_long_chain_comes_in_pieces,
            the_same_event_again_changes_nothing,
            an_overtaken_event_is_refused_with_the_head,
            one_place_wanted_by_many_at_once_goes_to_one,
            a_chain_goes_over_to_another_key,
            rates_are_counted_by_chain_and_by_acceptance,
            a_revocation_is_not_counted_and_not_refused,
            a_full_storage_takes_revocations_last,
            chains_are_paged,
        );
    };
    ($open:expr; $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (store, _keep) = $open;
                $crate::store::conformance::$case(std::sync::Arc::new(store)).await;
            }
        )+
    };
}

pub(super) use chain_store_conformance;

type Shared<S> = std::sync::Arc<S>;

/// 2026-05-25T03:00:00Z.
pub(super) fn now() -> Timestamp {
    later(0)
}

fn later(after_s: i64) -> Timestamp {
    Timestamp::from_unix(1_779_678_000 + after_s, 0).expect("a valid time")
}

pub(super) fn no_quotas() -> Quotas {
    Quotas { chain: ChainLimits::off(), storage_max: ByteSize(1 << 40) }
}

fn quotas(chain: &str, storage_max: u64) -> Quotas {
    Quotas { chain: chain.parse().expect("limits"), storage_max: ByteSize(storage_max) }
}

/// Somebody who keeps a chain.
#[derive(Clone)]
pub(super) struct Writer {
    chain: PrimaryKey,
    seed: Seed,
    head: Option<Head>,
    lines: String,
}

impl Writer {
    pub(super) fn new(name: &str) -> Self {
        let seed = seed(name);
        Self { chain: seed.public_key().into(), seed, head: None, lines: String::new() }
    }

    pub(super) fn chain(&self) -> PrimaryKey {
        self.chain
    }

    pub(super) fn add(&mut self) -> Extension {
        self.sign(Op::Add { subject: subject("github:alice") })
    }

    fn revoke(&mut self) -> Extension {
        self.sign(Op::Revoke { subject: subject("github:alice") })
    }

    pub(super) fn rotate(&mut self, to: &str) -> Extension {
        let (head, new) = (self.head.expect("a chain to hand over"), seed(to));
        let proof = Envelope::sign(&RotationProof::after(&head), &new, now()).expect("plain text");
        let extension =
            self.sign(Op::Rotate { new_primary: new.public_key().into(), proof: Box::new(proof) });
        self.seed = new;
        extension
    }

    fn sign(&mut self, op: Op) -> Extension {
        let event = match &self.head {
            None => Event::first(op),
            Some(head) => head.next(op),
        };
        let envelope = Envelope::sign(&event, &self.seed, now()).expect("plain text");
        let extension = Extension::check(self.chain, self.head, envelope).expect("the next event");
        self.head = Some(*extension.head());
        self.lines = format!("{}{}\n", self.lines, extension.envelope());
        extension
    }
}

fn seed(name: &str) -> Seed {
    let mut bytes = [0; 32];
    for (byte, value) in bytes.iter_mut().zip(name.bytes()) {
        *byte = value;
    }
    Seed::from_bytes(bytes)
}

fn subject(text: &str) -> Identifier {
    text.parse().expect("an identifier")
}

pub(super) async fn collect(reading: Reading) -> Result<String, StoreError> {
    let pieces: Vec<bytes::Bytes> = reading.lines.try_collect().await?;
    Ok(String::from_utf8(pieces.concat()).expect("UTF-8"))
}

async fn whole(store: &impl ChainStore, chain: &PrimaryKey, since: Option<u64>) -> String {
    let reading = store.read(chain, since).await.expect("the store works").expect("a chain");
    let (bytes, lines) = (reading.bytes, collect(reading).await.expect("the store works"));
    assert!(bytes.is_none_or(|bytes| bytes == lines.len() as u64), "{bytes:?} and {}", lines.len());
    assert_eq!(bytes.is_some(), since.is_none());
    lines
}

/// Believes a stored chain only by verifying it from its first event.
async fn check(store: &impl ChainStore, chain: &PrimaryKey) {
    let lines = whole(store, chain, None).await;
    let mut envelopes = lines.lines().map(|line| {
        let envelope = Envelope::parse(line.as_bytes()).expect("an envelope");
        assert_eq!(envelope.canonical(), line);
        envelope
    });
    let mut verified = Chain::genesis(*chain, envelopes.next().expect("a first event")).expect("verifies");
    envelopes.for_each(|envelope| assert!(verified.extend(envelope).is_ok(), "verifies"));
    assert_eq!(store.head(chain).await.expect("the store works"), Some(*verified.head()));
}

async fn append(
    store: &impl ChainStore,
    extension: Extension,
    at: Timestamp,
    quotas: &Quotas,
) -> Result<Appended, AppendRefusal> {
    store.append(extension, at, quotas).await.expect("the store works")
}

async fn fill(store: &impl ChainStore, writer: &mut Writer, events: usize) {
    for _ in 0..events {
        let extension = writer.add();
        let head = *extension.head();
        assert_eq!(append(store, extension, now(), &no_quotas()).await, Ok(Appended::New(head)));
    }
}

pub(super) async fn an_appended_chain_is_read_as_it_was_signed(store: Shared<impl ChainStore>) {
    let (mut alice, mut bob) = (Writer::new("alice"), Writer::new("bob"));
    assert_eq!(store.head(&alice.chain).await.unwrap(), None);
    assert!(store.read(&alice.chain, None).await.unwrap().is_none());
    fill(&*store, &mut alice, 2).await;
    fill(&*store, &mut bob, 1).await;
    fill(&*store, &mut alice, 1).await;
    assert_eq!(store.head(&alice.chain).await.unwrap(), alice.head);
    assert_eq!(whole(&*store, &alice.chain, None).await, alice.lines);
    assert_eq!(whole(&*store, &bob.chain, None).await, bob.lines);
    let bytes = (alice.lines.len() + bob.lines.len()) as u64;
    assert_eq!(store.totals().await.unwrap(), Totals { chains: 2, events: 4, bytes });
    check(&*store, &alice.chain).await;
}

pub(super) async fn reading_goes_on_after_a_place(store: Shared<impl ChainStore>) {
    let mut alice = Writer::new("alice");
    fill(&*store, &mut alice, 4).await;
    let lines: Vec<_> = alice.lines.split_inclusive('\n').collect();
    for since in 0..4 {
        let rest = lines.iter().skip(since + 1).copied().collect::<String>();
        assert_eq!(whole(&*store, &alice.chain, Some(since as u64)).await, rest, "since {since}");
    }
    for since in [4, 16_383, 16_384, u64::MAX] {
        assert_eq!(whole(&*store, &alice.chain, Some(since)).await, "", "since {since}");
    }
}

pub(super) async fn a_reading_ends_where_the_chain_ended(store: Shared<impl ChainStore>) {
    let mut alice = Writer::new("alice");
    fill(&*store, &mut alice, 2).await;
    let (head, lines) = (alice.head, alice.lines.clone());
    let reading = store.read(&alice.chain, None).await.unwrap().unwrap();
    fill(&*store, &mut alice, 2).await;
    assert_eq!(Some(reading.head), head);
    assert_eq!(collect(reading).await.unwrap(), lines);
}

pub(super) async fn a_long_chain_comes_in_pieces(store: Shared<impl ChainStore>) {
    let mut alice = Writer::new("alice");
    fill(&*store, &mut alice, 500).await;
    let reading = store.read(&alice.chain, None).await.unwrap().unwrap();
    let pieces: Vec<bytes::Bytes> = reading.lines.try_collect().await.unwrap();
    assert!(pieces.len() >= 3, "{}", pieces.len());
    assert!(pieces.iter().all(|piece| piece.len() <= 80 * 1024 && piece.ends_with(b"\n")));
    assert_eq!(pieces.concat(), alice.lines.as_bytes());
}

pub(super) async fn the_same_event_again_changes_nothing(store: Shared<impl ChainStore>) {
    let mut alice = Writer::new("alice");
    let first = alice.add();
    let second = alice.add();
    append(&*store, first.clone(), now(), &no_quotas()).await.unwrap();
    append(&*store, second.clone(), now(), &no_quotas()).await.unwrap();
    let before = store.totals().await.unwrap();
    for again in [first, second] {
        assert_eq!(append(&*store, again, later(9), &no_quotas()).await, Ok(Appended::SameAgain));
    }
    assert_eq!(store.totals().await.unwrap(), before);
    check(&*store, &alice.chain).await;
}

pub(super) async fn an_overtaken_event_is_refused_with_the_head(store: Shared<impl ChainStore>) {
    let mut alice = Writer::new("alice");
    let mut fork = alice.clone();
    let refused = |result| assert_eq!(result, Err(AppendRefusal::Conflict { head: alice.head }));
    // A second event before there is a first one.
    let mut ahead = alice.clone();
    ahead.add();
    refused(append(&*store, ahead.add(), now(), &no_quotas()).await);
    fill(&*store, &mut alice, 1).await;
    let refused = |result| assert_eq!(result, Err(AppendRefusal::Conflict { head: alice.head }));
    refused(append(&*store, fork.revoke(), now(), &no_quotas()).await);
    refused(append(&*store, fork.add(), now(), &no_quotas()).await);
    assert_eq!(store.totals().await.unwrap().events, 1);
    check(&*store, &alice.chain).await;
}

pub(super) async fn one_place_wanted_by_many_at_once_goes_to_one(store: Shared<impl ChainStore>) {
    let mut alice = Writer::new("alice");
    for round in 0..5 {
        let tries: Vec<_> = (0..64)
            .map(|n| {
                let (store, mut writer) = (Shared::clone(&store), alice.clone());
                let extension = writer.sign(Op::Add { subject: subject(&format!("github:u{n}")) });
                tokio::spawn(async move { (append(&*store, extension, now(), &no_quotas()).await, writer) })
            })
            .collect();
        let mut winners = Vec::new();
        for attempt in tries {
            match attempt.await.expect("no panic") {
                (Ok(Appended::New(_)), writer) => winners.push(writer),
                (refused, _) => assert!(matches!(refused, Err(AppendRefusal::Conflict { .. }))),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        alice = winners.remove(0);
        assert_eq!(whole(&*store, &alice.chain, None).await, alice.lines);
        check(&*store, &alice.chain).await;
    }
}

pub(super) async fn a_chain_goes_over_to_another_key(store: Shared<impl ChainStore>) {
    let mut alice = Writer::new("alice");
    fill(&*store, &mut alice, 1).await;
    let rotation = alice.rotate("alice's new key");
    append(&*store, rotation, now(), &no_quotas()).await.unwrap();
    fill(&*store, &mut alice, 1).await;
    let head = store.head(&alice.chain).await.unwrap().unwrap();
    assert_eq!((head.chain, head.primary), (alice.chain, alice.seed.public_key().into()));
    assert_eq!(store.head(&head.primary).await.unwrap(), None, "the new key has no chain of its own");
    check(&*store, &alice.chain).await;
}

pub(super) async fn rates_are_counted_by_chain_and_by_acceptance(store: Shared<impl ChainStore>) {
    let quotas = quotas("2/h,3/d", 1 << 40);
    let (mut alice, mut bob) = (Writer::new("alice"), Writer::new("bob"));
    for at in [0, 10] {
        append(&*store, alice.add(), later(at), &quotas).await.unwrap();
    }
    let third = alice.add();
    let limited = |seconds| Err(AppendRefusal::RateLimited(RetryAfter { seconds }));
    assert_eq!(append(&*store, third.clone(), later(20), &quotas).await, limited(3_580));
    append(&*store, bob.add(), later(20), &quotas).await.unwrap();
    assert_eq!(append(&*store, third.clone(), later(3_599), &quotas).await, limited(1));
    append(&*store, third.clone(), later(3_600), &quotas).await.unwrap();
    assert_eq!(append(&*store, alice.add(), later(7_300), &quotas).await, limited(86_400 - 7_300));
    assert_eq!(append(&*store, third, later(7_300), &quotas).await, Ok(Appended::SameAgain));
}

pub(super) async fn a_revocation_is_not_counted_and_not_refused(store: Shared<impl ChainStore>) {
    let quotas = quotas("1/h", 1 << 40);
    let mut alice = Writer::new("alice");
    append(&*store, alice.add(), now(), &quotas).await.unwrap();
    for _ in 0..5 {
        append(&*store, alice.revoke(), now(), &quotas).await.unwrap();
    }
    let mut refused = alice.clone();
    assert!(append(&*store, refused.add(), now(), &quotas).await.is_err());
    append(&*store, alice.add(), later(3_600), &quotas).await.unwrap();
    check(&*store, &alice.chain).await;
}

pub(super) async fn a_full_storage_takes_revocations_last(store: Shared<impl ChainStore>) {
    let mut alice = Writer::new("alice");
    fill(&*store, &mut alice, 20).await;
    let stored = store.totals().await.unwrap().bytes;
    let line = stored / 20;
    // The storage of which so many percent have room for two more lines.
    let sized = |percent: u64| quotas("off", (stored + 2 * line) * 100 / percent);
    let events = || [Writer::new("bob").add(), alice.clone().add(), alice.clone().revoke()];
    for (percent, refused) in [(95, 1), (100, 2), (120, 3)] {
        for event in events().into_iter().take(refused) {
            let result = append(&*store, event, now(), &sized(percent)).await;
            assert_eq!(result, Err(AppendRefusal::StorageMax), "{percent}");
        }
    }
    append(&*store, Writer::new("bob").add(), now(), &sized(75)).await.unwrap();
    append(&*store, alice.add(), now(), &sized(95)).await.unwrap();
    append(&*store, alice.revoke(), now(), &sized(95)).await.unwrap();
    check(&*store, &alice.chain).await;
}

pub(super) async fn chains_are_paged(store: Shared<impl ChainStore>) {
    for name in ["alice", "bob", "carol"] {
        fill(&*store, &mut Writer::new(name), 1).await;
    }
    let first = store.chains(None, 2).await.unwrap();
    assert_eq!(first.len(), 2);
    let rest = store.chains(first.last().map(|head| &head.chain), 2).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert!(!first.iter().any(|head| head.chain == rest[0].chain));
    assert_eq!(store.chains(Some(&rest[0].chain), 2).await.unwrap(), []);
}
