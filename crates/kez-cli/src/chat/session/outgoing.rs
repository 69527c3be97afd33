//! Sending what is to be sent, in order, until the server has it.

use kez_client::{Bundle, CallError, ClientError, OutgoingFrame, Welcome, WelcomeTo};
use kez_core::{ConversationId, ConversationKind, MessageId};
use kez_e2e::{Effect, EntryInfo, Standing};

use super::{Happened, Sending, Session, new_id};
use crate::error::CliError;

/// How often a change is made anew because another one came first. Each time somebody's change has succeeded.
const RACES_MAX: u32 = 20;

/// What became of one thing that was sent.
enum Outcome {
    Done,
    /// Something else came first: what is known now has to be read before anything more is sent.
    Overtaken,
}

impl Session {
    /// Sends everything that is to be sent. Ends with an error where the server is not reached; what is left stays.
    pub(crate) async fn flush(&mut self) -> Result<(), CliError> {
        self.tell_read(false)?;
        let mut overtaken = 0;
        while let Some(effect) = self.outgoing.front().cloned() {
            match self.send_one(&effect).await? {
                Outcome::Done => {
                    // What came meanwhile stands behind it.
                    if self.outgoing.front() == Some(&effect) {
                        self.outgoing.pop_front();
                    }
                }
                Outcome::Overtaken => {
                    overtaken += 1;
                    if overtaken > RACES_MAX {
                        return Err(CliError::Overtaken);
                    }
                    // The log decides: it shows what took the place, and the engine makes what waits anew.
                    self.outgoing.retain(|other| conversation(other) != conversation(&effect));
                    self.sync().await?;
                }
            }
        }
        Ok(())
    }

    /// The same, with what happened meanwhile; the server may be out of reach.
    pub(crate) async fn flush_all(&mut self) -> Result<Vec<Happened>, CliError> {
        match self.flush().await {
            Ok(()) => self.note_online(),
            Err(error) => self.note_offline(error)?,
        }
        Ok(self.take_happened())
    }

    /// Sends what waits, and tells what became of one message.
    pub(crate) async fn deliver(&mut self, mid: MessageId) -> Result<Sending, CliError> {
        if let Err(error) = self.flush().await {
            self.note_offline(error)?;
            return Ok(Sending::Waits);
        }
        let sent = self.sent.get(&mid).copied();
        if sent.is_some() {
            // So that it stands in the history, where the log has it.
            if let Err(error) = self.sync().await {
                self.note_offline(error)?;
            }
        }
        match sent {
            Some((seq, at)) => Ok(Sending::Sent { seq, at }),
            None if self.refused.contains_key(&mid) => {
                Err(CliError::NotTaken { why: self.refused.remove(&mid).unwrap_or_default() })
            }
            None => Ok(Sending::Waits),
        }
    }

    async fn send_one(&mut self, effect: &Effect) -> Result<Outcome, CliError> {
        match effect {
            Effect::Frame { cid, mid, frame } => self.send_frame(*cid, *mid, frame).await,
            Effect::Commit { cid, bundle } => self.send_commit(*cid, bundle).await,
            Effect::Create { cid, kind, bundle } => self.send_creation(*cid, *kind, bundle).await,
            Effect::UploadKeyPackages { one_time, last_resort } => {
                self.client.add_key_packages(one_time, last_resort.as_deref()).await?;
                Ok(Outcome::Done)
            }
            _ => Ok(Outcome::Done),
        }
    }

