//! Conversations are created, written to and changed.

use std::collections::BTreeSet;

use kez_core::{ConversationId, MessageId};
use kez_testkit::framing::{FrameDraft, Wire, welcome};
use kez_testkit::mls::{Bundle, Leaf};

use super::play::Play;
use super::state::By;
use super::verdicts::{Frame, Request};

/// The longest content of a frame.
const CONTENT_BYTES_MAX: usize = 600;

impl Play {
    pub(super) async fn create(&mut self) -> bool {
        let by = self.anybody();
        let kind = *self.chance.one_of(&["direct", "group", "group", "group", "self"]);
        let request = self.creation(by, kind);
        self.write(by, request).await;
        true
    }

    /// A conversation by this device with anybody.
    pub(super) fn creation(&mut self, by: By, kind: &'static str) -> Request {
        let count = match kind {
            "direct" => 2,
            "self" => 1,
            _ => 1 + self.chance.below(self.model.accounts.len()),
        };
        let mut members = BTreeSet::from([by.account]);
        while members.len() < count {
            members.insert(self.chance.below(self.model.accounts.len()));
        }
        self.creation_of(by, kind, &members)
    }

    /// A conversation by this device with these members.
    pub(super) fn creation_of(&mut self, by: By, kind: &'static str, members: &BTreeSet<usize>) -> Request {
        let cid = ConversationId::from_bytes(self.chance.id());
        let newcomers = members.iter().copied().filter(|account| *account != by.account).collect();
        let bundle = self.bundle(cid, 0, members, &newcomers);
        Request::Create { cid, kind, bundle: Box::new(bundle) }
    }

    pub(super) async fn say(&mut self) -> bool {
        let Some((by, talk)) = self.member() else { return false };
        let (cid, frame) = (self.model.talks[talk].cid, self.frame(talk));
        self.write(by, Request::Say { cid, frame }).await;
        true
    }

    /// Several frames in one request; some of them twice, or of another epoch.
    pub(super) async fn say_several(&mut self) -> bool {
        let Some((by, talk)) = self.member() else { return false };
        let cid = self.model.talks[talk].cid;
        let mut frames: Vec<_> = (0..=self.chance.below(15)).map(|_| self.frame(talk)).collect();
        if self.chance.once_in(3) {
            frames.push(self.chance.one_of(&frames).clone());
        }
        self.write(by, Request::SayAll { cid, frames }).await;
        true
    }

    /// A new frame, mostly of the head.
    pub(super) fn frame(&mut self, talk: usize) -> Frame {
        let (cid, head) = (self.model.talks[talk].cid, self.model.talks[talk].epoch);
        let epoch = match self.chance.below(30) {
            0 => head - 1,
            1 => head + 1,
            _ => head,
        };
        let mid = MessageId::from_bytes(self.chance.id());
        Frame { mid, epoch, bytes: FrameDraft::app(cid, mid, epoch, &self.content()).bytes() }
    }

    pub(super) async fn commit(&mut self) -> bool {
        let Some((by, talk)) = self.member() else { return false };
        let request = self.change(by, talk);
        self.write(by, request).await;
        true
    }

    /// A commit that changes the members of a group, mostly, or only keys.
    pub(super) fn change(&mut self, by: By, talk: usize) -> Request {
        let before = self.model.talks[talk].members();
        let mut after = before.clone();
        let may_change = self.model.talks[talk].kind == "group" || self.chance.once_in(10);
        let changes = if may_change { self.chance.below(3) } else { 0 };
        for _ in 0..changes {
            let account = self.chance.below(self.model.accounts.len());
            if account != by.account && !after.remove(&account) {
                after.insert(account);
            }
        }
        let mut greeted: BTreeSet<_> = after.difference(&before).copied().collect();
        if self.chance.once_in(4) {
            greeted.insert(by.account); // another device of one's own
        }
        let (cid, head) = (self.model.talks[talk].cid, self.model.talks[talk].epoch);
        let epoch = if self.chance.once_in(12) { head - 1 } else { head };
        let bundle = Box::new(self.bundle(cid, epoch, &after, &greeted));
        Request::Commit { cid, bundle, is_external: false }
    }

    /// A commit that nothing but another one can keep from being accepted: of a member, without newcomers.
    pub(super) fn fitting(&mut self, by: By, talk: usize) -> Request {
        let mut after = self.model.talks[talk].members();
        if self.model.talks[talk].kind == "group" && self.chance.once_in(5) {
            let leaving = self.chance.below(self.model.accounts.len());
            after.retain(|account| *account != leaving || *account == by.account);
        }
        let (cid, epoch) = (self.model.talks[talk].cid, self.model.talks[talk].epoch);
        let bundle = Box::new(self.bundle(cid, epoch, &after, &BTreeSet::new()));
        Request::Commit { cid, bundle, is_external: false }
    }

