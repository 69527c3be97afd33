//! What every request handler shares.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kez_serve::client_addr::Client;
use kez_serve::clock::Clock;
use kez_serve::openapi::Documents;
use kez_serve::rate::{Quota, RateLimit, RetryAfter};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::limits::Quotas;
use crate::router;
use crate::store::ChainStore;

/// The state of a running sig-server, alone or within another server; read-only but for its counters.
#[derive(Debug)]
pub struct Chains {
    /// Everything that lasts.
    pub(crate) store: Arc<dyn ChainStore>,
    /// What tells the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// What the store is held to.
    pub(crate) quotas: Quotas,
    /// The description of the interface.
    pub(crate) openapi: Documents,
    /// How much a client network may do; `None`: as much as it likes.
    limits: Option<Limits>,
    /// Places for those who want a bundle.
    bundles: Semaphore,
    /// Set once the server has begun to stop.
    draining: AtomicBool,
}

/// A person writes some events a year; a script that publishes an old chain, or several people behind one address, may
/// write two a second. Per minute.
const APPENDS: NonZeroU32 = NonZeroU32::new(120).unwrap();
/// As many people as may register from one network; keys cost nothing, so this is what bounds new chains. Per ten
/// minutes.
const CREATIONS: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// A client reads the chain of each person it meets, and mostly hears that nothing has changed. Per minute.
const READS: NonZeroU32 = NonZeroU32::new(600).unwrap();
/// Each is compressed anew. Per minute.
const BUNDLES: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Bundles made at once: each keeps a core busy for some hundredths of a second.
const BUNDLES_AT_ONCE: usize = 2;

/// Allowances of one client network (an IPv4 address or an IPv6 /64).
#[derive(Debug)]
struct Limits {
    appends: RateLimit,
    creations: RateLimit,
    reads: RateLimit,
    bundles: RateLimit,
}

impl Limits {
    /// The allowances of SPEC "Sigchain server", counted by `clock`.
    fn new(clock: &Arc<dyn Clock>) -> Self {
        let limit = |burst, per_s| {
            let quota = Quota { burst, per: Duration::from_secs(per_s) };
            RateLimit::new(quota, Arc::clone(clock))
        };
        Self {
            appends: limit(APPENDS, 60),
            creations: limit(CREATIONS, 600),
            reads: limit(READS, 60),
            bundles: limit(BUNDLES, 60),
        }
    }
}

impl Chains {
    /// The state over `store`; `limits_networks`: whether each client network is held to a rate.
    pub fn new(
        store: Arc<dyn ChainStore>,
        clock: Arc<dyn Clock>,
        quotas: Quotas,
        limits_networks: bool,
    ) -> Self {
        Self {
            store,
            limits: limits_networks.then(|| Limits::new(&clock)),
            clock,
            quotas,
            openapi: Documents::new(router::openapi_json()),
            bundles: Semaphore::new(BUNDLES_AT_ONCE),
            draining: AtomicBool::new(false),
        }
    }

    /// What it keeps.
    pub fn store(&self) -> Arc<dyn ChainStore> {
        Arc::clone(&self.store)
    }

    /// Turns readiness off.
    pub fn announce_stop(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server has begun to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Counts an event.
    pub(crate) fn admit_append(&self, client: Client) -> Result<(), RetryAfter> {
        self.admit(client, |limits| &limits.appends)
    }

    /// Counts a new chain.
    pub(crate) fn admit_creation(&self, client: Client) -> Result<(), RetryAfter> {
        self.admit(client, |limits| &limits.creations)
    }

    /// Counts a reading.
    pub(crate) fn admit_read(&self, client: Client) -> Result<(), RetryAfter> {
        self.admit(client, |limits| &limits.reads)
    }

    /// Counts a bundle.
    pub(crate) fn admit_bundle(&self, client: Client) -> Result<(), RetryAfter> {
        self.admit(client, |limits| &limits.bundles)
    }

    /// A place to make a bundle; `None`: all are taken.
    pub(crate) fn bundle_place(&self) -> Option<SemaphorePermit<'_>> {
        self.bundles.try_acquire().ok()
    }

    fn admit(&self, client: Client, which: impl Fn(&Limits) -> &RateLimit) -> Result<(), RetryAfter> {
        self.limits.as_ref().map_or(Ok(()), |limits| which(limits).check(&client.net()))
    }
}
