//! Who plays, and what is played next.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kez_core::Timestamp;
use kez_testkit::{Answer, Chance, DeviceActor, Net};

use super::state::{Account, By, Device, Dropped, Model};
use super::streams::Stream;
use super::verdicts::Request;

/// Who plays, each with as many devices.
const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dora", "emil"];
const DEVICES: usize = 3;

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Create,
    CreateAtOnce,
    Say,
    SaySeveral,
    Retry,
    RetryChanged,
    Commit,
    CommitExternal,
    CommitStorm,
    MixedStorm,
    Stray,
    ReadInbox,
    Acknowledge,
    ReadLog,
    ReadList,
    OpenStream,
    ReadStream,
    Revoke,
    Renew,
    Enrol,
    Minutes,
    Days,
    Restart,
}

impl Operation {
    /// Each with its weight.
    pub(super) const ALL: [(Self, usize); 23] = [
        (Self::Create, 8),
        (Self::CreateAtOnce, 2),
        (Self::Say, 30),
        (Self::SaySeveral, 8),
        (Self::Retry, 10),
        (Self::RetryChanged, 4),
        (Self::Commit, 14),
        (Self::CommitExternal, 4),
        (Self::CommitStorm, 4),
        (Self::MixedStorm, 4),
        (Self::Stray, 6),
        (Self::ReadInbox, 16),
        (Self::Acknowledge, 14),
        (Self::ReadLog, 10),
        (Self::ReadList, 4),
        (Self::OpenStream, 4),
        (Self::ReadStream, 10),
        (Self::Revoke, 2),
        (Self::Renew, 2),
        (Self::Enrol, 3),
        (Self::Minutes, 2),
        (Self::Days, 2),
        (Self::Restart, 2),
    ];

    fn any(chance: &mut Chance) -> Self {
        let mut left = chance.below(Self::ALL.iter().map(|(_, weight)| weight).sum());
        for (operation, weight) in Self::ALL {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return operation,
            }
        }
        unreachable!("less than the sum of all")
    }
}

/// What was done, in order, for whoever has to understand a failure.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn begin(&self, operation: Operation) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{operation:?}"));
    }

    fn add(&self, what: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = all.last_mut().expect("an operation");
        line.push(' ');
        line.push_str(what);
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().zip(1..).try_for_each(|(line, step)| writeln!(f, "{step:5} {line}"))
    }
}

/// A server, its model, and what is under way.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) net: Net,
    pub(super) chance: Chance,
    pub(super) model: Model,
    /// Writes that were sent, by account: to be sent again.
    pub(super) sent: Vec<(usize, Request)>,
    pub(super) streams: Vec<Stream>,
    done: BTreeMap<Operation, u32>,
    trace: Trace,
}

impl Play {
    pub(super) async fn begin(seed: u64, trace: Trace) -> Self {
        let (net, chance, model) = (Net::start().await, Chance::new(seed), Model::default());
        let (sent, streams, done) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut play = Self { net, chance, model, sent, streams, done, trace };
        for (account, name) in PEOPLE.into_iter().enumerate() {
            let actor = play.net.actor(name);
            actor.register(name).await.expect_status(201);
            play.model.by_key.insert(actor.key(), account);
            let (devices, inbox) = (Vec::new(), Vec::new());
            play.model.accounts.push(Account { devices, inbox, dropped: Dropped::default() });
            for _ in 0..DEVICES {
                play.take_in(account).await;
            }
        }
        play.net.befriend_everybody();
        play
    }

    /// One operation, a second after the one before.
    pub(super) async fn step(&mut self) {
        self.net.advance_s(1);
        self.model.let_go(self.now());
        let operation = Operation::any(&mut self.chance);
        self.trace.begin(operation);
        if self.perform(operation).await {
            *self.done.entry(operation).or_default() += 1;
        }
        self.model.let_go(self.now());
    }

