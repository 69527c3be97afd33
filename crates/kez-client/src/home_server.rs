//! The calls of one home server. SPEC "Home server".

use std::time::Duration;

use kez_core::{ExchangeKey, Fqhn, Handle, PublicKey, Record, Registration, ServerName, Verified};
use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use crate::base_url::BaseUrl;
use crate::error::{AnswerFault, ClientError, Contradiction};
use crate::invite::Invite;
use crate::sig_url::SigUrl;
use crate::transport::{Answer, Transport};

/// The code of "nobody here by that name or key".
const CODE_NOT_FOUND: &str = "not_found";
/// The header that carries an invite token.
const HEADER_INVITE: &str = "kez-invite";

/// The longest time of one stream of events, in seconds. Servers end it after an hour.
pub const STREAM_S_MAX: u64 = 3_700;
/// How long a stream may be silent, in seconds, before the server counts as lost: two of its signs of life, and some.
pub const STREAM_IDLE_S_MAX: u64 = 60;

/// A home server, by the URL that the user gave.
#[derive(Debug, Clone)]
pub struct HomeServer {
    url: BaseUrl,
    transport: Transport,
}

/// What a home server says about itself (`GET /v1/server`). Members that this client has no use for are left out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerInfo {
    /// The name that its handles end in: `kez.lat`. Not necessarily the host of its URL.
    pub server: ServerName,
    /// Who may take a handle.
    pub registration: RegistrationPolicy,
    /// Where its people publish their sigchains.
    pub sig_server_url: Option<SigUrl>,
    /// Its side of sessions; absent: it has none.
    pub session_key: Option<ExchangeKey>,
    /// What it signs receipts of deletions with; absent: it signs none.
    pub receipt_key: Option<PublicKey>,
    /// How long it keeps what a device has not read, in days.
    pub retention_days: Option<u32>,
}

/// Who may take a handle on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RegistrationPolicy {
    /// Anybody.
    Open,
    /// Who has an invite token.
    Invite,
    /// Nobody new.
    Closed,
    /// A policy that is newer than this client.
    #[serde(other)]
    Unknown,
}

/// The answer to an accepted registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The record, checked to be about the handle, server and key that were sent.
    pub record: Record,
    /// The very same envelope had been accepted before: an earlier answer was lost.
    pub already: bool,
}

impl HomeServer {
    /// A client for the server at `url`. Nothing is sent yet.
    pub fn new(url: BaseUrl) -> Result<Self, ClientError> {
        let transport = Transport::for_url(url.as_url())?;
        Ok(Self { url, transport })
    }

    /// Where this server is reached.
    pub fn url(&self) -> &BaseUrl {
        &self.url
    }

    /// What the server says about itself.
    pub async fn server_info(&self) -> Result<ServerInfo, ClientError> {
        let answer = self.transport.get(&self.call(&["server"])).await?;
        if answer.status() == StatusCode::OK { answer.json() } else { Err(answer.refusal()) }
    }

    /// Asks for the handle of a signed registration. Sending the same registration again is safe: the server
    /// accepts it once and repeats its answer.
    pub async fn register(
        &self,
        registration: &Verified<Registration>,
        invite: Option<&Invite>,
    ) -> Result<Registered, ClientError> {
        let mut headers = HeaderMap::new();
        if let Some(invite) = invite {
            headers.insert(HEADER_INVITE, invite.header());
        }
        let body = registration.canonical().to_owned();
        let answer = self.transport.post(&self.call(&["register"]), body, headers).await?;
        let already = match answer.status() {
            StatusCode::CREATED => false,
            StatusCode::OK => true,
            _ => return Err(answer.refusal()),
        };
        let wanted = registration.document();
        let address = format!("{}@{}", wanted.handle, wanted.server);
        let record = checked(&answer, |record| record.fqhn.to_string() == address)?;
        if record.primary != registration.primary() {
            return Err(answer.contradiction(Contradiction::OtherKey));
        }
        Ok(Registered { record, already })
    }

    /// The record of an address of this server, or `None` when nobody holds the handle.
    pub async fn by_handle(&self, address: &Fqhn) -> Result<Option<Record>, ClientError> {
        let answer = self.transport.get(&self.call(&["u", address.handle().as_str()])).await?;
        found(&answer)?.then(|| checked(&answer, |record| record.fqhn == *address)).transpose()
    }

    /// The record of a key on this server, which is called `server`, or `None` when the key holds no handle here.
    pub async fn by_primary(
        &self,
        primary: PublicKey,
        server: &ServerName,
    ) -> Result<Option<Record>, ClientError> {
        let answer = self.transport.get(&self.call(&["by-primary", &primary.to_string()])).await?;
        if !found(&answer)? {
            return Ok(None);
        }
        let record = checked(&answer, |record| record.fqhn.server() == server)?;
        if record.primary != primary {
            return Err(answer.contradiction(Contradiction::OtherKey));
        }
        Ok(Some(record))
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// A transport for what goes on and on.
    pub(crate) fn stream_transport(&self) -> Result<Transport, ClientError> {
        Transport::for_streams(self.url.as_url(), Duration::from_secs(STREAM_IDLE_S_MAX))
    }

    /// The URL of a call: `/v1/` and these segments, escaped.
    pub(crate) fn call(&self, segments: &[&str]) -> Url {
        let mut url = self.url.as_url().clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().push("v1").extend(segments);
        }
        url
    }
}

/// Whether a lookup found somebody; any other answer than yes and no is an error.
pub(crate) fn found(answer: &Answer) -> Result<bool, ClientError> {
    if answer.status() == StatusCode::OK {
        return Ok(true);
    }
    let refusal = answer.refusal();
    let is_no = refusal.problem().is_some_and(|problem| problem.code == CODE_NOT_FOUND);
    if is_no { Ok(false) } else { Err(refusal) }
}

