//! A frame of the log.

use std::collections::BTreeSet;

use kez_core::{ConversationId, FrameKind, MessageId, PublicKey, authenticated_data};
use openmls::prelude::tls_codec::DeserializeBytes as _;
use openmls::prelude::{
    MlsGroup, MlsMessageBodyIn, MlsMessageIn, ProcessedMessage, ProcessedMessageContent, ProtocolMessage,
    StagedCommit,
};
use openmls_traits::OpenMlsProvider as _;

use super::send::{Wanted, encrypt};
use super::{Effect, Engine, Step, load, prefix};
use crate::facts;
use crate::fault::Fault;
use crate::payload::Payload;
use crate::policy::{Outcome, Place, Refusal, judge};
use crate::records::{
    Conversation, Device, Entry, Line, LogFrame, State, Waiting, What, conversation_key, entry_key,
    history_key, outbox_key, read, write,
};
use crate::storage::{Overlay, Provider};

/// After so many frames of one epoch that could not be read the device comes in anew.
const FAILURES_MAX: u32 = 3;

impl Engine {
    /// Takes a frame of the log. Frames of a conversation come in the order of their numbers; one that came before is passed
    /// over, and one that comes too early is answered by [`Effect::Gap`].
    ///
    /// `revoked` are the devices that their owners have let go by their sigchains, as far as they were read.
    pub fn frame(
        &mut self,
        cid: ConversationId,
        frame: &LogFrame,
        revoked: &BTreeSet<(PublicKey, kez_core::DeviceId)>,
    ) -> Result<Step, Fault> {
        self.place(cid, frame, Revoked { known: revoked, is_all: false })
    }

    /// The same when the sigchains that [`Effect::Need`] asked for were read: what is not revoked there is not revoked.
    pub fn frame_with_all_known(
        &mut self,
        cid: ConversationId,
        frame: &LogFrame,
        revoked: &BTreeSet<(PublicKey, kez_core::DeviceId)>,
    ) -> Result<Step, Fault> {
        self.place(cid, frame, Revoked { known: revoked, is_all: true })
    }

    fn place(&mut self, cid: ConversationId, frame: &LogFrame, revoked: Revoked<'_>) -> Result<Step, Fault> {
        let nothing = |engine: &Self| engine.step(Overlay::new(&engine.rows), Vec::new());
        let Ok(conversation) = self.record(cid) else { return Ok(nothing(self)) };
        match conversation.state {
            State::Creating => self.created(cid, frame, conversation),
            State::Entering => self.entered(cid, frame),
            State::Active if frame.seq <= conversation.cursor => Ok(nothing(self)),
            State::Active if frame.seq > conversation.cursor + 1 => {
                let after = conversation.cursor;
                Ok(self.step(Overlay::new(&self.rows), vec![Effect::Gap { cid, after }]))
            }
            State::Active => self.next(cid, frame, conversation, revoked),
            State::Lost | State::Frozen(_) | State::Left => Ok(nothing(self)),
        }
    }

    /// The server shows the conversation that this device made, or another one's.
    fn created(
        &mut self,
        cid: ConversationId,
        frame: &LogFrame,
        mut conversation: Conversation,
    ) -> Result<Step, Fault> {
        let is_ours = conversation
            .pending
            .take()
            .is_some_and(|bundle| (bundle.id, &bundle.commit) == (frame.mid, &frame.frame));
        if !is_ours {
            return Ok(self.step(Overlay::new(&self.rows), Vec::new()));
        }
        let mut group = self.take(cid)?;
        let provider = self.provider();
        merge_pending(&mut group, &provider)?;
        conversation.state = State::Active;
        conversation.cursor = frame.seq;
        write(&provider.records, conversation_key(cid), &conversation)?;
        Ok(self.step(provider.records, vec![Effect::Joined { cid }]).with_group(cid, group))
    }

