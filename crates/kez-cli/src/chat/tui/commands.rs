//! What stands behind a `/`.

use std::path::PathBuf;

use crate::chat::model::Chat;
use crate::chat::talk::Wish;
use crate::cli::{Who, peer, who};

/// What `/help` shows.
pub(super) const HELP: &str = "\
/new bob [carol …]     talk to somebody; with several people, a group
/group <name> bob …    a group with a name
/add bob   /remove bob   /rename <name>   /leave
/accept   /decline   /block   /unblock
/file <path>   /save [folder]     send a file, save the newest one
/verify                compare the safety number
/search <words>   /quit
Tab, Shift-Tab: next, previous conversation · PgUp, PgDn: scroll
Alt-Enter or Ctrl-J: new line · Esc: list · Ctrl-Q: quit";

/// A line that was understood.
#[derive(Debug)]
pub(super) enum Command {
    Help,
    Quit,
    Wish(Wish),
}

/// Reads a line without its `/`; `Err` says what is wrong with it.
pub(super) fn parse(line: &str, chat: Option<&Chat>) -> Result<Command, String> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let here = || chat.ok_or_else(|| "there is no conversation here: /new bob begins one".to_owned());
    let given = |what: &str| {
        if rest.is_empty() { Err(format!("/{word} needs {what}")) } else { Ok(rest.to_owned()) }
    };
    let wish = match word {
        "help" | "?" => return Ok(Command::Help),
        "quit" | "exit" | "q" => return Ok(Command::Quit),
        "new" | "to" => new(&given("somebody, such as bob")?)?,
        "group" => group(&given("a name and people, such as: hiking bob carol")?)?,
        "add" => Wish::Add { cid: here()?.cid, people: people(&given("somebody, such as bob")?)? },
        "remove" => Wish::Remove { cid: here()?.cid, people: people(&given("somebody, such as bob")?)? },
        "rename" => Wish::Rename { cid: here()?.cid, name: given("a name")? },
        "leave" => Wish::Leave { cid: here()?.cid },
        "accept" => Wish::Accept { cid: here()?.cid },
        "decline" => Wish::Decline { cid: here()?.cid },
        "block" | "unblock" => block(here()?, word == "block")?,
        "file" => Wish::SendFile { cid: here()?.cid, path: PathBuf::from(given("the path of a file")?) },
        "save" => {
            let folder = if rest.is_empty() { super::screen::here() } else { PathBuf::from(rest) };
            Wish::Save { cid: here()?.cid, folder }
        }
        "verify" => Wish::Verify { cid: here()?.cid },
        "search" => Wish::Search { words: given("words to look for")? },
        _ => return Err(format!("there is no /{word}: /help lists what there is")),
    };
    Ok(Command::Wish(wish))
}

fn new(rest: &str) -> Result<Wish, String> {
    let mut people = people(rest)?;
    match people.len() {
        1 => Ok(Wish::Open { peer: peer(rest)? }),
        _ => Ok(Wish::CreateGroup { name: String::new(), people: std::mem::take(&mut people) }),
    }
}

fn group(rest: &str) -> Result<Wish, String> {
    let (name, rest) = rest.split_once(char::is_whitespace).ok_or("/group needs people behind the name")?;
    Ok(Wish::CreateGroup { name: name.to_owned(), people: people(rest)? })
}

fn people(text: &str) -> Result<Vec<Who>, String> {
    text.split_whitespace().map(who).collect()
}

fn block(chat: &Chat, on: bool) -> Result<Wish, String> {
    match (chat.kind, chat.peer()) {
        (kez_core::ConversationKind::Direct, Some(who)) => Ok(Wish::Block { who, on }),
        _ => Err("this is for conversations of two".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_wishes_or_words_that_help() {
        assert!(matches!(parse("help", None), Ok(Command::Help)));
        assert!(matches!(parse("new bob", None), Ok(Command::Wish(Wish::Open { .. }))));
        let group = parse("group hiking bob carol@kez.lat", None);
        assert!(
            matches!(&group, Ok(Command::Wish(Wish::CreateGroup { name, people })) if name == "hiking" && people.len() == 2)
        );
        assert_eq!(parse("leave", None).unwrap_err(), "there is no conversation here: /new bob begins one");
        assert_eq!(parse("new", None).unwrap_err(), "/new needs somebody, such as bob");
        assert_eq!(parse("dance", None).unwrap_err(), "there is no /dance: /help lists what there is");
        assert!(parse("new Bob", None).unwrap_err().ends_with("try bob"));
    }
}