    /// A device of a member joins by itself.
    pub(super) async fn commit_external(&mut self) -> bool {
        let Some((by, talk)) = self.member() else { return false };
        let (cid, epoch) = (self.model.talks[talk].cid, self.model.talks[talk].epoch);
        let mut members = self.model.talks[talk].members();
        if self.chance.once_in(5) {
            members.insert(self.chance.below(self.model.accounts.len())); // whom it may not bring along
        }
        let mut bundle = self.bundle(cid, epoch, &members, &BTreeSet::new());
        let members = self.model.members(&members);
        let commit = FrameDraft::commit(cid, bundle.id, &members, epoch, &[]).framed(Wire::PublicNewMember);
        bundle.commit = commit.bytes();
        self.write(by, Request::Commit { cid, bundle: Box::new(bundle), is_external: true }).await;
        true
    }

    /// A bundle that the server cannot tell from a real one, with Welcomes for devices of these accounts. Sometimes one
    /// is missing, or for a device that is no more.
    pub(super) fn bundle(
        &mut self,
        cid: ConversationId,
        epoch: u64,
        after: &BTreeSet<usize>,
        greeted: &BTreeSet<usize>,
    ) -> Bundle {
        let (id, members_after) = (MessageId::from_bytes(self.chance.id()), self.model.members(after));
        let commit = FrameDraft::commit(cid, id, &members_after, epoch, &self.content()).bytes();
        let group_info = self.content();
        let mut leaves = self.leaves(greeted);
        if self.chance.once_in(15) {
            leaves.pop();
        }
        let mut welcomes = Vec::new();
        while !leaves.is_empty() {
            let to = leaves.split_off(self.chance.below(leaves.len()));
            welcomes.push((welcome(&self.content()), to));
        }
        Bundle { id, epoch, commit, welcomes, group_info, members_after }
    }

    /// The active devices of these accounts; once in a while another one.
    fn leaves(&mut self, accounts: &BTreeSet<usize>) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        for account in accounts {
            let is_any = self.chance.once_in(30);
            for device in &self.model.accounts[*account].devices {
                if is_any || device.is_active(self.net.now()) {
                    leaves.push(Leaf { primary: self.model.key(*account), device_id: device.actor.id() });
                }
            }
        }
        leaves
    }

    fn content(&mut self) -> Vec<u8> {
        let length = self.chance.below(CONTENT_BYTES_MAX);
        (0..length).map(|_| self.chance.byte()).collect()
    }

    /// An earlier write again, by any device of the account.
    pub(super) async fn retry(&mut self) -> bool {
        let Some((account, request)) = self.earlier() else { return false };
        if self.chance.once_in(4) {
            self.restart().await;
        }
        let by = self.one_of(account);
        self.write(by, request).await;
        true
    }

    /// Mostly one of the last ones.
    fn earlier(&mut self) -> Option<(usize, Request)> {
        let count = self.sent.len();
        let from = if self.chance.once_in(4) { 0 } else { count.saturating_sub(20) };
        (count > 0).then(|| self.sent[from + self.chance.below(count - from)].clone())
    }

    /// Other bytes under an id that was used; or the same by somebody else.
    pub(super) async fn retry_changed(&mut self) -> bool {
        let Some((account, mut request)) = self.earlier() else { return false };
        if self.chance.once_in(3) {
            let by = self.anybody();
            self.write(by, request).await;
            return true;
        }
        let cid = request.cid();
        match &mut request {
            Request::Create { bundle, .. } | Request::Commit { bundle, .. } => bundle.group_info.push(1),
            Request::Say { frame, .. } => frame.bytes = self.other(cid, frame),
            Request::SayAll { frames, .. } => frames[0].bytes = self.other(cid, &frames[0]),
        }
        let by = self.one_of(account);
        self.write(by, request).await;
        true
    }

    /// Another message under the same id.
    fn other(&mut self, cid: ConversationId, frame: &Frame) -> Vec<u8> {
        let content = self.content();
        FrameDraft::app(cid, frame.mid, frame.epoch, &[&content[..], b"other"].concat()).bytes()
    }

    /// Somebody who is no member, or a device that is no more, writes.
    pub(super) async fn stray(&mut self) -> bool {
        if self.model.talks.is_empty() {
            return false;
        }
        let talk = self.chance.below(self.model.talks.len());
        let account = self.chance.below(self.model.accounts.len());
        let device = self.chance.below(self.model.accounts[account].devices.len());
        let by = By { account, device };
        let cid = self.model.talks[talk].cid;
        let request = match self.chance.below(3) {
            0 => Request::Say { cid, frame: self.frame(talk) },
            1 => Request::SayAll { cid, frames: vec![self.frame(talk), self.frame(talk)] },
            _ => self.intrusion(by, talk),
        };
        self.write(by, request).await;
        true
    }

    /// A commit after which its sender is a member.
    fn intrusion(&mut self, by: By, talk: usize) -> Request {
        let (cid, epoch) = (self.model.talks[talk].cid, self.model.talks[talk].epoch);
        let mut after = self.model.talks[talk].members();
        after.insert(by.account);
        let bundle = Box::new(self.bundle(cid, epoch, &after, &BTreeSet::new()));
        Request::Commit { cid, bundle, is_external: false }
    }
}