/// The record of a success, once it agrees with itself and with what was asked.
pub(crate) fn checked(
    answer: &Answer,
    is_expected: impl FnOnce(&Record) -> bool,
) -> Result<Record, ClientError> {
    let record: Record = answer.json()?;
    if !is_web_address(&record.sigchain_url) {
        return Err(answer.not_protocol(AnswerFault::NotJson));
    }
    if !agrees(&record.handle, &record.fqhn) || !is_expected(&record) {
        return Err(answer.contradiction(Contradiction::OtherHandle));
    }
    Ok(record)
}

fn agrees(handle: &Handle, fqhn: &Fqhn) -> bool {
    fqhn.handle() == handle
}

/// An http or https URL of visible ASCII, so that it can be shown as it is.
fn is_web_address(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
        && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

#[cfg(test)]
mod tests {
    use kez_core::{Envelope, Seed};

    use super::*;
    use crate::canned::Canned;

    /// Alice's record, with the key of the seed 32 × 0x42.
    const ALICE: &str = r#"{"handle":"alice","fqhn":"alice@kez.lat",
        "primary":"ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
        "sigchain_url":"http://localhost:7878/v1/sigchains/ed25519/2152","registered_at":"2026-05-25T03:00:00Z"}"#;

    async fn home(bodies: &[&str]) -> (HomeServer, Canned) {
        let server = Canned::start_with_json(bodies).await;
        let url = server.url("/").as_str().parse().unwrap();
        (HomeServer::new(url).unwrap(), server)
    }

    fn seed() -> Seed {
        Seed::from_bytes([0x42; 32])
    }

    fn registration(handle: &str) -> Verified<Registration> {
        let registration = Registration { handle: handle.into(), server: "kez.lat".into() };
        let at = "2026-05-25T03:00:00Z".parse().unwrap();
        Envelope::sign(&registration, &seed(), at).unwrap().verify().unwrap()
    }

    fn contradiction<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Contradiction {
        match result.unwrap_err() {
            ClientError::Contradiction { what, .. } => what,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_record_is_taken_only_for_the_address_that_was_asked() {
        let (home, server) = home(&[ALICE, ALICE, &ALICE.replace(r#""alice""#, r#""bob""#)]).await;
        let alice: Fqhn = "alice@kez.lat".parse().unwrap();
        assert_eq!(home.by_handle(&alice).await.unwrap().unwrap().fqhn, alice);
        assert!(server.heard()[0].starts_with("GET /v1/u/alice HTTP/1.1\r\n"));
        assert!(server.heard()[0].contains("user-agent: kez/"));

        let bob = "bob@kez.lat".parse().unwrap();
        assert_eq!(contradiction(home.by_handle(&bob).await), Contradiction::OtherHandle);
        assert_eq!(contradiction(home.by_handle(&alice).await), Contradiction::OtherHandle);
    }

    #[tokio::test]
    async fn a_record_is_taken_only_for_the_key_and_server_that_were_asked() {
        let (home, server) = home(&[ALICE, ALICE, ALICE]).await;
        let (key, other) = (seed().public_key(), Seed::from_bytes([7; 32]).public_key());
        let kez = "kez.lat".parse().unwrap();
        assert_eq!(home.by_primary(key, &kez).await.unwrap().unwrap().primary, key);
        assert!(server.heard()[0].starts_with("GET /v1/by-primary/ed25519:2152f8d1"));
        assert_eq!(contradiction(home.by_primary(other, &kez).await), Contradiction::OtherKey);
        let example = "example.org".parse().unwrap();
        assert_eq!(contradiction(home.by_primary(key, &example).await), Contradiction::OtherHandle);
    }

    #[tokio::test]
    async fn a_registration_is_sent_as_signed_and_its_answer_checked() {
        let (home, server) = home(&[ALICE, ALICE]).await;
        let invite = "let-me-in".parse().unwrap();
        let answer = home.register(&registration("alice"), Some(&invite)).await.unwrap();
        assert!(answer.already);
        assert!(server.heard()[0].contains("kez-invite: let-me-in\r\n"));
        assert_eq!(
            contradiction(home.register(&registration("bob"), None).await),
            Contradiction::OtherHandle
        );
    }

    #[tokio::test]
    async fn a_page_that_is_not_ours_is_not_a_missing_handle() {
        let server = Canned::start(vec!["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into()]).await;
        let home = HomeServer::new(server.url("/").as_str().parse().unwrap()).unwrap();
        let fault = home.by_handle(&"alice@kez.lat".parse().unwrap()).await.unwrap_err();
        assert!(matches!(fault, ClientError::NotProtocol { what: AnswerFault::NoCode, status: 404, .. }));
    }

    #[tokio::test]
    async fn an_address_that_could_drive_a_terminal_is_refused() {
        let (home, _server) = home(&[&ALICE.replace("http://localhost", r"http://\u001b[2J")]).await;
        let fault = home.by_handle(&"alice@kez.lat".parse().unwrap()).await.unwrap_err();
        assert!(matches!(fault, ClientError::NotProtocol { what: AnswerFault::NotJson, .. }));
    }

    #[tokio::test]
    async fn a_policy_newer_than_this_client_is_kept_as_unknown() {
        let body = r#"{"server":"kez.lat","version":"9.0.0","registration":"lottery","limits":{}}"#;
        let (home, _server) = home(&[body]).await;
        assert_eq!(home.server_info().await.unwrap().registration, RegistrationPolicy::Unknown);
    }
}
