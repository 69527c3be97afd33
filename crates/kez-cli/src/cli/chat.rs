//! The command line of `kez chat`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Who, who};

/// Talk to people, encrypted from device to device
///
/// Messages are encrypted between devices; your home server carries them and cannot read them. Everything said is kept
/// on this computer, encrypted. Your computer has to be one of your devices: kez device enrol.
#[derive(Debug, Subcommand)]
#[command(after_long_help = "\
People are named as in kez whois: bob, bob@example.org, or a key. A group is named
by its name or the first digits of its id; where both could be meant, write @bob or
group:hiking.

Start with:
  kez chat send bob \"Hello, Bob\"
  kez chat read bob
  kez chat tui")]
pub(crate) enum Chat {
    /// A screen to talk on
    Tui(Tui),
    Send(Send),
    Read(Read),
    Listen(Listen),
    List(List),
    #[command(subcommand)]
    Group(Group),
    Requests(Requests),
    Accept(One),
    Decline(One),
    Block(One),
    Unblock(One),
    React(React),
    Edit(Edit),
    Delete(Delete),
    Save(Save),
    Verify(Verify),
    Search(Search),
    Renew(Renew),
}

/// With whom, or in which group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A person.
    Person(Who),
    /// A group, by its name or the first digits of its id.
    Group(String),
    /// A group if there is one by that name, else a person.
    Either(String),
}

/// A screen to talk on
///
/// Conversations on the left, what was said on the right, and a line to write on. /help there lists the commands.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat tui
  kez chat tui bob")]
pub(crate) struct Tui {
    /// Whom to begin with
    #[arg(value_name = "WITH", value_parser = peer)]
    pub(crate) with: Option<Peer>,
}

/// Send a message
///
/// Without words, reads them from standard input. A message that cannot be sent now is kept, and sent by the next kez
/// chat that reaches the server.
///
/// To somebody new, the first message is a request: the rest follows when they accept.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat send bob \"Hello, Bob\"
  kez chat send hiking \"See you at eight\"
  kez chat send bob --file cat.png
  git log -1 | kez chat send bob
  kez chat send bob \"Agreed\" --reply-to 3f2a9c41 --json")]
pub(crate) struct Send {
    /// A person or a group
    #[arg(value_name = "TO", value_parser = peer)]
    pub(crate) to: Peer,
    /// What to say [default: standard input]
    #[arg(value_name = "WORDS", allow_hyphen_values = false)]
    pub(crate) words: Option<String>,
    /// A file to send along; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// The message that this one answers, by the first digits of its id
    #[arg(long, value_name = "ID", value_parser = id_start)]
    pub(crate) reply_to: Option<String>,
}

/// Read what was said
///
/// Fetches what is new first, and counts it as read. Without a name, shows what is unread everywhere.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat read                    what is unread
  kez chat read bob
  kez chat read hiking --last 100
  kez chat read bob --offline      without asking the server")]
pub(crate) struct Read {
    /// A person or a group [default: everything unread]
    #[arg(value_name = "WITH", value_parser = peer)]
    pub(crate) with: Option<Peer>,
    /// How many messages [default: the unread ones, or 20]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) last: Option<u32>,
    /// Do not ask the server
    #[arg(long)]
    pub(crate) offline: bool,
    /// Do not count it as read
    #[arg(long)]
    pub(crate) peek: bool,
}

/// Print messages as they come
///
/// Goes on until it is stopped (Ctrl-C). With --json, each event is a line of JSON on standard output, and lines of JSON on
/// standard input are commands, so that a program can answer; SPEC \"Chat lines\" has both.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat listen
  kez chat listen --json
  echo '{\"send\":{\"to\":\"bob\",\"text\":\"Hello\"}}' | kez chat listen --json --once")]
pub(crate) struct Listen {
    /// Stop when everything that is there has been printed, and everything that was to be sent is sent
    #[arg(long)]
    pub(crate) once: bool,
    /// Leave messages unread, and tell nobody that they were
    #[arg(long)]
    pub(crate) peek: bool,
}

/// List your conversations
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat list
  kez chat list --json")]
pub(crate) struct List {
    /// Do not ask the server
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Groups: create, add, remove, leave, rename, show
#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    Create(GroupCreate),
    Add(GroupPeople),
    Remove(GroupPeople),
    Leave(GroupOne),
    Rename(GroupRename),
    Show(GroupOne),
}

/// Begin a group
///
/// You are its admin: admins add and remove people and name the group. People can be added who have accepted you as a
/// contact.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat group create hiking bob carol")]
pub(crate) struct GroupCreate {
    /// What it is called
    pub(crate) name: String,
    /// Who is in it, besides you
    #[arg(value_parser = who, required = true)]
    pub(crate) people: Vec<Who>,
}

/// Add or remove people
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat group add hiking dave
  kez chat group remove hiking dave")]
pub(crate) struct GroupPeople {
    /// The group
    pub(crate) group: String,
    /// Who
    #[arg(value_parser = who, required = true)]
    pub(crate) people: Vec<Who>,
}

