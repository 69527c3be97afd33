//! One module per command: fetch, decide, store, report.

pub(crate) mod chat;
mod claim;
mod completions;
pub(crate) mod device;
mod follow;
mod identity;
mod register;
mod retry;
mod server_identity;
mod sigchain;
mod verify;
mod whois;

use kez_client::{BaseUrl, HomeServer, ServerInfo, SigServer, SigUrl};
use kez_core::{Phrase, ServerName};

use crate::ask;
use crate::cli::Command;
use crate::error::CliError;
use crate::home::{Home, HomeError, KnownServer};
use crate::output::Output;
use crate::seed_file::{SeedFile, SeedFileError};

/// Runs a command.
pub(crate) fn run(command: Command, output: &Output) -> Result<(), CliError> {
    match command {
        Command::Identity(command) => identity::run(&command, &home()?, output),
        Command::Register(args) => on_network(register::run(args, &home()?, output)),
        Command::Device(command) => on_network(device::run(command, &home()?, output)),
        Command::Chat(command) => on_network(chat::run(command, &home()?, output)),
        Command::Whois(args) => on_network(whois::run(args, &home()?, output)),
        Command::Claim(command) => claim::run(&command, || Ok(home()?), output),
        Command::Sigchain(command) => sigchain::run(command, &home()?, output),
        Command::Verify(command) => verify::run(&command, || Ok(home()?), output),
        Command::Completions(args) => completions::run(&args, output),
    }
}

fn home() -> Result<Home, HomeError> {
    Home::locate(|name| std::env::var_os(name))
}

/// One thread is enough: a command waits for one answer at a time.
fn on_network<T>(command: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    runtime.block_on(command)
}

/// The identity's phrase, and with it the seed; asks for the passphrase where one is needed.
fn open(identity: &SeedFile, home: &Home) -> Result<Phrase, CliError> {
    let passphrase = identity.is_sealed().then(ask::passphrase).transpose()?;
    let opened = identity.open(passphrase.as_ref());
    opened.map_err(|source: SeedFileError| HomeError::SeedFile { path: home.seed_path(), source }.into())
}

/// A home server that is ready to be asked, with its name.
struct Chosen {
    home_server: HomeServer,
    info: ServerInfo,
}

/// The server at the URL that was named, else the remembered one; asks it who it is.
async fn choose(named: Option<BaseUrl>, home: &Home, output: &Output) -> Result<Chosen, CliError> {
    let url = match named {
        Some(url) => url,
        None => remembered(home)?.ok_or(CliError::NoServer)?.url,
    };
    let home_server = connect(url, output)?;
    let info = home_server.server_info().await?;
    Ok(Chosen { home_server, info })
}

fn remembered(home: &Home) -> Result<Option<KnownServer>, HomeError> {
    Ok(home.memory()?.home_server)
}

/// A client for `url`, with a warning where everybody on the way can listen.
fn connect(url: BaseUrl, output: &Output) -> Result<HomeServer, CliError> {
    if url.is_exposed() {
        warn_exposed(&url.to_string(), output);
    }
    Ok(HomeServer::new(url)?)
}

/// The same for a sig-server.
fn connect_sig_server(url: SigUrl, output: &Output) -> Result<SigServer, CliError> {
    if url.is_exposed() {
        warn_exposed(&url.to_string(), output);
    }
    Ok(SigServer::new(url)?)
}

fn warn_exposed(url: &str, output: &Output) {
    let warning = format!("{url} is not encrypted: anybody on the way can read and change what is said");
    output.warn("plain_http", &warning);
}

/// Fails for an address that only the machine of `server` itself can reach, unless this is that machine: whatever
/// answers there on this one is somebody else.
fn require_reachable(url: &SigUrl, is_local: bool, server: &ServerName) -> Result<(), CliError> {
    if url.is_loopback() && !is_local {
        return Err(CliError::SigServerElsewhere { url: url.to_string(), server: server.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_not_taken_from_another() {
        let kez = "kez.lat".parse().unwrap();
        let reach = |url: &str, is_local| require_reachable(&url.parse().unwrap(), is_local, &kez);
        assert!(reach("http://localhost:7878", true).is_ok());
        assert!(reach("https://sig.kez.lat", false).is_ok());
        let elsewhere = reach("http://localhost:7878", false).unwrap_err();
        assert_eq!(
            elsewhere.to_string(),
            "kez.lat keeps sigchains at http://localhost:7878, \
             and this address works only on the server's own machine"
        );
    }
}
