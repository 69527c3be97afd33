//! What the server is told at start: one documented struct of flags, each with its environment name and default.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kez_core::{Handle, ServerName};
use kez_serve::client_addr::TrustedProxies;
pub use kez_serve::flags::Switch;
use kez_serve::flags::{has_folder, trusted_proxies};
use kez_sig_server::{ByteSize, ChainLimits, Quotas};

use crate::base_url::BaseUrl;
use crate::store::Reason;

const LONG_ABOUT: &str = "\
A chat home for a person or a community.

People take a handle (alice@example.org) bound to a key that only they hold; anybody can find and check that key. \
One program, no other service needed: without a subcommand it serves, on the defaults below.

  Try it here        kez-chat-server --bind 127.0.0.1:6969
  Serve a community  kez-chat-server --server example.org --bind 127.0.0.1:6969 \\
                       --trusted-proxy 127.0.0.1
                     behind a TLS proxy that sends https://example.org to port 6969
  Invite people      kez-chat-server --registration invite
                     kez-chat-server invite create --uses 10 --days 7
  Stop an account    kez-chat-server admin suspend mallory --reason spam
  Save everything    kez-chat-server backup /var/backups/kez-chat/2026-12-01

RUST_LOG sets what is logged, for example RUST_LOG=debug,hyper=info.";

/// The command line of `kez-chat-server`.
#[derive(Debug, Parser)]
#[command(name = "kez-chat-server", version, about = "A chat home for handles that people own", long_about = LONG_ABOUT)]
pub struct Cli {
    /// Flags of the server.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, list and revoke invite tokens (also while the server runs)
    #[command(subcommand)]
    Invite(InviteCommand),
    /// Suspend accounts, set quotas, see usage and the audit (also while the server runs)
    Admin(AdminArgs),
    /// Save everything that this server keeps in a folder (also while the server runs)
    ///
    /// Name the server's own --db, --secret-file and --blob-store, where it has any, before the word backup, or set their
    /// environment names as for the server.
    Backup {
        /// A folder that is not there yet, such as /var/backups/kez-chat/2026-12-01
        #[arg(value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Put the home of a backup where --db and the like say; overwrites nothing
    Restore {
        /// The folder that `backup` made
        #[arg(value_name = "FOLDER")]
        from: PathBuf,
    },
    /// Check all files, signed documents and sigchains of a backup or of this server
    Verify {
        /// A folder that `backup` made [default: the server's own files, also while it runs]
        #[arg(value_name = "FOLDER")]
        backup: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write nats.conf and the keys that go with it into a new folder
    NatsConfig(NatsConfigArgs),
    /// Print the OpenAPI document of the HTTP interface
    Openapi,
}

/// The command line of `nats-config`.
#[derive(Debug, Clone, Args)]
pub struct NatsConfigArgs {
    /// Folder to make, for nats.conf and the secret files
    #[arg(long, default_value = "kez-nats", value_name = "DIR")]
    pub out: PathBuf,
    /// What the NATS server calls itself; each of a cluster has its own
    #[arg(long, default_value = "nats-1", value_name = "NAME", value_parser = nats_word)]
    pub name: String,
    /// Where chat servers and programs connect: an inner network, as long as there is no tls block (port 0: any)
    #[arg(long, default_value = "0.0.0.0:4222", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Where the TLS proxy of browsers connects (port 0: any)
    #[arg(long, default_value = "0.0.0.0:8443", value_name = "ADDR:PORT")]
    pub websocket: SocketAddr,
    /// Where the monitor listens, which asks nobody for a password (port 0: any)
    #[arg(long, default_value = "127.0.0.1:8222", value_name = "ADDR:PORT")]
    pub monitor: SocketAddr,
    /// Pages that may connect, repeatable [default: https://<server>]
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub origin: Vec<BaseUrl>,
    /// Folder of the operator's own streams, on the NATS server's machine
    #[arg(long, default_value = "/data", value_name = "DIR", value_parser = nats_path)]
    pub store_dir: PathBuf,
}

/// What is done with invite tokens.
#[derive(Debug, Subcommand)]
pub enum InviteCommand {
    /// Make a token and print it; it is not stored and cannot be shown again
    Create {
        /// How many people may register with it
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        uses: u32,
        /// After how many days it stops working
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3_650))]
        days: u32,
    },
    /// List the tokens that still work, by number
    List,
    /// Make a token stop working
    Revoke {
        /// The number that `invite create` and `invite list` show
        id: i64,
    },
}

