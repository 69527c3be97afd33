//! Inboxes, by what happens to devices.

use kez_core::Timestamp;

use super::devices::{device, id, register, revocation};
use super::registry::{now, time};
use crate::store::{
    AcceptedDevice, AccountId, AckRefusal, CursorRefusal, DeviceChange, DeviceRow, EVENT_BYTES, InboxLimits,
    InboxPage, Mailbox, News, NoMailbox, Retention, Store, Woken,
};

type Shared<S> = std::sync::Arc<S>;

const DAY: i64 = 24 * 60 * 60;
const ALL: InboxLimits = InboxLimits { events: 1_000, bytes: usize::MAX };

/// Takes in `owner`'s device number `n`; the account, the device, what is woken.
async fn enrol(store: &impl Store, owner: &str, n: u8) -> (AccountId, DeviceRow, Vec<Woken>) {
    let enrolled = store.enrol(device(owner, n)).await.expect("the store works").expect("accepted");
    (enrolled.device.account, enrolled.device.device, enrolled.woken)
}

async fn revoke(store: &impl Store, owner: &str, n: u8) {
    store.revoke(revocation(owner, id(n))).await.expect("the store works").expect("accepted");
}

/// An account with one device, and `events` events in all.
async fn account(store: &impl Store, owner: &str, events: u8) -> (AccountId, DeviceRow) {
    register(store, owner).await;
    let (account, row, _) = enrol(store, owner, 1).await;
    for n in 2..=events {
        renew(store, owner, n).await;
    }
    (account, row)
}

/// Renews the first device: one event more.
async fn renew(store: &impl Store, owner: &str, n: u8) {
    let wanted = device(owner, 1);
    let wanted = AcceptedDevice {
        signed_at: time(n.into()),
        payload_sha256: std::array::from_fn(|i| if i == 0 { n } else { owner.as_bytes()[0] }),
        ..wanted
    };
    store.enrol(wanted).await.expect("the store works").expect("accepted");
}

async fn read(store: &impl Store, account: AccountId, after: u64) -> Result<InboxPage, CursorRefusal> {
    store.events(account, after, ALL).await.expect("the store works")
}

/// The numbers that are still in an inbox.
async fn left(store: &impl Store, account: AccountId) -> Vec<u64> {
    let after = match read(store, account, 0).await {
        Ok(_) => 0,
        Err(CursorRefusal::Gone { oldest }) => oldest - 1,
        Err(refusal) => panic!("{refusal}"),
    };
    let page = read(store, account, after).await.expect("a cursor in the inbox");
    let numbers: Vec<u64> = page.events.iter().map(|event| event.n).collect();
    assert_eq!(numbers, (after + 1..=page.head).collect::<Vec<_>>(), "there is no gap");
    numbers
}

async fn ack(store: &impl Store, device: DeviceRow, n: u64) -> Result<u64, AckRefusal> {
    store.ack(device, n).await.expect("the store works")
}

async fn mailbox(store: &impl Store, device: DeviceRow) -> Option<Mailbox> {
    store.mailbox(device).await.expect("the store works").ok()
}

/// What is dropped at `now`: what is a minute old and acknowledged, or 10 days old.
fn retention(now: Timestamp) -> Retention {
    let before = |seconds: i64| now.plus_seconds(-seconds).expect("a time");
    Retention { now, settled_at: before(60), expired_at: before(10 * DAY) }
}

/// Sweeps everything; how many events went.
async fn sweep(store: &impl Store, retention: Retention) -> u64 {
    let (mut after, mut events) = (None, 0);
    loop {
        let swept = store.sweep_inboxes(after, retention).await.expect("the store works");
        events += swept.events;
        match swept.next {
            Some(next) => after = Some(next),
            None => return events,
        }
    }
}

