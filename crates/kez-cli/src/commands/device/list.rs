//! `kez device list`.

use kez_core::{DeviceId, Fqhn, Timestamp};
use serde::Serialize;

use super::{account, devices, home_server};
use crate::chain_view::day;
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};

/// Tells which devices the account has.
pub(super) async fn run(home: &Home, output: &Output) -> Result<(), CliError> {
    let whose = account(home)?;
    let list = devices(&whose, &home_server(home, output)?).await?;
    let this = home.device()?.map(|device| device.id());
    let active = list.devices.iter().map(|device| {
        let document = device.enrolment.device();
        Active {
            device_id: document.device_id,
            enrolled_at: device.enrolled_at,
            expires_at: document.expires_at,
            this_computer: Some(document.device_id) == this,
        }
    });
    let revoked = list.revoked.iter();
    let revoked = revoked.map(|gone| Gone { device_id: gone.device_id, revoked_at: gone.revoked_at });
    output.report(&Listed { address: whose.address, devices: active.collect(), revoked: revoked.collect() })
}

#[derive(Serialize)]
struct Listed {
    address: Fqhn,
    devices: Vec<Active>,
    revoked: Vec<Gone>,
}

#[derive(Serialize)]
struct Active {
    device_id: DeviceId,
    enrolled_at: Timestamp,
    expires_at: Timestamp,
    this_computer: bool,
}

#[derive(Serialize)]
struct Gone {
    device_id: DeviceId,
    revoked_at: Timestamp,
}

impl Report for Listed {
    fn print(&self, page: &mut Page) {
        if self.devices.is_empty() {
            page.line(format_args!("{} has no device.\n", self.address));
            page.push("Make this computer one:\n  kez device enrol\n");
        } else {
            page.line(format_args!("Devices of {}\n", page.bold(&self.address)));
        }
        for device in &self.devices {
            let when = format!("since {}, until {}", day(device.enrolled_at), day(device.expires_at));
            let this = if device.this_computer { "  this computer" } else { "" };
            page.line(format_args!("{}  {}{this}", device.device_id.short(), page.dim(when)));
        }
        for gone in &self.revoked {
            page.line(page.dim(format_args!("{}  revoked {}", gone.device_id.short(), day(gone.revoked_at))));
        }
    }
}
