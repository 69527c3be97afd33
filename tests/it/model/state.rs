//! What the server has to hold. Kept without any code of the server.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64URL_NOPAD;
use kez_core::{ConversationId, Members, MessageId, PublicKey, Timestamp};
use kez_testkit::DeviceActor;
use kez_testkit::mls::Bundle;
use serde_json::{Value, json};

/// A device of an account, by their places in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct By {
    pub(super) account: usize,
    pub(super) device: usize,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) accounts: Vec<Account>,
    pub(super) by_key: BTreeMap<PublicKey, usize>,
    /// In the order of their creation.
    pub(super) talks: Vec<Talk>,
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) devices: Vec<Device>,
    /// Event `n` stands at `n - 1`.
    pub(super) inbox: Vec<Event>,
    pub(super) dropped: Dropped,
}

#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) actor: DeviceActor,
    pub(super) expires_at: Timestamp,
    pub(super) is_revoked: bool,
    pub(super) acked: u64,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    /// As a page and a stream have to show it.
    pub(super) json: Value,
}

/// How much has gone from the front of a list: the server drops beside everything else, so there are two bounds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dropped {
    /// Was seen to be gone, or had to be by now.
    pub(super) surely: u64,
    /// At one time or another this much was allowed to go.
    pub(super) perhaps: u64,
}

#[derive(Debug)]
pub(super) struct Talk {
    pub(super) cid: ConversationId,
    pub(super) kind: &'static str,
    pub(super) creator: usize,
    pub(super) epoch: u64,
    /// Frame `seq` stands at `seq - 1`.
    pub(super) log: Vec<Logged>,
    pub(super) windows: BTreeMap<usize, Window>,
    pub(super) group_info: Vec<u8>,
    pub(super) dropped: Dropped,
}

/// What an account may read: the frames after `since`, up to `until`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) since: u64,
    /// `None`: it is a member.
    pub(super) until: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Logged {
    pub(super) mid: MessageId,
    pub(super) at: Timestamp,
    pub(super) sender: usize,
    pub(super) said: Said,
    /// Which events point to it: accounts and numbers.
    pub(super) pointers: Vec<(usize, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Frame(Vec<u8>),
    Bundle(Box<Bundle>),
}

impl Said {
    pub(super) fn kind(&self) -> &'static str {
        if matches!(self, Self::Frame(_)) { "app" } else { "commit" }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(bytes) => bytes,
            Self::Bundle(bundle) => &bundle.commit,
        }
    }
}

impl Device {
    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        !self.is_revoked && self.expires_at > now
    }
}

impl Account {
    pub(super) fn head(&self) -> u64 {
        self.inbox.len() as u64
    }

    /// Puts an event in; its number.
    fn put(&mut self, at: Timestamp, mut json: Value) -> u64 {
        json["n"] = (self.head() + 1).into();
        self.inbox.push(Event { at, json });
        self.head()
    }
}

impl Talk {
    pub(super) fn head(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn members(&self) -> BTreeSet<usize> {
        let members = self.windows.iter().filter(|(_, window)| window.until.is_none());
        members.map(|(account, _)| *account).collect()
    }

    pub(super) fn has(&self, account: usize) -> bool {
        self.windows.get(&account).is_some_and(|window| window.until.is_none())
    }

    /// The epoch that began with this frame, or went on.
    pub(super) fn epoch_at(&self, seq: u64) -> u64 {
        let before = self.log.iter().zip(1..=seq);
        before.filter(|(logged, _)| matches!(logged.said, Said::Bundle(_))).count() as u64
    }

    /// A frame as the log shows it.
    pub(super) fn shown(&self, seq: u64) -> Value {
        let logged = &self.log[usize::try_from(seq - 1).expect("a place")];
        let frame = BASE64URL_NOPAD.encode(logged.said.bytes());
        json!({"seq": seq, "at": logged.at, "mid": logged.mid, "kind": logged.said.kind(), "frame": frame})
    }
}

impl Model {
    pub(super) fn device(&self, by: By) -> &Device {
        &self.accounts[by.account].devices[by.device]
    }

    pub(super) fn device_mut(&mut self, by: By) -> &mut Device {
        &mut self.accounts[by.account].devices[by.device]
    }

    pub(super) fn active(&self, account: usize, now: Timestamp) -> Vec<By> {
        let devices = self.accounts[account].devices.iter().enumerate();
        devices.filter(|(_, one)| one.is_active(now)).map(|(device, _)| By { account, device }).collect()
    }

