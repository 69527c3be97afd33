//! Conversations and what was said in them, as records of this device.
//!
//! Search decrypts and reads one entry after the other. An index would have to be sealed word by word, and whoever
//! copies the file would learn from it how often words come, and which messages share them. ADR 0020.

use kez_core::{ConversationId, MessageId, PublicKey};

use super::model::{Chat, Content, Message};
use crate::records::{Draft, Records, RecordsError};

/// Entries of one conversation that are kept; of more the oldest go.
const MESSAGES_MAX: u64 = 100_000;
/// How many go at once then.
const MESSAGES_DROPPED: u64 = 1_000;
/// Entries that are counted as unread when only some of them were read.
const UNREAD_MAX: usize = 1_000;

const CHAT: u8 = b'c';
const MESSAGE: u8 = b'm';
const PLACE: u8 = b'x';

/// All conversations, the one with the newest entry first.
pub(crate) fn chats(records: &Records) -> Result<Vec<Chat>, RecordsError> {
    let mut chats = Vec::new();
    for (_, value) in records.load(&[CHAT])? {
        chats.push(records.parse::<Chat>(&value)?);
    }
    chats.sort_by_key(|chat| std::cmp::Reverse((chat.newest_at, chat.cid)));
    Ok(chats)
}

/// One conversation.
pub(crate) fn chat(draft: &Draft<'_>, cid: ConversationId) -> Result<Option<Chat>, RecordsError> {
    draft.read(&chat_key(cid))
}

/// Writes a conversation.
pub(crate) fn put_chat(draft: &mut Draft<'_>, chat: &Chat) {
    draft.write(chat_key(chat.cid), chat);
}

/// The newest `limit` entries before number `before`, oldest first.
pub(crate) fn messages(
    records: &Records,
    cid: ConversationId,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Message>, RecordsError> {
    let before = before.map(|seq| message_key(cid, seq));
    let mut raw = Vec::new();
    records.each_back(&message_prefix(cid), before.as_deref(), |_, value| {
        raw.push(value);
        raw.len() < limit
    })?;
    raw.iter().rev().map(|value| records.parse(value)).collect()
}

/// The entry with this message id.
pub(crate) fn message(
    draft: &Draft<'_>,
    cid: ConversationId,
    mid: MessageId,
) -> Result<Option<Message>, RecordsError> {
    let Some(place) = draft.get(&place_key(cid, mid))? else { return Ok(None) };
    let Ok(seq) = place.try_into().map(u64::from_be_bytes) else { return Ok(None) };
    draft.read(&message_key(cid, seq))
}

/// The newest `limit` entries up to number `seq`, newest first, as the draft has them.
pub(crate) fn before(
    draft: &Draft<'_>,
    cid: ConversationId,
    seq: u64,
    limit: usize,
) -> Result<Vec<Message>, RecordsError> {
    draft
        .load_back(&message_prefix(cid), &message_key(cid, seq.saturating_add(1)), limit)?
        .iter()
        .map(|value| draft.parse(value))
        .collect()
}

/// Adds an entry and counts it in its conversation, which is written too.
pub(crate) fn add(
    draft: &mut Draft<'_>,
    chat: &mut Chat,
    message: &Message,
    me: PublicKey,
) -> Result<(), RecordsError> {
    let key = message_key(chat.cid, message.seq);
    let is_new = draft.get(&key)?.is_none();
    draft.write(key, message);
    draft.put(place_key(chat.cid, message.mid), message.seq.to_be_bytes().to_vec());
    if is_new {
        chat.kept += 1;
        if chat.newest_seq <= message.seq {
            (chat.newest_seq, chat.newest_at) = (message.seq, Some(message.at));
        }
        if message.from != me && message.content.is_said() && message.seq > chat.read_seq {
            chat.unread += 1;
        }
    }
    if chat.kept > MESSAGES_MAX {
        drop_oldest(draft, chat)?;
    }
    put_chat(draft, chat);
    Ok(())
}

/// Writes an entry that was there, changed.
pub(crate) fn change(draft: &mut Draft<'_>, cid: ConversationId, message: &Message) {
    draft.write(message_key(cid, message.seq), message);
}

/// Notes that everything up to `seq` was read; whether that is news.
pub(crate) fn mark_read(
    draft: &mut Draft<'_>,
    chat: &mut Chat,
    seq: u64,
    me: PublicKey,
) -> Result<bool, RecordsError> {
    if seq <= chat.read_seq {
        return Ok(false);
    }
    chat.read_seq = seq;
    chat.unread = 0;
    if seq < chat.newest_seq {
        for message in before(draft, chat.cid, u64::MAX, UNREAD_MAX)? {
            if message.seq <= seq {
                break;
            }
            chat.unread += u32::from(message.from != me && message.content.is_said());
        }
    }
    put_chat(draft, chat);
    Ok(true)
}

/// What a search found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) cid: ConversationId,
    pub(crate) message: Message,
}

