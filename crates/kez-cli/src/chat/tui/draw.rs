//! The screen, drawn. Colours carry nothing that words do not say, and are left out with `NO_COLOR`.

use kez_core::{ConversationKind, Timestamp};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::screen::Screen;
use crate::chat::model::{Chat, Content, Message, Queued, State};
use crate::chat::words;

/// Columns of the list of conversations, and the width below which it has the screen to itself.
const LIST_COLUMNS: u16 = 26;
const NARROW_COLUMNS: u16 = 70;
/// The most rows of the line that is typed, and of what was told.
const INPUT_ROWS_MAX: usize = 6;

/// How things look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theme {
    pub(super) colours: bool,
}

/// What may be skipped.
fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

impl Theme {
    fn accent(self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.colours { style.fg(Color::Cyan) } else { style }
    }

    fn warning(self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.colours { style.fg(Color::Yellow) } else { style }
    }

    fn me(self) -> Style {
        if self.colours { Style::new().fg(Color::Green) } else { Style::new() }
    }
}

/// Draws the screen; gives how many lines one can scroll back at most.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, now: Timestamp, theme: Theme) -> usize {
    let area = frame.area();
    if area.width < NARROW_COLUMNS {
        if screen.shows_list {
            draw_list(frame, area, screen, theme, Borders::NONE);
            return 0;
        }
        return draw_chat(frame, area, screen, now, theme);
    }
    let [list, chat] =
        Layout::horizontal([Constraint::Length(LIST_COLUMNS), Constraint::Min(20)]).areas(area);
    draw_list(frame, list, screen, theme, Borders::RIGHT);
    draw_chat(frame, chat, screen, now, theme)
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, screen: &Screen, theme: Theme, borders: Borders) {
    let block = Block::new().borders(borders).border_style(dim());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let mut lines = vec![Line::styled(cut("Conversations", width), dim())];
    if screen.chats.is_empty() {
        lines.push(Line::raw(cut("none yet", width)));
        lines.push(Line::raw(cut("/new bob begins one", width)));
    }
    let rows = usize::from(inner.height).saturating_sub(1).max(1);
    let at = screen.chats.iter().position(|chat| Some(chat.cid) == screen.current).unwrap_or(0);
    let skipped = at.saturating_sub(rows - 1);
    for chat in screen.chats.iter().skip(skipped).take(rows) {
        lines.push(list_line(chat, screen, width, theme));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn list_line(chat: &Chat, screen: &Screen, width: usize, theme: Theme) -> Line<'static> {
    let mark = match &chat.state {
        State::Request => " wants to talk".to_owned(),
        State::Frozen { .. } => " stopped".to_owned(),
        State::Left => " left".to_owned(),
        _ if chat.unread > 0 => format!(" {}", chat.unread),
        _ => String::new(),
    };
    let is_current = Some(chat.cid) == screen.current;
    let name = title(chat, screen);
    let name = cut(&name, width.saturating_sub(mark.width() + 2));
    let padding = width.saturating_sub(name.width() + mark.width() + 2);
    let style = if is_current { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
    let name_style = if chat.unread > 0 { style.add_modifier(Modifier::BOLD) } else { style };
    Line::from(vec![
        Span::styled(if is_current { "> " } else { "  " }, style),
        Span::styled(name, name_style),
        Span::styled(" ".repeat(padding), style),
        Span::styled(mark, style.patch(theme.accent())),
    ])
}

/// What a conversation is called.
pub(super) fn title(chat: &Chat, screen: &Screen) -> String {
    words::title(chat, &screen.names)
}

fn draw_chat(frame: &mut Frame<'_>, area: Rect, screen: &Screen, now: Timestamp, theme: Theme) -> usize {
    let width = usize::from(area.width);
    let told = told_lines(screen, width, theme);
    let (typed, cursor) = screen.input.rows(width.saturating_sub(2));
    let typed_rows = typed.len().clamp(1, INPUT_ROWS_MAX);
    let [head, body, told_area, rule, input] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(u16::try_from(told.len()).unwrap_or(u16::MAX).min(area.height / 2)),
        Constraint::Length(1),
        Constraint::Length(u16::try_from(typed_rows).unwrap_or(1)),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head_line(screen, width, theme)), head);
    let lines = body_lines(screen, width, now, theme);
    let rows = usize::from(body.height);
    let scroll_max = lines.len().saturating_sub(rows);
    let scroll = screen.scroll.min(scroll_max);
    let end = lines.len() - scroll;
    let shown: Vec<Line<'_>> = lines.into_iter().take(end).skip(end.saturating_sub(rows)).collect();
    // What is little stands at the bottom, beside where it is answered.
    let top = u16::try_from(rows - shown.len()).unwrap_or(0);
    let at = Rect { y: body.y + top, height: body.height - top, ..body };
    frame.render_widget(Paragraph::new(shown), at);
    frame.render_widget(Paragraph::new(told), told_area);
    frame.render_widget(Paragraph::new(status_line(screen, width, scroll, theme)), rule);
    draw_input(frame, input, &typed, cursor, typed_rows);
    scroll_max
}