/// Leave a group, or show who is in it
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat group show hiking
  kez chat group leave hiking")]
pub(crate) struct GroupOne {
    /// The group
    pub(crate) group: String,
}

/// Give a group another name
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat group rename hiking \"Hiking club\"")]
pub(crate) struct GroupRename {
    /// The group
    pub(crate) group: String,
    /// What it is called from now on
    pub(crate) name: String,
}

/// List who wants to talk to you
///
/// Until you accept, somebody new can say one short thing and nothing more.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat requests
  kez chat accept bob
  kez chat decline bob")]
pub(crate) struct Requests {}

/// Answer somebody who wants to talk: accept, decline, block, unblock
///
/// Declining leaves the other without an answer. Blocking is not seen by the other either: nothing of theirs reaches you.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat accept bob
  kez chat decline bob
  kez chat block mallory
  kez chat unblock mallory")]
pub(crate) struct One {
    /// The person
    #[arg(value_parser = who)]
    pub(crate) who: Who,
}

/// Put an emoji on a message, or take it off
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat react bob 3f2a9c41 👍
  kez chat react bob 3f2a9c41 👍 --off")]
pub(crate) struct React {
    /// A person or a group
    #[arg(value_name = "WITH", value_parser = peer)]
    pub(crate) with: Peer,
    /// The message, by the first digits of its id (kez chat read --json, or --ids)
    #[arg(value_parser = id_start)]
    pub(crate) message: String,
    /// The emoji
    pub(crate) emoji: String,
    /// Take it off
    #[arg(long)]
    pub(crate) off: bool,
}

/// Change what you said
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat edit bob 3f2a9c41 \"See you at nine\"")]
pub(crate) struct Edit {
    /// A person or a group
    #[arg(value_name = "WITH", value_parser = peer)]
    pub(crate) with: Peer,
    /// The message, by the first digits of its id
    #[arg(value_parser = id_start)]
    pub(crate) message: String,
    /// What it says from now on
    pub(crate) words: String,
}

/// Take back what you said
///
/// Everybody's program is asked to show it no more. Who has read it, has read it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat delete bob 3f2a9c41")]
pub(crate) struct Delete {
    /// A person or a group
    #[arg(value_name = "WITH", value_parser = peer)]
    pub(crate) with: Peer,
    /// The message, by the first digits of its id
    #[arg(value_parser = id_start)]
    pub(crate) message: String,
}

/// Save the files of a message
///
/// Fetches and decrypts them. Never replaces a file that is there: the new one gets a number.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat save bob                    the files of the newest message that has some
  kez chat save bob --to ~/Downloads
  kez chat save bob --message 3f2a9c41")]
pub(crate) struct Save {
    /// A person or a group
    #[arg(value_name = "WITH", value_parser = peer)]
    pub(crate) with: Peer,
    /// The message, by the first digits of its id [default: the newest with files]
    #[arg(long, value_name = "ID", value_parser = id_start)]
    pub(crate) message: Option<String>,
    /// The folder to save in [default: this one]
    #[arg(long, value_name = "FOLDER", default_value = ".", hide_default_value = true)]
    pub(crate) to: PathBuf,
}

/// Make sure that you talk to the right person
///
/// Prints the safety number of both of you, as digits and as a QR code. If the other sees the same, nobody stands in
/// between. Compare it by voice or side by side, then mark it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat verify bob
  kez chat verify bob --same    you compared, and it is the same")]
pub(crate) struct Verify {
    /// The person
    #[arg(value_parser = who)]
    pub(crate) who: Who,
    /// Remember that the numbers are the same
    #[arg(long)]
    pub(crate) same: bool,
}

/// Search what was said, on this computer
///
/// Finds messages and names of files that have all the words, in any case and order, newest first.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat search treasure oak
  kez chat search lunch --with bob")]
pub(crate) struct Search {
    /// The words
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
    /// Only with this person, or in this group
    #[arg(long, value_name = "WITH", value_parser = peer)]
    pub(crate) with: Option<Peer>,
    /// The most to show
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) last: u32,
}

/// A person or a group.
pub(crate) fn peer(text: &str) -> Result<Peer, String> {
    if let Some(group) = text.strip_prefix("group:") {
        return if group.is_empty() {
            Err("write the group's name behind group:".into())
        } else {
            Ok(Peer::Group(group.into()))
        };
    }
    if text.contains(['@', ':']) {
        return who(text).map(Peer::Person);
    }
    if text.is_empty() { Err("write a person or a group".into()) } else { Ok(Peer::Either(text.to_owned())) }
}

/// 4 to 32 lower-case hex digits.
fn id_start(text: &str) -> Result<String, String> {
    super::device::hex_start(text).ok_or_else(|| "write the first 4 to 32 digits (0-9 a-f) of its id".into())
}

/// Renew the keys of your conversations
///
/// Makes new keys for this device in every conversation: whoever has copied the old ones can follow no further. kez does so
/// by itself when this device comes into a conversation.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez chat renew")]
pub(crate) struct Renew {}
