//! The command line of `kez device`.

use clap::{Args, Subcommand};

/// Your devices: the computers you chat from
///
/// Each device has keys of its own, which never leave it. Your identity vouches for them, and is needed only to enrol or
/// revoke a device.
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    Enrol(Enrol),
    List(List),
    Revoke(Revoke),
}

/// Make this computer one of your devices
///
/// Makes keys on this computer and has your home server and your sigchain take them in. What is said on the device is
/// kept here too, encrypted. Running it again finishes an enrolment that was interrupted, and renews a device that ends
/// within two months.
///
/// The keys are protected as your identity is: by its passphrase, if it has one.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez device enrol
  kez device enrol --passphrase       protect the keys also where the identity has no passphrase
  kez device enrol --no-passphrase    for a program that nobody types a passphrase for
  kez device enrol --new              another device in place of one that was revoked")]
pub(crate) struct Enrol {
    /// Protect the keys with a passphrase of their own
    #[arg(long, conflicts_with = "no_passphrase")]
    pub(crate) passphrase: bool,
    /// Protect the keys by the rights of their file alone
    #[arg(long)]
    pub(crate) no_passphrase: bool,
    /// Make a new device; what the one before has kept stays, under another name
    #[arg(long)]
    pub(crate) new: bool,
}

/// List your devices
///
/// Asks your home server, and checks that your identity has vouched for each of them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez device list
  kez device list --json")]
pub(crate) struct List {}

/// Let a device go for ever
///
/// The home server refuses it from now on, your sigchain says so, and the conversations it was in remove it. Do this at
/// once when a device is lost or stolen. It cannot be taken back.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez device revoke a45ff7bc    the first digits are enough, as kez device list shows them
  kez device revoke --this      this computer")]
pub(crate) struct Revoke {
    /// The device, by the first digits of its id
    #[arg(value_parser = id_start, required_unless_present = "this")]
    pub(crate) device: Option<String>,
    /// This computer itself
    #[arg(long, conflicts_with = "device")]
    pub(crate) this: bool,
}

fn id_start(text: &str) -> Result<String, String> {
    let words = "write the first 4 to 32 digits (0-9 a-f) of its id, as kez device list shows them";
    hex_start(text).ok_or_else(|| words.into())
}

/// 4 to 32 lower-case hex digits.
pub(super) fn hex_start(text: &str) -> Option<String> {
    let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && (4..=32).contains(&text.len())).then(|| text.to_owned())
}