fn draw_input(frame: &mut Frame<'_>, area: Rect, typed: &[String], cursor: (usize, usize), rows: usize) {
    let skipped = (cursor.0 + 1).saturating_sub(rows);
    let lines: Vec<Line<'_>> = typed
        .iter()
        .enumerate()
        .skip(skipped)
        .take(rows)
        .map(|(at, row)| Line::raw(format!("{}{row}", if at == 0 { "> " } else { "  " })))
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
    let (row, column) = (cursor.0 - skipped, cursor.1 + 2);
    let x = area.x.saturating_add(u16::try_from(column).unwrap_or(0)).min(area.right().saturating_sub(1));
    frame.set_cursor_position(Position::new(x, area.y.saturating_add(u16::try_from(row).unwrap_or(0))));
}

fn head_line(screen: &Screen, width: usize, theme: Theme) -> Line<'static> {
    let Some(chat) = screen.chat() else { return Line::styled("KEZ", theme.accent()) };
    let mut parts = vec![Span::styled(cut(&title(chat, screen), width), theme.accent())];
    let more = match chat.kind {
        ConversationKind::Group => format!("  {} people", chat.members.len()),
        _ if chat.verified => "  verified".to_owned(),
        _ => String::new(),
    };
    parts.push(Span::styled(more, dim()));
    Line::from(parts)
}

fn status_line(screen: &Screen, width: usize, scroll: usize, theme: Theme) -> Line<'static> {
    let (text, style) = if let Some(why) = &screen.offline {
        (format!("offline: {}; what you write is sent later", words::safe_line(why)), theme.warning())
    } else if let Some(chat) = screen.chat().filter(|chat| chat.state == State::Request) {
        let who = chat.peer().map_or_else(String::new, |peer| screen.names.handle(peer));
        (format!("{who} wants to talk: /accept  /decline  /block"), theme.warning())
    } else if scroll > 0 {
        (format!("{scroll} lines below"), dim())
    } else {
        ("/help".to_owned(), dim())
    };
    let text = cut(&text, width.saturating_sub(4));
    let rule = "─".repeat(width.saturating_sub(text.width() + 3));
    Line::from(vec![
        Span::styled("─ ", dim()),
        Span::styled(text, style),
        Span::styled(format!(" {rule}"), dim()),
    ])
}

fn told_lines(screen: &Screen, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let rows = screen.told.iter().flat_map(|line| wrap(line, width));
    rows.map(|row| Line::styled(row, theme.accent())).collect()
}

fn body_lines(screen: &Screen, width: usize, now: Timestamp, theme: Theme) -> Vec<Line<'static>> {
    let Some(chat) = screen.chat() else { return Vec::new() };
    let mut lines = Vec::new();
    let entries = || screen.entries.get(&chat.cid).into_iter().flat_map(|entries| entries.values());
    // Who has read the newest has read all before it.
    let newest_read = entries().filter(|entry| !entry.read.is_empty()).map(|entry| entry.seq).max();
    let look = Look { screen, width, now, theme, newest_read };
    let mut before: Option<&Message> = None;
    for entry in entries() {
        push_entry(&mut lines, entry, before, &look);
        before = Some(entry);
    }
    for queued in screen.queue.iter().filter(|queued| queued.cid == chat.cid) {
        push_queued(&mut lines, queued, screen, width, theme);
    }
    lines
}

