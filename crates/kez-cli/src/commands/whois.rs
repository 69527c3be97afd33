//! `kez whois`.

use kez_client::{BaseUrl, HomeServer};
use kez_core::{Fqhn, Record, ServerName};
use serde::Serialize;

use super::{Chosen, choose, connect, remembered};
use crate::cli::{Who, Whois};
use crate::error::CliError;
use crate::home::{Home, KnownServer};
use crate::output::{Output, Page, Report};

/// Looks somebody up and says how far the answer can be trusted.
pub(super) async fn run(args: Whois, home: &Home, output: &Output) -> Result<(), CliError> {
    let found = match args.who {
        Who::Address(address) => address_anywhere(address, args.server, home, output).await?,
        who => {
            let chosen = choose(args.server, home, output).await?;
            on_home_server(who, &chosen).await?
        }
    };
    output.report(&found)
}

/// Somebody with a full address: at the named or remembered server where it is that server's, else at the domain.
async fn address_anywhere(
    address: Fqhn,
    named: Option<BaseUrl>,
    home: &Home,
    output: &Output,
) -> Result<Found, CliError> {
    if named.is_none() {
        return match remembered(home)?.filter(|known| known.server == *address.server()) {
            Some(KnownServer { url, .. }) => by_handle(&address, &connect(url, output)?).await,
            None => by_webfinger(&address).await,
        };
    }
    let chosen = choose(named, home, output).await?;
    if chosen.info.server == *address.server() {
        by_handle(&address, &chosen.home_server).await
    } else {
        by_webfinger(&address).await
    }
}

async fn on_home_server(who: Who, chosen: &Chosen) -> Result<Found, CliError> {
    let (server, place) = (&chosen.home_server, &chosen.info.server);
    match who {
        Who::Handle(handle) => by_handle(&Fqhn::new(handle, place.clone()), server).await,
        Who::Address(address) => by_handle(&address, server).await,
        Who::Key(primary) => {
            let record = server.by_primary(primary, place).await?;
            Ok(Found::by_home_server(known(record, primary.to_string(), place)?, server, Check::KeyAsked))
        }
    }
}

async fn by_handle(address: &Fqhn, server: &HomeServer) -> Result<Found, CliError> {
    let record = server.by_handle(address).await?;
    let record = known(record, address.to_string(), address.server())?;
    Ok(Found::by_home_server(record, server, Check::AddressAsked))
}

async fn by_webfinger(address: &Fqhn) -> Result<Found, CliError> {
    let found = kez_client::discover(address).await?;
    let found = known(found, address.to_string(), address.server())?;
    Ok(Found {
        source: Source { via: Via::Webfinger, url: found.record_url },
        checked: vec![Check::AddressAsked, Check::WebfingerAgrees, Check::Https],
        not_checked: vec![Gap::Sigchain],
        record: found.record,
    })
}

fn known<T>(found: Option<T>, who: String, place: &ServerName) -> Result<T, CliError> {
    found.ok_or_else(|| CliError::NotFound { who, place: place.clone() })
}

/// A record, and how far it can be trusted.
#[derive(Debug, Serialize)]
struct Found {
    record: Record,
    source: Source,
    checked: Vec<Check>,
    not_checked: Vec<Gap>,
}

#[derive(Debug, Serialize)]
struct Source {
    via: Via,
    url: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Via {
    HomeServer,
    Webfinger,
}

/// What was checked. The JSON names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Check {
    /// The record is about the address that was asked for.
    AddressAsked,
    /// The record is about the key that was asked for.
    KeyAsked,
    /// WebFinger and the record name the same key.
    WebfingerAgrees,
    /// A certificate proved that the domain of the address answered.
    Https,
}

/// What was not checked. The JSON names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Gap {
    /// That whoever answered speaks for the domain of the address.
    ServerIdentity,
    /// That the key's own sigchain says the same.
    Sigchain,
}

impl Found {
    fn by_home_server(record: Record, server: &HomeServer, asked: Check) -> Self {
        let (mut checked, mut not_checked) = (vec![asked], vec![Gap::Sigchain]);
        if server.url().is_https() && server.url().host() == record.fqhn.server().as_str() {
            checked.push(Check::Https);
        } else {
            not_checked.insert(0, Gap::ServerIdentity);
        }
        let source = Source { via: Via::HomeServer, url: server.url().to_string() };
        Self { record, source, checked, not_checked }
    }

    fn check_text(&self, check: Check) -> String {
        match check {
            Check::AddressAsked => format!("the record is about {}, as asked", self.record.fqhn),
            Check::KeyAsked => "the record is about this key, as asked".into(),
            Check::WebfingerAgrees => "WebFinger and the record name the same key".into(),
            Check::Https => format!("{} itself answered (https certificate)", self.record.fqhn.server()),
        }
    }

    fn gap_text(&self, gap: Gap) -> String {
        match gap {
            Gap::ServerIdentity => {
                format!("that {} speaks for {}", self.source.url, self.record.fqhn.server())
            }
            Gap::Sigchain => "the key's own sigchain".into(),
        }
    }
}

impl Report for Found {
    fn print(&self, page: &mut Page) {
        let record = &self.record;
        page.line(format_args!("{}\n", page.bold(&record.fqhn)));
        page.field("public key", record.primary);
        page.field("registered", record.registered_at.to_string().replace('T', " ").replace('Z', " UTC"));
        page.field("sigchain", &record.sigchain_url);
        page.field("asked", &self.source.url);
        for (at, check) in self.checked.iter().enumerate() {
            page.field(if at == 0 { "checked" } else { "" }, self.check_text(*check));
        }
        for (at, gap) in self.not_checked.iter().enumerate() {
            page.field(if at == 0 { "not checked" } else { "" }, self.gap_text(*gap));
        }
        page.line("\nThis is the server's word; its sigchain was not checked by this version.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_at(url: &str) -> Found {
        let record = Record {
            handle: "alice".parse().unwrap(),
            fqhn: "alice@kez.lat".parse().unwrap(),
            primary: kez_core::Seed::from_bytes([0x42; 32]).public_key(),
            sigchain_url: "https://kez.lat/v1/sigchains/ed25519/2152".into(),
            registered_at: "2026-05-25T03:00:00Z".parse().unwrap(),
        };
        let server = HomeServer::new(url.parse().unwrap()).unwrap();
        Found::by_home_server(record, &server, Check::AddressAsked)
    }

    #[test]
    fn a_server_by_another_name_or_without_certificate_has_not_proved_itself() {
        assert_eq!(found_at("http://localhost:6969").not_checked, [Gap::ServerIdentity, Gap::Sigchain]);
        assert_eq!(found_at("http://kez.lat").not_checked, [Gap::ServerIdentity, Gap::Sigchain]);
    }

    #[test]
    fn the_text_says_what_was_not_checked() {
        let mut page = Page::plain();
        found_at("http://localhost:6969").print(&mut page);
        let text = page.as_str();
        assert!(text.contains("not checked  that http://localhost:6969 speaks for kez.lat\n"));
        assert!(text.ends_with("its sigchain was not checked by this version.\n"));
    }
}
