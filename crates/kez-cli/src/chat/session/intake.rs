//! What the log and the inbox show, taken into the records.

use std::collections::BTreeSet;

use kez_core::{ConversationId, ConversationKind, DeviceId, PublicKey, Timestamp};
use kez_e2e::{Effect, Fault, Line, LogFrame, Standing, Step, What};

use super::{CURSOR, Happened, Session, cursor_change};
use crate::chat::history;
use crate::chat::intake::{self, Effects, Place};
use crate::chat::model::{Chat, Content, Notice, State};
use crate::chat::people;
use crate::error::CliError;
use crate::records::Draft;

impl Session {
    /// Takes a frame in; `n` is its number in the inbox, if it came by that.
    pub(super) async fn take_frame(
        &mut self,
        cid: ConversationId,
        frame: &LogFrame,
        n: Option<u64>,
    ) -> Result<(), CliError> {
        let effects = self.settle_frame(cid, frame, n).await?;
        for effect in effects {
            if let Effect::Gap { cid, after } = effect {
                self.fill_gap(cid, after, frame.seq).await?;
                // Once more, now that what was missing is there. The inbox was read past it already.
                let effects = self.settle_frame(cid, frame, None).await?;
                self.note(&effects)?;
            } else {
                self.note(&[effect])?;
            }
        }
        Ok(())
    }

    /// Takes a frame in, and reads first who has revoked what where that decides.
    ///
    /// Where it cannot be read the frame waits: the next one finds a gap before it.
    async fn settle_frame(
        &mut self,
        cid: ConversationId,
        frame: &LogFrame,
        n: Option<u64>,
    ) -> Result<Vec<Effect>, CliError> {
        let effects = self.step_frame(cid, frame, n)?;
        let [Effect::Need { owners, .. }] = effects.as_slice() else { return Ok(effects) };
        for owner in owners {
            if !self.note_revoked(*owner).await? {
                return Ok(Vec::new());
            }
        }
        let revoked = self.revoked.clone();
        let step = self.engine.frame_with_all_known(cid, frame, &revoked).map_err(CliError::Engine)?;
        self.store_shown(cid, step, None)
    }

    fn step_frame(
        &mut self,
        cid: ConversationId,
        frame: &LogFrame,
        n: Option<u64>,
    ) -> Result<Vec<Effect>, CliError> {
        let revoked = self.revoked.clone();
        let step = self.engine.frame(cid, frame, &revoked).map_err(CliError::Engine)?;
        self.store_shown(cid, step, n)
    }

    /// Reads the frames of a conversation after number `after` and before `until` from its log.
    pub(super) async fn fill_gap(
        &mut self,
        cid: ConversationId,
        after: u64,
        until: u64,
    ) -> Result<(), CliError> {
        let mut pages = self.client.frames(cid, after);
        while let Some(page) = pages.next().await? {
            for frame in page.frames {
                if frame.seq >= until {
                    return Ok(());
                }
                let kez_client::Frame { seq, at, mid, kind, frame, .. } = frame;
                let frame = LogFrame { seq, at, mid, kind, frame };
                let effects = self.settle_frame(cid, &frame, None).await?;
                self.note(&effects)?;
            }
        }
        Ok(())
    }

    /// Stores a step with what its lines say and, in the same batch, how far the inbox was read.
    fn store_shown(
        &mut self,
        cid: ConversationId,
        step: Step,
        n: Option<u64>,
    ) -> Result<Vec<Effect>, CliError> {
        let me = self.me();
        let lines: Vec<Line> =
            step.lines().filter(|(of, _)| *of == cid).map(|(_, line)| line.clone()).collect();
        let mut all = Vec::new();
        let shown = self.store(step, |draft| {
            for line in lines {
                all.push(take_line(draft, cid, line, me)?);
            }
            if let Some(n) = n {
                draft.extend([cursor_change(n)]);
            }
            Ok(())
        })?;
        for effects in all {
            self.take_effects(cid, effects);
        }
        Ok(shown)
    }

    fn take_effects(&mut self, cid: ConversationId, effects: Effects) {
        for entry in effects.entries {
            self.happened.push_back(Happened::Entry { cid, entry });
        }
        if let Some(mid) = effects.to_confirm {
            self.to_confirm.entry(cid).or_default().push(mid);
        }
        if let Some(leaver) = effects.leaver {
            self.leavers.insert((cid, leaver));
        }
    }