/// The newest `limit` entries that have every word of `words`, wherever it stands and in whatever case.
pub(crate) fn search(
    records: &Records,
    within: Option<ConversationId>,
    words: &str,
    limit: usize,
) -> Result<Vec<Found>, RecordsError> {
    let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    let mut found = Vec::new();
    let chats = match within {
        Some(cid) => vec![cid],
        None => chats(records)?.into_iter().map(|chat| chat.cid).collect(),
    };
    for cid in chats {
        let mut fault = None;
        let mut of_chat = 0;
        records.each_back(&message_prefix(cid), None, |_, value| {
            match records.parse::<Message>(&value) {
                Ok(message) if has_words(&message.content, &words) => {
                    found.push(Found { cid, message });
                    of_chat += 1;
                }
                Ok(_) => {}
                Err(error) => fault = Some(error),
            }
            of_chat < limit && fault.is_none()
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
    }
    found.sort_by_key(|found| std::cmp::Reverse(found.message.at));
    found.truncate(limit);
    Ok(found)
}

fn has_words(content: &Content, words: &[String]) -> bool {
    let mut text: Vec<String> = content.words().map(str::to_lowercase).into_iter().collect();
    text.extend(content.file_names().map(str::to_lowercase));
    !text.is_empty() && words.iter().all(|word| text.iter().any(|text| text.contains(word)))
}

fn drop_oldest(draft: &mut Draft<'_>, chat: &mut Chat) -> Result<(), RecordsError> {
    let oldest: Vec<_> = draft.load(&message_prefix(chat.cid))?;
    for (key, value) in oldest.into_iter().take(usize::try_from(MESSAGES_DROPPED).unwrap_or(usize::MAX)) {
        if let Ok(message) = serde_json::from_slice::<Message>(&value) {
            draft.delete(place_key(chat.cid, message.mid));
        }
        draft.delete(key);
        chat.kept -= 1;
    }
    Ok(())
}

fn chat_key(cid: ConversationId) -> Vec<u8> {
    [&[CHAT], cid.as_bytes().as_slice()].concat()
}

fn message_prefix(cid: ConversationId) -> Vec<u8> {
    [&[MESSAGE], cid.as_bytes().as_slice()].concat()
}

fn message_key(cid: ConversationId, seq: u64) -> Vec<u8> {
    [message_prefix(cid), seq.to_be_bytes().to_vec()].concat()
}

fn place_key(cid: ConversationId, mid: MessageId) -> Vec<u8> {
    [&[PLACE], cid.as_bytes().as_slice(), mid.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use kez_core::{ConversationKind, Timestamp};

    use super::*;
    use crate::chat::model::State;

    const CID: ConversationId = ConversationId::from_bytes([1; 16]);

    fn person(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    fn records() -> (tempfile::TempDir, Records) {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(&dir.path().join("store.db"), &[7; 32]).unwrap();
        (dir, records)
    }

    fn empty(cid: ConversationId) -> Chat {
        Chat {
            cid,
            kind: ConversationKind::Direct,
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

    fn text(seq: u64, from: PublicKey, body: &str) -> Message {
        Message {
            seq,
            mid: MessageId::from_bytes(u128::from(seq).to_be_bytes()),
            at: Timestamp::from_unix(i64::try_from(seq).unwrap(), 0).unwrap(),
            from,
            device: None,
            content: Content::Text { body: body.into(), reply_to: None },
            edited: false,
            reactions: BTreeMap::new(),
            delivered: BTreeSet::new(),
            read: BTreeSet::new(),
        }
    }

    fn say(records: &mut Records, chat: &mut Chat, messages: &[Message]) {
        let mut draft = Draft::new(records);
        for message in messages {
            add(&mut draft, chat, message, person(1)).unwrap();
        }
        let batch = draft.into_batch();
        records.commit(&batch).unwrap();
    }

    #[test]
    fn entries_are_read_from_the_newest_back_and_found_by_their_id() {
        let (_dir, mut records) = records();
        let mut chat = empty(CID);
        let said: Vec<_> = (1..=5).map(|seq| text(seq * 2, person(2), "hi")).collect();
        say(&mut records, &mut chat, &said);
        let seqs = |before, limit| -> Vec<u64> {
            messages(&records, CID, before, limit).unwrap().iter().map(|message| message.seq).collect()
        };
        assert_eq!((seqs(None, 2), seqs(Some(8), 10)), (vec![8, 10], vec![2, 4, 6]));
        let draft = Draft::new(&records);
        assert_eq!(message(&draft, CID, said[2].mid).unwrap(), Some(said[2].clone()));
        assert_eq!(message(&draft, ConversationId::from_bytes([9; 16]), said[2].mid).unwrap(), None);
    }

    #[test]
    fn what_others_said_is_unread_until_it_is_read() {
        let (_dir, mut records) = records();
        let mut chat = empty(CID);
        let said = [text(1, person(2), "a"), text(2, person(1), "mine"), text(3, person(2), "b")];
        say(&mut records, &mut chat, &said);
        assert_eq!((chat.unread, chat.newest_seq), (2, 3));
        let mut draft = Draft::new(&records);
        assert!(mark_read(&mut draft, &mut chat, 1, person(1)).unwrap());
        assert_eq!(chat.unread, 1);
        assert!(!mark_read(&mut draft, &mut chat, 1, person(1)).unwrap());
        assert!(mark_read(&mut draft, &mut chat, 3, person(1)).unwrap());
        assert_eq!(chat.unread, 0);
        say(&mut records, &mut chat, &said[..1]);
        assert_eq!((chat.unread, chat.kept), (0, 3), "the same again is no news");
    }

    #[test]
    fn a_search_finds_all_words_in_any_case_newest_first() {
        let (_dir, mut records) = records();
        let other = ConversationId::from_bytes([2; 16]);
        let (mut chat, mut second) = (empty(CID), empty(other));
        say(&mut records, &mut chat, &[text(1, person(2), "Über den See"), text(5, person(2), "see you")]);
        say(&mut records, &mut second, &[text(3, person(2), "über Seen und Seeen")]);
        let found = |within, words| -> Vec<u64> {
            let found = search(&records, within, words, 10).unwrap();
            found.iter().map(|found| found.message.seq).collect()
        };
        assert_eq!((found(None, "SEE"), found(None, "über see")), (vec![5, 3, 1], vec![3, 1]));
        assert_eq!((found(Some(CID), "über see"), found(None, "nobody")), (vec![1], vec![]));
        assert_eq!(search(&records, None, "see", 1).unwrap().len(), 1);
    }
}
