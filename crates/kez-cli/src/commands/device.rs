//! `kez device enrol|list|revoke`.

mod enrol;
mod list;
mod revoke;

use kez_client::{DeviceList, HomeServer};
use kez_core::{Document, Envelope, EnvelopeError, Phrase, PublicKey, Seed, Timestamp, Verified};

use super::{connect, remembered};
use crate::ask;
use crate::cli::Device;
use crate::device::{DeviceError, DeviceFile, DeviceFileError, Secrets, Whose};
use crate::error::CliError;
use crate::home::{Home, HomeError};
use crate::output::Output;
use crate::sealing::Passphrase;

/// Runs a subcommand.
pub(super) async fn run(command: Device, home: &Home, output: &Output) -> Result<(), CliError> {
    match command {
        Device::Enrol(args) => enrol::run(&args, home, output).await,
        Device::List(_) => list::run(home, output).await,
        Device::Revoke(args) => revoke::run(&args, home, output).await,
    }
}

/// The account of this computer's identity, as it was registered last.
pub(super) fn account(home: &Home) -> Result<Whose, CliError> {
    let primary = home.identity()?.primary();
    let account = home.memory()?.account.filter(|account| account.primary == primary);
    let account = account.ok_or(CliError::NoAccount)?;
    Ok(Whose { address: account.address, primary })
}

/// The home server of the account.
pub(crate) fn home_server(home: &Home, output: &Output) -> Result<HomeServer, CliError> {
    connect(remembered(home)?.ok_or(CliError::NoAccount)?.url, output)
}

/// The account's devices, checked.
async fn devices(whose: &Whose, server: &HomeServer) -> Result<DeviceList, CliError> {
    let list = server.devices(&whose.address, whose.primary).await?;
    list.ok_or_else(|| CliError::NotFound {
        who: whose.address.to_string(),
        place: whose.address.server().clone(),
    })
}

/// The seed, and the passphrase that opened it where one did.
fn seed(home: &Home) -> Result<(Seed, Option<Passphrase>), CliError> {
    let identity = home.identity()?;
    let passphrase = identity.is_sealed().then(ask::passphrase).transpose()?;
    let phrase: Phrase = identity
        .open(passphrase.as_ref())
        .map_err(|source| HomeError::SeedFile { path: home.seed_path(), source })?;
    Ok((phrase.seed(), passphrase))
}

/// What only the device knows; asks for the passphrase where one is needed and `known` is not the one.
fn open_device(device: &DeviceFile, known: Option<&Passphrase>, home: &Home) -> Result<Secrets, CliError> {
    let failed = |source| DeviceError::File { path: home.device_path(), source };
    match device.open(known) {
        Err(DeviceFileError::NeedsPassphrase) => {}
        Err(DeviceFileError::WrongPassphrase) if known.is_some() => {}
        opened => return Ok(opened.map_err(failed)?),
    }
    Ok(device.open(Some(&ask::device_passphrase()?)).map_err(failed)?)
}

/// A document of the account, signed at `now`.
fn signed<D: Document<Primary = PublicKey>>(
    document: &D,
    seed: &Seed,
    now: Timestamp,
) -> Result<Verified<D>, EnvelopeError> {
    Envelope::sign(document, seed, now)?.verify()
}
