//! `kez device enrol`.

use kez_client::{CallError, EnrolledDevice, HomeServer};
use kez_core::sigchain::{Op, Sha256Hex};
use kez_core::{
    DEVICE_SECONDS_MAX, Device, DeviceCertificate, DeviceId, Fqhn, PublicKey, Seed, Timestamp, Verified,
};
use serde::Serialize;

use super::{account, home_server, open_device, seed, signed};
use crate::ask;
use crate::chain_view::day;
use crate::chat::session::{Opened, Session};
use crate::cli::EnrolDevice;
use crate::commands::retry;
use crate::device::{DeviceError, DeviceFile, Enrolled, Secrets, Whose, store_key};
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};
use crate::sealing::Passphrase;
use crate::system;

/// A device is renewed when it ends within this time, in seconds: two months, so that somebody who is here now and then
/// never loses one.
const RENEW_S: i64 = 60 * 24 * 60 * 60;

/// Makes this computer a device, or finishes or renews what was begun.
pub(super) async fn run(args: &EnrolDevice, home: &Home, output: &Output) -> Result<(), CliError> {
    let whose = account(home)?;
    let server = home_server(home, output)?;
    let lock = home.lock_device()?;
    let former = if args.new { set_aside(home)? } else { None };
    let found = home.device()?;
    if let Some(device) = &found {
        require_fitting(device, &whose)?;
        if let Some(enrolled) = device.enrolled().filter(|_| !ends_soon(device)) {
            return output.report(&Taken::new(device, &whose, enrolled, Done::Already, former));
        }
    }
    let (seed, passphrase) = seed(home)?;
    let new_passphrase = args.passphrase.then(ask::new_passphrase).transpose()?;
    let sealing = if args.no_passphrase { None } else { new_passphrase.as_ref().or(passphrase.as_ref()) };
    let (device, done) = match found {
        None => (make(&whose, &seed, sealing)?, Done::Enrolled),
        // Signed anew: an earlier document may have become too old to be taken.
        Some(device) => {
            let done = if device.enrolled().is_some() { Done::Renewed } else { Done::Enrolled };
            let document = again(&whose, device.document().document(), &seed)?;
            (device.renewed(document), done)
        }
    };
    if done == Done::Enrolled {
        // The keys are on disk before anybody hears of them.
        home.put_device(&device)?;
    }
    let answer = send(device.document(), &server, output).await?;
    let enrolled =
        device.enrolled().unwrap_or(Enrolled { at: answer.enrolled_at, inbox_head: answer.inbox_head });
    let device = device.with_enrolled(enrolled);
    home.put_device(&device)?;
    let certificate_sha256 = Sha256Hex::from_bytes(device.document().document().mls_certificate.sha256());
    let op = Op::AddDevice { device_id: device.id(), certificate_sha256 };
    crate::commands::sigchain::state(op, &seed, home, output).await?;
    let secrets = open_device(&device, new_passphrase.or(passphrase).as_ref(), home)?;
    let taken = Taken::new(&device, &whose, enrolled, done, former);
    // From now on others find keys to reach it by, and it comes into the account's conversations.
    Session::with(&Opened { file: device, enrolled, secrets }, lock, home, output)?.catch_up().await?;
    output.report(&taken)
}

/// Puts the device that is there aside; `None`: there was none.
fn set_aside(home: &Home) -> Result<Option<String>, CliError> {
    if home.device()?.is_none() {
        return Ok(None);
    }
    let path = home.set_device_aside(system::now())?;
    Ok(Some(path.display().to_string()))
}

/// Fails for a device of somebody else, or of another server.
fn require_fitting(device: &DeviceFile, whose: &Whose) -> Result<(), DeviceError> {
    if device.primary() != whose.primary {
        return Err(DeviceError::OfAnother { primary: device.primary() });
    }
    if device.server() != *whose.address.server() {
        return Err(DeviceError::Elsewhere { server: device.server() });
    }
    Ok(())
}

fn ends_soon(device: &DeviceFile) -> bool {
    let ends = device.document().document().expires_at;
    system::now().plus_seconds(RENEW_S).is_none_or(|soon| soon > ends)
}

