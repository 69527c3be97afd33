//! The screen as it looks, and what keys do, without a terminal or a server.

use std::collections::{BTreeMap, BTreeSet};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use kez_core::{ConversationId, ConversationKind, MessageId, PublicKey, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::{self, Theme};
use super::screen::{Deed, Screen};
use crate::chat::model::{Chat, Content, Message, Notice, State};
use crate::chat::talk::{News, Wish};
use crate::chat::words::Names;

const DIRECT: ConversationId = ConversationId::from_bytes([1; 16]);
const GROUP: ConversationId = ConversationId::from_bytes([2; 16]);

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + second, 0).unwrap()
}

fn names() -> Names {
    let mut names = Names { me: Some(key(1)), server: Some("kez.lat".parse().unwrap()), ..Names::default() };
    names.known.insert(key(2), "bob@kez.lat".parse().unwrap());
    names.known.insert(key(3), "carol@kez.lat".parse().unwrap());
    names
}

fn chat(cid: ConversationId, kind: ConversationKind) -> Chat {
    let is_direct = kind == ConversationKind::Direct;
    Chat {
        cid,
        kind,
        state: State::Open,
        name: (!is_direct).then(|| "hiking".into()),
        members: if is_direct { [key(1), key(2)].into() } else { [key(1), key(2), key(3)].into() },
        devices: BTreeSet::new(),
        peer: is_direct.then(|| key(2)),
        admins: BTreeSet::new(),
        newest_seq: 0,
        newest_at: None,
        read_seq: 0,
        unread: 0,
        verified: false,
        kept: 0,
    }
}

fn entry(seq: u64, from: PublicKey, content: Content) -> Message {
    Message {
        seq,
        mid: MessageId::from_bytes(u128::from(seq).to_be_bytes()),
        at: at(i64::try_from(seq).unwrap()),
        from,
        device: None,
        content,
        edited: false,
        reactions: BTreeMap::new(),
        delivered: BTreeSet::new(),
        read: BTreeSet::new(),
    }
}

fn text(seq: u64, from: PublicKey, body: &str) -> Message {
    entry(seq, from, Content::Text { body: body.into(), reply_to: None })
}

fn screen() -> Screen {
    let mut screen = Screen::new(None);
    let chats = vec![chat(DIRECT, ConversationKind::Direct), chat(GROUP, ConversationKind::Group)];
    let asked = screen.hear(News::Chats { chats, names: names() });
    assert!(matches!(asked.as_slice(), [Wish::Load { cid: DIRECT, before: None }]), "{asked:?}");
    let begun = entry(1, key(1), Content::Notice(Notice::Begun));
    let entries =
        vec![begun, text(2, key(1), "Hello, Bob"), text(3, key(2), "Hello, Alice. How are you today?")];
    screen.hear(News::Entries { cid: DIRECT, before: None, entries });
    screen.shows_list = false;
    screen
}

fn drawn(screen: &Screen, columns: u16, rows: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| {
        draw::draw(frame, screen, at(10), Theme { colours: false });
    };
    terminal.draw(draw).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| -> String { (0..columns).map(|x| buffer[(x, y)].symbol()).collect() };
    (0..rows).map(|y| row(y).trim_end().to_owned()).collect()
}

fn type_line(screen: &mut Screen, line: &str) -> Vec<Deed> {
    screen.paste(line);
    press(screen, KeyCode::Enter)
}

