//! Looking up people of other home servers on behalf of browsers, which may not ask other origins. SPEC "Resolve".
//!
//! The way is always: WebFinger at `https://<server>`, its `self` link, the record there. Each step goes through
//! [`Outgoing`], which connects to public addresses only.

mod address;
mod cache;
mod outgoing;
mod places;

use std::sync::Arc;
use std::time::Duration;

use kez_core::webfinger::{Descriptor, Disagreement};
use kez_core::{Fqhn, Record};
use kez_serve::client_addr::ClientNet;
use kez_serve::clock::Clock;

pub use address::is_public;
pub use outgoing::{AddressRule, Lookup, Outgoing, OutgoingError, SystemLookup};

use cache::{Cache, Known};
use places::Places;

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
    #[error("the other server could not be asked")]
    Unreachable(#[from] OutgoingError),
    /// Its WebFinger answer is no descriptor.
    #[error("the other server's WebFinger answer is no descriptor")]
    NotADescriptor,
    /// There is no record where WebFinger says.
    #[error("the other server has no record where its WebFinger answer says")]
    NoRecord,
    /// What it says is not about the account that was asked for.
    #[error("the other server's answers do not agree")]
    Disagreement(#[from] Disagreement),
    /// The same failed less than half a minute ago.
    #[error("the other server could not be asked a moment ago")]
    FailedLately,
}

/// Looks up people of other servers.
#[derive(Debug)]
pub(crate) struct Resolver {
    outgoing: Outgoing,
    cache: Cache,
    places: Places,
}

impl Resolver {
    /// A resolver that asks through `outgoing` and dates its cache by `clock`.
    pub(crate) fn new(outgoing: Outgoing, clock: Arc<dyn Clock>) -> Self {
        Self { outgoing, cache: Cache::new(clock), places: Places::default() }
    }

    /// The record of `name`, `None` when its server says there is none. What was said is kept for five minutes, that
    /// it failed for half a minute. `net` asks.
    pub(crate) async fn resolve(&self, name: &Fqhn, net: ClientNet) -> Result<Option<Record>, ResolveError> {
        match self.cache.find(name) {
            Some(Known::Answer(record)) => return Ok(record.map(|record| *record)),
            Some(Known::Failure) => return Err(ResolveError::FailedLately),
            None => {}
        }
        let _place = self.places.take(net).ok_or(ResolveError::Busy)?;
        let asked = tokio::time::timeout(DEADLINE, self.ask(name)).await;
        let answer = asked.unwrap_or(Err(ResolveError::Unreachable(OutgoingError::Timeout)));
        self.cache.keep(
            name.clone(),
            answer.as_ref().map_or(Known::Failure, |record| Known::answer(record.as_ref())),
        );
        answer
    }

    async fn ask(&self, name: &Fqhn) -> Result<Option<Record>, ResolveError> {
        let finger = format!("https://{}/.well-known/webfinger?resource=acct:{name}", name.server());
        let Some(descriptor) = self.outgoing.get(&finger).await? else { return Ok(None) };
        let descriptor: Descriptor =
            serde_json::from_slice(&descriptor).map_err(|_| ResolveError::NotADescriptor)?;
        let account = descriptor.account(name)?;
        let record = self.outgoing.get(account.record_url).await?.ok_or(ResolveError::NoRecord)?;
        let record = serde_json::from_slice(&record).map_err(|_| ResolveError::NoRecord)?;
        account.check(&record, name)?;
        Ok(Some(record))
    }
}
