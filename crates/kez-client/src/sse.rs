//! `text/event-stream` (WHATWG HTML section 9.2), as far as our servers use it: lines end in LF or CR LF.

/// Its media type.
pub(crate) const MEDIA_TYPE: &str = "text/event-stream";

/// The largest event, in bytes: a Welcome of a bundle of 512 KiB, in base64url, with room.
pub(crate) const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// An event. Its `id` is in the data as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerEvent {
    /// `message` when it has none.
    pub(crate) kind: String,
    /// Its lines, joined.
    pub(crate) data: String,
}

/// What has come of a stream, taken out event by event.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    /// Up to here, there is no end of a line.
    seen: usize,
    kind: String,
    data: Option<String>,
}

impl Blocks {
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// Whether more is held than an event can have.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() + self.data.as_ref().map_or(0, String::len) > EVENT_BYTES_MAX
    }

    /// The next whole event. Comments are passed over.
    pub(crate) fn take(&mut self) -> Option<ServerEvent> {
        while let Some(line) = self.line() {
            if !line.is_empty() {
                self.field(&line);
                continue;
            }
            let kind = std::mem::take(&mut self.kind);
            if let Some(data) = self.data.take() {
                let kind = if kind.is_empty() { "message".to_owned() } else { kind };
                return Some(ServerEvent { kind, data });
            }
        }
        None
    }

    fn line(&mut self) -> Option<String> {
        let open = self.bytes.get(self.seen..)?;
        let Some(end) = open.iter().position(|byte| *byte == b'\n') else {
            self.seen = self.bytes.len();
            return None;
        };
        let mut line: Vec<u8> = self.bytes.drain(..=self.seen + end).collect();
        self.seen = 0;
        line.pop();
        line.pop_if(|byte| *byte == b'\r');
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {} // a comment has an empty name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&str]) -> Vec<(String, String)> {
        let mut blocks = Blocks::default();
        let mut events = Vec::new();
        for piece in pieces {
            blocks.push(piece.as_bytes());
            events.extend(std::iter::from_fn(|| blocks.take()).map(|event| (event.kind, event.data)));
        }
        events
    }

    fn pair(kind: &str, data: &str) -> (String, String) {
        (kind.to_owned(), data.to_owned())
    }

    #[test]
    fn an_event_comes_out_whole_however_the_pieces_were_cut() {
        let text =
            ": hello\n\nid: 7\nevent: frame\ndata: {\"n\":7}\n\nevent:ready\r\ndata:a\r\ndata: b\r\n\r\n";
        let expected = [pair("frame", "{\"n\":7}"), pair("ready", "a\nb")];
        assert_eq!(events(&[text]), expected);
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(events(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn what_is_cut_off_is_no_event() {
        assert!(events(&["event: frame\ndata: {}\n"]).is_empty());
        assert!(events(&["event: frame\n\n"]).is_empty());
        assert_eq!(events(&["event: frame\n\ndata: x\n\n"]), [pair("message", "x")]);
    }

    #[test]
    fn an_endless_event_is_noticed() {
        let mut blocks = Blocks::default();
        blocks.push(b"data: x\n");
        let line = format!("data: {}\n", "y".repeat(1024));
        while !blocks.is_full() {
            blocks.push(line.as_bytes());
            assert_eq!(blocks.take(), None);
            assert!(blocks.data.as_ref().is_some_and(|data| data.len() <= EVENT_BYTES_MAX + line.len()));
        }
    }
}
