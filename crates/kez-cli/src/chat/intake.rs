//! What frames of others do to the history: decided here, written by whoever owns the batch.

use std::collections::BTreeSet;

use kez_core::{ConversationId, ConversationKind, DeviceId, MessageId, PublicKey, Timestamp};
use kez_e2e::{Content as Said, File, Payload};

use super::history;
use super::model::{Chat, Content, FileRef, Message, Notice, Reply};
use super::people;
use crate::records::{Draft, RecordsError};

/// How far back a "read up to here" is noted, in entries.
const READ_BACK: usize = 500;
/// The longest name of a group, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 64;
/// The longest reaction, in bytes: an emoji of several parts.
pub(crate) const EMOJI_BYTES_MAX: usize = 64;

/// Where a frame stands, and who sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) cid: ConversationId,
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    pub(crate) mid: MessageId,
    pub(crate) from: PublicKey,
    pub(crate) device: Option<DeviceId>,
}

/// What a frame led to.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Entries that are new or have changed.
    pub(crate) entries: Vec<Message>,
    /// Somebody is to be removed, because they asked for it.
    pub(crate) leaver: Option<PublicKey>,
    /// Its sender wants to know that it has arrived.
    pub(crate) to_confirm: Option<MessageId>,
}

impl Place {
    /// An entry at this place.
    pub(crate) fn entry(&self, content: Content) -> Message {
        Message {
            seq: self.seq,
            mid: self.mid,
            at: self.at,
            from: self.from,
            device: self.device,
            content,
            edited: false,
            reactions: std::collections::BTreeMap::new(),
            delivered: BTreeSet::new(),
            read: BTreeSet::new(),
        }
    }
}

/// Takes in what somebody said, perhaps this account on another device.
pub(crate) fn said(
    draft: &mut Draft<'_>,
    chat: &mut Chat,
    place: Place,
    payload: Payload,
    me: PublicKey,
) -> Result<Effects, RecordsError> {
    let mut effects = Effects::default();
    match payload.content {
        Said::Text { body, reply_to } => {
            let reply_to = reply_to.map(|reply| Reply { mid: reply.mid, quote: reply.quote });
            add(draft, chat, place, Content::Text { body, reply_to }, me, &mut effects)?;
        }
        Said::Attachment { files, body } => {
            let files = files.into_iter().map(file).collect();
            add(draft, chat, place, Content::Files { files, body }, me, &mut effects)?;
        }
        Said::Unknown { t, .. } => add(draft, chat, place, Content::Newer { what: t }, me, &mut effects)?,
        Said::Reaction { target, emoji, on } => {
            react(draft, place, target, &emoji, on, &mut effects)?;
        }
        Said::Edit { target, body } => edit(draft, place, target, body, &mut effects)?,
        Said::Delete { target } => delete(draft, place, target, &mut effects)?,
        Said::Receipt { mids } => confirmed(draft, place, &mids, me, &mut effects)?,
        Said::Read { up_to } => read(draft, chat, place, up_to, me, &mut effects)?,
        Said::Group { name } => rename(draft, chat, place, &name, me, &mut effects)?,
        Said::Leave {} => {
            note(draft, chat, place, Notice::Leaving, me, &mut effects)?;
            effects.leaver = Some(place.from);
        }
        Said::Safety { primary, verified } if chat.kind == ConversationKind::OwnDevices => {
            let known = people::person(draft, primary)?;
            let mut person = known.unwrap_or_else(|| people::Person::new(primary));
            person.verified_at = verified.then_some(place.at);
            people::put(draft, &person);
        }
        _ => {}
    }
    Ok(effects)
}

/// Adds a notice.
pub(crate) fn note(
    draft: &mut Draft<'_>,
    chat: &mut Chat,
    place: Place,
    notice: Notice,
    me: PublicKey,
    effects: &mut Effects,
) -> Result<(), RecordsError> {
    add(draft, chat, place, Content::Notice(notice), me, effects)
}

fn add(
    draft: &mut Draft<'_>,
    chat: &mut Chat,
    place: Place,
    content: Content,
    me: PublicKey,
    effects: &mut Effects,
) -> Result<(), RecordsError> {
    let entry = place.entry(content);
    history::add(draft, chat, &entry, me)?;
    if place.from != me && entry.content.is_said() {
        effects.to_confirm = Some(place.mid);
    }
    effects.entries.push(entry);
    Ok(())
}