    /// Whether there was anything to do it with.
    async fn perform(&mut self, operation: Operation) -> bool {
        match operation {
            Operation::Create => self.create().await,
            Operation::CreateAtOnce => self.create_at_once().await,
            Operation::Say => self.say().await,
            Operation::SaySeveral => self.say_several().await,
            Operation::Retry => self.retry().await,
            Operation::RetryChanged => self.retry_changed().await,
            Operation::Commit => self.commit().await,
            Operation::CommitExternal => self.commit_external().await,
            Operation::CommitStorm => self.commit_storm().await,
            Operation::MixedStorm => self.mixed_storm().await,
            Operation::Stray => self.stray().await,
            Operation::ReadInbox => self.read_inbox().await,
            Operation::Acknowledge => self.acknowledge().await,
            Operation::ReadLog => self.read_log().await,
            Operation::ReadList => self.read_list().await,
            Operation::OpenStream => self.open_stream().await,
            Operation::ReadStream => self.read_stream().await,
            Operation::Revoke => self.revoke().await,
            Operation::Renew => self.renew().await,
            Operation::Enrol => self.enrol().await,
            Operation::Minutes => self.minutes(),
            Operation::Days => self.days().await,
            Operation::Restart => self.restart().await,
        }
    }

    pub(super) async fn end(mut self) -> BTreeMap<Operation, u32> {
        self.restart().await;
        self.look_at_everything().await;
        self.net.stop().await;
        self.done
    }

    /// Adds to what a failure prints of this operation.
    pub(super) fn note(&self, what: impl fmt::Display) {
        self.trace.add(&what.to_string());
    }

    pub(super) fn now(&self) -> Timestamp {
        self.net.now()
    }

    pub(super) fn actor(&self, by: By) -> DeviceActor {
        self.model.device(by).actor.clone()
    }

    /// An active device of anybody.
    pub(super) fn anybody(&mut self) -> By {
        let account = self.chance.below(PEOPLE.len());
        self.one_of(account)
    }

    /// An active device of an account, which always has one.
    pub(super) fn one_of(&mut self, account: usize) -> By {
        let active = self.model.active(account, self.now());
        *self.chance.one_of(&active)
    }

    /// A member's device, and the conversation.
    pub(super) fn member(&mut self) -> Option<(By, usize)> {
        let by = self.anybody();
        let talks = self.model.talks.iter().enumerate().filter(|(_, talk)| talk.has(by.account));
        let talks: Vec<_> = talks.map(|(talk, _)| talk).collect();
        (!talks.is_empty()).then(|| (by, *self.chance.one_of(&talks)))
    }

    /// Makes a write that nothing happens beside.
    pub(super) async fn write(&mut self, by: By, request: Request) {
        self.note(format_args!("{}/{} {}", by.account, by.device, short(&request)));
        let answer = request.call(&self.actor(by)).send().await;
        self.settle(by, request, &answer);
    }

    /// Takes in what a write was answered.
    pub(super) fn settle(&mut self, by: By, request: Request, answer: &Answer) {
        self.note(format_args!("-> {}", answer.status()));
        self.model.judge(by, &request, answer, self.now());
        self.model.let_go(self.now());
        self.sent.push((by.account, request));
    }

    /// A new device of an account, for a year or for forty days.
    pub(super) async fn take_in(&mut self, account: usize) {
        self.net.advance_s(1);
        let device = self.model.accounts[account].devices.len();
        let actor = self.net.actor(PEOPLE[account]).device(&device.to_string());
        let mut draft = actor.draft();
        if device >= DEVICES && self.chance.once_in(2) {
            draft = draft.lasting(40 * 24 * 60 * 60);
        }
        let answer = self.net.post("/v1/devices").json(draft.sign()).send().await.expect_status(201);
        let acked = self.model.accounts[account].head();
        assert_eq!(answer.json()["inbox_head"], acked);
        let expires_at = draft.device.expires_at;
        self.model.accounts[account].devices.push(Device { actor, expires_at, is_revoked: false, acked });
        self.model.device_changed(By { account, device }, "enrolled", self.now());
    }
}

/// A write, in the line of a trace.
fn short(request: &Request) -> String {
    let cid = request.cid().to_string();
    let cid = &cid[..4];
    match request {
        Request::Create { kind, bundle, .. } => {
            format!("{kind} {cid} of {}", bundle.members_after.as_slice().len())
        }
        Request::Commit { bundle, is_external, .. } => {
            let members = bundle.members_after.as_slice().len();
            format!("{cid} epoch {} of {members} external {is_external}", bundle.epoch)
        }
        Request::Say { frame, .. } => format!("{cid} epoch {}", frame.epoch),
        Request::SayAll { frames, .. } => format!("{cid} {} frames", frames.len()),
    }
}
