//! What people and programs ask for.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kez_core::{ConversationId, ConversationKind, Fqhn, MessageId, PublicKey};
use kez_e2e::{Change, Content, File, Payload, ReplyTo, Standing};

use super::local::who_text;
use super::{Session, new_id};
use crate::chat::files::Outgoing;
use crate::chat::history;
use crate::chat::intake::NAME_CHARS_MAX;
use crate::chat::model::{Reply, State};
use crate::chat::people::{self, Person};
use crate::cli::{Peer, Who};
use crate::error::CliError;
use crate::records::Draft;
use crate::system;

/// How long a group is told nothing more of what was read, in seconds.
const READ_TOLD_AFTER_S: i64 = 20;
/// Files in one message.
const FILES_MAX: usize = 16;

impl Session {
    /// Says something; its id. It is kept on this device, and sent by the next flush.
    pub(crate) fn say(
        &mut self,
        cid: ConversationId,
        body: String,
        reply_to: Option<Reply>,
    ) -> Result<MessageId, CliError> {
        if body.trim().is_empty() {
            return Err(CliError::NothingToSay);
        }
        let reply_to = reply_to.map(|reply| ReplyTo { mid: reply.mid, quote: reply.quote });
        self.queue(cid, Content::Text { body, reply_to })
    }

    /// Puts something into the queue of a conversation; its id.
    pub(crate) fn queue(&mut self, cid: ConversationId, content: Content) -> Result<MessageId, CliError> {
        let mut chat = self.local.chat(cid)?;
        match &chat.state {
            State::Open | State::Asked => {}
            // Whoever answers has accepted.
            State::Request => {
                chat.state = State::Open;
                self.put_chat(&chat)?;
            }
            State::Left => return Err(CliError::LeftChat),
            State::Frozen { reason } => return Err(CliError::FrozenChat { reason: reason.clone() }),
        }
        let mid = new_id();
        if matches!(content, Content::Receipt { .. } | Content::Read { .. } | Content::Safety { .. }) {
            self.silent.insert(mid);
        }
        let payload = Payload::new(system::now().unix_millis(), content);
        let step = self.engine.send(cid, mid, &payload).map_err(CliError::Engine)?;
        self.store(step, |_| Ok(()))?;
        Ok(mid)
    }

    /// Sends files, and then the message that says what opens them.
    pub(crate) async fn send_files(
        &mut self,
        cid: ConversationId,
        paths: &[PathBuf],
        body: Option<String>,
    ) -> Result<MessageId, CliError> {
        if paths.len() > FILES_MAX {
            return Err(CliError::TooManyFiles { max: FILES_MAX });
        }
        let mut files = Vec::new();
        for path in paths {
            let outgoing = Outgoing::read(path)?;
            outgoing.send(&self.client).await?;
            let file = outgoing.file;
            files.push(File {
                blob: file.blob,
                key: file.key,
                size: file.size,
                name: file.name,
                mime: file.mime,
                thumb: None,
            });
        }
        self.queue(cid, Content::Attachment { files, body })
    }

    /// The conversation that is meant; one with a person is begun where there is none.
    pub(crate) async fn find(&mut self, peer: &Peer) -> Result<ConversationId, CliError> {
        if let Some(cid) = self.local.known(peer)? {
            let chat = self.local.chat(cid)?;
            if chat.kind != ConversationKind::Direct || chat.state != State::Left {
                return Ok(cid);
            }
        }
        let who = match peer {
            Peer::Person(who) => who.clone(),
            Peer::Group(name) => return Err(CliError::NoSuchChat { name: name.clone() }),
            Peer::Either(name) => {
                crate::cli::who(name).map_err(|_| CliError::NoSuchChat { name: name.clone() })?
            }
        };
        let person = self.person(&who).await?;
        if person == self.me() {
            return Err(CliError::ToYourself);
        }
        // The name may be new to this device while the conversation is not.
        let known = history::chats(&self.local.records)?;
        let with = |chat: &&crate::chat::model::Chat| {
            chat.kind == ConversationKind::Direct && chat.peer() == Some(person) && chat.state != State::Left
        };
        if let Some(chat) = known.iter().find(with) {
            return Ok(chat.cid);
        }
        let newcomers = self.claim(&BTreeSet::from([person, self.me()])).await?;
        let cid = self.create(ConversationKind::Direct, &newcomers).await?;
        if self.rooms_changed {
            self.publish_rooms().await?;
        }
        Ok(cid)
    }