    async fn send_frame(
        &mut self,
        cid: ConversationId,
        mid: MessageId,
        frame: &[u8],
    ) -> Result<Outcome, CliError> {
        let outgoing = OutgoingFrame { mid, frame: frame.to_vec() };
        match self.client.send(cid, &outgoing).await {
            Ok(sent) => {
                self.sent.insert(mid, (sent.seq, sent.at));
                if !self.silent.remove(&mid) {
                    self.happened.push_back(Happened::Sent { cid, mid, seq: sent.seq, at: sent.at });
                }
                Ok(Outcome::Done)
            }
            Err(CallError::StaleEpoch { .. }) => Ok(Outcome::Overtaken),
            Err(error) if is_final(&error) => {
                let step = self.engine.give_up(cid, mid).map_err(CliError::Engine)?;
                self.store(step, |_| Ok(()))?;
                self.refused.insert(mid, error.to_string());
                Ok(Outcome::Done)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn send_commit(
        &mut self,
        cid: ConversationId,
        bundle: &kez_e2e::Bundle,
    ) -> Result<Outcome, CliError> {
        match self.client.commit(cid, &to_server(bundle)).await {
            Ok(_) => {
                // Its place in the log makes it count.
                self.sync().await?;
                Ok(Outcome::Done)
            }
            Err(CallError::StaleEpoch { .. }) => {
                if self.is_entering(cid)? {
                    let step = self.engine.entry_refused(cid).map_err(CliError::Engine)?;
                    let effects = self.store(step, |_| Ok(()))?;
                    self.note(&effects)?;
                }
                Ok(Outcome::Overtaken)
            }
            Err(error) if is_final(&error) => {
                let step = if self.is_entering(cid)? {
                    self.engine.entry_refused(cid)
                } else {
                    self.engine.change_refused(cid, bundle.id)
                };
                let effects = self.store(step.map_err(CliError::Engine)?, |_| Ok(()))?;
                self.refused.insert(bundle.id, error.to_string());
                // Asked for again, it would be refused again.
                let effects: Vec<_> =
                    effects.into_iter().filter(|effect| !matches!(effect, Effect::Lost { .. })).collect();
                self.note(&effects)?;
                Ok(Outcome::Done)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn send_creation(
        &mut self,
        cid: ConversationId,
        kind: ConversationKind,
        bundle: &kez_e2e::Bundle,
    ) -> Result<Outcome, CliError> {
        match self.client.create_conversation(cid, kind, &to_server(bundle)).await {
            Ok(_) => {
                self.sync().await?;
                Ok(Outcome::Done)
            }
            Err(CallError::ConversationExists { cid: other }) => {
                self.forget_creation(cid)?;
                self.instead.insert(cid, other);
                Ok(Outcome::Done)
            }
            Err(error) if is_final(&error) => {
                self.forget_creation(cid)?;
                self.refused.insert(bundle.id, error.to_string());
                Ok(Outcome::Done)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn forget_creation(&mut self, cid: ConversationId) -> Result<(), CliError> {
        let step = self.engine.creation_refused(cid).map_err(CliError::Engine)?;
        self.store(step, |_| Ok(()))?;
        self.begun.remove(&cid);
        Ok(())
    }

    fn is_entering(&self, cid: ConversationId) -> Result<bool, CliError> {
        let view = self.engine.conversation(cid).map_err(CliError::Engine)?;
        Ok(view.is_some_and(|view| view.standing == Standing::Entering))
    }

    /// Comes into a conversation of the account by itself; `false`: there is no key for it, or no such conversation.
    pub(super) async fn enter(
        &mut self,
        cid: ConversationId,
        gi_key: &kez_e2e::GroupInfoKey,
    ) -> Result<bool, CliError> {
        for _ in 0..RACES_MAX {
            let now = match self.client.conversation(cid).await {
                Ok(now) => now,
                Err(CallError::NotAMember | CallError::NotFound) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let info =
                EntryInfo { epoch: now.epoch, members: &now.members, group_info: &now.group_info, gi_key };
            let step = match self.engine.enter(cid, new_id(), &info) {
                Ok(step) => step,
                Err(kez_e2e::Fault::AlreadyThere) => return Ok(true),
                Err(kez_e2e::Fault::BadEntry(_) | kez_e2e::Fault::Mls { .. }) => return Ok(false),
                Err(fault) => return Err(CliError::Engine(fault)),
            };
            self.store(step, |_| Ok(()))?;
            self.flush_conversation(cid).await?;
            let view = self.engine.conversation(cid).map_err(CliError::Engine)?;
            if view.is_some_and(|view| view.standing == Standing::Active) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends what waits for one conversation, up to the first thing that something else came before.
    async fn flush_conversation(&mut self, cid: ConversationId) -> Result<(), CliError> {
        let (mine, others): (Vec<_>, Vec<_>) =
            self.outgoing.drain(..).partition(|effect| conversation(effect) == Some(cid));
        self.outgoing.extend(others);
        for effect in mine {
            if matches!(self.send_one(&effect).await?, Outcome::Overtaken) {
                return self.sync().await;
            }
        }
        Ok(())
    }

    pub(super) fn note_online(&mut self) {
        if !std::mem::replace(&mut self.is_online, true) {
            self.happened.push_back(Happened::Online);
        }
    }

    /// Passes over an error that says only that the server is not reached now.
    pub(super) fn note_offline(&mut self, error: CliError) -> Result<(), CliError> {
        match error {
            CliError::Call(CallError::Client(error)) if error.is_transient() => {
                if std::mem::replace(&mut self.is_online, false) {
                    self.happened.push_back(Happened::Offline(error.to_string()));
                }
                Ok(())
            }
            error => Err(error),
        }
    }
}

/// The conversation that something is sent to.
fn conversation(effect: &Effect) -> Option<ConversationId> {
    match effect {
        Effect::Frame { cid, .. } | Effect::Commit { cid, .. } | Effect::Create { cid, .. } => Some(*cid),
        _ => None,
    }
}

/// Whether sending the same again can only be refused again.
fn is_final(error: &CallError) -> bool {
    match error {
        CallError::NotAMember
        | CallError::MessageIdReused
        | CallError::CidTaken
        | CallError::NotFound
        | CallError::RequestPending
        | CallError::ContactRequired { .. }
        | CallError::ConversationClosed { .. } => true,
        CallError::Client(ClientError::Refused(problem)) => {
            (400..500).contains(&problem.status) && !matches!(problem.status, 401 | 408 | 429)
        }
        _ => false,
    }
}

/// A bundle as the client sends it.
fn to_server(bundle: &kez_e2e::Bundle) -> Bundle {
    let welcome = |welcome: &kez_e2e::Welcome| Welcome {
        welcome: welcome.welcome.clone(),
        to: welcome
            .to
            .iter()
            .map(|(primary, device_id)| WelcomeTo { primary: *primary, device_id: *device_id })
            .collect(),
    };
    Bundle {
        id: bundle.id,
        epoch: bundle.epoch,
        commit: bundle.commit.clone(),
        welcomes: bundle.welcomes.iter().map(welcome).collect(),
        group_info: bundle.group_info.clone(),
        members_after: bundle.members_after.clone(),
    }
}
