//! Looking up people of other home servers on behalf of browsers, which may not ask other origins. SPEC "Resolve".
//!
//! The way is always: WebFinger at `https://<server>`, its `self` link, the record there. Each step goes through
//! [`Outgoing`], which connects to public addresses only.

mod address;
mod cache;
mod outgoing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kez_core::webfinger::{PROPERTY_PRIMARY, REL_SELF};
use kez_core::{Fqhn, Record};
use kez_serve::clock::Clock;
use serde::Deserialize;
use tokio::sync::Semaphore;

pub use address::is_public;
pub use outgoing::{AddressRule, Lookup, Outgoing, OutgoingError, SystemLookup};

use crate::base_url::BaseUrl;
use cache::Cache;

/// Look-ups under way at once; one more is refused.
const CONCURRENT_MAX: usize = 16;
/// How long all requests of one look-up may take together.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why somebody of another server was not found. Which step failed is logged, not told: the answer must not help to
/// explore the network that this server stands in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ResolveError {
    /// Too many look-ups are under way.
    #[error("too many look-ups are under way")]
    Busy,
    /// The other server cannot be reached from here, or does not answer in time.
    #[error("the other server could not be asked: {0}")]
    Unreachable(#[from] OutgoingError),
    /// It answers something else than a record of that handle.
    #[error("the other server's answer is not a record of that handle: {0}")]
    BadAnswer(&'static str),
}

/// Looks up people of other servers.
#[derive(Debug)]
pub(crate) struct Resolver {
    outgoing: Outgoing,
    cache: Cache,
    places: Semaphore,
}

impl Resolver {
    /// A resolver that asks through `outgoing` and dates its cache by `clock`.
    pub(crate) fn new(outgoing: Outgoing, clock: Arc<dyn Clock>) -> Self {
        Self { outgoing, cache: Cache::new(clock), places: Semaphore::new(CONCURRENT_MAX) }
    }

    /// The record of `name`, `None` when its server says there is none. Answers are kept for five minutes.
    pub(crate) async fn resolve(&self, name: &Fqhn) -> Result<Option<Record>, ResolveError> {
        if let Some(known) = self.cache.find(name) {
            return Ok(known);
        }
        let _place = self.places.try_acquire().map_err(|_| ResolveError::Busy)?;
        let record = tokio::time::timeout(DEADLINE, self.ask(name))
            .await
            .unwrap_or(Err(ResolveError::Unreachable(OutgoingError::Timeout)))?;
        self.cache.keep(name.clone(), record.clone());
        Ok(record)
    }

    async fn ask(&self, name: &Fqhn) -> Result<Option<Record>, ResolveError> {
        let finger = format!("https://{}/.well-known/webfinger?resource=acct:{name}", name.server());
        let Some(jrd) = self.outgoing.get(&finger).await? else { return Ok(None) };
        let jrd: Jrd = serde_json::from_slice(&jrd).map_err(|_| ResolveError::BadAnswer("no JRD"))?;
        let href = jrd.record_link().ok_or(ResolveError::BadAnswer("no link to a record"))?;
        let Some(record) = self.outgoing.get(href).await? else { return Ok(None) };
        let record: Record =
            serde_json::from_slice(&record).map_err(|_| ResolveError::BadAnswer("no record"))?;
        if record.fqhn != *name || record.handle != *name.handle() {
            return Err(ResolveError::BadAnswer("a record of somebody else"));
        }
        let named = jrd.properties.get(PROPERTY_PRIMARY).and_then(Option::as_deref);
        if named != Some(&record.primary.to_string()) {
            return Err(ResolveError::BadAnswer("WebFinger and record name different keys"));
        }
        if record.sigchain_url.parse::<BaseUrl>().is_err() {
            return Err(ResolveError::BadAnswer("a sigchain that is not on the web"));
        }
        Ok(Some(record))
    }
}

/// What is read of a JRD (RFC 7033 section 4.4).
#[derive(Debug, Deserialize)]
struct Jrd {
    #[serde(default)]
    properties: HashMap<String, Option<String>>,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Debug, Deserialize)]
struct Link {
    rel: String,
    #[serde(rename = "type")]
    media_type: Option<String>,
    href: Option<String>,
}

impl Jrd {
    fn record_link(&self) -> Option<&str> {
        let is_record =
            |link: &&Link| link.rel == REL_SELF && link.media_type.as_deref() == Some("application/json");
        self.links.iter().find(is_record)?.href.as_deref()
    }
}
