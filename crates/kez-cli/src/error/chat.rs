//! Failures of conversations, in words.

use serde_json::json;

use super::{CliError, Exit, Failure};
use crate::chat::files::FileError;
use crate::records::RecordsError;

/// How a failure of a conversation is shown. Other failures never come here.
pub(super) fn failure(error: &CliError, message: String) -> Failure {
    match error {
        CliError::Records(error) => records(error, &message),
        CliError::File(error) => file(error, message),
        CliError::Engine(fault) => engine(fault, message),
        _ => {
            let (exit, code, help) = words(error);
            let failure = Failure::new(exit, code, message);
            if help.is_empty() { failure } else { failure.help(help) }
        }
    }
}

fn words(error: &CliError) -> (Exit, &'static str, &'static str) {
    match error {
        CliError::NothingToSay => (
            Exit::Usage,
            "nothing_to_say",
            "write it behind the name, or give it on standard input: kez chat send bob \"Hello\"",
        ),
        CliError::Stdin(_) => (Exit::Other, "io", "check where the input of kez comes from"),
        CliError::Terminal(_) => (
            Exit::Other,
            "no_terminal",
            "kez chat read and kez chat send do without one; kez chat listen prints what comes",
        ),
        CliError::NoSuchChat { .. } => {
            (Exit::NotFound, "no_such_conversation", "kez chat list shows them all")
        }
        CliError::PersonOrGroup { .. } => {
            (Exit::Usage, "ambiguous", "write @name for the person, group:name for the group")
        }
        CliError::SeveralGroups { .. } => {
            (Exit::Usage, "ambiguous", "name it by the first digits of its id: kez chat list --json")
        }
        CliError::NoSuchMessage { .. } => {
            (Exit::NotFound, "no_such_message", "kez chat read shows the ids beside the messages")
        }
        CliError::SeveralMessages { .. } => (Exit::Usage, "ambiguous", "write more digits of it"),
        CliError::NotYours => (Exit::Other, "not_yours", "only who said it changes it or takes it back"),
        CliError::NoFiles => (Exit::NotFound, "no_files", ""),
        CliError::TooManyFiles { .. } => {
            (Exit::Usage, "too_many_files", "send the others in a second message")
        }
        CliError::Overtaken => (Exit::Other, "overtaken", "nothing is lost: try again in a minute"),
        CliError::NotTaken { .. } => (Exit::Other, "not_taken", "nothing was changed"),
        CliError::NoDevices { .. } => (
            Exit::Other,
            "no_devices",
            "ask them to enrol a device first (kez device enrol), and try again then",
        ),
        CliError::ToYourself => (Exit::Usage, "to_yourself", "name somebody else"),
        CliError::OtherHome { .. } => {
            (Exit::Other, "other_home_server", "kez whois shows and checks people of other servers")
        }
        CliError::NothingToChange { .. } => (Exit::Other, "nothing_to_change", ""),
        CliError::LeftChat => (Exit::Other, "left", "an admin can add you again"),
        CliError::FrozenChat { .. } => (
            Exit::Verification,
            "frozen",
            "somebody broke the rules of the conversation: begin a new one, and tell the others why",
        ),
        CliError::NoRequest { .. } => (Exit::NotFound, "no_request", "kez chat requests lists who does"),
        CliError::NotAnAdmin => (Exit::Other, "not_an_admin", "kez chat group show lists them; ask one"),
        CliError::NotForGroups => (Exit::Usage, "not_for_groups", ""),
        CliError::BadOrder(_) => (Exit::Usage, "bad_command", ""),
        _ => (Exit::Other, "internal", ""),
    }
}

fn records(error: &RecordsError, message: &str) -> Failure {
    let other = |code| Failure::new(Exit::Other, code, message.to_owned());
    match error {
        RecordsError::WrongKey { .. } => other("records_of_another").help(
            "its keys are in device.json beside it: bring both back from the same backup, or make a\n\
             new device: kez device enrol --new",
        ),
        RecordsError::Damaged { .. } => other("records_damaged").help(
            "bring the folder of the device back from a backup, or make a new one: kez device enrol --new",
        ),
        RecordsError::Foreign { .. } => other("records_foreign").help("move it away"),
        RecordsError::Newer { .. } => other("records_newer").help("update kez"),
        RecordsError::Full { .. } => other("full").help("nothing was changed; make room on the disk"),
        RecordsError::TooLarge => other("too_large"),
        RecordsError::Sqlite { .. } => other("io")
            .help("check the permissions and the space on the disk, or set KEZ_HOME to another directory"),
    }
}

fn file(error: &FileError, message: String) -> Failure {
    let other = |code| Failure::new(Exit::Other, code, message.clone());
    match error {
        FileError::Io { path, .. } => other("io")
            .help("check the path, its permissions and the space on the disk")
            .detail("path", json!(path.display().to_string())),
        FileError::NotAFile { .. } => {
            other("not_a_file").help("a folder can be sent as one file, such as a zip")
        }
        FileError::TooLarge { .. } => other("file_too_large"),
        FileError::Changed { .. } => other("file_changed").help("send it again when nobody writes to it"),
        FileError::Damaged => Failure::new(Exit::Verification, "file_damaged", message)
            .help("nothing was saved; ask the sender to send it again"),
        FileError::Gone => Failure::new(Exit::NotFound, "file_gone", message)
            .help("files stay for a while only: ask the sender to send it again"),
        FileError::Call(error) => super::device::call(error, message),
    }
}

fn engine(fault: &kez_e2e::Fault, message: String) -> Failure {
    use kez_e2e::Fault;
    let other = |code| Failure::new(Exit::Other, code, message.clone());
    match fault {
        Fault::NotInConversation => other("left").help("an admin can add you again"),
        Fault::Frozen(_) => Failure::new(Exit::Verification, "frozen", message)
            .help("begin a new conversation, and tell the others why"),
        Fault::TooLong { .. } => other("too_long").help("say it in several messages, or send it as a file"),
        Fault::BadKeyPackage(_) => Failure::new(Exit::Verification, "bad_key_package", message).help(
            "the server gave out something else than a device of theirs: try again, and tell whoever runs it",
        ),
        Fault::NotAllowed(_) => other("not_allowed").help("kez chat group show lists who may"),
        Fault::Damaged { .. } => other("records_damaged").help("make a new device: kez device enrol --new"),
        _ => other("internal").help("try again; if it stays so, please report it"),
    }
}
