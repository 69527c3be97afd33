//! What a write has to be answered in the present state, and what it changes.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use kez_core::{ConversationId, MessageId, Timestamp};
use kez_testkit::mls::Bundle;
use kez_testkit::{Answer, Call, DeviceActor};
use serde_json::{Value, json};

use super::state::{By, Model, Said, Talk};

/// A write, which may be sent again.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Create { cid: ConversationId, kind: &'static str, bundle: Box<Bundle> },
    Commit { cid: ConversationId, bundle: Box<Bundle>, is_external: bool },
    Say { cid: ConversationId, frame: Frame },
    SayAll { cid: ConversationId, frames: Vec<Frame> },
}

/// An application message.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) mid: MessageId,
    pub(super) epoch: u64,
    pub(super) bytes: Vec<u8>,
}

/// An answer, or the part of one that is about one frame.
#[derive(Debug)]
struct Verdict {
    status: u16,
    body: Value,
}

/// What an answer has to be.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    New,
    /// As the frame with this number was answered.
    Before(u64),
    Refused(u16, &'static str),
}

impl Frame {
    fn json(&self) -> Value {
        json!({"mid": self.mid, "frame": BASE64URL_NOPAD.encode(&self.bytes)})
    }
}

impl Request {
    pub(super) fn cid(&self) -> ConversationId {
        match self {
            Self::Create { cid, .. }
            | Self::Commit { cid, .. }
            | Self::Say { cid, .. }
            | Self::SayAll { cid, .. } => *cid,
        }
    }

    /// The call of this device.
    pub(super) fn call(&self, device: &DeviceActor) -> Call {
        let (below, body) = match self {
            Self::Create { cid, kind, bundle } => {
                (String::new(), json!({"cid": cid, "kind": kind, "bundle": bundle.json()}))
            }
            Self::Commit { cid, bundle, .. } => (format!("/{cid}/commit"), bundle.json()),
            Self::Say { cid, frame } => (format!("/{cid}/frames"), frame.json()),
            Self::SayAll { cid, frames } => {
                let frames: Vec<_> = frames.iter().map(Frame::json).collect();
                (format!("/{cid}/frames"), json!({"frames": frames}))
            }
        };
        let call = device.owner().net().post(&format!("/v1/conversations{below}"));
        device.signed(call.json(body.to_string()))
    }
}

impl Model {
    /// Checks the answer to a write that nothing happened beside, and does what it says.
    pub(super) fn judge(&mut self, by: By, request: &Request, answer: &Answer, now: Timestamp) {
        if !self.device(by).is_active(now) {
            answer.clone().expect_problem(401, "unknown_device");
            return;
        }
        let verdict = Verdict { status: answer.status(), body: answer.json() };
        match request {
            Request::Create { cid, kind, bundle } => {
                self.judge_creation(by.account, *cid, kind, bundle, &verdict, now);
            }
            Request::Commit { cid, bundle, is_external } => {
                self.judge_commit(by.account, *cid, bundle, *is_external, &verdict, now);
            }
            Request::Say { cid, frame } => self.judge_frame(by.account, *cid, frame, &verdict, now),
            Request::SayAll { cid, frames } => self.judge_frames(by.account, *cid, frames, &verdict, now),
        }
    }

    fn judge_creation(
        &mut self,
        sender: usize,
        cid: ConversationId,
        kind: &'static str,
        bundle: &Bundle,
        verdict: &Verdict,
        now: Timestamp,
    ) {
        let expected = self.expect_creation(sender, cid, kind, bundle, now);
        verdict.expect(&expected);
        if expected == Expected::New {
            self.create(sender, cid, kind, bundle, now);
        }
        if matches!(expected, Expected::New | Expected::Before(_)) {
            let talk = &self.talks[self.find(cid).expect("created")];
            let wanted = json!({"cid": cid, "kind": kind, "state": "open", "members": bundle.members_after, "generation": 1,
                "epoch": 1, "seq": 1, "at": talk.log[0].at});
            assert_eq!(verdict.body, wanted);
        }
        if expected == Expected::Refused(409, "conversation_exists") {
            let there = self.pair(kind, &self.accounts(&bundle.members_after)).expect("one");
            assert_eq!(verdict.body["cid"], json!(there.cid));
        }
    }