/// A device with new keys.
fn make(whose: &Whose, seed: &Seed, passphrase: Option<&Passphrase>) -> Result<DeviceFile, CliError> {
    let secrets = Secrets {
        auth: Seed::from_bytes(*system::random()?),
        mls: Seed::from_bytes(*system::random()?),
        data_key: system::random()?,
        store_key: store_key(seed),
    };
    let id = DeviceId::from_bytes(*system::random()?);
    let document = sign(whose, id, secrets.auth.public_key(), secrets.mls.public_key(), seed)?;
    let Some(passphrase) = passphrase else { return Ok(DeviceFile::plain(document, &secrets)) };
    let (salt, nonce) = (system::random()?, system::random()?);
    DeviceFile::sealed(document, &secrets, passphrase, *salt, *nonce)
        .map_err(|source| DeviceError::File { path: "device.json".into(), source }.into())
}

/// The same device until a year from now.
fn again(whose: &Whose, device: &Device, seed: &Seed) -> Result<Verified<Device>, CliError> {
    sign(whose, device.device_id, device.auth_key, device.mls_key, seed)
}

fn sign(
    whose: &Whose,
    device_id: DeviceId,
    auth_key: PublicKey,
    mls_key: PublicKey,
    seed: &Seed,
) -> Result<Verified<Device>, CliError> {
    let now = system::now();
    let expires_at = now.plus_seconds(DEVICE_SECONDS_MAX).unwrap_or(now);
    let certificate = DeviceCertificate::issue(seed, device_id, &mls_key, now, expires_at);
    let device = Device {
        server: whose.address.server().to_string(),
        device_id,
        auth_key,
        mls_key,
        mls_certificate: certificate.map_err(CliError::Certificate)?,
        expires_at,
    };
    Ok(signed(&device, seed, now)?)
}

/// Sends the same bytes until an answer comes.
async fn send(
    document: &Verified<Device>,
    server: &HomeServer,
    output: &Output,
) -> Result<EnrolledDevice, CliError> {
    let mut attempt = 1;
    loop {
        match server.enrol_device(document).await {
            Err(CallError::Client(error)) if error.is_transient() && attempt < retry::ATTEMPTS_MAX => {
                output.warn("retry", &format!("{error}; trying again"));
                retry::pause(attempt).await;
                attempt += 1;
            }
            answer => return Ok(answer?),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    Enrolled,
    Renewed,
    Already,
}

/// A device that was taken in.
#[derive(Serialize)]
struct Taken {
    done: Done,
    address: Fqhn,
    device_id: DeviceId,
    enrolled_at: Timestamp,
    expires_at: Timestamp,
    encrypted: bool,
    former_device: Option<String>,
}

impl Taken {
    fn new(
        device: &DeviceFile,
        whose: &Whose,
        enrolled: Enrolled,
        done: Done,
        former: Option<String>,
    ) -> Self {
        Self {
            done,
            address: whose.address.clone(),
            device_id: device.id(),
            enrolled_at: enrolled.at,
            expires_at: device.document().document().expires_at,
            encrypted: device.is_sealed(),
            former_device: former,
        }
    }
}

impl Report for Taken {
    fn print(&self, page: &mut Page) {
        let address = page.bold(&self.address);
        match self.done {
            Done::Enrolled => page.line(format_args!("This computer is a device of {address} now.\n")),
            Done::Renewed => page.line(format_args!("This device of {address} goes on for another year.\n")),
            Done::Already => page.line(format_args!("This computer is a device of {address} already.\n")),
        }
        page.field("device", self.device_id.short());
        page.field("ends", format_args!("{} (kez device enrol renews it)", day(self.expires_at)));
        page.field(
            "keys",
            if self.encrypted {
                "protected by your passphrase"
            } else {
                "readable by your user only, without a passphrase"
            },
        );
        if let Some(former) = &self.former_device {
            page.field("former one", former);
        }
        page.line("\nTalk to somebody:\n  kez chat send bob \"Hello, Bob\"\n  kez chat tui");
    }
}