    /// The server shows the entry of this device: from here on it is in.
    fn entered(&mut self, cid: ConversationId, frame: &LogFrame) -> Result<Step, Fault> {
        let records = Overlay::new(&self.rows);
        let entry: Option<Entry> = read(&records, &entry_key(cid), "an entry")?;
        let Some(entry) =
            entry.filter(|entry| (entry.bundle.id, &entry.bundle.commit) == (frame.mid, &frame.frame))
        else {
            return Ok(self.step(records, Vec::new()));
        };
        records.remove_all(&prefix(cid));
        for record in entry.records {
            records.write(record.key, record.content);
        }
        records.remove(entry_key(cid));
        let conversation = Conversation {
            state: State::Active,
            cursor: frame.seq,
            pending: None,
            renewed_at: frame.at.unix_seconds(),
            sent: 0,
            failures: 0,
        };
        write(&records, conversation_key(cid), &conversation)?;
        let mut group = load(&records, cid)?;
        let provider = Provider { records, ..self.provider() };
        let mut effects = vec![Effect::Joined { cid }];
        self.encrypt_anew(cid, &mut group, &provider, &mut effects)?;
        Ok(self.step(provider.records, effects).with_group(cid, group))
    }

    fn next(
        &mut self,
        cid: ConversationId,
        frame: &LogFrame,
        conversation: Conversation,
        revoked: Revoked<'_>,
    ) -> Result<Step, Fault> {
        match frame.kind {
            FrameKind::App => match self.own_message(cid, frame.mid)? {
                Some(waiting) if waiting.frame == frame.frame => self.sent(cid, frame, conversation, waiting),
                Some(_) => {
                    self.freeze(cid, conversation, "the server shows another message in place of ours")
                }
                None => self.said(cid, frame, conversation),
            },
            FrameKind::Commit => self.committed(cid, frame, conversation, revoked),
        }
    }

    fn own_message(&self, cid: ConversationId, mid: MessageId) -> Result<Option<Waiting>, Fault> {
        read(&Overlay::new(&self.rows), &outbox_key(cid, mid), "what waits to be sent")
    }

    /// A message of this device has its place.
    fn sent(
        &self,
        cid: ConversationId,
        frame: &LogFrame,
        mut conversation: Conversation,
        waiting: Waiting,
    ) -> Result<Step, Fault> {
        let records = Overlay::new(&self.rows);
        records.remove(outbox_key(cid, frame.mid));
        let what =
            What::Said { sender: self.primary(), device_id: self.device_id(), payload: waiting.payload };
        let line = line(frame, what);
        write(&records, history_key(cid, frame.seq), &line)?;
        conversation.cursor = frame.seq;
        write(&records, conversation_key(cid), &conversation)?;
        Ok(self.step(records, vec![Effect::Added { cid, line }]))
    }

    /// Somebody said something.
    fn said(
        &mut self,
        cid: ConversationId,
        frame: &LogFrame,
        mut conversation: Conversation,
    ) -> Result<Step, Fault> {
        let mut group = self.take(cid)?;
        let provider = self.provider();
        let Some((leaf, payload)) = decrypt(&mut group, &provider, cid, frame) else {
            // What the library has written by then is dropped with the overlay, and the group is decoded anew.
            return self.unreadable(cid, frame, conversation);
        };
        let what = What::Said { sender: leaf.primary, device_id: leaf.device_id, payload };
        let line = line(frame, what);
        write(&provider.records, history_key(cid, frame.seq), &line)?;
        conversation.cursor = frame.seq;
        write(&provider.records, conversation_key(cid), &conversation)?;
        Ok(self.step(provider.records, vec![Effect::Added { cid, line }]).with_group(cid, group))
    }

    fn unreadable(
        &self,
        cid: ConversationId,
        frame: &LogFrame,
        mut conversation: Conversation,
    ) -> Result<Step, Fault> {
        let records = Overlay::new(&self.rows);
        let line = line(frame, What::Unreadable);
        write(&records, history_key(cid, frame.seq), &line)?;
        let mut effects = vec![Effect::Added { cid, line }];
        conversation.cursor = frame.seq;
        conversation.failures += 1;
        if conversation.failures >= FAILURES_MAX {
            conversation.state = State::Lost;
            records.remove_all(&prefix(cid));
            effects.push(Effect::Lost { cid });
        }
        write(&records, conversation_key(cid), &conversation)?;
        Ok(self.step(records, effects))
    }