    fn expect_creation(
        &self,
        sender: usize,
        cid: ConversationId,
        kind: &'static str,
        bundle: &Bundle,
        now: Timestamp,
    ) -> Expected {
        if !self.accounts(&bundle.members_after).contains(&sender) {
            return Expected::Refused(400, "bad_members");
        }
        if let Some(talk) = self.find(cid).map(|talk| &self.talks[talk]) {
            let is_same = talk.kind == kind && talk.creator == sender && talk.log[0].said == said(bundle);
            return if is_same { Expected::Before(1) } else { Expected::Refused(409, "cid_taken") };
        }
        if self.pair(kind, &self.accounts(&bundle.members_after)).is_some() {
            return Expected::Refused(409, "conversation_exists");
        }
        self.expect_members(&BTreeSet::from([sender]), bundle, now)
    }

    fn judge_commit(
        &mut self,
        sender: usize,
        cid: ConversationId,
        bundle: &Bundle,
        is_external: bool,
        verdict: &Verdict,
        now: Timestamp,
    ) {
        let expected = self.expect_commit(sender, cid, bundle, is_external, verdict, now);
        verdict.expect(&expected);
        let Some(talk) = self.find(cid) else { return };
        if expected == Expected::New {
            self.commit(talk, sender, bundle, now);
        }
        let mut wanted = place(&self.talks[talk], &expected);
        if verdict.status < 300 {
            wanted["epoch"] = (bundle.epoch + 1).into();
        }
        verdict.shows(&wanted);
    }

    fn expect_commit(
        &self,
        sender: usize,
        cid: ConversationId,
        bundle: &Bundle,
        is_external: bool,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Expected {
        let talk = match self.expect_admitted(sender, cid) {
            Ok(talk) => talk,
            Err(refused) => return refused,
        };
        if !self.accounts(&bundle.members_after).contains(&sender) {
            return Expected::Refused(400, "bad_members");
        }
        if let Some(expected) = talk.expect_known(sender, bundle.id, &said(bundle), verdict) {
            return expected;
        }
        if talk.epoch != bundle.epoch {
            return Expected::Refused(409, "stale_epoch");
        }
        let before = talk.members();
        if (is_external || talk.kind != "group") && before != self.accounts(&bundle.members_after) {
            return Expected::Refused(400, "bad_members");
        }
        self.expect_members(&before, bundle, now)
    }

    /// Welcomes are for active devices, and every newcomer gets one.
    fn expect_members(&self, before: &BTreeSet<usize>, bundle: &Bundle, now: Timestamp) -> Expected {
        let to: Vec<_> = bundle.welcomes.iter().flat_map(|(_, to)| to).collect();
        let is_active = |account: usize, id| {
            self.active(account, now).into_iter().any(|by| self.device(by).actor.id() == id)
        };
        if !to.iter().all(|leaf| is_active(self.by_key[&leaf.primary], leaf.device_id)) {
            return Expected::Refused(400, "bad_welcome");
        }
        let greeted: BTreeSet<_> = to.iter().map(|leaf| self.by_key[&leaf.primary]).collect();
        let after = self.accounts(&bundle.members_after);
        if after.iter().all(|account| before.contains(account) || greeted.contains(account)) {
            Expected::New
        } else {
            Expected::Refused(400, "bad_members")
        }
    }

    fn expect_admitted(&self, sender: usize, cid: ConversationId) -> Result<&Talk, Expected> {
        let talk = self.find(cid).map(|talk| &self.talks[talk]);
        talk.filter(|talk| talk.has(sender)).ok_or(Expected::Refused(403, "not_a_member"))
    }

    fn judge_frames(
        &mut self,
        sender: usize,
        cid: ConversationId,
        frames: &[Frame],
        verdict: &Verdict,
        now: Timestamp,
    ) {
        if let Err(refused) = self.expect_admitted(sender, cid) {
            verdict.expect(&refused);
            return;
        }
        assert_eq!(verdict.status, 200, "{}", verdict.body);
        let results = verdict.body["results"].as_array().expect("results").clone();
        assert_eq!(results.len(), frames.len());
        for (mut body, frame) in results.into_iter().zip(frames) {
            let members = body.as_object_mut().expect("an object");
            assert_eq!(members.remove("mid"), Some(json!(frame.mid)));
            let status = members.remove("status").and_then(|status| status.as_u64()).expect("a status");
            let status = u16::try_from(status).expect("a status");
            self.judge_frame(sender, cid, frame, &Verdict { status, body }, now);
        }
    }

    fn judge_frame(
        &mut self,
        sender: usize,
        cid: ConversationId,
        frame: &Frame,
        verdict: &Verdict,
        now: Timestamp,
    ) {
        let expected = match self.expect_admitted(sender, cid) {
            Ok(talk) => talk.expect_frame(sender, frame, verdict),
            Err(refused) => refused,
        };
        verdict.expect(&expected);
        let Some(talk) = self.find(cid) else { return };
        if expected == Expected::New {
            self.say(talk, frame.mid, sender, &frame.bytes, now);
        }
        verdict.shows(&place(&self.talks[talk], &expected));
    }

    /// Checks a refusal by which something else overtook a write: it tells a head that there was, from `since` on.
    pub(super) fn judge_overtaken(&self, by: By, request: &Request, answer: &Answer, since: u64) {
        let talk = &self.talks[self.find(request.cid()).expect("there")];
        if answer.status() == 403 {
            answer.clone().expect_problem(403, "not_a_member");
            assert!(!talk.has(by.account), "a member is refused: {answer}");
            return;
        }
        let head = answer.clone().expect_problem(409, "stale_epoch").json();
        let seq = head["seq"].as_u64().expect("a number");
        assert!((since..=talk.head()).contains(&seq), "{head} is no head of {:?}", talk.cid);
        assert_eq!(head["epoch"], talk.epoch_at(seq), "{head}");
        let epoch = match request {
            Request::Commit { bundle, .. } => bundle.epoch,
            Request::Say { frame, .. } => frame.epoch,
            _ => panic!("not sent in a storm"),
        };
        assert_ne!(head["epoch"], epoch, "refused although it fits: {request:?}");
    }
}

impl Talk {
    fn expect_frame(&self, sender: usize, frame: &Frame, verdict: &Verdict) -> Expected {
        let known = self.expect_known(sender, frame.mid, &Said::Frame(frame.bytes.clone()), verdict);
        let stale = (frame.epoch != self.epoch).then_some(Expected::Refused(409, "stale_epoch"));
        known.or(stale).unwrap_or(Expected::New)
    }

