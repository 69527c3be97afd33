//! `kez whois`.

use kez_client::{BaseUrl, ChainUrl, HomeServer};
use kez_core::{Fqhn, Record, ServerName};
use serde::Serialize;

use super::follow::{self, OfRecord};
use super::sigchain::{NEVER_SEEN, seen_text};
use super::{Chosen, choose, connect, remembered};
use crate::chain_view::{ChainView, entries, moment};
use crate::cli::{Who, Whois};
use crate::error::{CliError, Failure};
use crate::home::{Home, KnownServer};
use crate::output::{Output, Page, Report};

/// Looks somebody up and says how far the answer can be trusted.
pub(super) async fn run(args: Whois, home: &Home, output: &Output) -> Result<(), CliError> {
    let found = find(args.who, args.server, home, output).await?;
    let chain = follow::of_record(&found.record, args.sig_server, found.is_local, home, output).await?;
    output.report(&Known::new(found, chain))
}

/// The record of somebody, and who gave it. The sigchain is not read yet.
pub(super) async fn find(
    who: Who,
    server: Option<BaseUrl>,
    home: &Home,
    output: &Output,
) -> Result<Found, CliError> {
    match who {
        Who::Address(address) => address_anywhere(address, server, home, output).await,
        who => {
            let chosen = choose(server, home, output).await?;
            on_home_server(who, &chosen).await
        }
    }
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
        not_checked: Vec::new(),
        record: found.record,
        is_local: false,
    })
}

fn known<T>(found: Option<T>, who: String, place: &ServerName) -> Result<T, CliError> {
    found.ok_or_else(|| CliError::NotFound { who, place: place.clone() })
}

/// A record, and how far it can be trusted, apart from its sigchain.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) record: Record,
    source: Source,
    checked: Vec<Check>,
    not_checked: Vec<Gap>,
    /// Whether it came from this machine itself.
    #[serde(skip)]
    pub(super) is_local: bool,
}

/// A record with what its sigchain says.
#[derive(Debug, Serialize)]
struct Known {
    #[serde(flatten)]
    found: Found,
    sigchain: Sigchain,
}

/// What became of the sigchain.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
enum Sigchain {
    /// It verifies, its key is the record's, and it goes on from what this computer had seen of it.
    Verified {
        url: ChainUrl,
        /// How many entries of it this computer had seen before.
        seen_before: Option<u64>,
        #[serde(flatten)]
        view: Box<ChainView>,
    },
    /// There is none.
    None { url: ChainUrl },
    /// It could not be read.
    Unread { code: String, message: String },
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
    /// The key's own sigchain verifies, and has the record's key.
    Sigchain,
    /// The sigchain has all that this computer has seen of it before.
    SeenBefore,
}

/// What was not checked. The JSON names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Gap {
    /// That whoever answered speaks for the domain of the address.
    ServerIdentity,
    /// What the key says about itself: its sigchain was not read.
    Sigchain,
    /// That nothing is held back: this computer has never seen this sigchain before.
    NeverSeen,
    /// That what the sigchain holds points back to the key.
    Subjects,
}

impl Found {
    fn by_home_server(record: Record, server: &HomeServer, asked: Check) -> Self {
        let (mut checked, mut not_checked) = (vec![asked], Vec::new());
        if server.url().proves(record.fqhn.server()) {
            checked.push(Check::Https);
        } else {
            not_checked.push(Gap::ServerIdentity);
        }
        let source = Source { via: Via::HomeServer, url: server.url().to_string() };
        Self { record, source, checked, not_checked, is_local: server.url().is_loopback() }
    }
}

impl Known {
    fn new(mut found: Found, chain: OfRecord) -> Self {
        let sigchain = match chain {
            OfRecord::Followed(url, followed) => {
                let view = Box::new(ChainView::of(&followed.chain));
                found.checked.push(Check::Sigchain);
                match followed.seen_before {
                    Some(_) => found.checked.push(Check::SeenBefore),
                    None => found.not_checked.push(Gap::NeverSeen),
                }
                if !view.subjects.is_empty() {
                    found.not_checked.push(Gap::Subjects);
                }
                Sigchain::Verified { url, seen_before: followed.seen_before, view }
            }
            OfRecord::None(url) => {
                found.not_checked.push(Gap::Sigchain);
                Sigchain::None { url }
            }
            OfRecord::Unread(error) => {
                found.not_checked.push(Gap::Sigchain);
                let failure = Failure::from(*error);
                Sigchain::Unread { code: failure.code, message: failure.message }
            }
        };
        Self { found, sigchain }
    }

