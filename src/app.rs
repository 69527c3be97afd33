//! What every request handler shares.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use kez_core::{ConversationId, PublicKey, ServerName, Timestamp};
use kez_serve::client_addr::Client;
use kez_serve::clock::Clock;
use kez_serve::openapi::Documents;
use kez_serve::rate::{Quota, RateLimit, RetryAfter};
use kez_serve::storage::StoreHealth;
use kez_sig_server::Chains;
use tokio::runtime::Handle;

use crate::age_clock::AgeClock;
use crate::base_url::BaseUrl;
use crate::blobs::depot::Depot;
use crate::bus::Bus;
use crate::caller::{Authorities, KnownDevices, Sessions};
use crate::error::ApiError;
use crate::events::Streams;
use crate::leaving::Receipts;
use crate::nats::{Inboxes, Nats};
use crate::record::Records;
use crate::registration::Policy;
use crate::resolve::Resolver;
use crate::sending::SendingRates;
use crate::store::{AccountId, Store, Woken};
use crate::web::WebClient;
use crate::webfinger::Descriptors;
use crate::writes::{TooManyWrites, Writes};

/// The state of a running server, read-only but for its counters.
#[derive(Debug)]
pub(crate) struct App {
    /// Where this server is reached; the first URL is used where one is needed.
    pub public_urls: Vec<BaseUrl>,
    /// Where its people publish their sigchains.
    pub sig_server_url: BaseUrl,
    /// What is told about an account.
    pub records: Records,
    /// What other servers are told about an account.
    pub descriptors: Descriptors,
    /// What may be registered.
    pub policy: Policy,
    /// Days after which an event goes although a device has not acknowledged it.
    pub retention_days: u8,
    /// The bytes of blobs.
    pub depot: Depot,
    /// How many bytes all blobs may take.
    pub blob_storage_bytes_max: u64,
    /// Everything that lasts.
    pub store: Arc<dyn Store>,
    /// Tells the streams of events that there is something.
    pub bus: Arc<dyn Bus>,
    /// The secret subjects of inboxes in NATS.
    pub inboxes: Arc<Inboxes>,
    /// The NATS side; `None`: this server runs without.
    pub nats: Option<Arc<Nats>>,
    /// Who has streams of events open.
    pub streams: Streams,
    /// The names under which signed calls are taken.
    pub authorities: Authorities,
    /// Devices that called lately.
    pub known_devices: Arc<KnownDevices>,
    /// Opens sessions, and knows its own.
    pub sessions: Sessions,
    /// Signs receipts of deletions.
    pub receipts: Receipts,
    /// The sig-server within; `None`: there is none.
    pub chains: Option<Arc<Chains>>,
    /// Who has writes under way.
    pub writes: Writes,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// What tells the time by which things are dropped for their age.
    pub ages: AgeClock,
    /// Looks up people of other servers.
    pub resolver: Resolver,
    /// How much a client network may do; `None`: as much as it likes.
    pub limits: Option<Limits>,
    /// The page and its files.
    pub web: WebClient,
    /// The OpenAPI document, as JSON and as a page.
    pub openapi: Documents,
    /// Set once the server has begun to stop.
    pub draining: AtomicBool,
}

/// A family or a class behind one address signs up together. A squatter with one address needs hours for hundreds; one
/// with an IPv6 /48 gets 400 at once, and one with many addresses is stopped by invites only. Per ten minutes.
const REGISTRATIONS: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// A chat client looks up each person it meets once; a crawler of the directory is slowed down. Per minute.
const LOOKUPS: NonZeroU32 = NonZeroU32::new(600).unwrap();
/// A hundred calls a second: a class whose devices all talk. A forged signature costs 50 us of one core, so one network
/// takes 0.5 % of it. Per minute.
const CALLS: NonZeroU32 = NonZeroU32::new(6_000).unwrap();
/// A household takes in its devices and renews them; each costs two Ed25519 signatures and a write. Per ten minutes.
const DEVICE_CHANGES: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// Each costs two requests to somebody else's server. Per minute.
const RESOLUTIONS: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// A person exports now and again, or once more because a line was cut. Each reads all of an account, some 100 MiB.
/// Per ten minutes.
const EXPORTS: NonZeroU32 = NonZeroU32::new(6).unwrap();
/// Each may cost 202 signature checks, some 10 ms. A device refills once it has given 80 away. Per minute.
const UPLOADS: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// A class whose children ask each other on their first day; a person asks a few a week. Per hour.
const DIRECT_CONVERSATIONS: NonZeroU32 = NonZeroU32::new(300).unwrap();

/// Allowances of one client network (an IPv4 address or an IPv6 /64; a /48 has 20 times as much for all its /64s), and what
/// accounts may send.
#[derive(Debug)]
pub(crate) struct Limits {
    registrations: RateLimit,
    calls: RateLimit,
    device_changes: RateLimit,
    lookups: RateLimit,
    resolutions: RateLimit,
    uploads: RateLimit,
    direct_conversations: RateLimit,
    exports: RateLimit,
    sending: SendingRates,
}