    /// The key of a person, by the home server's word where this device does not know it.
    pub(crate) async fn person(&mut self, who: &Who) -> Result<PublicKey, CliError> {
        if let Some(key) = self.local.key(who)?
            && self.names()?.known.contains_key(&key)
        {
            return Ok(key);
        }
        let server = self.local.address().server().clone();
        let home = self.client.home();
        let record = match who {
            Who::Handle(handle) => home.by_handle(&Fqhn::new(handle.clone(), server.clone())).await?,
            Who::Address(address) if *address.server() == server => home.by_handle(address).await?,
            Who::Address(address) => return Err(CliError::OtherHome { address: address.clone() }),
            Who::Key(key) => home.by_primary(*key, &server).await?,
        };
        let record =
            record.ok_or_else(|| CliError::NotFound { who: who_address(who, &server), place: server })?;
        self.remember(record.primary, Some(record.fqhn))?;
        Ok(record.primary)
    }

    /// The keys of several people.
    pub(crate) async fn people(&mut self, who: &[Who]) -> Result<BTreeSet<PublicKey>, CliError> {
        let mut people = BTreeSet::new();
        for one in who {
            people.insert(self.person(one).await?);
        }
        Ok(people)
    }

    /// Begins a group.
    pub(crate) async fn create_group(
        &mut self,
        name: &str,
        mut people: BTreeSet<PublicKey>,
    ) -> Result<ConversationId, CliError> {
        let name = group_name(name)?;
        people.insert(self.me());
        let newcomers = self.claim(&people).await?;
        let cid = self.create(ConversationKind::Group, &newcomers).await?;
        if !name.is_empty() {
            self.queue(cid, Content::Group { name })?;
        }
        self.finish_deed().await?;
        Ok(cid)
    }

    /// Adds people to a group, and tells them what it is called.
    pub(crate) async fn add_people(
        &mut self,
        cid: ConversationId,
        people: BTreeSet<PublicKey>,
    ) -> Result<(), CliError> {
        self.require_admin(cid)?;
        let chat = self.local.chat(cid)?;
        let new: BTreeSet<_> = people.difference(&chat.members).copied().collect();
        if new.is_empty() {
            return Err(CliError::NothingToChange { what: "they are in the group already" });
        }
        let newcomers = self.claim(&new).await?;
        self.change(cid, &Change::Add(newcomers)).await?;
        if let Some(name) = chat.name.filter(|name| !name.is_empty()) {
            self.queue(cid, Content::Group { name })?;
        }
        self.finish_deed().await
    }

    /// Removes people from a group.
    pub(crate) async fn remove_people(
        &mut self,
        cid: ConversationId,
        people: BTreeSet<PublicKey>,
    ) -> Result<(), CliError> {
        self.require_admin(cid)?;
        let chat = self.local.chat(cid)?;
        if people.contains(&self.me()) {
            return Err(CliError::NothingToChange {
                what: "to leave a group yourself: kez chat group leave",
            });
        }
        let gone: Vec<_> = people.intersection(&chat.members).copied().collect();
        if gone.is_empty() {
            return Err(CliError::NothingToChange { what: "they are not in the group" });
        }
        for who in gone {
            self.change(cid, &Change::Remove(who)).await?;
        }
        self.finish_deed().await
    }

