//! What the server is told at start: one documented struct of flags, each with its environment name and default.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kez_serve::client_addr::TrustedProxies;
use kez_serve::flags::{Switch, has_folder, trusted_proxies};

use crate::limits::{ByteSize, ChainLimits, Quotas};

const LONG_ABOUT: &str = "\
Keeps sigchains for everybody who signs one.

A sigchain is what a key says about itself, event after event, each signed. This server takes an event only if it goes \
on from the end of its chain, never changes or forgets one, and gives them to whoever asks. There are no accounts: the \
signature is the access control, and readers verify every event themselves.

  Try it here     kez-sig-server --bind 127.0.0.1:7878
  Run it for all  kez-sig-server --bind 127.0.0.1:7878 --db /var/lib/kez-sig/kez-sig.db --trusted-proxy 127.0.0.1
                  behind a TLS proxy; home servers then name it with --sig-server-url https://sig.example.org

kez-chat-server has the same within (--sig-bind): a home server does not need this program.

RUST_LOG sets what is logged, for example RUST_LOG=debug,hyper=info.";

/// The command line of `kez-sig-server`.
#[derive(Debug, Parser)]
#[command(name = "kez-sig-server", version, about = "Keeps sigchains for everybody who signs one", long_about = LONG_ABOUT)]
pub struct Cli {
    /// Flags of the server.
    #[command(flatten)]
    pub serve: SigArgs,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the OpenAPI document of the HTTP interface
    Openapi,
}

/// Flags of the server; `--help` shows the first line of each.
#[derive(Debug, Clone, Args)]
pub struct SigArgs {
    /// Address and port to listen on
    #[arg(long, env = "KEZ_SIG_BIND", default_value = "0.0.0.0:7878", value_name = "ADDR:PORT", value_parser = address)]
    pub bind: SocketAddr,

    /// SQLite file that holds all chains; made when missing
    #[arg(long, env = "KEZ_SIG_DB", default_value = "kez-sig.db", value_name = "FILE", value_parser = database_path)]
    pub db: PathBuf,

    /// Addresses of proxies whose X-Forwarded-For counts, comma-separated [default: none]
    #[arg(long, env = "KEZ_SIG_TRUSTED_PROXY", value_name = "CIDR,…", default_value = "", hide_default_value = true, value_parser = trusted_proxies)]
    pub trusted_proxy: TrustedProxies,

    /// Whether each client network is held to a rate
    #[arg(long, env = "KEZ_SIG_RATE_LIMIT", value_enum, default_value_t = Switch::On)]
    pub rate_limit: Switch,

    /// Events that one chain may get per hour, day and week, or "off"; revocations are not counted
    #[arg(long, env = "KEZ_SIG_CHAIN_LIMITS", default_value = "10/h,30/d,100/w", value_name = "RATES")]
    pub chain_limits: ChainLimits,

    /// Bytes that all chains together may have, as they are served
    #[arg(long, env = "KEZ_SIG_STORAGE_MAX", default_value = "10GiB", value_name = "SIZE")]
    pub storage_max: ByteSize,
}

/// A configuration that cannot work, with the flag and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The folder of the database is missing.
    #[error("--db {0}: its folder does not exist; make the folder, or name a file in an existing one")]
    DatabaseFolder(PathBuf),
}

impl SigArgs {
    /// Checks what the parser of a single flag cannot see.
    pub fn check(&self) -> Result<(), ConfigError> {
        if has_folder(&self.db) { Ok(()) } else { Err(ConfigError::DatabaseFolder(self.db.clone())) }
    }

    /// What the store is held to.
    pub fn quotas(&self) -> Quotas {
        Quotas { chain: self.chain_limits.clone(), storage_max: self.storage_max }
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:7878 or [::]:7878")
}

fn database_path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() {
        return Err("name a file, such as kez-sig.db");
    }
    if text.contains("://") {
        return Err("this version keeps its data in a SQLite file; name a file, such as kez-sig.db");
    }
    Ok(PathBuf::from(text))
}