impl Limits {
    /// The allowances of SPEC "Limits", counted by `clock`.
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Self {
        let limit = |burst, per_s| {
            let quota = Quota { burst, per: Duration::from_secs(per_s) };
            RateLimit::new(quota, Arc::clone(clock))
        };
        Self {
            registrations: limit(REGISTRATIONS, 600),
            calls: limit(CALLS, 60),
            device_changes: limit(DEVICE_CHANGES, 600),
            lookups: limit(LOOKUPS, 60),
            resolutions: limit(RESOLUTIONS, 60),
            uploads: limit(UPLOADS, 60),
            direct_conversations: limit(DIRECT_CONVERSATIONS, 3_600),
            exports: limit(EXPORTS, 600),
            sending: SendingRates::new(Arc::clone(clock)),
        }
    }
}

impl App {
    /// Counts a registration.
    pub(crate) fn admit_registration(&self, client: Client) -> Result<(), RetryAfter> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.registrations.check(&client.net()))
    }

    /// Counts a signed call, before its signature is looked at.
    pub(crate) fn admit_call(&self, client: Client) -> Result<(), RetryAfter> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.calls.check(&client.net()))
    }

    /// Counts an enrolment or a revocation.
    pub(crate) fn admit_device_change(&self, client: Client) -> Result<(), RetryAfter> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.device_changes.check(&client.net()))
    }

    /// Counts an export.
    pub(crate) fn admit_export(&self, client: Client) -> Result<(), RetryAfter> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.exports.check(&client.net()))
    }

    /// Counts a lookup.
    pub(crate) fn admit_lookup(&self, client: Client) -> Result<(), RetryAfter> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.lookups.check(&client.net()))
    }

    /// Counts a look-up of somebody of another server.
    pub(crate) fn admit_resolution(&self, client: Client) -> Result<(), RetryAfter> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.resolutions.check(&client.net()))
    }

    /// Counts an upload of key packages.
    pub(crate) fn admit_upload(&self, client: Client) -> Result<(), RetryAfter> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.uploads.check(&client.net()))
    }

    /// Counts the creation of a conversation of two, which may be a request.
    pub(crate) fn admit_direct_conversation(&self, client: Client) -> Result<(), RetryAfter> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.direct_conversations.check(&client.net()))
    }

    /// Counts what an account sends to a conversation, by its [`weight`](crate::sending::weight).
    pub(crate) fn admit_sending(
        &self,
        account: AccountId,
        cid: ConversationId,
        weight: u64,
    ) -> Result<(), ApiError> {
        let Some(limits) = &self.limits else { return Ok(()) };
        limits.sending.check(account, cid, weight).map_err(ApiError::SendingLimited)
    }

    /// The time by which things are old enough to be dropped: not ahead, whatever the clock shows.
    pub(crate) fn age_time(&self) -> Timestamp {
        self.ages.now(&*self.clock)
    }

    /// The name behind the `@`.
    pub(crate) fn server(&self) -> &ServerName {
        &self.policy.server
    }

    /// The URL that stands in links.
    pub(crate) fn public_url(&self) -> &BaseUrl {
        // invariant: ServeArgs::public_urls is never empty.
        #[expect(clippy::indexing_slicing, reason = "there is always one public URL")]
        &self.public_urls[0]
    }

    /// Tells everybody who waits for these inboxes. To be called as soon as the write that put the events is durable.
    pub(crate) fn wake(&self, woken: &[Woken]) {
        self.bus.wake(woken);
    }

    /// Makes everything that trusts the devices of an account look at them again. To be called as soon as the
    /// enrolment, renewal or revocation is durable, and before it is answered.
    pub(crate) fn devices_changed(&self, primary: &PublicKey) {
        self.bus.devices_changed(primary); // which the known devices hear as well
    }

    /// The same, where a device or an account is not what it was: connections that were let in by it have to end.
    pub(crate) fn cut_off(&self, primary: &PublicKey) {
        self.devices_changed(primary);
        self.bus.cut_off(primary);
    }

    /// Does a write of an account [`to_the_end`], as one of the few that it may have under way.
    pub(crate) async fn write<T, E>(
        &self,
        account: AccountId,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<TooManyWrites> + Send + 'static,
    {
        let turn = self.writes.begin(account)?;
        let done = async move {
            let done = work.await;
            drop(turn);
            done
        };
        to_the_end(done).await
    }

    /// How the last writes went, here and in the sig-server within.
    pub(crate) fn stores(&self) -> impl Iterator<Item = StoreHealth> {
        let chains = self.chains.as_ref().map(|chains| chains.store().health());
        std::iter::once(self.store.health()).chain(chains)
    }

    /// Whether the server has begun to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Does `work` to its end, also when who asked for it hangs up meanwhile and its answer is dropped.
///
/// For a write and what has to follow it in memory: a revocation that is durable and of which the caches never hear
/// would be none. Only what is dropped becomes a task of its own: one for each call would wake a second thread.
pub(crate) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    ToTheEnd(Some(Box::pin(work))).await
}

/// `None` once it is done or has panicked.
struct ToTheEnd<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        // Without a runtime the process ends: nobody waits any more.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_dropped_is_done_to_its_end() {
        let (go, gone) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let mut asked = Box::pin(to_the_end(async move {
            gone.await.expect("the test goes on");
            done.send(()).expect("the test waits");
        }));
        assert!(poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_pending())).await);
        drop(asked);
        go.send(()).expect("the work goes on");
        is_done.await.expect("the work came to its end");
    }

    #[tokio::test]
    async fn what_is_done_is_not_done_again() {
        assert_eq!(to_the_end(async { 7 }).await, 7);
    }
}
