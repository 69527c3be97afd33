//! `kez chat group …`.

use kez_core::ConversationId;
use serde::Serialize;

use crate::chat::lines::ChatLine;
use crate::chat::model::Chat;
use crate::chat::session::Session;
use crate::chat::words::{self, Names};
use crate::cli::{Group, Peer};
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};

/// Runs a subcommand.
pub(super) async fn run(command: Group, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    session.catch_up().await?;
    let (done, cid) = match command {
        Group::Create(args) => {
            let people = session.people(&args.people).await?;
            (Done::Created, session.create_group(&args.name, people).await?)
        }
        Group::Add(args) => {
            let (cid, people) = (group(&session, &args.group)?, session.people(&args.people).await?);
            session.add_people(cid, people).await?;
            (Done::Changed, cid)
        }
        Group::Remove(args) => {
            let (cid, people) = (group(&session, &args.group)?, session.people(&args.people).await?);
            session.remove_people(cid, people).await?;
            (Done::Changed, cid)
        }
        Group::Leave(args) => {
            let cid = group(&session, &args.group)?;
            session.leave(cid).await?;
            (Done::Leaving, cid)
        }
        Group::Rename(args) => {
            let cid = group(&session, &args.group)?;
            session.rename(cid, &args.name).await?;
            (Done::Changed, cid)
        }
        Group::Show(args) => (Done::Shown, group(&session, &args.group)?),
    };
    let names = session.names()?;
    let chat = session.local().chat(cid)?;
    let epoch_code = session.epoch_code_of(cid)?;
    output.report(&Told { done, line: ChatLine::of(&chat, &names), epoch_code, chat, names })
}

fn group(session: &Session, name: &str) -> Result<ConversationId, CliError> {
    session.local().require(&Peer::Group(name.trim_start_matches("group:").to_owned()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    Created,
    Changed,
    Leaving,
    Shown,
}

#[derive(Serialize)]
struct Told {
    done: Done,
    #[serde(flatten)]
    line: ChatLine,
    /// Equal on all devices of the group exactly when nobody has split it.
    epoch_code: Option<String>,
    #[serde(skip)]
    chat: Chat,
    #[serde(skip)]
    names: Names,
}

impl Report for Told {
    fn print(&self, page: &mut Page) {
        let title = page.bold(words::title(&self.chat, &self.names));
        match self.done {
            Done::Created => page.line(format_args!("The group {title} is there.\n")),
            Done::Leaving => {
                page.line(format_args!(
                    "You leave {title}: an admin's program removes you as soon as it is online."
                ));
                return;
            }
            _ => page.line(format_args!("{title}\n")),
        }
        for member in &self.chat.members {
            let role = if self.chat.admins.contains(member) { "admin" } else { "" };
            page.line(format_args!("{:<24} {}", self.names.of(*member), page.dim(role)));
        }
        page.line(page.dim(format_args!("\nid {}", self.chat.cid.short())));
        if self.done == Done::Created {
            page.line(format_args!("\nSay something:\n  kez chat send {} \"Hello\"", quoted(&self.chat)));
        }
    }
}

/// A group as it is named on a command line.
fn quoted(chat: &Chat) -> String {
    let name = chat.name.as_deref().unwrap_or_default();
    let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if is_word { name.to_owned() } else { format!("group:{}", chat.cid.short()) }
}