fn react(
    draft: &mut Draft<'_>,
    place: Place,
    target: MessageId,
    emoji: &str,
    on: bool,
    effects: &mut Effects,
) -> Result<(), RecordsError> {
    if emoji.is_empty() || emoji.len() > EMOJI_BYTES_MAX {
        return Ok(());
    }
    let Some(mut entry) = history::message(draft, place.cid, target)? else { return Ok(()) };
    let who = entry.reactions.entry(emoji.to_owned()).or_default();
    let has_changed = if on { who.insert(place.from) } else { who.remove(&place.from) };
    if who.is_empty() {
        entry.reactions.remove(emoji);
    }
    if has_changed {
        changed(draft, place.cid, entry, effects);
    }
    Ok(())
}

/// Only its own author changes what was said.
fn edit(
    draft: &mut Draft<'_>,
    place: Place,
    target: MessageId,
    body: String,
    effects: &mut Effects,
) -> Result<(), RecordsError> {
    let Some(mut entry) = history::message(draft, place.cid, target)? else { return Ok(()) };
    if entry.from != place.from {
        return Ok(());
    }
    match &mut entry.content {
        Content::Text { body: old, .. } => *old = body,
        Content::Files { body: old, .. } => *old = Some(body),
        _ => return Ok(()),
    }
    entry.edited = true;
    changed(draft, place.cid, entry, effects);
    Ok(())
}

fn delete(
    draft: &mut Draft<'_>,
    place: Place,
    target: MessageId,
    effects: &mut Effects,
) -> Result<(), RecordsError> {
    let Some(mut entry) = history::message(draft, place.cid, target)? else { return Ok(()) };
    if entry.from != place.from || !entry.content.is_said() {
        return Ok(());
    }
    entry.content = Content::Deleted;
    entry.edited = false;
    entry.reactions.clear();
    changed(draft, place.cid, entry, effects);
    Ok(())
}

fn confirmed(
    draft: &mut Draft<'_>,
    place: Place,
    mids: &[MessageId],
    me: PublicKey,
    effects: &mut Effects,
) -> Result<(), RecordsError> {
    for mid in mids {
        let Some(mut entry) = history::message(draft, place.cid, *mid)? else { continue };
        if entry.from == me && place.from != me && entry.delivered.insert(place.from) {
            changed(draft, place.cid, entry, effects);
        }
    }
    Ok(())
}

fn read(
    draft: &mut Draft<'_>,
    chat: &mut Chat,
    place: Place,
    up_to: u64,
    me: PublicKey,
    effects: &mut Effects,
) -> Result<(), RecordsError> {
    // Nobody has read what was not said yet.
    let up_to = up_to.min(chat.newest_seq);
    if place.from == me {
        history::mark_read(draft, chat, up_to, me)?;
        return Ok(());
    }
    for mut entry in history::before(draft, place.cid, up_to, READ_BACK)? {
        if entry.from != me || !entry.content.is_said() {
            continue;
        }
        if !entry.read.insert(place.from) {
            break;
        }
        entry.delivered.insert(place.from);
        changed(draft, place.cid, entry, effects);
    }
    Ok(())
}

fn rename(
    draft: &mut Draft<'_>,
    chat: &mut Chat,
    place: Place,
    name: &str,
    me: PublicKey,
    effects: &mut Effects,
) -> Result<(), RecordsError> {
    let may =
        chat.kind == ConversationKind::Group && (chat.admins.is_empty() || chat.admins.contains(&place.from));
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    if !may || chat.name.as_deref() == Some(name.as_str()) {
        return Ok(());
    }
    chat.name = Some(name.clone());
    note(draft, chat, place, Notice::Renamed { name }, me, effects)
}

fn changed(draft: &mut Draft<'_>, cid: ConversationId, entry: Message, effects: &mut Effects) {
    history::change(draft, cid, &entry);
    effects.entries.push(entry);
}

pub(crate) fn file(file: File) -> FileRef {
    FileRef { blob: file.blob, key: file.key, size: file.size, name: file.name, mime: file.mime }
}