    pub(super) fn key(&self, account: usize) -> PublicKey {
        self.accounts[account].devices[0].actor.owner().key()
    }

    /// The keys of these accounts.
    pub(super) fn members(&self, accounts: &BTreeSet<usize>) -> Members {
        Members::try_from(accounts.iter().map(|account| self.key(*account)).collect::<Vec<_>>())
            .expect("members")
    }

    pub(super) fn accounts(&self, members: &Members) -> BTreeSet<usize> {
        members.as_slice().iter().map(|key| self.by_key[key]).collect()
    }

    pub(super) fn find(&self, cid: ConversationId) -> Option<usize> {
        self.talks.iter().position(|talk| talk.cid == cid)
    }

    /// The conversation that only these may have with each other.
    pub(super) fn pair(&self, kind: &str, members: &BTreeSet<usize>) -> Option<&Talk> {
        let fixed = self.talks.iter().find(|talk| talk.kind == kind && talk.members() == *members);
        fixed.filter(|_| kind != "group")
    }

    /// A device was taken in, renewed or revoked, which decides whose acknowledgements are waited for.
    pub(super) fn device_changed(&mut self, by: By, change: &str, at: Timestamp) {
        let id = self.device(by).actor.id();
        let event = json!({"type": "device", "device_id": id, "change": change, "at": at});
        self.accounts[by.account].put(at, event);
        self.let_go(at);
    }

    pub(super) fn create(
        &mut self,
        sender: usize,
        cid: ConversationId,
        kind: &'static str,
        bundle: &Bundle,
        at: Timestamp,
    ) {
        let windows = BTreeMap::from([(sender, Window { since: 0, until: None })]);
        let (log, group_info) = (Vec::new(), Vec::new());
        let dropped = Dropped::default();
        self.talks.push(Talk { cid, kind, creator: sender, epoch: 0, log, windows, group_info, dropped });
        self.commit(self.talks.len() - 1, sender, bundle, at);
    }

    /// A bundle is accepted.
    pub(super) fn commit(&mut self, talk: usize, sender: usize, bundle: &Bundle, at: Timestamp) {
        let after = self.accounts(&bundle.members_after);
        let seq = self.log(talk, bundle.id, sender, Said::Bundle(Box::new(bundle.clone())), at);
        let changed = &mut self.talks[talk];
        changed.epoch += 1;
        changed.group_info.clone_from(&bundle.group_info);
        let before = changed.members();
        for gone in before.difference(&after) {
            changed.windows.get_mut(gone).expect("a member").until = Some(seq);
        }
        for new in after.difference(&before) {
            changed.windows.insert(*new, Window { since: seq, until: None });
        }
        self.welcome(talk, seq, bundle, at);
    }

    /// An application message is accepted.
    pub(super) fn say(&mut self, talk: usize, mid: MessageId, sender: usize, bytes: &[u8], at: Timestamp) {
        self.log(talk, mid, sender, Said::Frame(bytes.to_vec()), at);
    }

    /// Puts a frame at the end of the log and into the inboxes of those who are members before it.
    fn log(&mut self, talk: usize, mid: MessageId, sender: usize, said: Said, at: Timestamp) -> u64 {
        let Self { accounts, talks, .. } = self;
        let talk = &mut talks[talk];
        talk.log.push(Logged { mid, at, sender, said, pointers: Vec::new() });
        let (cid, seq) = (talk.cid, talk.head());
        let mut event = talk.shown(seq);
        event["type"] = "frame".into();
        event["cid"] = json!(cid);
        let members = talk.members();
        let pointers = members.into_iter().map(|account| (account, accounts[account].put(at, event.clone())));
        talk.log.last_mut().expect("just put in").pointers = pointers.collect();
        seq
    }

    /// Puts each Welcome into the inboxes that it is for.
    fn welcome(&mut self, talk: usize, seq: u64, bundle: &Bundle, at: Timestamp) {
        let (cid, kind) = (self.talks[talk].cid, self.talks[talk].kind);
        for (welcome, to) in &bundle.welcomes {
            let mut devices = BTreeMap::<usize, BTreeSet<_>>::new();
            for leaf in to {
                devices.entry(self.by_key[&leaf.primary]).or_default().insert(leaf.device_id);
            }
            let welcome = BASE64URL_NOPAD.encode(welcome);
            for (account, ids) in devices {
                let event = json!({"type": "welcome", "cid": cid, "kind": kind, "seq": seq, "at": at,
                    "welcome": welcome, "device_ids": ids});
                self.accounts[account].put(at, event);
            }
        }
    }
}
