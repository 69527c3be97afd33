//! Requests to other servers, made so that nobody can point them at this server's own network.
//!
//! https only, to a DNS name, on port 443; no redirects, no proxy, no cookies. The addresses a name resolves to are
//! checked, and those checked addresses are the ones connected to, so a second DNS answer changes nothing.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, StatusCode, Url, redirect};
use tokio::sync::Semaphore;

use super::address::is_public;

/// The longest answer read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Questions to the system's resolver at once.
const LOOKUP_THREADS_MAX: usize = 32;

/// Which addresses may be connected to.
pub type AddressRule = fn(IpAddr) -> bool;

/// Finds the addresses of a name.
#[async_trait]
pub trait Lookup: Send + Sync + fmt::Debug {
    /// All addresses of `name`; port 0 stands for the one of the URL.
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<SocketAddr>>;
}

/// The system's resolver. Each question keeps a thread until the system gives up, which nobody can hasten.
#[derive(Debug, Clone)]
pub struct SystemLookup {
    threads: Arc<Semaphore>,
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self { threads: Arc::new(Semaphore::new(LOOKUP_THREADS_MAX)) }
    }
}

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        let thread = Arc::clone(&self.threads).try_acquire_owned().map_err(std::io::Error::other)?;
        let name = name.to_owned();
        let asked = tokio::task::spawn_blocking(move || {
            let addresses = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect);
            drop(thread); // here, not when the caller gives up
            addresses
        });
        asked.await.map_err(std::io::Error::other)?
    }
}

/// Why another server gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutgoingError {
    /// TLS cannot be set up, for lack of root certificates say.
    #[error("TLS cannot be set up on this machine")]
    NoClient(#[source] reqwest::Error),
    /// Not an https URL of a DNS name on port 443.
    #[error("the address is not an https URL of a DNS name on port 443")]
    ForbiddenUrl,
    /// The request failed; also when a name leads to an address that is not public.
    #[error("the request failed")]
    Failed(#[source] reqwest::Error),
    /// Neither 200 nor 404.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// More than 64 KiB.
    #[error("the answer is longer than 64 KiB")]
    TooLong,
    /// It took more than five seconds.
    #[error("it took too long")]
    Timeout,
}

/// The guarded client. It is built at the first use: reading the system's root certificates takes memory and time
/// that most servers need not spend.
pub struct Outgoing {
    client: OnceLock<Client>,
    guard: Guard,
    configure: fn(ClientBuilder) -> ClientBuilder,
}

impl Outgoing {
    /// For production: the system's resolver, public addresses only.
    pub fn new() -> Self {
        Self::with(Arc::new(SystemLookup::default()), is_public, |builder| builder)
    }

    /// With another resolver, another rule for addresses, and further settings of the client (root certificates).
    /// For tests.
    pub fn with(
        lookup: Arc<dyn Lookup>,
        rule: AddressRule,
        configure: fn(ClientBuilder) -> ClientBuilder,
    ) -> Self {
        Self { client: OnceLock::new(), guard: Guard { lookup, rule }, configure }
    }

    /// The body of a 200 answer; `None` for 404.
    pub async fn get(&self, url: &str) -> Result<Option<Vec<u8>>, OutgoingError> {
        let url = allowed(url).ok_or(OutgoingError::ForbiddenUrl)?;
        let mut response = self.client()?.get(url).send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(OutgoingError::Status(status)),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(OutgoingError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    /// Not kept when it fails: certificates may be installed while the server runs.
    fn client(&self) -> Result<&Client, OutgoingError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Fails only when a provider is installed already, which is then the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .user_agent(concat!("kez-chat-server/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(0)
            .dns_resolver(self.guard.clone());
        let client = (self.configure)(builder).build().map_err(OutgoingError::NoClient)?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// Without the URL, which names the person that was asked for.
fn failed(error: reqwest::Error) -> OutgoingError {
    OutgoingError::Failed(error.without_url())
}

/// `domain()` is `None` for an IP address in any spelling (`0x7f.1`), which would not pass by the guard.
fn allowed(url: &str) -> Option<Url> {
    let url: Url = url.parse().ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
    (url.scheme() == "https" && url.domain().is_some() && is_plain).then_some(url)
}

/// Resolves names for the client, and refuses those that lead anywhere else than to public addresses.
#[derive(Debug, Clone)]
struct Guard {
    lookup: Arc<dyn Lookup>,
    rule: AddressRule,
}

/// A name has no address, or one that must not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to no public address")]
struct NotPublic;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.lookup.addresses(name.as_str()).await?;
            // One private address among public ones is as suspicious as private ones alone.
            if addresses.is_empty() || !addresses.iter().all(|address| (guard.rule)(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_urls_of_names_are_asked() {
        for url in [
            "http://example.org/",
            "ftp://example.org/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://example.org:8443/",
            "https://user@example.org/",
            "https://",
            "//example.org/",
            "file:///etc/passwd",
            "https://１２７.0.0.1/",
        ] {
            assert!(allowed(url).is_none(), "{url}");
        }
        assert!(allowed("https://example.org/v1/u/alice").is_some());
        assert!(allowed("https://example.org:443/").is_some());
    }
}