pub(in crate::store) async fn what_happens_to_devices_is_told_in_order(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let (account, _, woken) = enrol(&*store, "alice", 1).await;
    assert_eq!(woken.iter().map(|one| (one.account, one.head)).collect::<Vec<_>>(), [(account, 1)]);
    renew(&*store, "alice", 2).await;
    revoke(&*store, "alice", 1).await;
    // Repetitions are no events.
    revoke(&*store, "alice", 1).await;
    let page = read(&*store, account, 0).await.unwrap();
    let told = |change, at| News::Device { device_id: id(1), change, at };
    assert_eq!(page.head, 3);
    assert_eq!(
        page.events.into_iter().map(|event| (event.n, event.news)).collect::<Vec<_>>(),
        [
            (1, told(DeviceChange::Enrolled, now())),
            (2, told(DeviceChange::Renewed, now())),
            (3, told(DeviceChange::Revoked, time(60))),
        ]
    );
}

pub(in crate::store) async fn a_new_device_reads_from_its_enrolment_on(store: Shared<impl Store>) {
    account(&*store, "alice", 5).await;
    let (_, second, _) = enrol(&*store, "alice", 2).await;
    let mailbox = mailbox(&*store, second).await.unwrap();
    assert_eq!((mailbox.acked, mailbox.head, mailbox.oldest), (5, 6, 1));
    assert_eq!(mailbox.expires_at, device("alice", 2).expires_at);
}

pub(in crate::store) async fn pages_are_bounded_and_hold_something(store: Shared<impl Store>) {
    let (account, _) = account(&*store, "alice", 7).await;
    let numbers = async |after, events, bytes| {
        let page = store.events(account, after, InboxLimits { events, bytes }).await.unwrap().unwrap();
        assert_eq!(page.head, 7);
        page.events.iter().map(|event| event.n).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, 3, usize::MAX).await, [1, 2, 3]);
    assert_eq!(numbers(3, 3, usize::MAX).await, [4, 5, 6]);
    assert_eq!(numbers(2, 100, 2 * EVENT_BYTES).await, [3, 4]);
    assert_eq!(numbers(2, 100, 2 * EVENT_BYTES - 1).await, [3]);
    assert_eq!(numbers(2, 100, 0).await, [3], "one event comes whatever its size");
    assert!(numbers(7, 100, usize::MAX).await.is_empty());
}

pub(in crate::store) async fn a_cursor_moves_forward_only(store: Shared<impl Store>) {
    let (_, device) = account(&*store, "alice", 3).await;
    for (n, acked) in [(0, 0), (2, 2), (1, 2), (2, 2), (0, 2), (3, 3)] {
        assert_eq!(ack(&*store, device, n).await, Ok(acked), "{n}");
        assert_eq!(mailbox(&*store, device).await.unwrap().acked, acked);
    }
}

pub(in crate::store) async fn a_cursor_beyond_the_head_is_refused(store: Shared<impl Store>) {
    let (account, device) = account(&*store, "alice", 3).await;
    for n in [4, u64::MAX >> 1, u64::MAX] {
        assert_eq!(ack(&*store, device, n).await, Err(AckRefusal::BeyondHead { head: 3 }));
        assert_eq!(read(&*store, account, n).await, Err(CursorRefusal::BeyondHead { head: 3 }));
    }
    assert_eq!(mailbox(&*store, device).await.unwrap().acked, 0);
}

pub(in crate::store) async fn a_revoked_device_has_no_mailbox(store: Shared<impl Store>) {
    let (_, device) = account(&*store, "alice", 1).await;
    assert!(mailbox(&*store, device).await.is_some());
    revoke(&*store, "alice", 1).await;
    assert_eq!(mailbox(&*store, device).await, None);
    assert_eq!(ack(&*store, device, 1).await, Err(NoMailbox::DeviceRevoked.into()));
}

pub(in crate::store) async fn nobody_reads_anothers_inbox(store: Shared<impl Store>) {
    let (alice, _) = account(&*store, "alice", 3).await;
    let (bob, bobs) = account(&*store, "bob", 1).await;
    assert_eq!(read(&*store, bob, 0).await.unwrap().head, 1);
    ack(&*store, bobs, 1).await.unwrap();
    assert_eq!(sweep(&*store, retention(time(61))).await, 1);
    assert_eq!((left(&*store, alice).await, left(&*store, bob).await), (vec![1, 2, 3], vec![]));
}