/// The command line of `admin`.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: AdminCommand,
}

/// What is done with accounts.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Refuse everything that an account's devices ask for; nothing is deleted, and the handle still leads to its key
    Suspend {
        /// Whom, without @ and server
        handle: Handle,
        /// Why, for the audit; nobody else is told
        #[arg(long, value_name = "TEXT")]
        reason: Option<Reason>,
    },
    /// End a suspension
    Reinstate {
        /// Whom, without @ and server
        handle: Handle,
    },
    /// Show how much an account may keep here, or set it
    Quota {
        /// Whose, without @ and server
        handle: Handle,
        /// Bytes of messages that it sent, such as 512MiB, or "default"
        #[arg(long, value_name = "SIZE")]
        messages: Option<QuotaSize>,
        /// Bytes of attachments that it uploaded, such as 2GiB, or "default"
        #[arg(long, value_name = "SIZE")]
        blobs: Option<QuotaSize>,
    },
    /// List the accounts that take up most
    Usage {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        top: u32,
    },
    /// List what was done by these commands and by `invite`, newest first
    Audit {
        /// How many entries
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Only entries before the one with this number
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
        before: Option<i64>,
    },
}

/// A size of its own, or everybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaSize {
    /// Everybody's.
    Default,
    /// Its own; at most 2^63 - 1 bytes.
    Bytes(ByteSize),
}

impl QuotaSize {
    /// The bytes, `None` for everybody's.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Default => None,
            Self::Bytes(ByteSize(bytes)) => Some(bytes),
        }
    }
}

impl std::str::FromStr for QuotaSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "default" {
            return Ok(Self::Default);
        }
        let size = text.parse::<ByteSize>().ok().filter(|size| i64::try_from(size.0).is_ok());
        size.map(Self::Bytes).ok_or("give a whole number of MiB, GiB or TiB, such as 512MiB, or default")
    }
}

/// The longest that `--retention-days` takes. A key package is given out with at least 31 days to live, and whoever reads
/// late checks those lifetimes then: with a longer log a device could meet a commit that it must refuse.
pub const RETENTION_DAYS_MAX: u8 = 30;