    /// The conversation changed.
    fn committed(
        &mut self,
        cid: ConversationId,
        frame: &LogFrame,
        mut conversation: Conversation,
        revoked: Revoked<'_>,
    ) -> Result<Step, Fault> {
        let own = conversation.pending.take();
        let mut group = self.take(cid)?;
        let provider = self.provider();
        let roster = facts::roster(&group)?;
        let mut effects = Vec::new();
        let place = Place { cid, mid: frame.mid, at: frame.at, revoked: revoked.known };
        let (by, outcome) = match own {
            Some(bundle) if bundle.id == frame.mid => {
                if bundle.commit != frame.frame {
                    return self.freeze(
                        cid,
                        conversation,
                        "the server shows another change in place of ours",
                    );
                }
                let outcome = match own_outcome(&group, &roster, frame, place)? {
                    Ok(outcome) => outcome,
                    Err(refusal) => return self.freeze(cid, conversation, &refusal.to_string()),
                };
                merge_pending(&mut group, &provider)?;
                conversation.renewed_at = frame.at.unix_seconds();
                conversation.sent = 0;
                (self.primary(), outcome)
            }
            lost => {
                if let Some(bundle) = lost {
                    group
                        .clear_pending_commit(provider.storage())
                        .map_err(|error| Fault::mls("dropping a change", error))?;
                    effects.push(Effect::ChangeLost { cid, id: bundle.id });
                }
                match take_commit(&mut group, &provider, &roster, frame, place)? {
                    Taken::Merged(by, outcome) => (by, outcome),
                    Taken::Refused(Refusal::Remove, owners) if !revoked.is_all && !owners.is_empty() => {
                        // Nothing is stored, so that the frame comes again.
                        let need = Effect::Need { cid, seq: frame.seq, owners };
                        return Ok(self.step(Overlay::new(&self.rows), vec![need]));
                    }
                    Taken::Refused(refusal, _) => {
                        return self.freeze(cid, conversation, &refusal.to_string());
                    }
                    Taken::NotFollowed => return self.lost(cid, conversation),
                }
            }
        };
        conversation.failures = 0;
        conversation.cursor = frame.seq;
        let devices = |leaves: &[crate::policy::Leaf]| leaves.iter().map(Device::from).collect();
        let line =
            line(frame, What::Changed { by, came: devices(&outcome.came), went: devices(&outcome.went) });
        write(&provider.records, history_key(cid, frame.seq), &line)?;
        effects.push(Effect::Added { cid, line });
        if !group.is_active() {
            provider.records.remove_all(&prefix(cid));
            conversation.state = State::Left;
            write(&provider.records, conversation_key(cid), &conversation)?;
            effects.push(Effect::Left { cid });
            return Ok(self.step(provider.records, effects));
        }
        write(&provider.records, conversation_key(cid), &conversation)?;
        self.encrypt_anew(cid, &mut group, &provider, &mut effects)?;
        Ok(self.step(provider.records, effects).with_group(cid, group))
    }

    /// What waits was encrypted in an epoch that is over, so it can have no place any more.
    pub(super) fn encrypt_anew(
        &self,
        cid: ConversationId,
        group: &mut MlsGroup,
        provider: &Provider<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        for Waiting { mid, order, payload, .. } in self.waiting(cid)? {
            let anew = encrypt(group, provider, self, Wanted { cid, mid, order, payload: &payload })?;
            write(&provider.records, outbox_key(cid, mid), &anew)?;
            effects.push(Effect::Frame { cid, mid, frame: anew.frame });
        }
        Ok(())
    }

    fn freeze(
        &self,
        cid: ConversationId,
        mut conversation: Conversation,
        reason: &str,
    ) -> Result<Step, Fault> {
        conversation.state = State::Frozen(reason.to_owned());
        conversation.pending = None;
        let records = Overlay::new(&self.rows);
        write(&records, conversation_key(cid), &conversation)?;
        Ok(self.step(records, vec![Effect::Frozen { cid, reason: reason.to_owned() }]))
    }

    fn lost(&self, cid: ConversationId, mut conversation: Conversation) -> Result<Step, Fault> {
        conversation.state = State::Lost;
        conversation.pending = None;
        let records = Overlay::new(&self.rows);
        records.remove_all(&prefix(cid));
        write(&records, conversation_key(cid), &conversation)?;
        Ok(self.step(records, vec![Effect::Lost { cid }]))
    }
}

/// The devices that are known to be revoked.
#[derive(Clone, Copy)]
struct Revoked<'a> {
    known: &'a BTreeSet<(PublicKey, kez_core::DeviceId)>,
    /// Whether every sigchain that counts was read since.
    is_all: bool,
}

/// What became of a commit of another device.
enum Taken {
    Merged(PublicKey, Outcome),
    /// And who owns what it removes of others.
    Refused(Refusal, Vec<PublicKey>),
    /// The library cannot process it: this device's state is not that of the others.
    NotFollowed,
}

