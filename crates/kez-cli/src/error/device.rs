//! Failures about devices, in words.

use kez_client::CallError;
use serde_json::json;

use super::{CliError, Exit, Failure, client, disk};
use crate::device::{DeviceError, DeviceFileError};

/// How a failure about a device is shown.
pub(super) fn failure(error: &DeviceError, message: String) -> Failure {
    let other = |code, message| Failure::new(Exit::Other, code, message);
    match error {
        DeviceError::Disk(error) => disk(error, &message),
        DeviceError::None => other("no_device", message).help("kez device enrol makes it one"),
        DeviceError::Unfinished => other("device_unfinished", message).help("finish it: kez device enrol"),
        DeviceError::File { source, .. } => file(*source, message),
        DeviceError::OpenToOthers { path } => {
            other("device_file_open_to_others", message).help(format!("chmod 600 '{}'", path.display()))
        }
        DeviceError::InUse { pid } => other("device_in_use", message)
            .help("only one may at a time: close the other one (kez chat tui, kez chat listen), or wait until it is done")
            .detail("pid", json!(pid)),
        DeviceError::OfAnother { primary } => other("device_of_another", message)
            .help(
                "your identity here is another one. Give each identity a home of its own (KEZ_HOME), or make a\n\
                 new device for this one; what the old one has kept stays: kez device enrol --new",
            )
            .detail("primary", json!(primary)),
        DeviceError::Elsewhere { server } => other("device_elsewhere", message)
            .help(format!(
                "go back to that server (kez register <handle> --server https://{server}), or make a new device\n\
                 for the one you use now; what the old one has kept stays: kez device enrol --new"
            ))
            .detail("server", json!(server)),
    }
}

fn file(error: DeviceFileError, message: String) -> Failure {
    let other = |code, message| Failure::new(Exit::Other, code, message);
    match error {
        DeviceFileError::WrongPassphrase => other("wrong_passphrase", error.to_string()).help(
            "try again; without the passphrase what this device has kept is lost, and a new device\n\
             reads what comes from now on: kez device enrol --new",
        ),
        DeviceFileError::Newer => other("device_file_newer", message).help("update kez"),
        DeviceFileError::NeedsPassphrase => other("passphrase_needed", message),
        DeviceFileError::Damaged => other("device_file_damaged", message)
            .help("bring it back from a backup, or make a new device: kez device enrol --new"),
    }
}

/// How a refused or failed call of a device is shown.
pub(super) fn call(error: &CallError, message: String) -> Failure {
    let other = |code, message| Failure::new(Exit::Other, code, message);
    match error {
        CallError::Client(error) => {
            let failure = client(error, message);
            match failure.code.as_str() {
                "too_many_devices" => failure.help("let one go first: kez device list, kez device revoke <id>"),
                "not_registered" => failure.help("take a handle first: kez register <handle>"),
                "device_revoked" => failure.help("a revoked device never comes back; make a new one: kez device enrol --new"),
                "clock_skew" => failure.help("set this computer's clock, then try again"),
                _ => failure,
            }
        }
        CallError::UnknownDevice => other("unknown_device", message).help(
            "it was revoked, or has ended: kez device list tells. kez device enrol renews one that has ended,\n\
             kez device enrol --new makes another in place of a revoked one",
        ),
        CallError::ClockFarOff { server_time } => other("clock_skew", message)
            .help("set this computer's clock (or tell the server's operator, if yours is right), then try again")
            .detail("server_time", json!(server_time)),
        CallError::SignatureExpired { server_time } => other("clock_skew", message)
            .help("set this computer's clock, then try again")
            .detail("server_time", json!(server_time)),
        CallError::ClaimsLimited { retry_after_s } => {
            other("claims_limited", message).help("try again later").detail("retry_after_s", json!(retry_after_s))
        }
        CallError::NotFound => Failure::new(Exit::NotFound, "not_found", message),
        _ => other("refused", message).help("try again; if it stays so, tell whoever runs the server, or update kez"),
    }
}

/// A device that is named wrongly.
pub(super) fn naming(error: &CliError, message: String) -> Failure {
    let (exit, code, help) = match error {
        CliError::NoSuchDevice { gone: true, .. } => {
            (Exit::Usage, "device_revoked", "there is nothing left to do")
        }
        CliError::SeveralDevices { .. } => (Exit::Usage, "ambiguous", "write more digits of it"),
        _ => (Exit::NotFound, "no_such_device", "kez device list shows them all"),
    };
    Failure::new(exit, code, message).help(help)
}
