//! What is said, as text for people. Nothing of it can drive a terminal.

use std::collections::BTreeMap;

use jiff::Zoned;
use kez_core::{Fqhn, PublicKey, ServerName, Timestamp};

use super::model::{Chat, Content, FileRef, Message, Notice, Queued};

/// What people are called on this device.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// This account.
    pub(crate) me: Option<PublicKey>,
    /// The own home server, whose name behind the @ is left out.
    pub(crate) server: Option<ServerName>,
    pub(crate) known: BTreeMap<PublicKey, Fqhn>,
}

impl Names {
    /// `bob`, `you`, or the first digits of a key that has no name here.
    pub(crate) fn of(&self, key: PublicKey) -> String {
        if self.me == Some(key) { "you".into() } else { self.handle(key) }
    }

    /// The same without `you`.
    pub(crate) fn handle(&self, key: PublicKey) -> String {
        match self.known.get(&key) {
            Some(address) if self.server.as_ref() == Some(address.server()) => address.handle().to_string(),
            Some(address) => address.to_string(),
            None => key.short(),
        }
    }

    /// `bob and carol`, `bob, carol and dave`.
    pub(crate) fn list<'a>(&self, keys: impl IntoIterator<Item = &'a PublicKey>) -> String {
        let mut names: Vec<String> = keys.into_iter().map(|key| self.of(*key)).collect();
        let last = names.pop().unwrap_or_default();
        if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) }
    }
}

/// Text without anything that moves a cursor, hides, or reorders: those characters stand as their numbers. Line ends stay.
pub(crate) fn safe(text: &str) -> String {
    text.chars().map(safe_char).collect()
}

/// The same on one line.
pub(crate) fn safe_line(text: &str) -> String {
    safe(&text.replace(['\n', '\r'], " "))
}

fn safe_char(c: char) -> String {
    match c {
        '\n' => "\n".into(),
        '\r' => String::new(),
        '\t' => "    ".into(),
        // Joiners that emoji and some scripts need, and nothing else that cannot be seen.
        '\u{200c}' | '\u{200d}' | '\u{fe0f}' => c.to_string(),
        _ if c.is_control() || is_hidden(c) => c.escape_unicode().to_string(),
        _ => c.to_string(),
    }
}

/// Marks that hide or reorder text (Unicode `Default_Ignorable_Code_Point` and `Bidi_Control`, the ones in use).
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// An entry without who and when.
pub(crate) fn body(message: &Message, names: &Names) -> String {
    let text = match &message.content {
        Content::Text { body, .. } => safe(body),
        Content::Files { files, body } => files_text(files, body.as_deref()),
        Content::Deleted => "(taken back)".into(),
        Content::Notice(notice) => notice_text(notice, message.from, names),
        Content::Newer { what } => format!("({} from a newer version of the program)", safe_line(what)),
        Content::Unreadable => "(a message that this device cannot open)".into(),
    };
    if message.edited { format!("{text} (edited)") } else { text }
}

/// A message that waits to be sent; `None`: it is nothing that is shown.
pub(crate) fn queued(queued: &Queued) -> Option<String> {
    match &queued.content {
        Content::Text { body, .. } => Some(safe(body)),
        Content::Files { files, body } => Some(files_text(files, body.as_deref())),
        _ => None,
    }
}

/// What a conversation is called: its name, or who is in it.
pub(crate) fn title(chat: &Chat, names: &Names) -> String {
    match (&chat.name, chat.peer()) {
        (_, Some(peer)) => names.handle(peer),
        (Some(name), _) if !name.is_empty() => safe_line(name),
        _ => {
            let others: Vec<_> = chat.members.iter().filter(|key| names.me != Some(**key)).collect();
            if others.is_empty() { "only you".into() } else { names.list(others) }
        }
    }
}

/// `cat.png, 12 KiB`.
pub(crate) fn file_text(file: &FileRef) -> String {
    format!("{}, {}", safe_line(&file.name), bytes(file.size))
}

fn files_text(files: &[FileRef], body: Option<&str>) -> String {
    let files: Vec<String> = files.iter().map(|file| format!("[file: {}]", file_text(file))).collect();
    match body.filter(|body| !body.is_empty()) {
        Some(body) => format!("{}\n{}", files.join(" "), safe(body)),
        None => files.join(" "),
    }
}