pub(in crate::store) async fn what_every_active_device_acknowledged_goes(store: Shared<impl Store>) {
    let (account, first) = account(&*store, "alice", 4).await;
    let (_, second, _) = enrol(&*store, "alice", 2).await; // the fifth event
    assert_eq!(sweep(&*store, retention(time(61))).await, 0);
    ack(&*store, first, 3).await.unwrap();
    assert_eq!(sweep(&*store, retention(time(59))).await, 0, "not settled");
    assert_eq!(sweep(&*store, retention(time(61))).await, 3);
    assert_eq!(left(&*store, account).await, [4, 5]);
    assert_eq!(read(&*store, account, 2).await, Err(CursorRefusal::Gone { oldest: 4 }));
    assert_eq!(mailbox(&*store, second).await.unwrap().oldest, 4);
    ack(&*store, first, 5).await.unwrap();
    assert_eq!(sweep(&*store, retention(time(61))).await, 1, "the second device began after the fourth");
    ack(&*store, second, 5).await.unwrap();
    assert_eq!(sweep(&*store, retention(time(61))).await, 1);
    assert_eq!(sweep(&*store, retention(time(61))).await, 0);
    assert!(left(&*store, account).await.is_empty());
}

pub(in crate::store) async fn revoked_and_expired_devices_are_not_waited_for(store: Shared<impl Store>) {
    let (account, first) = account(&*store, "alice", 1).await;
    enrol(&*store, "alice", 2).await;
    let short = AcceptedDevice { expires_at: time(100), ..device("alice", 3) };
    store.enrol(short).await.unwrap().unwrap();
    ack(&*store, first, 3).await.unwrap();
    assert_eq!(sweep(&*store, retention(time(99))).await, 1, "two devices wait from the second on");
    revoke(&*store, "alice", 2).await; // the fourth
    assert_eq!(sweep(&*store, retention(time(99))).await, 1, "the third waits");
    assert_eq!(sweep(&*store, retention(time(100))).await, 1, "it has expired");
    assert_eq!(left(&*store, account).await, [4]);
}

pub(in crate::store) async fn unacknowledged_events_go_after_some_days(store: Shared<impl Store>) {
    let (account, _) = account(&*store, "alice", 2).await;
    assert_eq!(sweep(&*store, retention(time(10 * DAY - 1))).await, 0);
    assert_eq!(sweep(&*store, retention(time(10 * DAY))).await, 2);
    assert!(left(&*store, account).await.is_empty());
    assert_eq!(read(&*store, account, 1).await, Err(CursorRefusal::Gone { oldest: 3 }));
    assert!(read(&*store, account, 2).await.is_ok());
}

pub(in crate::store) async fn an_account_without_active_devices_keeps_its_events_for_some_days(
    store: Shared<impl Store>,
) {
    let (account, device) = account(&*store, "alice", 2).await;
    ack(&*store, device, 2).await.unwrap();
    revoke(&*store, "alice", 1).await;
    assert_eq!(sweep(&*store, retention(time(DAY))).await, 0);
    assert_eq!(left(&*store, account).await, [1, 2, 3]);
    assert_eq!(sweep(&*store, retention(time(10 * DAY))).await, 2);
    assert_eq!(sweep(&*store, retention(time(10 * DAY + 60))).await, 1, "the revocation was a minute later");
}

/// More accounts than one portion looks at, and more events than it drops.
pub(in crate::store) async fn a_sweep_comes_to_every_account(store: Shared<impl Store>) {
    let mut accounts = Vec::new();
    for number in 0..70 {
        let owner = format!("owner{number}");
        register(&*store, &owner).await;
        for n in 1..=3 {
            accounts.push(enrol(&*store, &owner, n).await.0);
        }
    }
    let (busy, _) = account(&*store, "alice", 150).await;
    assert_eq!(sweep(&*store, retention(time(10 * DAY - 1))).await, 0);
    assert_eq!(sweep(&*store, retention(time(10 * DAY))).await, 70 * 3 + 150);
    for account in accounts.into_iter().chain([busy]) {
        assert!(left(&*store, account).await.is_empty());
    }
}

pub(in crate::store) async fn the_noted_time_is_the_last_one(store: Shared<impl Store>) {
    assert_eq!(store.noted_time().await.unwrap(), None);
    for at in [time(0), time(60), time(-DAY)] {
        store.note_time(at).await.unwrap();
        assert_eq!(store.noted_time().await.unwrap(), Some(at));
    }
}
