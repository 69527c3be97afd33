//! What is on the screen, and what keys and news do to it. Nothing here draws or waits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use kez_core::ConversationId;

use super::commands::{self, Command};
use super::input::Input;
use crate::chat::model::{Chat, Message, Queued, State};
use crate::chat::talk::{News, Wish};
use crate::chat::words::Names;

/// Entries of a conversation that are asked for at once.
pub(super) const PAGE: usize = 200;

/// The state of the screen.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) chats: Vec<Chat>,
    pub(super) names: Names,
    pub(super) current: Option<ConversationId>,
    /// Entries of the conversations that were looked at, oldest first, by number.
    pub(super) entries: BTreeMap<ConversationId, BTreeMap<u64, Message>>,
    pub(super) queue: Vec<Queued>,
    pub(super) input: Input,
    /// Lines that are scrolled back from the end.
    pub(super) scroll: usize,
    /// Whether there may be more entries before the first one that is here.
    has_more: BTreeMap<ConversationId, bool>,
    /// Why the server is not reached; `None`: it is.
    pub(super) offline: Option<String>,
    /// What was told last: stays until the next key.
    pub(super) told: Vec<String>,
    /// Whether the list of conversations is shown where there is no room for both.
    pub(super) shows_list: bool,
    /// Whether the terminal's window is looked at.
    has_focus: bool,
}

/// What a key leads to.
#[derive(Debug)]
pub(super) enum Deed {
    Wish(Wish),
    Quit,
}

impl Screen {
    pub(super) fn new(current: Option<ConversationId>) -> Self {
        Self { current, has_focus: true, shows_list: current.is_none(), ..Self::default() }
    }

    /// The conversation that is shown.
    pub(super) fn chat(&self) -> Option<&Chat> {
        self.chats.iter().find(|chat| Some(chat.cid) == self.current)
    }

    /// Takes news in; what is to be asked for because of them.
    pub(super) fn hear(&mut self, news: News) -> Vec<Wish> {
        match news {
            News::Online(state) => self.offline = state.err(),
            News::Chats { chats, names } => {
                (self.chats, self.names) = (chats, names);
                if self.current.is_none() {
                    self.current = self.chats.first().map(|chat| chat.cid);
                }
                return self.look();
            }
            News::Entries { cid, before, entries } => {
                self.has_more.insert(cid, entries.len() >= PAGE);
                let known = self.entries.entry(cid).or_default();
                if before.is_none() {
                    known.clear();
                }
                known.extend(entries.into_iter().map(|entry| (entry.seq, entry)));
                return self.look();
            }
            News::Entry { cid, entry } => {
                // A conversation that was not looked at yet is loaded whole when it is.
                if let Some(known) = self.entries.get_mut(&cid) {
                    known.insert(entry.seq, entry);
                }
                return self.look();
            }
            News::Queue(queue) => self.queue = queue,
            News::Opened(cid) => return self.go_to(cid),
            News::Told(lines) => self.told = lines,
            News::Failed(failure) => {
                self.told = std::iter::once(failure.message).chain(failure.help).collect();
            }
        }
        Vec::new()
    }