    /// What an id that is used leads to. Whether a frame that may have been dropped is still known, the answer tells.
    fn expect_known(
        &self,
        sender: usize,
        mid: MessageId,
        said: &Said,
        verdict: &Verdict,
    ) -> Option<Expected> {
        let seq = self.log.iter().rposition(|logged| logged.mid == mid)? as u64 + 1;
        let is_known = verdict.status == 200 || verdict.body["code"] == "mid_reused";
        if seq <= self.dropped.surely || (seq <= self.dropped.perhaps && !is_known) {
            return None;
        }
        let logged = &self.log[usize::try_from(seq - 1).expect("a place")];
        let is_same = logged.sender == sender && logged.said == *said;
        Some(if is_same { Expected::Before(seq) } else { Expected::Refused(409, "mid_reused") })
    }
}

impl Verdict {
    fn expect(&self, expected: &Expected) {
        let code = self.body["code"].as_str().unwrap_or_default();
        let found = (self.status, code);
        let wanted = match expected {
            Expected::New => (201, ""),
            Expected::Before(_) => (200, ""),
            Expected::Refused(status, code) => (*status, *code),
        };
        assert_eq!(found, wanted, "{}", self.body);
    }

    /// An acknowledgement is this and nothing else; a refusal says at least this.
    fn shows(&self, wanted: &Value) {
        if self.status < 300 {
            assert_eq!(self.body, *wanted);
            return;
        }
        for (member, value) in wanted.as_object().expect("an object") {
            assert_eq!(&self.body[member], value, "{member} of {}", self.body);
        }
    }
}

/// What the answer has to say of places.
fn place(talk: &Talk, expected: &Expected) -> Value {
    let seq = match expected {
        Expected::New => talk.head(),
        Expected::Before(seq) => *seq,
        Expected::Refused(_, "stale_epoch") => return json!({"epoch": talk.epoch, "seq": talk.head()}),
        Expected::Refused(..) => return json!({}),
    };
    json!({"seq": seq, "at": talk.log[usize::try_from(seq - 1).expect("a place")].at})
}

fn said(bundle: &Bundle) -> Said {
    Said::Bundle(Box::new(bundle.clone()))
}