/// Flags of the server; `--help` shows the first line of each.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address and port to listen on
    #[arg(long, env = "KEZ_CHAT_BIND", default_value = "0.0.0.0:6969", value_name = "ADDR:PORT", value_parser = bind_address)]
    pub bind: SocketAddr,

    /// SQLite file that holds everything but sigchains; made when missing
    #[arg(long, env = "KEZ_CHAT_DB", default_value = "kez-chat.db", value_name = "FILE", global = true, value_parser = database_path)]
    pub db: PathBuf,

    /// The name behind the @ of this server's handles
    #[arg(long, env = "KEZ_CHAT_SERVER", default_value = "kez.lat", value_name = "NAME", global = true)]
    pub server: ServerName,

    /// Where this server's people publish their sigchains
    #[arg(
        long,
        env = "KEZ_CHAT_SIG_SERVER_URL",
        default_value = "http://localhost:7878",
        value_name = "URL"
    )]
    pub sig_server_url: BaseUrl,

    /// Folder with a web client to serve instead of the built-in one
    #[arg(long, env = "KEZ_CHAT_WEB_DIR", value_name = "DIR")]
    pub web_dir: Option<PathBuf>,

    /// Where people reach this server, repeatable [default: https://<server>]
    #[arg(long, env = "KEZ_CHAT_PUBLIC_URL", value_name = "URL", value_delimiter = ',')]
    pub public_url: Vec<BaseUrl>,

    /// File with the server's secret, made on first start [default: kez-chat.secret beside the database]
    #[arg(long, env = "KEZ_CHAT_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,

    /// Addresses of proxies whose X-Forwarded-For counts, comma-separated [default: none]
    #[arg(long, env = "KEZ_CHAT_TRUSTED_PROXY", value_name = "CIDR,…", default_value = "", hide_default_value = true, value_parser = trusted_proxies)]
    pub trusted_proxy: TrustedProxies,

    /// Whether each client network is held to a rate
    #[arg(long, env = "KEZ_CHAT_RATE_LIMIT", value_enum, default_value_t = Switch::On)]
    pub rate_limit: Switch,

    /// Who may take a handle
    #[arg(long, env = "KEZ_CHAT_REGISTRATION", value_enum, default_value_t = RegistrationMode::Open)]
    pub registration: RegistrationMode,

    /// Days after which an event goes although a device has not acknowledged it
    #[arg(long, env = "KEZ_CHAT_RETENTION_DAYS", default_value_t = RETENTION_DAYS_MAX, value_name = "DAYS", value_parser = clap::value_parser!(u8).range(1..=i64::from(RETENTION_DAYS_MAX)))]
    pub retention_days: u8,

    /// Bytes that the database may take before it takes no more messages
    #[arg(long, env = "KEZ_CHAT_MESSAGE_STORAGE_MAX", default_value = "10GiB", value_name = "SIZE")]
    pub message_storage_max: ByteSize,

    /// Folder for attachments [default: kez-chat-blobs beside the database]
    #[arg(long, env = "KEZ_CHAT_BLOB_STORE", value_name = "DIR", value_parser = blob_folder)]
    pub blob_store: Option<PathBuf>,

    /// Bytes that all attachments together may have
    #[arg(long, env = "KEZ_CHAT_BLOB_STORAGE_MAX", default_value = "10GiB", value_name = "SIZE")]
    pub blob_storage_max: ByteSize,

    /// Where sigchains are served besides /v1/sigchains of --bind, or "off" for neither
    #[arg(long, env = "KEZ_CHAT_SIG_BIND", default_value = "127.0.0.1:7878", value_name = "ADDR:PORT|off")]
    pub sig_bind: SigBind,

    /// Events that one sigchain may get per hour, day and week, or "off"; revocations are not counted
    #[arg(long, env = "KEZ_CHAT_SIG_CHAIN_LIMITS", default_value = "10/h,30/d,100/w", value_name = "RATES")]
    pub sig_chain_limits: ChainLimits,

    /// Bytes that all sigchains together may have, in a file of their own beside --db
    #[arg(long, env = "KEZ_CHAT_SIG_STORAGE_MAX", default_value = "10GiB", value_name = "SIZE")]
    pub sig_storage_max: ByteSize,

    /// NATS servers, comma-separated, such as <nats://127.0.0.1:4222> [default: none; an in-process bus delivers]
    #[arg(long, env = "KEZ_CHAT_NATS_URL", value_name = "URL,…", value_delimiter = ',', value_parser = nats_url)]
    pub nats_url: Vec<String>,

    /// Folder with the secret files that `nats-config` wrote
    #[arg(long, env = "KEZ_CHAT_NATS_KEYS", default_value = "kez-nats", value_name = "DIR")]
    pub nats_keys: PathBuf,

    /// Where clients reach NATS, comma-separated, such as <wss://chat.example.org/nats> [default: none is offered]
    #[arg(long, env = "KEZ_CHAT_NATS_PUBLIC_URL", value_name = "URL,…", value_delimiter = ',', value_parser = nats_public_url)]
    pub nats_public_url: Vec<String>,
}

/// Who may take a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RegistrationMode {
    /// Everybody.
    Open,
    /// Whoever brings a token of `invite create`.
    Invite,
    /// Nobody.
    Closed,
}

impl RegistrationMode {
    /// The word of the flag and of `/v1/server`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
            Self::Closed => "closed",
        }
    }
}

/// Where the sig-server within listens: an address, or `None` for `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigBind(pub Option<SocketAddr>);

impl std::str::FromStr for SigBind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            _ => text
                .parse()
                .map(|addr| Self(Some(addr)))
                .map_err(|_| "give an address and port such as 127.0.0.1:7878, or off"),
        }
    }
}