    /// Asks to be removed from a group; the last admin names somebody else before.
    pub(crate) async fn leave(&mut self, cid: ConversationId) -> Result<(), CliError> {
        let chat = self.require_group(cid)?;
        let me = self.me();
        let others: BTreeSet<_> = chat.members.iter().copied().filter(|key| *key != me).collect();
        if chat.admins.contains(&me) && !chat.admins.iter().any(|admin| others.contains(admin)) {
            if others.is_empty() {
                return Err(CliError::NothingToChange {
                    what: "nobody else is in the group: there is nobody to leave",
                });
            }
            let admins = others.iter().copied().collect();
            self.change(cid, &Change::Admins(admins)).await?;
        }
        self.queue(cid, Content::Leave {})?;
        self.finish_deed().await
    }

    /// Gives a group another name.
    pub(crate) async fn rename(&mut self, cid: ConversationId, name: &str) -> Result<(), CliError> {
        self.require_admin(cid)?;
        let name = group_name(name)?;
        self.queue(cid, Content::Group { name })?;
        self.finish_deed().await
    }

    /// Answers somebody who wants to talk.
    pub(crate) async fn accept(&mut self, who: PublicKey) -> Result<(), CliError> {
        let mut chat = self.request_of(who)?;
        self.client.accept(chat.cid).await?;
        chat.state = State::Open;
        self.put_chat(&chat)?;
        self.to_renew.insert(chat.cid);
        self.keep_up_quietly().await
    }

    /// Refuses somebody who wants to talk.
    pub(crate) fn decline(&mut self, who: PublicKey) -> Result<(), CliError> {
        let mut chat = self.request_of(who)?;
        chat.state = State::Left;
        self.put_chat(&chat)
    }

    /// Hears nothing more of somebody, or hears them again.
    pub(crate) fn block(&mut self, who: PublicKey, on: bool) -> Result<(), CliError> {
        let mut draft = Draft::new(&self.local.records);
        let mut person = people::person(&draft, who)?.unwrap_or_else(|| Person::new(who));
        person.blocked_at = on.then(system::now);
        people::put(&mut draft, &person);
        let batch = draft.into_batch();
        Ok(self.local.records.commit(&batch)?)
    }

    /// Notes that everything up to `seq` was read, and tells the others.
    pub(crate) fn mark_read(&mut self, cid: ConversationId, seq: u64) -> Result<(), CliError> {
        let mut chat = self.local.chat(cid)?;
        let (me, said) = (self.me(), chat.unread > 0);
        let mut draft = Draft::new(&self.local.records);
        if !history::mark_read(&mut draft, &mut chat, seq, me)? {
            return Ok(());
        }
        let batch = draft.into_batch();
        self.local.records.commit(&batch)?;
        self.happened.push_back(super::Happened::Chat(cid));
        // Nobody who has not been answered learns that somebody is there.
        if said && chat.state == State::Open {
            self.to_tell_read.insert(cid, seq);
        }
        Ok(())
    }

    /// Puts into the queue what was read. Groups are told now and then only: there each one tells all.
    pub(super) fn tell_read(&mut self, at_once: bool) -> Result<(), CliError> {
        let now = system::now();
        for (cid, up_to) in std::mem::take(&mut self.to_tell_read) {
            let Ok(chat) = self.local.chat(cid) else { continue };
            let told_at = self.told_read_at.get(&cid).and_then(|at| at.plus_seconds(READ_TOLD_AFTER_S));
            let is_due =
                at_once || chat.kind == ConversationKind::Direct || told_at.is_none_or(|due| now >= due);
            if !is_due {
                self.to_tell_read.insert(cid, up_to);
            } else if chat.state == State::Open {
                self.told_read_at.insert(cid, now);
                self.queue(cid, Content::Read { up_to })?;
            }
        }
        Ok(())
    }

