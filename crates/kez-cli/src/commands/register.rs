//! `kez register`.

use kez_client::{ClientError, HomeServer, Invite, Problem, Registered, RegistrationPolicy};
use kez_core::{Envelope, EnvelopeError, Fqhn, Record, Registration, Seed, Timestamp, Verified};
use serde::Serialize;

use super::server_identity::{self, ServerIdentity};
use super::{Chosen, choose, open, retry};
use crate::ask;
use crate::cli::Register;
use crate::error::{CliError, Refused};
use crate::home::{Account, Home, HomeError, KnownServer, Memory};
use crate::output::{Output, Page, Report};
use crate::system;

/// Refusals behind which an earlier registration of ours may stand, whose answer was lost.
const CODES_PERHAPS_OURS: [&str; 4] = ["handle_taken", "key_taken", "registration_closed", "invite_required"];

/// Takes a handle and remembers the home server.
pub(super) async fn run(args: Register, home: &Home, output: &Output) -> Result<(), CliError> {
    let identity = home.identity()?;
    let given_invite = ask::given_invite(args.invite_file.as_deref())?;
    let chosen = choose(args.server, home, output).await?;
    let server_identity = server_identity::establish(&chosen, args.vouched.as_ref()).await?;
    let seed = open(&identity, home)?.seed();
    let invite = invite(given_invite, chosen.info.registration)?;

    let address = Fqhn::new(args.handle, chosen.info.server.clone());
    let signed = sign(&address, &seed, system::now())?;
    let registered = match send(&signed, &chosen.home_server, invite.as_ref(), output).await {
        Ok(registered) => registered,
        Err(error) => earlier(error, &signed, &address, &chosen.home_server).await?,
    };
    if let Err(error) = remember(&registered.record, &chosen, home) {
        output.warn("not_remembered", &format!("{error}; name the server again next time"));
    }
    output.report(&Accepted::new(registered, &chosen, server_identity))
}

/// The invite that was handed over, else one that is asked for where the server wants it.
fn invite(given: Option<Invite>, policy: RegistrationPolicy) -> Result<Option<Invite>, CliError> {
    match given {
        None if policy == RegistrationPolicy::Invite => Ok(ask::typed_invite()?),
        given => Ok(given),
    }
}

fn sign(address: &Fqhn, seed: &Seed, now: Timestamp) -> Result<Verified<Registration>, EnvelopeError> {
    let registration =
        Registration { handle: address.handle().to_string(), server: address.server().to_string() };
    Envelope::sign(&registration, seed, now)?.verify()
}

/// Sends the same bytes until an answer comes. The server accepts them once, so a lost answer does no harm.
async fn send(
    signed: &Verified<Registration>,
    server: &HomeServer,
    invite: Option<&Invite>,
    output: &Output,
) -> Result<Registered, CliError> {
    let mut attempt = 1;
    loop {
        match server.register(signed, invite).await {
            Err(error) if error.is_transient() && attempt < retry::ATTEMPTS_MAX => {
                output.warn("retry", &format!("{error}; trying again"));
                retry::pause(attempt).await;
                attempt += 1;
            }
            Ok(answer) => {
                // What a resent registration finds there already is its own first attempt.
                return Ok(Registered { already: answer.already && attempt == 1, ..answer });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A refusal is no failure when this key holds the wanted handle already.
async fn earlier(
    error: CliError,
    signed: &Verified<Registration>,
    address: &Fqhn,
    server: &HomeServer,
) -> Result<Registered, CliError> {
    let CliError::Client(ClientError::Refused(problem)) = error else { return Err(error) };
    if CODES_PERHAPS_OURS.contains(&problem.code.as_str()) {
        match server.by_primary(signed.primary(), address.server()).await? {
            Some(record) if record.fqhn == *address => return Ok(Registered { record, already: true }),
            Some(record) => return Err(CliError::HoldsAnother { held: record.fqhn }),
            None => {}
        }
    }
    Err(refused(*problem, signed, address))
}

fn refused(problem: Problem, signed: &Verified<Registration>, address: &Fqhn) -> CliError {
    let (address, signed_at) = (address.clone(), signed.created_at());
    CliError::Refused(Box::new(Refused { problem, address, signed_at }))
}

fn remember(record: &Record, chosen: &Chosen, home: &Home) -> Result<(), HomeError> {
    let known = KnownServer { url: chosen.home_server.url().clone(), server: chosen.info.server.clone() };
    let account = Account { address: record.fqhn.clone(), primary: record.primary };
    home.remember(&Memory { home_server: Some(known), account: Some(account) })
}

/// An accepted registration.
#[derive(Serialize)]
struct Accepted {
    address: Fqhn,
    already: bool,
    server_url: String,
    server_identity: ServerIdentity,
    record: Record,
}

impl Accepted {
    fn new(registered: Registered, chosen: &Chosen, server_identity: ServerIdentity) -> Self {
        Self {
            address: registered.record.fqhn.clone(),
            already: registered.already,
            server_url: chosen.home_server.url().to_string(),
            server_identity,
            record: registered.record,
        }
    }
}

impl Report for Accepted {
    fn print(&self, page: &mut Page) {
        let address = page.bold(&self.address);
        if self.already {
            page.line(format_args!("You have {address} already. Nothing has changed.\n"));
        } else {
            page.line(format_args!("Welcome! You are {address}.\n"));
        }
        self.print_reach(page);
        page.line(format_args!("kez asks {} from now on, unless --server names another.", self.server_url));
    }
}

impl Accepted {
    /// Who can look the person up, as far as is known.
    fn print_reach(&self, page: &mut Page) {
        let Self { address, server_url, .. } = self;
        match self.server_identity {
            ServerIdentity::ThisMachine => page.line(format_args!(
                "Only this machine reaches {server_url}. On it, you are found with\n  kez whois {}\n",
                address.handle()
            )),
            ServerIdentity::User => page.line(format_args!(
                "Others find you with\n  kez whois {} --server {server_url}\n",
                address.handle()
            )),
            _ => page.line(format_args!("Others find you with\n  kez whois {address}\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_the_published_registration() {
        let seed = Seed::from_bytes([0x42; 32]);
        let at = "2026-05-25T03:00:00Z".parse().unwrap();
        let signed = sign(&"tudisco@kez.lat".parse().unwrap(), &seed, at).unwrap();
        assert!(
            signed.canonical().contains("fe510f5cfe2e137cf49fb48a86335c335f35029cec2796052bd36b225703f225")
        );
    }
}
