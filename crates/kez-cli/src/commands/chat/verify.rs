//! `kez chat verify`: the safety number of two people.

use kez_core::PublicKey;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde::Serialize;

use crate::chat::lines::PersonLine;
use crate::chat::safety::{qr_text, safety_number};
use crate::chat::session::Session;
use crate::cli::VerifyPerson;
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};

/// Shows the safety number, and remembers that it was the same where the user says so.
pub(super) async fn run(args: &VerifyPerson, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    session.catch_up_or_warn().await?;
    let person = session.person(&args.who).await?;
    if args.same {
        session.set_verified(person, true)?;
        session.flush().await?;
    }
    let names = session.names()?;
    let number = safety_number(&session.me(), &person);
    output.report(&Compared {
        who: PersonLine::of(person, &names),
        verified: session.is_verified(person)?,
        epoch_code: session.epoch_code(person)?,
        qr: qr_text(&session.me(), &person),
        name: names.handle(person),
        safety_number: number,
    })
}

/// The same as lines of a screen, without the code.
pub(crate) fn safety_lines(me: PublicKey, other: PublicKey, name: &str) -> Vec<String> {
    let number = groups(&safety_number(&me, &other));
    let mut lines = vec![format!("Safety number of you and {name}:")];
    lines.extend(number.chunks(6).map(|row| row.join(" ")));
    lines.push(format!("The same on both sides? Then remember it: kez chat verify {name} --same"));
    lines
}

#[derive(Serialize)]
struct Compared {
    who: PersonLine,
    verified: bool,
    safety_number: String,
    /// Of the conversation with them: equal on all devices exactly when nobody has split it.
    epoch_code: Option<String>,
    qr: String,
    #[serde(skip)]
    name: String,
}

impl Report for Compared {
    fn print(&self, page: &mut Page) {
        let name = page.bold(&self.name);
        page.line(format_args!("Safety number of you and {name}\n"));
        for row in groups(&self.safety_number).chunks(4) {
            page.line(format_args!("    {}", row.join(" ")));
        }
        if let Some(code) = qr(&self.qr) {
            page.line(format_args!("\n{code}"));
        }
        if let Some(code) = &self.epoch_code {
            page.line(format_args!("This conversation now: {}\n", groups(code).join(" ")));
        }
        if self.verified {
            page.line(format_args!("You have compared it: {name} is verified."));
        } else {
            page.line(format_args!(
                "Does {name} see the same digits, or the same code? Then nobody stands between you:\n  kez chat verify {} --same",
                self.name
            ));
        }
    }
}

/// Five digits each.
fn groups(digits: &str) -> Vec<String> {
    let digits: Vec<char> = digits.chars().filter(char::is_ascii_digit).collect();
    digits.chunks(5).map(|group| group.iter().collect()).collect()
}

/// A QR code for a terminal, dark on light whatever its colours are: readers want it so.
fn qr(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    Some(image)
}
