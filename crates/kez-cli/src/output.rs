//! What reaches the terminal: text for people, or one JSON object for programs.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use owo_colors::{OwoColorize, Style};
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::error::{CliError, Failure};

/// Reserved for a result, so that it does not grow: growing leaves unwiped copies behind.
const TEXT_BYTES: usize = 8192;
/// The width of a field's label, in characters.
const LABEL_CHARS: usize = 12;

/// Where results and troubles go, and in which form.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

/// The result of a command. Its JSON form is stable: members are added, never renamed.
pub(crate) trait Report: Serialize {
    /// The result as text.
    fn print(&self, page: &mut Page);
}

/// Text for people, line by line. May hold a recovery phrase: never cloned, wiped when dropped.
#[derive(Debug)]
pub(crate) struct Page {
    text: Zeroizing<String>,
    paint: Paint,
}

/// Colours, where they are wanted.
#[derive(Debug, Clone, Copy)]
struct Paint {
    enabled: bool,
}

impl Output {
    /// Text, or JSON.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints the result of a command. It may hold a recovery phrase, so the text is wiped.
    pub(crate) fn report(&self, report: &impl Report) -> Result<(), CliError> {
        if !self.json {
            let mut page = Page::new(Paint::of(&io::stdout()));
            report.print(&mut page);
            return self.raw(page.as_str().as_bytes());
        }
        let mut json = Zeroizing::new(Vec::with_capacity(TEXT_BYTES));
        // invariant: reports are structs of text, numbers and lists, and a vector takes all bytes.
        serde_json::to_writer(&mut *json, report).expect("a report is JSON");
        json.push(b'\n');
        self.raw(&json)
    }

    /// Prints bytes as they are. Somebody who stops reading (`| head`) is no error.
    #[expect(clippy::unused_self, reason = "standard output is written by this type only")]
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::Stdout(error)),
            _ => Ok(()),
        }
    }

    /// Says something that does not stop the command.
    pub(crate) fn warn(&self, code: &'static str, message: &str) {
        if self.json {
            complain(&json!({ "level": "warning", "code": code, "message": message }).to_string());
        } else {
            let paint = Paint::of(&io::stderr());
            complain(&format!("{}: {message}", paint.with(Style::new().yellow().bold(), "warning")));
        }
    }

    /// Tells what to do with a result that goes to standard output as it is. Nothing where programs read.
    pub(crate) fn hint(&self, text: &str) {
        if !self.json {
            complain(&format!("\n{text}"));
        }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Says what went wrong and what to do, and gives the exit status.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        if self.json {
            complain(&failure.to_json().to_string());
        } else {
            let paint = Paint::of(&io::stderr());
            complain(&format!("{}: {}", paint.with(Style::new().red().bold(), "error"), failure.message));
            if let Some(help) = &failure.help {
                complain(&format!(
                    "{}: {}",
                    paint.with(Style::new().bold(), "help"),
                    help.replace('\n', "\n      ")
                ));
            }
        }
        ExitCode::from(failure.exit.status())
    }
}

/// One line on standard error. Where that is closed, nobody is there to be told.
fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

impl Page {
    fn new(paint: Paint) -> Self {
        Self { text: Zeroizing::new(String::with_capacity(TEXT_BYTES)), paint }
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self::new(Paint { enabled: false })
    }

    /// What is on the page.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Adds text as it is.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds one line.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.push(&format!("{text}\n"));
    }

    /// Adds a line with a label in front. An empty label continues the one above.
    pub(crate) fn field(&mut self, label: &str, value: impl Display) {
        let label = self.dim(format_args!("{label:<LABEL_CHARS$}"));
        self.line(format_args!("{label} {value}"));
    }

    /// Lines with one label in front of the first; nothing when there are none.
    pub(crate) fn fields(&mut self, label: &str, values: &[String]) {
        for (at, value) in values.iter().enumerate() {
            self.field(if at == 0 { label } else { "" }, value);
        }
    }

    /// What matters most.
    pub(crate) fn bold(&self, text: impl Display) -> String {
        self.paint.with(Style::new().bold(), text)
    }

    /// What may be skipped.
    pub(crate) fn dim(&self, text: impl Display) -> String {
        self.paint.with(Style::new().dimmed(), text)
    }
}

impl Paint {
    /// Colours for a terminal, unless `NO_COLOR` is set (no-color.org) or the terminal is a dumb one.
    fn of(stream: &impl IsTerminal) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { enabled: stream.is_terminal() && !no_color && !is_dumb }
    }

    fn with(self, style: Style, text: impl Display) -> String {
        if self.enabled { text.style(style).to_string() } else { text.to_string() }
    }
}