    /// Takes a Welcome in; `false`: it leads nowhere new.
    pub(super) fn take_welcome(
        &mut self,
        cid: ConversationId,
        kind: ConversationKind,
        seq: u64,
        at: Timestamp,
        welcome: &[u8],
        n: u64,
    ) -> Result<bool, CliError> {
        let step = match self.engine.welcome(cid, kind, seq, welcome) {
            Ok(step) => step,
            Err(Fault::AlreadyThere) => return Ok(false),
            // One that does not open is not for this device's state: it comes in by itself.
            Err(Fault::BadEntry(_) | Fault::Mls { .. }) => {
                self.to_enter.insert(cid);
                return Ok(false);
            }
            Err(fault) => return Err(CliError::Engine(fault)),
        };
        let effects = self.store(step, |draft| {
            draft.put(CURSOR.to_vec(), n.to_be_bytes().to_vec());
            Ok(())
        })?;
        self.to_renew.insert(cid);
        self.joined_at.insert(cid, (seq, at));
        self.note(&effects)?;
        Ok(true)
    }

    /// What a step led to beside lines.
    pub(super) fn note(&mut self, effects: &[Effect]) -> Result<(), CliError> {
        for effect in effects {
            match effect {
                Effect::Joined { cid } => self.joined(*cid)?,
                Effect::Left { cid } => self.set_state(*cid, State::Left)?,
                Effect::Frozen { cid, reason } => {
                    self.set_state(*cid, State::Frozen { reason: reason.clone() })?;
                }
                Effect::Lost { cid } => {
                    self.to_enter.insert(*cid);
                }
                Effect::ChangeLost { cid, id } => {
                    self.lost_changes.insert((*cid, *id));
                }
                Effect::Added { cid, .. } => self.refresh(*cid)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The device is in a conversation from now on.
    fn joined(&mut self, cid: ConversationId) -> Result<(), CliError> {
        self.rooms_changed = true;
        self.refresh(cid)
    }

    fn set_state(&mut self, cid: ConversationId, state: State) -> Result<(), CliError> {
        let mut chat = self.local.chat(cid)?;
        if chat.state != state {
            chat.state = state;
            self.put_chat(&chat)?;
        }
        Ok(())
    }

    /// Brings what is shown of a conversation to what the engine knows of its people.
    pub(super) fn refresh(&mut self, cid: ConversationId) -> Result<(), CliError> {
        let Some(view) = self.engine.conversation(cid).map_err(CliError::Engine)? else { return Ok(()) };
        let Some(inside) = view.inside else { return Ok(()) };
        if view.standing != Standing::Active {
            return Ok(());
        }
        let known = history::chat(&Draft::new(&self.local.records), cid)?;
        let is_new = known.is_none();
        let me = self.me();
        let begun_by_me = self.begun.remove(&cid);
        let mut chat = known.clone().unwrap_or_else(|| empty(cid, inside.kind));
        chat.members = inside.members.as_slice().iter().copied().collect();
        chat.devices = inside.devices.iter().copied().collect();
        chat.admins = inside.admins.iter().copied().collect();
        if chat.kind == ConversationKind::Direct {
            chat.peer = chat.members.iter().copied().find(|key| *key != me);
        }
        let is_open = begun_by_me || chat.kind != ConversationKind::Direct || self.knows(chat.peer)?;
        match &chat.state {
            State::Left => chat.state = State::Open,
            State::Request if begun_by_me => chat.state = State::Open,
            _ if is_new => chat.state = if is_open { State::Open } else { State::Request },
            _ => {}
        }
        if Some(&chat) != known.as_ref() {
            self.put_chat(&chat)?;
            let names = self.names()?;
            let nameless = chat.members.iter().filter(|key| !names.known.contains_key(key));
            self.to_name.extend(nameless);
        }
        if is_new && chat.kind != ConversationKind::OwnDevices {
            let notice = match (begun_by_me, self.joined_at.contains_key(&cid)) {
                (true, _) => Notice::Begun,
                (_, true) => Notice::Welcomed,
                _ => Notice::Joined,
            };
            self.note_joined(&mut chat, notice)?;
        }
        Ok(())
    }

    /// The first entry of a conversation on this device.
    fn note_joined(&mut self, chat: &mut Chat, notice: Notice) -> Result<(), CliError> {
        let (seq, at) = self.joined_at.remove(&chat.cid).unwrap_or((1, self.now()));
        let me = self.me();
        let place = Place { cid: chat.cid, seq, at, mid: super::new_id(), from: me, device: None };
        let mut draft = Draft::new(&self.local.records);
        let mut effects = Effects::default();
        intake::note(&mut draft, chat, place, notice, me, &mut effects)?;
        let batch = draft.into_batch();
        self.local.records.commit(&batch)?;
        self.take_effects(chat.cid, effects);
        Ok(())
    }

    /// Whether this account has talked to somebody before, so that they need no answer.
    fn knows(&self, peer: Option<PublicKey>) -> Result<bool, CliError> {
        let chats = history::chats(&self.local.records)?;
        Ok(chats
            .iter()
            .any(|chat| chat.state == State::Open && peer.is_some_and(|key| chat.members.contains(&key))))
    }

    /// Something is no longer at the server: go on with what is there.
    pub(super) fn missed(&mut self, oldest: u64) -> Result<(), CliError> {
        for chat in history::chats(&self.local.records)? {
            if chat.state.is_open() {
                self.to_enter.insert(chat.cid);
            }
        }
        self.set_cursor(oldest.saturating_sub(1))
    }
}

/// A conversation of which nothing is known yet.
fn empty(cid: ConversationId, kind: ConversationKind) -> Chat {
    Chat {
        cid,
        kind,
        state: State::Open,
        name: None,
        members: BTreeSet::new(),
        devices: BTreeSet::new(),
        peer: None,
        admins: BTreeSet::new(),
        newest_seq: 0,
        newest_at: None,
        read_seq: 0,
        unread: 0,
        verified: false,
        kept: 0,
    }
}

/// Takes one line of the log into the history.
fn take_line(
    draft: &mut Draft<'_>,
    cid: ConversationId,
    line: Line,
    me: PublicKey,
) -> Result<Effects, CliError> {
    let Some(mut chat) = history::chat(draft, cid)? else { return Ok(Effects::default()) };
    let Line { seq, at, mid, what } = line;
    let place = |from, device| Place { cid, seq, at, mid, from, device };
    match what {
        What::Said { sender, .. } if chat.peer() == Some(sender) && is_blocked(draft, sender)? => {
            Ok(Effects::default())
        }
        What::Said { sender, device_id, payload } => {
            Ok(intake::said(draft, &mut chat, place(sender, Some(device_id)), payload, me)?)
        }
        What::Changed { by, came, went } => {
            let pairs = |devices: Vec<kez_e2e::Device>| -> BTreeSet<_> {
                devices.into_iter().map(|device| (device.primary, device.device_id)).collect()
            };
            changed(draft, &mut chat, place(by, None), &pairs(came), &pairs(went), me)
        }
        What::Unreadable => {
            let mut effects = Effects::default();
            let entry = place(me, None).entry(Content::Unreadable);
            history::add(draft, &mut chat, &entry, me)?;
            effects.entries.push(entry);
            Ok(effects)
        }
        _ => Ok(Effects::default()),
    }
}

fn is_blocked(draft: &Draft<'_>, who: PublicKey) -> Result<bool, CliError> {
    Ok(people::person(draft, who)?.is_some_and(|person| person.blocked_at.is_some()))
}

/// People and devices came or went. One frame makes one entry: of several things the one that says the most.
fn changed(
    draft: &mut Draft<'_>,
    chat: &mut Chat,
    place: Place,
    came: &BTreeSet<(PublicKey, DeviceId)>,
    went: &BTreeSet<(PublicKey, DeviceId)>,
    me: PublicKey,
) -> Result<Effects, CliError> {
    let before: BTreeSet<PublicKey> = chat.devices.iter().map(|(primary, _)| *primary).collect();
    chat.devices.retain(|device| !went.contains(device));
    chat.devices.extend(came);
    let after: BTreeSet<PublicKey> = chat.devices.iter().map(|(primary, _)| *primary).collect();
    chat.members.clone_from(&after);
    let mut effects = Effects::default();
    let added: BTreeSet<_> = after.difference(&before).copied().collect();
    let removed: BTreeSet<_> = before.difference(&after).copied().collect();
    let notice = if !removed.is_empty() {
        Some(Notice::Removed { people: removed })
    } else if !added.is_empty() {
        Some(Notice::Added { people: added })
    } else if let Some((owner, device)) = came.difference(went).next() {
        Some(Notice::DeviceAdded { owner: *owner, device: *device })
    } else if let Some((owner, device)) = went.difference(came).next() {
        Some(Notice::DeviceRemoved { owner: *owner, device: *device })
    } else {
        None
    };
    match notice.filter(|_| chat.kind != ConversationKind::OwnDevices) {
        Some(notice) => intake::note(draft, chat, place, notice, me, &mut effects)?,
        None => history::put_chat(draft, chat),
    }
    Ok(effects)
}
