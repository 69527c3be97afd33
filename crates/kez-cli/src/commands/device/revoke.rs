//! `kez device revoke`.

use kez_client::DeviceList;
use kez_core::sigchain::{Op, Sha256Hex};
use kez_core::{DeviceId, DeviceRevocation, Fqhn, Timestamp};
use serde::Serialize;

use super::{account, devices, home_server, seed, signed};
use crate::chat::session::Session;
use crate::cli::RevokeDevice;
use crate::device::DeviceError;
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};
use crate::system;

/// Lets a device go, at the home server and on the sigchain.
pub(super) async fn run(args: &RevokeDevice, home: &Home, output: &Output) -> Result<(), CliError> {
    let whose = account(home)?;
    let server = home_server(home, output)?;
    let list = devices(&whose, &server).await?;
    let this = home.device()?.map(|device| device.id());
    let start = match &args.device {
        Some(start) => start.clone(),
        None => this.ok_or(DeviceError::None)?.to_string(),
    };
    let (device_id, certificate_sha256) = chosen(&list, &start)?;
    let (seed, _) = seed(home)?;
    let document = DeviceRevocation { server: whose.address.server().to_string(), device_id };
    let revocation = signed(&document, &seed, system::now())?;
    let revoked = server.revoke_device(&revocation).await?;
    let op = Op::RevokeDevice { device_id, certificate_sha256 };
    crate::commands::sigchain::state(op, &seed, home, output).await?;
    let this_computer = this == Some(device_id);
    if this.is_some() && !this_computer {
        // This device removes it from its conversations at once, where it can.
        let removed = match Session::open(home, output) {
            Ok(mut session) => session.catch_up().await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            output.warn(
                "not_removed",
                &format!("{error}; the next kez chat removes it from your conversations"),
            );
        }
    }
    output.report(&LetGo { address: whose.address, device_id, revoked_at: revoked.revoked_at, this_computer })
}

/// The one device whose id begins so.
fn chosen(list: &DeviceList, start: &str) -> Result<(DeviceId, Sha256Hex), CliError> {
    let active = list.devices.iter().map(|device| device.enrolment.device());
    let fitting: Vec<_> = active.filter(|device| device.device_id.to_string().starts_with(start)).collect();
    match fitting.as_slice() {
        [one] => Ok((one.device_id, Sha256Hex::from_bytes(one.mls_certificate.sha256()))),
        [] => {
            let gone = list.revoked.iter().any(|gone| gone.device_id.to_string().starts_with(start));
            Err(CliError::NoSuchDevice { start: start.to_owned(), gone })
        }
        _ => Err(CliError::SeveralDevices { start: start.to_owned() }),
    }
}

#[derive(Serialize)]
struct LetGo {
    address: Fqhn,
    device_id: DeviceId,
    revoked_at: Timestamp,
    this_computer: bool,
}

impl Report for LetGo {
    fn print(&self, page: &mut Page) {
        let id = self.device_id.short();
        if self.this_computer {
            page.line(format_args!("This computer ({id}) is no device of {} any more.\n", self.address));
            page.line("What it has kept is still here. To chat from it again, as a new device:");
            page.line("  kez device enrol --new");
        } else {
            page.line(format_args!("The device {id} of {} is revoked, for ever.\n", self.address));
            page.line("Your conversations remove it as soon as one of your devices, or a peer's, is online.");
        }
    }
}
