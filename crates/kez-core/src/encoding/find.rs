//! The one lenient reader.

use std::fmt;

use super::{BUNDLE_BYTES_MAX, BUNDLE_PREFIX, COMPACT_BYTES_MAX, COMPACT_PREFIX, frame};
use crate::envelope::Envelope;
use crate::json::Malformed;
use crate::sigchain::EVENTS_MAX;

/// The info string of a Markdown fence that holds a document.
const INFO_STRING: &str = "kez";

/// What a text holds. Shape only: nothing about it has been believed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Artifact {
    /// One document of any kind; a chain of one event looks the same.
    Envelope(Box<Envelope>),
    /// The events of a chain in the order in which they stand, at least one.
    Chain(Vec<Envelope>),
}

/// The form in which something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// A JSON envelope.
    Json,
    /// A chain, one JSON envelope a line.
    JsonLines,
    /// `kez:z1:…`, bare, in a TXT record or in a fence.
    Compact,
    /// `kez:zc1:…`, bare or in a fence.
    Bundle,
    /// A Markdown fence that holds none of the others.
    Markdown,
}

/// Why a text gives no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// There is none in it.
    #[error("no KEZ document found")]
    NotFound,
    /// There is one, and it is damaged.
    #[error("a KEZ document was found ({what}), but it is corrupt: {damage}")]
    Corrupt {
        /// Its form.
        what: Form,
        /// What is wrong with it.
        #[source]
        damage: Damage,
    },
}

/// What is wrong with a document that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Nothing follows the prefix, or nothing stands in the fence that could be a document.
    #[error("it is empty")]
    Empty,
    /// Not base64url.
    #[error("the text is not base64url: characters are missing, or were changed")]
    Base64,
    /// Not one whole Zstandard frame.
    #[error("the compressed data is broken or cut off")]
    Zstandard,
    /// It unpacks to more than a document may have.
    #[error("it unpacks to more than {bytes_max} bytes")]
    TooLarge {
        /// [`COMPACT_BYTES_MAX`], or the limit given for bundles.
        bytes_max: usize,
    },
    /// What it holds is not an envelope.
    #[error("{0}")]
    Document(#[from] Malformed),
    /// A line of a chain is not an envelope.
    #[error("line {line}: {fault}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        fault: Malformed,
    },
    /// More lines than a chain has events.
    #[error("a chain has at most {max} events")]
    TooManyLines {
        /// [`EVENTS_MAX`].
        max: u64,
    },
}

impl FindError {
    /// The stable code of SPEC "Encodings".
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Corrupt { .. } => "corrupt",
        }
    }
}

impl Artifact {
    /// Finds the first document in a text of any form: JSON, JSON lines, compact, bundle, Markdown, or the TXT records
    /// that a DNS tool prints.
    ///
    /// The work is bounded by the text and the caps of the forms; the caller bounds the text.
    pub fn find(text: &str) -> Result<Self, FindError> {
        Self::find_within(text, BUNDLE_BYTES_MAX)
    }

    /// Like [`find`](Self::find), with another limit on the JSON lines of a bundle, in bytes.
    pub fn find_within(text: &str, bundle_bytes_max: usize) -> Result<Self, FindError> {
        let (form, content) = locate(text).ok_or(FindError::NotFound)?;
        read(form, &content, bundle_bytes_max).map_err(|damage| FindError::Corrupt { what: form, damage })
    }

    /// The documents, in the order in which they stand; at least one.
    pub fn into_envelopes(self) -> Vec<Envelope> {
        match self {
            Self::Envelope(envelope) => vec![*envelope],
            Self::Chain(events) => events,
        }
    }
}

/// The first document in `text`: its form, and its content without what marks the form.
fn locate(text: &str) -> Option<(Form, String)> {
    let text = text.trim_start_matches('\u{feff}').trim_ascii();
    if let Some(form) = json_form(text) {
        return Some((form, text.to_owned()));
    }
    let fence = find_fence(text);
    let packed = find_packed(text);
    match (fence, packed) {
        (Some((at, content)), packed) if packed.as_ref().is_none_or(|packed| at < packed.at) => {
            Some(within_fence(&content))
        }
        (_, Some(packed)) => Some((packed.form, packed.digits)),
        (_, None) => None,
    }
}

/// JSON begins with a brace, and a KEZ document has the member `kez`.
fn json_form(text: &str) -> Option<Form> {
    if !text.starts_with('{') || !text.contains("\"kez\"") {
        return None;
    }
    // Where one object ends a line and another begins the next, it is not one document.
    let mut lines = text.lines().map(str::trim_ascii).filter(|line| !line.is_empty());
    let is_chain = lines.next()?.ends_with('}') && lines.next().is_some_and(|line| line.starts_with('{'));
    Some(if is_chain { Form::JsonLines } else { Form::Json })
}