fn notice_text(notice: &Notice, by: PublicKey, names: &Names) -> String {
    let who = names.of(by);
    let own = |owner: &PublicKey| match (owner == &by, names.me == Some(by)) {
        (true, true) => "your".to_owned(),
        (true, false) => "their".to_owned(),
        (false, _) => format!("{}'s", names.of(*owner)),
    };
    match notice {
        Notice::Begun => format!("{who} began this conversation"),
        Notice::Welcomed => "the conversation begins here".into(),
        Notice::Joined => "this device came in; earlier messages are on your other devices".into(),
        Notice::Added { people } => format!("{who} added {}", names.list(people)),
        Notice::Removed { people } if people.iter().eq([&by]) => format!("{who} left"),
        Notice::Removed { people } => format!("{who} removed {}", names.list(people)),
        Notice::Leaving => format!("{who} {} leaving", if names.me == Some(by) { "are" } else { "is" }),
        Notice::DeviceAdded { owner, device } => {
            format!("{who} added {} device {}", own(owner), device.short())
        }
        Notice::DeviceRemoved { owner, device } => {
            format!("{who} removed {} device {}", own(owner), device.short())
        }
        Notice::Renamed { name } => format!("{who} named the group \"{}\"", safe_line(name)),
        Notice::Admins { admins } => format!("{who} set the admins: {}", names.list(admins)),
        Notice::Repaired => "conversation repaired; something may be missing".into(),
        Notice::Missed => "older messages are not on this device".into(),
        Notice::Frozen { reason } => format!("STOPPED: {}", safe_line(reason)),
    }
}

/// `12 bytes`, `3.4 KiB`, `12 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB"];
    if count < 1024 {
        return format!("{count} byte{}", if count == 1 { "" } else { "s" });
    }
    let mut tenths = count * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths /= 1024;
        unit += 1;
    }
    if tenths < 100 {
        format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
    } else {
        format!("{} {}", tenths / 10, units[unit])
    }
}

/// A moment by the clock of this place: `14:05` today, `Mon 14:05` within a week, else `2026-05-25 14:05`.
pub(crate) fn moment(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (local(at), local(now));
    let days = (now.timestamp().as_second() - at.timestamp().as_second()) / 86_400;
    let format = match days {
        _ if at.date() == now.date() => "%H:%M",
        0..=5 => "%a %H:%M",
        _ => "%Y-%m-%d %H:%M",
    };
    at.strftime(format).to_string()
}

fn local(at: Timestamp) -> Zoned {
    let instant = jiff::Timestamp::from_second(at.unix_seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    instant.to_zoned(zone())
}

/// The time zone of this machine (`TZ`, `/etc/localtime`), else UTC.
fn zone() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_can_drive_a_terminal() {
        let text = safe("a\u{1b}[2Jb\u{9b}c\u{202e}d\u{200b}\te\r\nf👩\u{200d}🚀");
        assert_eq!(text, "a\\u{1b}[2Jb\\u{9b}c\\u{202e}d\\u{200b}    e\nf👩\u{200d}🚀");
        assert_eq!(safe_line("a\nb"), "a b");
    }

    #[test]
    fn sizes_are_short() {
        let of = |count| bytes(count);
        assert_eq!((of(0), of(1), of(1023)), ("0 bytes".into(), "1 byte".into(), "1023 bytes".into()));
        assert_eq!(
            (of(1024), of(10 * 1024), of(1024 * 1024)),
            ("1.0 KiB".into(), "10 KiB".into(), "1.0 MiB".into())
        );
        assert_eq!(of(3 << 40), "3072 GiB");
    }

    #[test]
    fn notices_say_who_did_what_to_whom() {
        let key = |byte| PublicKey::from_bytes([byte; 32]);
        let mut names =
            Names { me: Some(key(1)), server: Some("kez.lat".parse().unwrap()), ..Names::default() };
        names.known.insert(key(2), "bob@kez.lat".parse().unwrap());
        names.known.insert(key(3), "carol@example.org".parse().unwrap());
        let added = Notice::Added { people: [key(2), key(3)].into() };
        assert_eq!(notice_text(&added, key(1), &names), "you added bob and carol@example.org");
        let left = Notice::Removed { people: [key(2)].into() };
        assert_eq!(notice_text(&left, key(2), &names), "bob left");
        assert_eq!(notice_text(&left, key(3), &names), "carol@example.org removed bob");
    }
}
