//! `SHA256SUMS`: what every file of a backup was when it was made.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::HEXLOWER;

/// The SHA-256 of files, by their paths within the backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums(BTreeMap<String, [u8; 32]>);

/// The line with this number, from 1, is not one that [`Sums::text`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadSums {
    pub(super) line: usize,
}

impl Sums {
    /// Adds a file. `path` has no white space and leads nowhere else: all names in a backup are ours.
    pub(super) fn add(&mut self, path: String, sha256: [u8; 32]) {
        self.0.insert(path, sha256);
    }

    /// All files, by their paths.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8; 32])> {
        self.0.iter().map(|(path, sha256)| (path.as_str(), sha256))
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// As `sha256sum` writes it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (path, sha256) in self.iter() {
            // invariant: writing to a String cannot fail.
            writeln!(text, "{}  {path}", HEXLOWER.encode(sha256)).expect("a String");
        }
        text
    }

    /// Reads what [`text`](Self::text) wrote, and nothing else: a path that leads out of the backup would let a forged one
    /// write anywhere.
    pub(super) fn parse(text: &str) -> Result<Self, BadSums> {
        let mut sums = Self::default();
        for (number, line) in (1..).zip(text.split_terminator('\n')) {
            let (sha256, path) = parse_line(line).ok_or(BadSums { line: number })?;
            if sums.0.insert(path.to_owned(), sha256).is_some() {
                return Err(BadSums { line: number });
            }
        }
        // What was cut off shows: the last line ends, and the lines are in their order.
        if sums.text() == text { Ok(sums) } else { Err(BadSums { line: text.lines().count().max(1) }) }
    }
}

fn parse_line(line: &str) -> Option<([u8; 32], &str)> {
    let (sha256, path) = line.split_once("  ")?;
    let sha256 = HEXLOWER.decode(sha256.as_bytes()).ok()?.try_into().ok()?;
    path.split('/').all(is_name).then_some((sha256, path))
}

/// Of a file or folder that `backup` makes.
fn is_name(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    !matches!(part, "" | "." | "..") && part.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums() -> Sums {
        let mut sums = Sums::default();
        sums.add("kez-chat.db".to_owned(), [1; 32]);
        sums.add(format!("blobs/objects/02/{}", "02".repeat(32)), [2; 32]);
        sums
    }

    #[test]
    fn what_is_written_is_read() {
        let text = sums().text();
        assert!(text.starts_with(&format!("{}  blobs/objects/02/02", "02".repeat(32))), "{text}");
        assert_eq!(Sums::parse(&text), Ok(sums()));
    }

    #[test]
    fn nothing_else_is_read() {
        let hash = "0a".repeat(32);
        let text = sums().text();
        let cut = &text[..text.len() - 1];
        let swapped = text.lines().rev().collect::<Vec<_>>().join("\n") + "\n";
        let twice = format!("{hash}  a\n{hash}  a\n");
        let bad = [
            cut.to_owned(),
            swapped,
            twice,
            format!("{hash} a\n"),
            format!("{hash}  ../a\n"),
            format!("{hash}  /etc/passwd\n"),
            format!("{hash}  a/./b\n"),
            format!("{hash}  \n"),
            format!("{hash}  a b\n"),
            format!("{}  a\n", &hash[2..]),
            format!("{}  a\n", hash.to_uppercase()),
            format!("{hash}  a\r\n"),
            "\n".to_owned(),
        ];
        for text in bad {
            assert!(Sums::parse(&text).is_err(), "{text:?}");
        }
        assert_eq!(Sums::parse(&format!("{hash}  a\nx\n")), Err(BadSums { line: 2 }));
    }
}