fn read(form: Form, content: &str, bundle_bytes_max: usize) -> Result<Artifact, Damage> {
    match form {
        Form::Json => envelope(content.as_bytes()),
        Form::Compact => envelope(&unpack(content, COMPACT_BYTES_MAX)?),
        Form::JsonLines => chain(content.as_bytes()),
        Form::Bundle => chain(&unpack(content, bundle_bytes_max)?),
        Form::Markdown => Err(Damage::Empty),
    }
}

fn unpack(digits: &str, bytes_max: usize) -> Result<Vec<u8>, Damage> {
    if digits.is_empty() { Err(Damage::Empty) } else { frame::open(digits, bytes_max) }
}

fn envelope(json: &[u8]) -> Result<Artifact, Damage> {
    Ok(Artifact::Envelope(Box::new(Envelope::parse(json)?)))
}

fn chain(jsonl: &[u8]) -> Result<Artifact, Damage> {
    let jsonl = jsonl.trim_ascii_end();
    if jsonl.is_empty() {
        return Err(Damage::Empty);
    }
    let mut events = Vec::new();
    for (at, line) in jsonl.split(|byte| *byte == b'\n').enumerate() {
        if at as u64 >= EVENTS_MAX {
            return Err(Damage::TooManyLines { max: EVENTS_MAX });
        }
        events.push(Envelope::parse(line).map_err(|fault| Damage::Line { line: at + 1, fault })?);
    }
    Ok(Artifact::Chain(events))
}

/// A compact or bundle form as it stands in a text.
struct Packed {
    at: usize,
    form: Form,
    digits: String,
}

/// The first compact or bundle form that has digits; a prefix without any only when there is no other.
fn find_packed(text: &str) -> Option<Packed> {
    let found = || {
        text.match_indices("kez:z").filter_map(|(at, _)| {
            let here = text.get(at..)?;
            let (form, rest) = after_prefix(here)?;
            Some(Packed { at, form, digits: digits(rest) })
        })
    };
    found().find(|packed| !packed.digits.is_empty()).or_else(|| found().next())
}

fn after_prefix(text: &str) -> Option<(Form, &str)> {
    let compact = text.strip_prefix(COMPACT_PREFIX).map(|rest| (Form::Compact, rest));
    compact.or_else(|| text.strip_prefix(BUNDLE_PREFIX).map(|rest| (Form::Bundle, rest)))
}

/// The base64url digits that `text` begins with, and their padding. Strings of one TXT record are joined: DNS tools
/// print them in quotes, with or without blanks between.
fn digits(text: &str) -> String {
    let mut digits = String::new();
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !is_digit(c)).unwrap_or(rest.len());
        let (here, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        digits.push_str(here);
        match next_segment(after) {
            Some(next) => rest = next,
            None => return digits,
        }
    }
}

fn next_segment(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.trim_start_matches([' ', '\t']).strip_prefix('"')
}

fn is_digit(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=')
}

/// Where the first fence with our info string begins, and its lines, without the marks of a quotation before them.
fn find_fence(text: &str) -> Option<(usize, String)> {
    let mut at = 0;
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        if let Some(fence) = Fence::opened_by(line) {
            let inside: Vec<&str> = lines.map(inner).take_while(|line| !fence.is_closed_by(line)).collect();
            return Some((at, inside.join("\n")));
        }
        at += line.len();
    }
    None
}

/// What stands in a fence. Lines may be wrapped there.
fn within_fence(content: &str) -> (Form, String) {
    let content = content.trim_ascii();
    if let Some((form, rest)) = after_prefix(content) {
        return (form, rest.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    }
    match json_form(content) {
        Some(form) => (form, content.to_owned()),
        None if content.starts_with('{') => (Form::Json, content.to_owned()),
        None => (Form::Markdown, String::new()),
    }
}

/// The mark that opened a fenced block: three or more of it end the block.
struct Fence {
    mark: char,
    count: usize,
}

impl Fence {
    fn opened_by(line: &str) -> Option<Self> {
        let line = inner(line);
        let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let info = line.trim_start_matches(mark);
        let count = line.len() - info.len();
        let is_ours =
            info.split_ascii_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case(INFO_STRING));
        (count >= 3 && is_ours).then_some(Self { mark, count })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        line.len() >= self.count && line.chars().all(|c| c == self.mark)
    }
}

/// A line without indentation, quotation marks and what stands after its last character.
fn inner(line: &str) -> &str {
    line.trim_start_matches([' ', '\t', '>']).trim_ascii_end()
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::JsonLines => "jsonl",
            Self::Compact => "compact",
            Self::Bundle => "bundle",
            Self::Markdown => "markdown",
        })
    }
}