fn take_commit(
    group: &mut MlsGroup,
    provider: &Provider<'_>,
    roster: &crate::policy::Roster,
    frame: &LogFrame,
    place: Place<'_>,
) -> Result<Taken, Fault> {
    let Some(processed) = process(group, provider, frame) else { return Ok(Taken::NotFollowed) };
    let (sender, data) = (processed.sender().clone(), processed.aad().to_vec());
    let ProcessedMessageContent::StagedCommitMessage(commit) = processed.into_content() else {
        return Ok(Taken::NotFollowed);
    };
    let staged = facts::staged(&commit, &sender, &data);
    let outcome = match judge(roster, &staged, place) {
        Ok(outcome) => outcome,
        Err(refusal) => {
            let owners = staged.removed.iter().filter_map(|index| roster.leaves.get(index));
            let unknown = owners.filter(|leaf| !place.revoked.contains(&(leaf.primary, leaf.device_id)));
            return Ok(Taken::Refused(refusal, unknown.map(|leaf| leaf.primary).collect()));
        }
    };
    let by = facts::leaf_at(group, &sender).map(|leaf| leaf.primary);
    let by = by
        .or_else(|| outcome.came.last().map(|leaf| leaf.primary))
        .ok_or(Fault::Damaged { what: "a commit" })?;
    merge(group, provider, *commit)?;
    Ok(Taken::Merged(by, outcome))
}

/// What a commit of this device comes to. That it may remove whom it removes was judged when it was made.
fn own_outcome(
    group: &MlsGroup,
    roster: &crate::policy::Roster,
    frame: &LogFrame,
    place: Place<'_>,
) -> Result<Result<Outcome, Refusal>, Fault> {
    let pending = group.pending_commit().ok_or(Fault::Damaged { what: "a pending change" })?;
    let sender = openmls::prelude::Sender::Member(group.own_leaf_index());
    let data = message_data(&frame.frame).ok_or(Fault::Damaged { what: "a pending change" })?;
    let staged = facts::staged(pending, &sender, &data);
    let removed = staged.removed.iter().filter_map(|index| roster.leaves.get(index));
    let revoked: BTreeSet<_> = removed.map(|leaf| (leaf.primary, leaf.device_id)).collect();
    Ok(judge(roster, &staged, Place { revoked: &revoked, ..place }))
}

/// What a message of our own is bound to.
fn message_data(frame: &[u8]) -> Option<Vec<u8>> {
    match kez_core::mls_framing::Message::parse(frame).ok()? {
        kez_core::mls_framing::Message::Private { authenticated_data, .. }
        | kez_core::mls_framing::Message::Public { authenticated_data, .. } => {
            Some(authenticated_data.to_vec())
        }
        _ => None,
    }
}

/// Who said what; nothing, when it cannot be read or is not bound to its place.
fn decrypt(
    group: &mut MlsGroup,
    provider: &Provider<'_>,
    cid: ConversationId,
    frame: &LogFrame,
) -> Option<(crate::policy::Leaf, Payload)> {
    let processed = process(group, provider, frame)?;
    if processed.aad() != authenticated_data::app(cid, frame.mid) {
        return None;
    }
    let leaf = facts::leaf_at(group, processed.sender())?;
    let ProcessedMessageContent::ApplicationMessage(said) = processed.into_content() else { return None };
    Some((leaf, Payload::parse(&said.into_bytes()).ok()?))
}

fn process(group: &mut MlsGroup, provider: &Provider<'_>, frame: &LogFrame) -> Option<ProcessedMessage> {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(&frame.frame).ok()?;
    let message = match message.extract() {
        MlsMessageBodyIn::PrivateMessage(message) => ProtocolMessage::from(message),
        MlsMessageBodyIn::PublicMessage(message) => ProtocolMessage::from(message),
        _ => return None,
    };
    group.process_message(provider, message).ok()
}

fn merge(group: &mut MlsGroup, provider: &Provider<'_>, commit: StagedCommit) -> Result<(), Fault> {
    group.merge_staged_commit(provider, commit).map_err(|error| Fault::mls("taking a change", error))
}

fn merge_pending(group: &mut MlsGroup, provider: &Provider<'_>) -> Result<(), Fault> {
    group.merge_pending_commit(provider).map_err(|error| Fault::mls("taking a change", error))
}

fn line(frame: &LogFrame, what: What) -> Line {
    Line { seq: frame.seq, at: frame.at, mid: frame.mid, what }
}