    fn check_text(&self, check: Check) -> String {
        let record = &self.found.record;
        match (check, &self.sigchain) {
            (Check::AddressAsked, _) => format!("the record is about {}, as asked", record.fqhn),
            (Check::KeyAsked, _) => "the record is about this key, as asked".into(),
            (Check::WebfingerAgrees, _) => "WebFinger and the record name the same key".into(),
            (Check::Https, _) => format!("{} itself answered (https certificate)", record.fqhn.server()),
            (Check::SeenBefore, Sigchain::Verified { seen_before: Some(events), .. }) => seen_text(*events),
            (_, Sigchain::Verified { view, .. }) => {
                format!("the key's own sigchain: {}, whole, in order, signed", entries(view.events))
            }
            _ => "the key's own sigchain".into(),
        }
    }

    fn gap_text(&self, gap: Gap) -> String {
        match (gap, &self.sigchain) {
            (Gap::ServerIdentity, _) => {
                format!("that {} speaks for {}", self.found.source.url, self.found.record.fqhn.server())
            }
            (Gap::NeverSeen, _) => NEVER_SEEN.into(),
            (Gap::Subjects, _) => "that what it holds points back to this key".into(),
            (Gap::Sigchain, Sigchain::Unread { message, .. }) => format!("the key's own sigchain: {message}"),
            (Gap::Sigchain, _) => "the key's own sigchain: there is none yet".into(),
        }
    }
}

impl Report for Known {
    fn print(&self, page: &mut Page) {
        let Found { record, source, checked, not_checked, .. } = &self.found;
        page.line(format_args!("{}\n", page.bold(&record.fqhn)));
        page.field("public key", record.primary);
        if let Sigchain::Verified { view, .. } = &self.sigchain {
            page.field("key since", moment(view.key_since));
        }
        page.field("registered", moment(record.registered_at));
        if let Sigchain::Verified { view, .. } = &self.sigchain {
            view.print_holdings(page);
        }
        page.field("sigchain", self.sigchain.url().unwrap_or_else(|| record.sigchain_url.clone()));
        page.field("asked", &source.url);
        let texts: Vec<String> = checked.iter().map(|check| self.check_text(*check)).collect();
        page.fields("checked", &texts);
        let texts: Vec<String> = not_checked.iter().map(|gap| self.gap_text(*gap)).collect();
        page.fields("not checked", &texts);
        let server = record.fqhn.server();
        match &self.sigchain {
            Sigchain::Verified { .. } => page.line(format_args!(
                "\nThat {} has this key is the word of {server}. The rest is the key's own word.",
                record.fqhn
            )),
            _ => page.line(format_args!("\nAll of this is the word of {server} alone.")),
        }
    }
}

impl Sigchain {
    /// Where it was read, where that is not what the record says anyway.
    fn url(&self) -> Option<String> {
        match self {
            Self::Verified { url, .. } | Self::None { url } => Some(url.to_string()),
            Self::Unread { .. } => None,
        }
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
        assert_eq!(found_at("http://localhost:6969").not_checked, [Gap::ServerIdentity]);
        assert_eq!(found_at("http://kez.lat").not_checked, [Gap::ServerIdentity]);
        assert_eq!(found_at("https://kez.lat").not_checked, []);
    }

    #[test]
    fn the_text_says_what_was_not_checked() {
        let mut page = Page::plain();
        let unread = OfRecord::Unread(Box::new(CliError::NoServer));
        Known::new(found_at("http://localhost:6969"), unread).print(&mut page);
        let text = page.as_str();
        assert!(text.contains("not checked  that http://localhost:6969 speaks for kez.lat\n"));
        assert!(text.contains("the key's own sigchain: which home server?"), "{text}");
        assert!(text.ends_with("All of this is the word of kez.lat alone.\n"));
    }
}