/// What all entries of a conversation are drawn with.
struct Look<'a> {
    screen: &'a Screen,
    width: usize,
    now: Timestamp,
    theme: Theme,
    /// The number of the newest own entry that somebody has read.
    newest_read: Option<u64>,
}

fn push_entry(lines: &mut Vec<Line<'static>>, entry: &Message, before: Option<&Message>, look: &Look<'_>) {
    let Look { screen, width, now, theme, newest_read } = *look;
    if let Content::Notice(_) = entry.content {
        let text = format!("· {} · {}", words::body(entry, &screen.names), words::moment(entry.at, now));
        lines.extend(wrap(&text, width).into_iter().map(|row| Line::styled(row, dim())));
        return;
    }
    let is_mine = screen.names.me == Some(entry.from);
    if !before.is_some_and(|before| goes_on(before, entry)) {
        let style = if is_mine { theme.me() } else { theme.accent() };
        lines.push(Line::from(vec![
            Span::styled(screen.names.of(entry.from), style),
            Span::styled(format!("  {}", words::moment(entry.at, now)), dim()),
        ]));
    }
    push_quote(lines, entry, width);
    let rows = wrap(&words::body(entry, &screen.names), width.saturating_sub(2));
    lines.extend(rows.into_iter().map(|row| Line::raw(format!("  {row}"))));
    let under = under_text(entry, newest_read == Some(entry.seq), screen);
    if !under.is_empty() {
        lines.push(Line::styled(format!("  {}", cut(&under, width.saturating_sub(2))), dim()));
    }
}

/// Whether an entry stands under the name of the one before.
fn goes_on(before: &Message, entry: &Message) -> bool {
    let apart_s = entry.at.unix_seconds() - before.at.unix_seconds();
    before.from == entry.from && before.content.is_said() && apart_s < 300
}

fn push_quote(lines: &mut Vec<Line<'static>>, entry: &Message, width: usize) {
    if let Content::Text { reply_to: Some(reply), .. } = &entry.content {
        let quote = format!("  │ {}", words::safe_line(&reply.quote));
        lines.push(Line::styled(cut(&quote, width), dim()));
    }
}

/// Reactions, and who has read it.
fn under_text(entry: &Message, tells_readers: bool, screen: &Screen) -> String {
    let mut parts: Vec<String> = entry
        .reactions
        .iter()
        .map(|(emoji, who)| format!("{} {}", words::safe_line(emoji), screen.names.list(who)))
        .collect();
    if tells_readers {
        parts.push(format!("read by {}", screen.names.list(&entry.read)));
    }
    parts.join("  ")
}

fn push_queued(lines: &mut Vec<Line<'static>>, queued: &Queued, screen: &Screen, width: usize, theme: Theme) {
    let Some(text) = words::queued(queued) else { return };
    let state = if screen.offline.is_some() { "waits for the server" } else { "sending …" };
    lines.push(Line::from(vec![Span::styled("you", theme.me()), Span::styled(format!("  {state}"), dim())]));
    let rows = wrap(&text, width.saturating_sub(2));
    lines.extend(rows.into_iter().map(|row| Line::styled(format!("  {row}"), dim())));
}

/// The first columns of a line, with a mark where something was cut.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut width = 0;
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width + 1 > columns {
            break;
        }
        short.push(c);
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

/// Lines of at most so many columns, broken between words where that is possible.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut rows = Vec::new();
    for line in text.split('\n') {
        let mut row = String::new();
        for word in line.split_inclusive(' ') {
            if row.width() + word.trim_end().width() > columns && !row.is_empty() {
                rows.push(std::mem::take(&mut row).trim_end().to_owned());
            }
            for c in word.chars() {
                let is_full = row.width() + c.width().unwrap_or(0) > columns;
                if is_full && c == ' ' {
                    continue;
                }
                if is_full {
                    rows.push(std::mem::take(&mut row));
                }
                row.push(c);
            }
        }
        rows.push(row.trim_end().to_owned());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_within_long_ones() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("a\n\nb", 4), ["a", "", "b"]);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!((cut("hiking club", 7), cut("bob", 7)), ("hiking…".into(), "bob".into()));
        assert_eq!((cut("日本語", 4), cut("abc", 0)), ("日…".into(), String::new()));
    }
}