/// A configuration that cannot work, with the flag and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The folder of `--web-dir` has no page in it.
    #[error("--web-dir {0}: there is no index.html in it; name the folder that holds a built web client")]
    WebDir(PathBuf),
    /// The name of the server makes no URL.
    #[error(
        "--server {0}: no browser takes https://{0} for an address; correct the name, or give --public-url"
    )]
    ServerName(ServerName),
    /// The folder of the database is missing.
    #[error("--db {0}: its folder does not exist; make the folder, or name a file in an existing one")]
    DatabaseFolder(PathBuf),
}

impl ServeArgs {
    /// The URLs under which people reach this server; the first one is used where one is needed.
    pub fn public_urls(&self) -> Result<Vec<BaseUrl>, ConfigError> {
        if !self.public_url.is_empty() {
            return Ok(self.public_url.clone());
        }
        let own = BaseUrl::https(&self.server).map_err(|_| ConfigError::ServerName(self.server.clone()))?;
        Ok(vec![own])
    }

    /// Where the server's secret lies.
    pub fn secret_file(&self) -> PathBuf {
        self.secret_file.clone().unwrap_or_else(|| self.db.with_file_name("kez-chat.secret"))
    }

    /// Where blobs lie: `kez-chat-blobs` beside `kez-chat.db`.
    pub fn blob_folder(&self) -> PathBuf {
        self.blob_store.clone().unwrap_or_else(|| {
            let mut name = self.db.file_stem().unwrap_or_default().to_owned();
            name.push("-blobs");
            self.db.with_file_name(name)
        })
    }

    /// Where the sigchains of the sig-server within lie: `kez-chat-sig.db` beside `kez-chat.db`. ADR 0010.
    pub fn sig_db(&self) -> PathBuf {
        let mut name = self.db.file_stem().unwrap_or_default().to_owned();
        name.push("-sig.db");
        self.db.with_file_name(name)
    }

    /// What the sig-server within is held to.
    pub fn sig_quotas(&self) -> Quotas {
        Quotas { chain: self.sig_chain_limits.clone(), storage_max: self.sig_storage_max }
    }

    /// Checks what the parser of a single flag cannot see.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(dir) = &self.web_dir
            && !dir.join("index.html").is_file()
        {
            return Err(ConfigError::WebDir(dir.clone()));
        }
        if !has_folder(&self.db) {
            return Err(ConfigError::DatabaseFolder(self.db.clone()));
        }
        Ok(())
    }
}

/// A word that stands in nats.conf.
fn nats_word(text: &str) -> Result<String, &'static str> {
    let is_word = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_word { Ok(text.to_owned()) } else { Err("give 1 to 64 characters of a-z A-Z 0-9 - _") }
}

/// A path that stands in nats.conf between quotation marks.
fn nats_path(text: &str) -> Result<PathBuf, &'static str> {
    let is_plain = !text.is_empty() && !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '$'));
    if is_plain { Ok(PathBuf::from(text)) } else { Err("name a folder without quotation marks, \\ and $") }
}

fn nats_url(text: &str) -> Result<String, &'static str> {
    let fits =
        ["nats", "tls"].iter().any(|scheme| text.starts_with(&format!("{scheme}://"))) && !text.contains('@');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("give nats://host:4222 or tls://host:4222, without a password")
    }
}

fn nats_public_url(text: &str) -> Result<String, &'static str> {
    let schemes = ["nats", "tls", "ws", "wss"];
    let fits = schemes.iter().any(|scheme| text.starts_with(&format!("{scheme}://"))) && !text.contains('@');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("give wss://host/path, tls://host:4222, or ws:// and nats:// on an inner network")
    }
}

fn bind_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:6969 or [::]:6969")
}

fn blob_folder(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() {
        return Err("name a folder, such as kez-chat-blobs");
    }
    if text.contains("://") {
        return Err("this version keeps attachments in a folder; name one, such as kez-chat-blobs");
    }
    Ok(PathBuf::from(text))
}

fn database_path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() {
        return Err("name a file, such as kez-chat.db");
    }
    if text.contains("://") {
        return Err("this version keeps its data in a SQLite file; name a file, such as kez-chat.db");
    }
    Ok(PathBuf::from(text))
}