    /// Remembers whether the safety number was compared and was the same, on all devices.
    pub(crate) fn set_verified(&mut self, who: PublicKey, verified: bool) -> Result<(), CliError> {
        let mut draft = Draft::new(&self.local.records);
        let mut person = people::person(&draft, who)?.unwrap_or_else(|| Person::new(who));
        person.verified_at = verified.then(system::now);
        people::put(&mut draft, &person);
        let batch = draft.into_batch();
        self.local.records.commit(&batch)?;
        for mut chat in history::chats(&self.local.records)? {
            if chat.peer() == Some(who) && chat.verified != verified {
                chat.verified = verified;
                self.put_chat(&chat)?;
            }
            if chat.kind == ConversationKind::OwnDevices && chat.state == State::Open {
                self.queue(chat.cid, Content::Safety { primary: who, verified })?;
            }
        }
        Ok(())
    }

    pub(crate) fn is_verified(&self, who: PublicKey) -> Result<bool, CliError> {
        let draft = Draft::new(&self.local.records);
        Ok(people::person(&draft, who)?.is_some_and(|person| person.verified_at.is_some()))
    }

    /// Digits that are equal on all devices of the conversation with somebody exactly when nobody has split it; `None`:
    /// there is none.
    pub(crate) fn epoch_code(&self, who: PublicKey) -> Result<Option<String>, CliError> {
        let chats = history::chats(&self.local.records)?;
        let with =
            chats.iter().find(|chat| chat.kind == ConversationKind::Direct && chat.peer() == Some(who));
        with.map_or(Ok(None), |chat| self.epoch_code_of(chat.cid))
    }

    /// The same of any conversation.
    pub(crate) fn epoch_code_of(&self, cid: ConversationId) -> Result<Option<String>, CliError> {
        let view = self.engine.conversation(cid).map_err(CliError::Engine)?;
        if view.is_none_or(|view| view.standing != Standing::Active) {
            return Ok(None);
        }
        let authenticator = self.engine.epoch_authenticator(cid).map_err(CliError::Engine)?;
        Ok(Some(crate::chat::safety::epoch_code(&authenticator)))
    }

    /// Sends what a deed has left to be sent, and reads what the log made of it.
    async fn finish_deed(&mut self) -> Result<(), CliError> {
        self.flush().await?;
        self.sync().await?;
        if self.rooms_changed {
            self.publish_rooms().await?;
        }
        Ok(())
    }

    async fn keep_up_quietly(&mut self) -> Result<(), CliError> {
        match self.keep_up().await {
            Ok(()) => Ok(()),
            Err(error) => self.note_offline(error),
        }
    }

    fn request_of(&self, who: PublicKey) -> Result<crate::chat::model::Chat, CliError> {
        let chats = history::chats(&self.local.records)?;
        let request = chats.into_iter().find(|chat| chat.state == State::Request && chat.peer() == Some(who));
        let name = self.names()?.handle(who);
        request.ok_or(CliError::NoRequest { name })
    }

    fn require_group(&self, cid: ConversationId) -> Result<crate::chat::model::Chat, CliError> {
        let chat = self.local.chat(cid)?;
        match (&chat.state, chat.kind) {
            (State::Left, _) => Err(CliError::LeftChat),
            (_, ConversationKind::Group) => Ok(chat),
            _ => Err(CliError::NothingToChange { what: "only groups change their people" }),
        }
    }

    fn require_admin(&self, cid: ConversationId) -> Result<(), CliError> {
        let chat = self.require_group(cid)?;
        let has_admin = chat.admins.iter().any(|admin| chat.members.contains(admin));
        if !has_admin || chat.admins.contains(&self.me()) { Ok(()) } else { Err(CliError::NotAnAdmin) }
    }
}

fn group_name(name: &str) -> Result<String, CliError> {
    let name = name.trim();
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(CliError::NothingToChange { what: "a group's name has 64 characters at most" });
    }
    Ok(name.to_owned())
}

fn who_address(who: &Who, server: &kez_core::ServerName) -> String {
    match who {
        Who::Handle(handle) => format!("{handle}@{server}"),
        _ => who_text(who),
    }
}
