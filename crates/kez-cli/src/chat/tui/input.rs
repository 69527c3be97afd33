//! The line that is being typed.

use unicode_width::UnicodeWidthChar;

/// The longest line, in bytes: as much as a text may have.
const BYTES_MAX: usize = 16 * 1024;

/// Text with a cursor.
#[derive(Debug, Default, Clone)]
pub(super) struct Input {
    chars: Vec<char>,
    /// Characters before the cursor.
    at: usize,
}

impl Input {
    /// The text.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.chars.iter().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chars.is_empty()
    }

    /// Puts text where the cursor is; what is too long is left out.
    pub(super) fn insert(&mut self, text: &str) {
        let mut bytes: usize = self.chars.iter().map(|c| c.len_utf8()).sum();
        for c in text.chars().filter(|c| !c.is_control() || *c == '\n') {
            bytes += c.len_utf8();
            if bytes > BYTES_MAX {
                break;
            }
            self.chars.insert(self.at, c);
            self.at += 1;
        }
    }

    /// Takes the text out.
    pub(super) fn take(&mut self) -> String {
        self.at = 0;
        std::mem::take(&mut self.chars).into_iter().collect()
    }

    pub(super) fn backspace(&mut self) {
        if self.at > 0 {
            self.at -= 1;
            self.chars.remove(self.at);
        }
    }

    pub(super) fn delete(&mut self) {
        if self.at < self.chars.len() {
            self.chars.remove(self.at);
        }
    }

    /// Deletes the word before the cursor.
    pub(super) fn delete_word(&mut self) {
        while self.at > 0 && self.chars[self.at - 1].is_whitespace() {
            self.backspace();
        }
        while self.at > 0 && !self.chars[self.at - 1].is_whitespace() {
            self.backspace();
        }
    }

    /// Deletes everything before the cursor.
    pub(super) fn delete_to_start(&mut self) {
        self.chars.drain(..self.at);
        self.at = 0;
    }

    pub(super) fn left(&mut self) {
        self.at = self.at.saturating_sub(1);
    }

    pub(super) fn right(&mut self) {
        self.at = (self.at + 1).min(self.chars.len());
    }

    pub(super) fn home(&mut self) {
        self.at = 0;
    }

    pub(super) fn end(&mut self) {
        self.at = self.chars.len();
    }

    /// The rows of the text in `columns`, and the row and column of the cursor.
    pub(super) fn rows(&self, columns: usize) -> (Vec<String>, (usize, usize)) {
        let columns = columns.max(2);
        let (mut rows, mut width, mut cursor) = (vec![String::new()], 0, (0, 0));
        for (at, c) in self.chars.iter().enumerate() {
            let wide = c.width().unwrap_or(0);
            if *c != '\n' && width + wide > columns {
                rows.push(String::new());
                width = 0;
            }
            if at == self.at {
                cursor = (rows.len() - 1, width);
            }
            if *c == '\n' {
                rows.push(String::new());
                width = 0;
            } else if let Some(row) = rows.last_mut() {
                row.push_str(&super::super::words::safe(&c.to_string()));
                width += wide;
            }
        }
        if self.at == self.chars.len() {
            if width == columns {
                rows.push(String::new());
                width = 0;
            }
            cursor = (rows.len() - 1, width);
        }
        (rows, cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Input {
        let mut input = Input::default();
        input.insert(text);
        input
    }

    #[test]
    fn text_is_edited_where_the_cursor_is() {
        let mut input = typed("hello wörld");
        input.left();
        input.backspace();
        input.insert("!");
        assert_eq!(input.text(), "hello wör!d");
        input.delete();
        input.delete_word();
        assert_eq!(input.text(), "hello ");
        input.home();
        input.delete();
        input.right();
        input.delete_to_start();
        assert_eq!((input.take(), input.is_empty()), ("llo ".into(), true));
    }

    #[test]
    fn control_characters_and_too_much_are_left_out() {
        assert_eq!(typed("a\u{1b}b\rc\nd").text(), "abc\nd");
        assert_eq!(typed(&"x".repeat(BYTES_MAX + 5)).text().len(), BYTES_MAX);
    }

    #[test]
    fn rows_break_at_the_edge_and_the_cursor_is_where_it_is_typed() {
        assert_eq!(typed("abcdef").rows(4), (vec!["abcd".into(), "ef".into()], (1, 2)));
        assert_eq!(typed("abcd").rows(4), (vec!["abcd".into(), String::new()], (1, 0)));
        assert_eq!(typed("日本語").rows(4), (vec!["日本".into(), "語".into()], (1, 2)));
        let mut input = typed("ab\ncd");
        input.home();
        assert_eq!(input.rows(10), (vec!["ab".into(), "cd".into()], (0, 0)));
    }
}