fn press(screen: &mut Screen, code: KeyCode) -> Vec<Deed> {
    screen.press(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn a_wide_screen_has_the_list_beside_what_was_said() {
    let rows = drawn(&screen(), 80, 10);
    assert!(rows[0].starts_with("Conversations") && rows[0].contains("│bob"), "{rows:#?}");
    assert!(rows[1].starts_with("> bob") && rows[2].starts_with("  hiking"), "{rows:#?}");
    let body = rows.join("\n");
    assert!(body.contains("· you began this conversation") && body.contains("  Hello, Bob"), "{body}");
    assert!(rows[7].contains("  Hello, Alice. How are you today?"), "the newest is at the bottom: {rows:#?}");
    assert!(rows[8].contains("─ /help ─") && rows[9].ends_with("│>"), "{rows:#?}");
}

#[test]
fn a_narrow_screen_has_one_of_both() {
    let mut screen = screen();
    let rows = drawn(&screen, 30, 10);
    assert!(rows[0].starts_with("bob") && rows[6].starts_with("  Hello, Alice. How are you"), "{rows:#?}");
    press(&mut screen, KeyCode::Esc);
    assert!(drawn(&screen, 30, 10)[1].starts_with("> bob"));
}

#[test]
fn the_smallest_screens_do_not_end_the_program() {
    for (columns, rows) in [(1, 1), (2, 3), (5, 2), (71, 1), (70, 4)] {
        drawn(&screen(), columns, rows);
    }
}

#[test]
fn what_is_typed_is_said_where_one_is() {
    let mut screen = screen();
    let said = type_line(&mut screen, "Fine, thanks");
    assert!(
        matches!(said.as_slice(), [Deed::Wish(Wish::Say { cid: DIRECT, text, .. })] if text == "Fine, thanks"),
        "{said:?}"
    );
    let next = press(&mut screen, KeyCode::Tab);
    assert!(matches!(next.as_slice(), [Deed::Wish(Wish::Load { cid: GROUP, .. })]), "{next:?}");
    assert!(
        type_line(&mut screen, "/leave")
            .iter()
            .any(|deed| matches!(deed, Deed::Wish(Wish::Leave { cid: GROUP })))
    );
    assert!(matches!(type_line(&mut screen, "/quit").as_slice(), [Deed::Quit]));
}

#[test]
fn a_request_is_answered_before_anything_is_said() {
    let mut screen = screen();
    let request = Chat { state: State::Request, ..chat(DIRECT, ConversationKind::Direct) };
    screen.hear(News::Chats { chats: vec![request], names: names() });
    assert!(drawn(&screen, 80, 10)[8].contains("bob wants to talk: /accept  /decline  /block"));
    assert!(type_line(&mut screen, "Hello").is_empty());
    assert_eq!((screen.input.text().as_str(), screen.told.len()), ("Hello", 1), "what was typed is kept");
}

#[test]
fn what_is_seen_is_read_and_what_is_not_seen_stays_unread() {
    let mut screen = screen();
    screen.focus(false);
    let unread = Chat { unread: 1, newest_seq: 4, read_seq: 3, ..chat(DIRECT, ConversationKind::Direct) };
    screen.hear(News::Chats { chats: vec![unread], names: names() });
    let asked = screen.hear(News::Entry { cid: DIRECT, entry: text(4, key(2), "Are you there?") });
    assert!(asked.is_empty(), "{asked:?}");
    let asked = screen.focus(true);
    assert!(matches!(asked.as_slice(), [Wish::MarkRead { cid: DIRECT, seq: 4 }]), "{asked:?}");
}

#[test]
fn nothing_that_people_say_or_are_called_drives_the_terminal() {
    let mut screen = screen();
    screen.hear(News::Entry { cid: DIRECT, entry: text(9, key(2), "\u{1b}[2J\u{9b}31m\u{202e}x") });
    let named = Chat { name: Some("\u{1b}]0;x\u{7}".into()), ..chat(GROUP, ConversationKind::Group) };
    screen.hear(News::Chats { chats: vec![chat(DIRECT, ConversationKind::Direct), named], names: names() });
    let all = drawn(&screen, 100, 12).join("\n");
    assert!(all.contains("\\u{1b}[2J") && !all.chars().any(|c| c.is_control() && c != '\n'), "{all}");
}

#[test]
fn scrolling_back_stops_at_the_first_line_and_asks_for_more_there() {
    let mut screen = screen();
    let entries: Vec<_> = (1..=200).map(|seq| text(seq, key(2), "a line")).collect();
    screen.hear(News::Entries { cid: DIRECT, before: None, entries });
    screen.scroll = 100_000;
    let asked = screen.bound_scroll(190);
    assert!(matches!(asked, Some(Wish::Load { cid: DIRECT, before: Some(1) })), "{asked:?}");
    assert_eq!((screen.scroll, screen.bound_scroll(190).is_none()), (190, true), "asked once");
}
