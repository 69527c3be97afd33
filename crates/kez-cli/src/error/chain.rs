//! Failures about sigchains, in words.

use kez_client::{ChainReadError, ClientError};
use serde_json::json;

use super::{CliError, DISTRUST, Exit, Failure, Stopped, client, disk};
use crate::local_chain::LocalChainError;

/// What it means when events are held back or rewritten.
const WITHHELD: &str = "\
somebody holds entries back or rewrites them: an account or device that was taken
back may look valid again. Ask the person by another way, and tell whoever runs
the sig-server. This computer goes on remembering what it has seen";

/// How a failure about a chain is shown. Other failures never come here.
pub(super) fn failure(error: &CliError, message: String) -> Failure {
    let other = |code, message| Failure::new(Exit::Other, code, message);
    let untrusted = |code, message| Failure::new(Exit::Verification, code, message);
    match error {
        CliError::LocalChain(error) => local(error, message),
        CliError::Chain(error) => read(error, message),
        CliError::FileForked { seq, .. } => untrusted("sigchain_forked", loud(&message))
            .help(WITHHELD)
            .detail("seq", json!(seq)),
        CliError::NotHeld { .. } => {
            other("not_on_sigchain", message).help("kez sigchain show lists what is on it")
        }
        CliError::EmptyChain => other("sigchain_empty", message).help(
            "add something of yours: kez sigchain add github:alice\n\
             or fetch what you published from another computer: kez sigchain publish",
        ),
        CliError::NoChain { url } => Failure::new(Exit::NotFound, "no_sigchain", message)
            .help("whoever has this key has published nothing there")
            .detail("url", json!(url)),
        CliError::BadChainUrl { .. } => Failure::new(Exit::Usage, "bad_sigchain_url", message)
            .help("it ends in /v1/sigchains/ed25519/ and 64 digits of 0-9 a-f"),
        CliError::NoSigServer => Failure::new(Exit::Usage, "no_sig_server", message).help(
            "name it with --sig-server, for example --sig-server https://sig.example.org\n\
             (or take a handle first: kez asks your home server)",
        ),
        CliError::SigServerElsewhere { url, server } => {
            Failure::new(Exit::Network, "sig_server_elsewhere", message)
                .help(format!(
                    "many home servers have sigchains at their own address too: --sig-server https://{server}\n\
                     tell whoever runs {server}: it should name an address that everybody can reach"
                ))
                .detail("url", json!(url))
        }
        CliError::KeyReplaced { now } => other("key_replaced", message)
            .help(format!("only the identity with the key {now} can go on with it:\nkez identity restore"))
            .detail("key", json!(now)),
        CliError::OwnChainForked { seq, .. } => untrusted("sigchain_forked", loud(&message))
            .help(format!(
                "entry {seq} there is signed by you, and is another than the one you published. Nothing was\n\
                 changed or signed. Either the sig-server lost entries and another computer of yours went on\n\
                 without them, or somebody else has your recovery phrase. kez sigchain export keeps what is here"
            ))
            .detail("seq", json!(seq)),
        CliError::NotAgain => other("not_again", message)
            .help("publish from the computer that made it, before you add anything elsewhere"),
        CliError::LostRace => other("lost_race", message).help("nothing is lost: try again in a minute"),
        CliError::Stopped(stopped) => self::stopped(stopped, message),
        _ => other("internal", message),
    }
}

fn loud(message: &str) -> String {
    format!("DO NOT TRUST THIS. {message}")
}

fn local(error: &LocalChainError, message: String) -> Failure {
    let untrusted = |code, message| Failure::new(Exit::Verification, code, message);
    match error {
        LocalChainError::Disk(error) => disk(error, &message),
        LocalChainError::Damaged { path, line, fault } => untrusted("sigchain_damaged", message)
            .help("move it away and fetch what you published: kez sigchain publish")
            .detail("path", json!(path.display().to_string()))
            .detail("line", json!(line))
            .detail("fault", fault.code().into()),
        LocalChainError::PublishedDamaged { path } => Failure::new(Exit::Other, "published_damaged", message)
            .help("it says what was published and where; bring it back from a backup, together with the\nfiles beside it, or move all of them away and run kez sigchain publish")
            .detail("path", json!(path.display().to_string())),
        LocalChainError::Lacking => Failure::new(Exit::Other, "sigchain_lacking", message)
            .help("bring them back first: kez sigchain publish"),
        LocalChainError::Fixed { seq } => untrusted("sigchain_fixed", message)
            .help("nothing was changed; kez sigchain export keeps what is here")
            .detail("seq", json!(seq)),
    }
}

fn read(error: &ChainReadError, message: String) -> Failure {
    let untrusted = |code: &str| Failure::new(Exit::Verification, code, loud(&message));
    match error {
        ChainReadError::Client(error) => sig_server(error, message),
        ChainReadError::Broken { seq, fault, .. } => untrusted("sigchain_broken")
            .help(DISTRUST)
            .detail("seq", json!(seq))
            .detail("fault", fault.code().into()),
        ChainReadError::Shorter { shown, seen, .. } => Failure::new(
            Exit::Verification,
            "sigchain_shorter",
            loud(&format!("{message}: {}, and this computer has seen {}", ended(*shown), seen + 1)),
        )
        .help(WITHHELD)
        .detail("shown", json!(shown.map_or(0, |seq| seq + 1)))
        .detail("seen", json!(seen + 1)),
        ChainReadError::Forked { seq, .. } => {
            untrusted("sigchain_forked").help(WITHHELD).detail("seq", json!(seq))
        }
        ChainReadError::OtherKey { record, chain } => untrusted("sigchain_other_key")
            .help(
                "the home server names a key that is not, or no longer, this person's: tell whoever runs it",
            )
            .detail("record_key", json!(record))
            .detail("sigchain_key", json!(chain)),
        _ => Failure::new(Exit::Other, "internal", message),
    }
}

/// A call to a sig-server that came to nothing.
fn sig_server(error: &ClientError, message: String) -> Failure {
    let failure = client(error, message);
    match error {
        ClientError::NotProtocol { .. } => Failure { code: "not_a_sig_server".into(), ..failure },
        _ => failure,
    }
}

fn ended(shown: Option<u64>) -> String {
    match shown {
        None => "it has no entry at all".into(),
        Some(seq) => format!("it has {}", crate::chain_view::entries(seq + 1)),
    }
}

/// The words are about publishing; code and help are the cause's own.
fn stopped(stopped: &Stopped, message: String) -> Failure {
    let Stopped { done, left, source } = stopped;
    let mut failure =
        sig_server(source, message).detail("published", json!(done)).detail("left", json!(left));
    let again = "what is left is kept on this computer: kez sigchain publish";
    failure.help = Some(failure.help.map_or(again.into(), |help| format!("{help}\n{again}")));
    failure
}