    /// What a key does.
    pub(super) fn press(&mut self, key: KeyEvent) -> Vec<Deed> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        let had_told = !std::mem::take(&mut self.told).is_empty();
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('c' | 'q') if control => return vec![Deed::Quit],
            KeyCode::Esc if !had_told => self.shows_list = !self.shows_list,
            KeyCode::Tab => return self.step(1),
            KeyCode::BackTab => return self.step(-1),
            KeyCode::Char('n') if control => return self.step(1),
            KeyCode::Char('p') if control => return self.step(-1),
            KeyCode::Down if self.shows_list => return self.step(1),
            KeyCode::Up if self.shows_list => return self.step(-1),
            KeyCode::PageUp => return self.scroll_back(10),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::Up => return self.scroll_back(1),
            KeyCode::Down => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Enter if alt || key.modifiers.contains(KeyModifiers::SHIFT) => self.input.insert("\n"),
            KeyCode::Char('j') if control => self.input.insert("\n"),
            KeyCode::Enter => return self.enter(),
            KeyCode::Backspace => self.input.backspace(),
            KeyCode::Delete => self.input.delete(),
            KeyCode::Left => self.input.left(),
            KeyCode::Right => self.input.right(),
            KeyCode::Home => self.input.home(),
            KeyCode::End => self.input.end(),
            KeyCode::Char('a') if control => self.input.home(),
            KeyCode::Char('e') if control => self.input.end(),
            KeyCode::Char('u') if control => self.input.delete_to_start(),
            KeyCode::Char('w') if control => self.input.delete_word(),
            KeyCode::Char(c) if !control => {
                self.shows_list = false;
                self.input.insert(&c.to_string());
            }
            _ => {}
        }
        Vec::new()
    }

    /// Text that comes at once.
    pub(super) fn paste(&mut self, text: &str) {
        self.input.insert(&text.replace("\r\n", "\n").replace('\r', "\n"));
    }

    /// Whether the window is looked at: what comes meanwhile is unread.
    pub(super) fn focus(&mut self, has_focus: bool) -> Vec<Wish> {
        self.has_focus = has_focus;
        self.look()
    }

    fn enter(&mut self) -> Vec<Deed> {
        if self.shows_list && self.input.is_empty() {
            self.shows_list = false;
            return Vec::new();
        }
        let text = self.input.take();
        if text.trim().is_empty() {
            return Vec::new();
        }
        self.scroll = 0;
        let Some(line) = text.strip_prefix('/') else { return self.say(text) };
        match commands::parse(line, self.chat()) {
            Ok(Command::Quit) => vec![Deed::Quit],
            Ok(Command::Help) => {
                self.told = commands::HELP.lines().map(str::to_owned).collect();
                Vec::new()
            }
            Ok(Command::Wish(wish)) => vec![Deed::Wish(wish)],
            Err(words) => {
                self.told = vec![words];
                self.input.insert(&text);
                Vec::new()
            }
        }
    }

    fn say(&mut self, text: String) -> Vec<Deed> {
        let refusal = match self.chat().map(|chat| (&chat.state, chat.cid)) {
            None => "there is no conversation yet: /new bob begins one",
            Some((State::Open | State::Asked, cid)) => {
                return vec![Deed::Wish(Wish::Say { cid, text })];
            }
            Some((State::Request, _)) => "answer first: /accept, /decline or /block",
            Some((State::Left, _)) => "you are no longer in this conversation",
            Some((State::Frozen { .. }, _)) => "this conversation is stopped; see the last notice",
        };
        self.told = vec![refusal.into()];
        self.input.insert(&text);
        Vec::new()
    }

    fn step(&mut self, by: isize) -> Vec<Deed> {
        let count = self.chats.len();
        let at = self.chats.iter().position(|chat| Some(chat.cid) == self.current).unwrap_or(0);
        let Some(next) = at.checked_add_signed(by).map(|next| next.min(count.saturating_sub(1))) else {
            return Vec::new();
        };
        let Some(cid) = self.chats.get(next).map(|chat| chat.cid) else { return Vec::new() };
        self.go_to(cid).into_iter().map(Deed::Wish).collect()
    }

    fn go_to(&mut self, cid: ConversationId) -> Vec<Wish> {
        self.current = Some(cid);
        self.scroll = 0;
        self.look()
    }

    /// Asks for what is to be shown, and tells what is being read.
    fn look(&mut self) -> Vec<Wish> {
        let Some(chat) = self.chat() else { return Vec::new() };
        let (cid, read_seq, unread) = (chat.cid, chat.read_seq, chat.unread);
        let Some(known) = self.entries.get(&cid) else {
            self.entries.insert(cid, BTreeMap::new());
            return vec![Wish::Load { cid, before: None }];
        };
        let newest = known.last_key_value().map_or(0, |(seq, _)| *seq);
        if self.has_focus && self.scroll == 0 && unread > 0 && newest > read_seq {
            return vec![Wish::MarkRead { cid, seq: newest }];
        }
        Vec::new()
    }

    fn scroll_back(&mut self, lines: usize) -> Vec<Deed> {
        self.scroll += lines;
        Vec::new()
    }

    /// Keeps the scrolling within `lines_max`, and asks for older entries where its end is reached.
    pub(super) fn bound_scroll(&mut self, lines_max: usize) -> Option<Wish> {
        if self.scroll < lines_max {
            return None;
        }
        self.scroll = lines_max;
        let cid = self.current?;
        let first = self.entries.get(&cid)?.first_key_value().map(|(seq, _)| *seq)?;
        let has_more = self.has_more.get_mut(&cid)?;
        if lines_max > 0 && std::mem::take(has_more) {
            return Some(Wish::Load { cid, before: Some(first) });
        }
        None
    }
}

/// Where files are saved: where kez was started.
pub(super) fn here() -> PathBuf {
    PathBuf::from(".")
}
