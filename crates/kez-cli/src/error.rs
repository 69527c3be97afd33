//! Everything that can go wrong, and the one place that turns it into words, a stable code and an exit status.

mod chain;
mod chat;
mod device;
mod document;

use std::error::Error;
use std::io;

use kez_client::{CallError, ChainReadError, ClientError, Problem};
use kez_core::encoding::TooLarge;
use kez_core::{
    BadCertificate, BadPhrase, EnvelopeError, Fqhn, Identifier, PrimaryKey, ServerName, Timestamp,
};
use serde_json::{Map, Value, json};

use crate::ask::AskError;
use crate::chat::files::FileError;
use crate::device::DeviceError;
use crate::disk::DiskError;
use crate::document::DocumentError;
use crate::home::HomeError;
use crate::local_chain::LocalChainError;
use crate::records::RecordsError;
use crate::seed_file::SeedFileError;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    File(#[from] FileError),
    /// The encryption says no.
    #[error(transparent)]
    Engine(kez_e2e::Fault),
    /// There is nothing to send.
    #[error("there is nothing to say")]
    NothingToSay,
    /// Standard input cannot be read.
    #[error("standard input cannot be read")]
    Stdin(#[source] io::Error),
    /// The terminal cannot be used as a screen.
    #[error("this terminal cannot be used as a screen")]
    Terminal(#[source] io::Error),
    /// No conversation is called so.
    #[error("there is no conversation {name} on this device")]
    NoSuchChat {
        /// What was named.
        name: String,
    },
    /// A person and a group are called so.
    #[error("both a person and a group are called {name}")]
    PersonOrGroup {
        /// What was named.
        name: String,
    },
    /// Several groups are called so.
    #[error("several groups are called {name}")]
    SeveralGroups {
        /// What was named.
        name: String,
    },
    /// No message has such an id.
    #[error("there is no message {start} in this conversation")]
    NoSuchMessage {
        /// What its id was said to begin with.
        start: String,
    },
    /// Several messages have such an id.
    #[error("several messages begin with {start}")]
    SeveralMessages {
        /// What their ids begin with.
        start: String,
    },
    /// Somebody else said it, or it is nothing that was said.
    #[error("that is not a message of yours")]
    NotYours,
    /// The message has no files.
    #[error("there are no files to save")]
    NoFiles,
    /// Too many files for one message.
    #[error("a message has {max} files at most")]
    TooManyFiles {
        /// How many it may have.
        max: usize,
    },
    /// Others changed the conversation faster, again and again.
    #[error("others keep changing the conversation at the same moment")]
    Overtaken,
    /// The server will never take it.
    #[error("the server does not take it: {why}")]
    NotTaken {
        /// Its words.
        why: String,
    },
    /// Somebody has no device to talk to.
    #[error("{who} has not set up messages yet: none of their devices can be reached")]
    NoDevices {
        /// Who.
        who: String,
    },
    /// Nobody talks to themselves here.
    #[error("that is you")]
    ToYourself,
    /// Somebody lives on another server.
    #[error("{address} is on another home server, and messages stay within one for now")]
    OtherHome {
        /// Who.
        address: Fqhn,
    },
    /// It would change nothing.
    #[error("nothing to do: {what}")]
    NothingToChange {
        /// Why.
        what: &'static str,
    },
    /// The account is no longer in the conversation.
    #[error("you are no longer in this conversation")]
    LeftChat,
    /// Something was refused in the conversation.
    #[error("this conversation is stopped: {reason}")]
    FrozenChat {
        /// What.
        reason: String,
    },
    /// Nobody of that name waits for an answer.
    #[error("{name} does not wait for an answer")]
    NoRequest {
        /// Who.
        name: String,
    },
    /// Only admins may.
    #[error("only admins of the group may do that")]
    NotAnAdmin,
    /// Only conversations of two have that.
    #[error("this is for conversations of two")]
    NotForGroups,
    /// A program said something that is no command.
    #[error("{0}")]
    BadOrder(String),
    /// The identity has no handle yet, as far as this computer knows.
    #[error("your identity has no handle yet, as far as this computer knows")]
    NoAccount,
    /// No active device has such an id.
    #[error("{}", if *.gone { format!("the device {start} was revoked already") } else { format!("you have no device {start}") })]
    NoSuchDevice {
        /// What its id was said to begin with.
        start: String,
        /// Whether it was revoked.
        gone: bool,
    },
    /// Several devices have such an id.
    #[error("several of your devices begin with {start}")]
    SeveralDevices {
        /// What their ids begin with.
        start: String,
    },
    /// A certificate cannot be dated by this computer's clock.
    #[error("this computer's clock cannot be right")]
    Certificate(#[source] BadCertificate),
    /// The words are no recovery phrase.
    #[error("that is not a recovery phrase: {0}")]
    BadPhrase(#[from] BadPhrase),
    /// The server said no to a registration.
    #[error("{}", refusal(.0))]
    Refused(Box<Refused>),
    /// This key holds another handle on the server.
    #[error("your identity already has an address on this server: {held}")]
    HoldsAnother {
        /// The address it holds.
        held: Fqhn,
    },
    /// No home server is remembered, and none was named.
    #[error("which home server? kez does not know one yet")]
    NoServer,
    /// The user said that the server has another name than it says itself.
    #[error("{url} says that it is {server}, not {vouched}")]
    OtherServer {
        /// Where it is reached.
        url: String,
        /// What it calls itself.
        server: ServerName,
        /// What the user called it.
        vouched: ServerName,
    },
    /// The domain that a server claims to be names another one.
    #[error("{url} says that it is {server}, but https://{server} does not name it as its home server")]
    ServerDenied {
        /// Where it is reached.
        url: String,
        /// What it calls itself.
        server: ServerName,
    },
    /// The domain that a server claims to be cannot be asked.
    #[error("{url} says that it is {server}, but {source}")]
    ServerUnproven {
        /// Where it is reached.
        url: String,
        /// What it calls itself.
        server: ServerName,
        source: ClientError,
    },
    /// Nobody holds the handle or key.
    #[error("{}", nobody(.who, .place))]
    NotFound {
        /// `alice@kez.lat`, or a key.
        who: String,
        /// The server that was asked.
        place: ServerName,
    },
    /// A claim would have ended before it began.
    #[error("a claim cannot end in the past")]
    ExpiryPast,
    /// Only a domain has DNS records.
    #[error("{subject} has no DNS records")]
    DnsFormat {
        /// What the claim is about.
        subject: Identifier,
    },
    /// A document is too large for the wanted form.
    #[error("this is too large for that form: {0}")]
    TooLarge(#[from] TooLarge),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    LocalChain(#[from] LocalChainError),
    #[error(transparent)]
    Chain(#[from] ChainReadError),
    /// A file holds another chain than the one that was seen.
    #[error("{path} holds another sigchain than the one this computer has seen")]
    FileForked {
        /// The file.
        path: String,
        /// They part here or earlier.
        seq: u64,
    },
    /// What is to be taken back is not on the chain.
    #[error("{} is not on your sigchain", crate::chain_view::shown(.subject))]
    NotHeld {
        /// What it is.
        subject: Identifier,
    },
    /// There is nothing on the chain yet.
    #[error("your sigchain is empty")]
    EmptyChain,
    /// Somebody has no chain.
    #[error("there is no sigchain at {url}")]
    NoChain {
        /// Where it was looked for.
        url: String,
    },
    /// Not the URL of a chain.
    #[error("{url} is not the address of a sigchain")]
    BadChainUrl {
        /// What was given, visible ASCII or the user's own words.
        url: String,
    },
    /// Nobody says where sigchains are published.
    #[error("where are sigchains published? kez does not know a sig-server yet")]
    NoSigServer,
    /// A home server names an address that means this machine, and is not on it.
    #[error("{server} keeps sigchains at {url}, and this address works only on the server's own machine")]
    SigServerElsewhere {
        /// The sig-server.
        url: String,
        /// The home server.
        server: ServerName,
    },
    /// The chain has another key now, so this identity cannot add to it.
    #[error("your sigchain has been handed on to another key")]
    KeyReplaced {
        /// The key it has now.
        now: PrimaryKey,
    },
    /// A sig-server shows a chain that lacks published events of this computer's.
    #[error("{server} has another sigchain of yours than the one you published")]
    OwnChainForked {
        /// Who has it.
        server: String,
        /// The first entry that differs.
        seq: u64,
    },
    /// An entry cannot be signed anew by this program.
    #[error("an entry of your sigchain cannot be signed anew by kez")]
    NotAgain,
    /// Another computer published meanwhile, twice.
    #[error("another computer of yours keeps publishing at the same moment")]
    LostRace,
    /// The sig-server stopped taking entries.
    #[error("{}", stopped(.0))]
    Stopped(Box<Stopped>),
    /// The operating system gives no random bytes.
    #[error("this computer gives no random numbers")]
    NoRandomness(#[source] getrandom::Error),
    /// Signing failed, which no input can cause.
    #[error("signing failed")]
    Signing(#[from] EnvelopeError),
    /// Standard output cannot be written.
    #[error("the result cannot be printed")]
    Stdout(#[source] io::Error),
    /// The asynchronous runtime does not start.
    #[error("this computer cannot open connections")]
    Runtime(#[source] io::Error),
}

/// A registration that the server refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// What the server said.
    pub(crate) problem: Problem,
    /// The address that was asked for.
    pub(crate) address: Fqhn,
    /// This machine's clock when the registration was signed.
    pub(crate) signed_at: Timestamp,
}

/// Publishing that came to a stop.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// Entries that were taken.
    pub(crate) done: u64,
    /// Entries that were not.
    pub(crate) left: u64,
    /// Why.
    pub(crate) source: ClientError,
}

/// How a command ends. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Other,
    Usage,
    NotFound,
    Network,
    Verification,
}

/// An error as it is shown.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Stable; a refusing server's own code where there is one.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) help: Option<String>,
    /// Further members of the JSON form.
    details: Map<String, Value>,
}

impl Exit {
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Network => 4,
            Self::Verification => 5,
        }
    }
}

impl Failure {
    /// A wrong command line, in clap's words.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let message = lines.join(" ").trim_start_matches("error: ").to_owned();
        Self::new(Exit::Usage, "usage", message).help("kez --help")
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object = self.details.clone();
        object.insert("level".into(), "error".into());
        object.insert("code".into(), self.code.as_str().into());
        object.insert("message".into(), self.message.as_str().into());
        object.insert("help".into(), self.help.as_deref().into());
        object.insert("exit".into(), self.exit.status().into());
        Value::Object(object)
    }

    fn new(exit: Exit, code: &str, message: String) -> Self {
        Self { exit, code: code.into(), message, help: None, details: Map::new() }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    fn detail(mut self, name: &str, value: Value) -> Self {
        self.details.insert(name.into(), value);
        self
    }
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        let message = message(&error);
        match &error {
            CliError::Home(error) => home(error, &message),
            CliError::Ask(error) => ask(error, &message),
            CliError::Client(error) => client(error, message),
            CliError::Call(error) => device::call(error, message),
            CliError::Device(error) => device::failure(error, message),
            CliError::NoSuchDevice { .. } | CliError::SeveralDevices { .. } => {
                device::naming(&error, message)
            }
            CliError::Records(_)
            | CliError::File(_)
            | CliError::Engine(_)
            | CliError::NothingToSay
            | CliError::Stdin(_)
            | CliError::Terminal(_)
            | CliError::NoSuchChat { .. }
            | CliError::PersonOrGroup { .. }
            | CliError::SeveralGroups { .. }
            | CliError::NoSuchMessage { .. }
            | CliError::SeveralMessages { .. }
            | CliError::NotYours
            | CliError::NoFiles
            | CliError::TooManyFiles { .. }
            | CliError::Overtaken
            | CliError::NotTaken { .. }
            | CliError::NoDevices { .. }
            | CliError::ToYourself
            | CliError::OtherHome { .. }
            | CliError::NothingToChange { .. }
            | CliError::LeftChat
            | CliError::FrozenChat { .. }
            | CliError::NoRequest { .. }
            | CliError::NotAnAdmin
            | CliError::NotForGroups
            | CliError::BadOrder(_) => chat::failure(&error, message),
            CliError::NoAccount => Self::new(Exit::Other, "no_account", message).help(
                "take one: kez register alice --server <address of a home server>\n\
                 (with a handle that is yours already, this only reminds kez of it)",
            ),
            CliError::Certificate(_) => {
                Self::new(Exit::Other, "clock", message).help("set this computer's clock, then try again")
            }
            CliError::Refused(refused) => registration(refused, message),
            CliError::BadPhrase(_) => Self::new(Exit::Other, "bad_phrase", message)
                .help("compare each word with your paper: spelling and order matter, upper case does not"),
            CliError::HoldsAnother { held } => Self::new(Exit::Other, "key_taken", message)
                .help(format!("use {held}, or make a second identity: KEZ_HOME=~/kez-two kez identity new"))
                .detail("held", json!(held)),
            CliError::NoServer => Self::new(Exit::Usage, "no_server", message).help(
                "name it with --server, for example --server http://127.0.0.1:6969 for one on this machine\n\
                 (kez register remembers it for later)",
            ),
            CliError::OtherServer { server, .. } => {
                server_identity(server, message).help("do not register there, unless you mistyped the name")
            }
            CliError::ServerDenied { server, .. } | CliError::ServerUnproven { server, .. } => {
                server_identity(server, message).help(format!(
                    "it could take a handle on {server} in your name: register at https://{server} itself,\n\
                     or, if you know that this server really is {server}, add --as {server}"
                ))
            }
            CliError::NotFound { who, .. } => Self::new(Exit::NotFound, "not_found", message)
                .help(if who.contains('@') {
                    "check the spelling, also behind the @"
                } else {
                    "it may have a handle on another server: name that with --server"
                })
                .detail("who", who.as_str().into()),
            CliError::Document(error) => document::failure(error, message),
            CliError::ExpiryPast => Self::new(Exit::Usage, "expiry_past", message)
                .help("give a later date with --expires, or none for a claim that never ends by itself"),
            CliError::DnsFormat { .. } => Self::new(Exit::Usage, "not_a_domain", message)
                .help("--format dns is for domains: kez claim create dns:example.org --format dns"),
            CliError::TooLarge(_) => Self::new(Exit::Other, "too_large", message)
                .help("export the sigchain as JSON lines: kez sigchain export"),
            CliError::LocalChain(_)
            | CliError::Chain(_)
            | CliError::FileForked { .. }
            | CliError::NotHeld { .. }
            | CliError::EmptyChain
            | CliError::NoChain { .. }
            | CliError::BadChainUrl { .. }
            | CliError::NoSigServer
            | CliError::SigServerElsewhere { .. }
            | CliError::KeyReplaced { .. }
            | CliError::OwnChainForked { .. }
            | CliError::NotAgain
            | CliError::LostRace
            | CliError::Stopped(_) => chain::failure(&error, message),
            CliError::NoRandomness(_) => Self::new(Exit::Other, "no_randomness", message)
                .help("nothing was changed; the operating system is at fault"),
            CliError::Signing(_) => Self::new(Exit::Other, "internal", message).help("please report this"),
            CliError::Stdout(_) => {
                Self::new(Exit::Other, "io", message).help("check where the output of kez goes")
            }
            CliError::Runtime(_) => Self::new(Exit::Other, "io", message)
                .help("check the limits of your user (open files, memory)"),
        }
    }
}

/// The error and the innermost of its causes, which is the one that says something.
fn message(error: &CliError) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    match causes.last().map(ToString::to_string) {
        Some(cause) if !error.to_string().contains(&cause) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}

fn home(error: &HomeError, message: &str) -> Failure {
    let other = |code| Failure::new(Exit::Other, code, message.to_owned());
    match error {
        HomeError::NoPlace => other("no_home").help("set KEZ_HOME to a directory of yours"),
        HomeError::Disk(error) => disk(error, message),
        HomeError::IdentityExists { path } => other("identity_exists")
            .help(
                "kez identity show tells whose it is\n\
                 to replace it, add --force (its file is kept under another name)\n\
                 to have a second one, set KEZ_HOME to another directory",
            )
            .detail("path", json!(path.display().to_string())),
        HomeError::NoIdentity { .. } => {
            other("no_identity").help("kez identity new makes one; kez identity restore brings one back")
        }
        HomeError::OpenToOthers { path } => {
            other("seed_file_open_to_others").help(format!("chmod 600 '{}'", path.display()))
        }
        HomeError::SeedFileIsLink { path, target } => other("seed_file_is_link")
            .help(format!(
                "put the file itself there and try again: mv '{}' '{}'",
                target.display(),
                path.display()
            ))
            .detail("target", json!(target.display().to_string())),
        HomeError::SeedFile { source, .. } => seed_file(*source, message),
        HomeError::Seen { .. } => other("seen_damaged").help(
            "delete it, if you are sure that only an accident did this:\n\
             kez then believes the next sigchain that it is shown",
        ),
        HomeError::Memory { .. } => {
            other("config_damaged").help("delete it: it holds nothing but the home server you used last")
        }
    }
}

fn disk(error: &DiskError, message: &str) -> Failure {
    Failure::new(Exit::Other, "io", message.to_owned())
        .help("check the permissions and the space on the disk, or set KEZ_HOME to another directory")
        .detail("path", json!(error.path.display().to_string()))
}

fn seed_file(error: SeedFileError, message: &str) -> Failure {
    let other = |code| Failure::new(Exit::Other, code, message.to_owned());
    match error {
        SeedFileError::WrongPassphrase => Failure::new(Exit::Other, "wrong_passphrase", error.to_string())
            .help(
                "try again; without the passphrase only the recovery phrase helps:\n\
             kez identity restore --force",
            ),
        SeedFileError::Newer => other("seed_file_newer").help("update kez"),
        SeedFileError::NeedsPassphrase => other("passphrase_needed"),
        SeedFileError::Damaged | SeedFileError::TooCostly => other("seed_file_damaged")
            .help("bring the identity back from your recovery phrase: kez identity restore --force"),
    }
}

fn ask(error: &AskError, message: &str) -> Failure {
    let other = |code| Failure::new(Exit::Other, code, message.to_owned());
    match error {
        AskError::Nothing { .. } => other("no_input").help(
            "type it when asked, or give it on standard input (a passphrase also by KEZ_PASSPHRASE_FILE)",
        ),
        AskError::Io { .. } | AskError::File { .. } => other("io").help("check the file and its permissions"),
        AskError::Differ => other("passphrases_differ").help("nothing was changed; try again"),
        AskError::TooShort => {
            other("passphrase_too_short").help("nothing was changed; four random words are good")
        }
        AskError::TwoSecrets => other("no_input")
            .help("write it to a file only you can read, and set KEZ_PASSPHRASE_FILE to its name"),
        AskError::BadInvite(_) => other("bad_invite").help("copy the invite again, the whole line"),
    }
}

/// A server that may not be what it calls itself.
fn server_identity(server: &ServerName, message: String) -> Failure {
    Failure::new(Exit::Verification, "server_identity", message).detail("server", json!(server))
}

/// What to do about a server whose answers contradict themselves.
const DISTRUST: &str = "do not trust this server's word about keys; tell whoever runs it";

fn client(error: &ClientError, message: String) -> Failure {
    match error {
        ClientError::Unreachable { .. } => Failure::new(Exit::Network, "unreachable", message)
            .help("check the address and your connection; is the server running?"),
        ClientError::TimedOut { .. } => {
            Failure::new(Exit::Network, "timeout", message).help("check your connection and try again")
        }
        ClientError::NoHost { .. } => {
            Failure::new(Exit::Network, "no_host", message).help("check the part after the @")
        }
        ClientError::NoTrustRoots { .. } => Failure::new(Exit::Network, "no_trust_roots", message)
            .help("install your system's certificate authorities (package ca-certificates on Debian)"),
        ClientError::NotProtocol { .. } => Failure::new(Exit::Network, "not_a_home_server", message).help(
            "check the address; the server may also be newer than this kez, or down behind its gateway",
        ),
        ClientError::Contradiction { .. } => {
            Failure::new(Exit::Verification, "contradiction", message).help(DISTRUST)
        }
        ClientError::Refused(problem) => refused(problem, message),
        _ => Failure::new(Exit::Other, "internal", message),
    }
}

fn refused(problem: &Problem, message: String) -> Failure {
    let failure = Failure::new(Exit::Other, &problem.code, message).detail("status", problem.status.into());
    match (problem.retry_after_s, problem.status) {
        (Some(wait_s), _) => {
            failure.help(format!("try again in {}", duration(wait_s))).detail("retry_after_s", wait_s.into())
        }
        (None, 500..) => failure.help("the trouble is on the server's side: try again later"),
        _ => failure.help("tell whoever runs the server, or update kez"),
    }
}

fn registration(refused_: &Refused, message: String) -> Failure {
    let Refused { problem, address, signed_at } = refused_;
    let failure = refused(problem, message);
    match problem.code.as_str() {
        "handle_taken" | "handle_confusable" => failure.help(format!(
            "try another one, for example kez register {}",
            another_handle(address.handle().as_str())
        )),
        "reserved_handle" => failure.help("try another one"),
        "clock_skew" => failure
            .help("set this computer's clock (or tell the server's operator, if yours is right), then try again")
            .detail("local_time", json!(signed_at))
            .detail("server_time", json!(problem.server_time)),
        "registration_closed" => failure.help("ask whoever runs it, or choose another home server"),
        "invite_required" => failure.help(
            "ask whoever runs the server for an invite, then type it when asked,\n\
             or put it in a file: --invite-file FILE",
        ),
        _ => failure,
    }
}

/// A handle that is probably free and certainly valid.
fn another_handle(handle: &str) -> String {
    let stem: String = handle.chars().take(30).collect();
    format!("{stem}-2")
}

/// How far publishing came, and why no further.
fn stopped(stopped: &Stopped) -> String {
    let Stopped { done, left, source } = stopped;
    let why = match source.problem() {
        Some(problem) if problem.code == "rate_limited" => {
            "the sig-server takes no more of yours for now".into()
        }
        Some(problem) => format!("the sig-server refused: {} ({})", problem.detail, problem.code),
        None => source.to_string(),
    };
    let of = done + left;
    format!("{done} of {} published: {why}", crate::chain_view::entries(of))
}

/// What a refused registration means, in words about the person's wish.
fn refusal(refused: &Refused) -> String {
    let Refused { problem, address, signed_at } = refused;
    let (handle, server) = (address.handle(), address.server());
    match problem.code.as_str() {
        "handle_taken" => format!("{address} belongs to somebody else"),
        "handle_confusable" => format!("{address} looks too much like an address that somebody has"),
        "reserved_handle" => format!("{handle} is a reserved word on {server}"),
        "key_taken" => format!("your identity already has another handle on {server}"),
        "registration_closed" => format!("{server} takes nobody new"),
        "invite_required" => format!("{server} takes new people by invitation only: {}", problem.detail),
        "rate_limited" => format!("{server} has had too many requests from here"),
        "clock_skew" => clock_skew(*signed_at, problem),
        code => format!("{server} refused: {} ({code})", problem.detail),
    }
}

fn clock_skew(signed_at: Timestamp, problem: &Problem) -> String {
    let Some(server_time) = problem.server_time else {
        return format!("this computer's clock says {signed_at}, which the server does not believe");
    };
    let apart_s = signed_at.unix_seconds().abs_diff(server_time.unix_seconds());
    format!(
        "this computer's clock says {signed_at}, the server's {server_time}: they are {} apart",
        duration(apart_s)
    )
}

fn nobody(who: &str, place: &ServerName) -> String {
    if who.contains('@') {
        format!("nobody has the address {who}")
    } else {
        format!("nobody on {place} has the key {who}")
    }
}

/// `45 seconds`, `7 minutes`, `3 hours`, `2 days`: rounded down, for people.
fn duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal_of(code: &str, server_time: Option<&str>) -> Failure {
        let problem = Problem {
            status: 400,
            code: code.into(),
            detail: "the server's words".into(),
            retry_after_s: None,
            server_time: server_time.map(|time| time.parse().unwrap()),
        };
        let signed_at = "2026-05-25T03:00:00Z".parse().unwrap();
        let address = "alice@kez.lat".parse().unwrap();
        CliError::Refused(Box::new(Refused { problem, address, signed_at })).into()
    }

    #[test]
    fn a_wrong_clock_is_told_with_both_times() {
        let failure = refusal_of("clock_skew", Some("2026-05-25T05:30:00Z"));
        assert_eq!(
            failure.message,
            "this computer's clock says 2026-05-25T03:00:00Z, the server's 2026-05-25T05:30:00Z: \
             they are 2 hours apart"
        );
        assert_eq!(failure.to_json()["server_time"], "2026-05-25T05:30:00Z");
        assert_eq!(failure.to_json()["local_time"], "2026-05-25T03:00:00Z");
    }

    #[test]
    fn a_code_newer_than_this_program_is_passed_on_with_the_servers_words() {
        let failure = refusal_of("moon_phase", None);
        assert_eq!(failure.message, "kez.lat refused: the server's words (moon_phase)");
        assert_eq!((failure.code.as_str(), failure.exit.status()), ("moon_phase", 1));
    }

    #[test]
    fn a_suggested_handle_is_a_handle() {
        for handle in ["bob", "a23456789012345678901234567890xx"] {
            assert!(another_handle(handle).parse::<kez_core::Handle>().is_ok());
        }
    }
}
