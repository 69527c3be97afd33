//! The auth callout: decides for nats-server who is let in. SPEC "Auth callout", ADR 0025.
//!
//! It fails closed. What is not understood, comes too late or cannot be looked up is not answered, and the server then
//! lets nobody in; whoever is refused learns nothing but that.

mod seen;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::StreamExt as _;
use kez_core::{PublicKey, Timestamp};
use kez_nats_auth::{
    Addressee, BadNkey, BadRequest, BadSeal, CalloutRequest, Device, Grant, Login, LoginRefusal, Nkey, Role,
    SEAL_NONCE_BYTES, admit, open, refuse, seal,
};
use kez_serve::clock::Clock;
use kez_serve::rng::{self, Rng, SystemRng};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::app::App;
use crate::nats::{Connections, Failed, Nats};
use crate::store::StoreError;
use seen::{Attempts, Seen};

/// Where nats-server asks, and the queue that shares its requests between nodes.
const REQUESTS: &str = "$SYS.REQ.USER.AUTH";
const QUEUE: &str = "kez-auth";
/// The server's key that the request is sealed with.
const XKEY_HEADER: &str = "Nats-Server-Xkey";
/// The longest sealed request, in bytes.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Half of the server's timeout of 2 s: an answer after it might be late, and a late one ends a good connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Requests decided at once; the server gives up on the others by itself.
const AT_ONCE: usize = 512;
/// How long a connection lasts, in seconds, within a tenth: so not all come back at once.
const LIFETIME_S: i64 = 60 * 60;

/// Decides on logins.
#[derive(Debug)]
pub(crate) struct Callout {
    nats: Arc<Nats>,
    rng: SystemRng,
    seen: Seen,
    attempts: Attempts,
}

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Silence {
    /// Longer than [`REQUEST_BYTES_MAX`].
    #[error("longer than 16 KiB")]
    TooLong,
    /// The header is no curve key.
    #[error("{XKEY_HEADER} is no curve key")]
    Header(#[from] BadNkey),
    /// Not sealed for us.
    #[error(transparent)]
    Seal(#[from] BadSeal),
    /// Not asked by a server that knows us.
    #[error(transparent)]
    Request(#[from] BadRequest),
    /// Asked before.
    #[error("the same request was answered before")]
    Repeated,
    /// Nobody can be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer is no JSON.
    #[error("the answer cannot be written")]
    Answer(#[from] serde_json::Error),
}

/// Why somebody is refused: for the log alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// By what the client sent.
    #[error(transparent)]
    Login(#[from] LoginRefusal),
    /// The key holds no handle, or is suspended.
    #[error("no active account has this key")]
    NoAccount,
    /// Never enrolled, revoked, or by another envelope than the last.
    #[error("no active device was enrolled with this envelope")]
    NoDevice,
    /// Too many connections.
    #[error("the account or the device has as many connections as it may")]
    Connections,
    /// Too many logins.
    #[error("this key logs in too often")]
    TooOften,
}

/// A decision, sealed for the server that asked.
#[derive(Debug)]
pub(crate) struct Decided {
    /// The sealed answer.
    pub sealed: Vec<u8>,
    /// Who asked, for the audit line.
    pub request: CalloutRequest,
    /// Whom it lets in, or why nobody.
    pub verdict: Result<Grant, Refused>,
}

/// How long a connection of this device lasts, in seconds: the same on every node, so that `hello` can say it.
pub(crate) fn lifetime(account: &PublicKey, device: Device) -> i64 {
    let hash = Sha256::digest(format!("{}:{device}", account.to_hex()));
    let spread = LIFETIME_S / 5;
    LIFETIME_S - spread / 2 + i64::from(u16::from_be_bytes([hash[0], hash[1]])) * spread / i64::from(u16::MAX)
}

impl Callout {
    /// Of this node.
    pub(crate) fn new(nats: Arc<Nats>, clock: &Arc<dyn Clock>) -> Self {
        Self { nats, rng: SystemRng, seen: Seen::default(), attempts: Attempts::new(clock) }
    }

    /// What to answer to the sealed `request` that came with `xkey` in its header.
    pub(crate) async fn decide(&self, app: &App, request: &[u8], xkey: &str) -> Result<Decided, Silence> {
        let request = self.read(app, request, xkey)?;
        let verdict = self.verdict(app, &request).await?;
        let (now, to) = (app.clock.now(), Addressee::from(&request));
        let issuer = &self.nats.keys.issuer;
        let token = match &verdict {
            Ok((grant, until)) => admit(to, grant, until.unix_seconds(), issuer, now.unix_seconds())?,
            Err(_) => refuse(to, issuer, now.unix_seconds())?,
        };
        let nonce = rng::bytes::<SEAL_NONCE_BYTES>(&self.rng as &dyn Rng);
        let sealed = seal(&self.nats.keys.xkey, &request.server_xkey, nonce, token.as_bytes())?;
        Ok(Decided { sealed, request, verdict: verdict.map(|(grant, _)| grant) })
    }

    /// Checks 1 to 3: is it a server's, for us, now, and for the first time.
    fn read(&self, app: &App, sealed: &[u8], xkey: &str) -> Result<CalloutRequest, Silence> {
        if sealed.len() > REQUEST_BYTES_MAX {
            return Err(Silence::TooLong);
        }
        let xkey = Nkey::of_role(xkey, Role::Curve)?;
        let token = open(&self.nats.keys.xkey, &xkey, sealed)?;
        let now = app.clock.now().unix_seconds();
        let request = CalloutRequest::read(&token, &xkey, &self.nats.keys.issuer.public_key(), now)?;
        // By its one-time key: the `jti` of two requests of one server in one second is the same.
        if self.seen.is_new(&request.user.to_string(), request.expires, now) {
            Ok(request)
        } else {
            Err(Silence::Repeated)
        }
    }

    /// Checks 4 to 9.
    async fn verdict(
        &self,
        app: &App,
        request: &CalloutRequest,
    ) -> Result<Result<(Grant, Timestamp), Refused>, StoreError> {
        let now = app.clock.now();
        let login = match Login::check(request, app.server(), now) {
            Ok(login) => login,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let (account, device, ends) = match &login {
            Login::Primary(primary) => (*primary, Device::Primary, None),
            Login::Device(enrolment) => {
                let device = enrolment.device();
                let stored = app.store.device(&enrolment.primary(), &device.device_id).await?;
                let same = stored.filter(|stored| {
                    stored.revoked.is_none()
                        && stored.payload_sha256 == *enrolment.envelope().payload_sha256()
                });
                if same.is_none() {
                    return Ok(Err(Refused::NoDevice));
                }
                (enrolment.primary(), Device::Enrolled(device.device_id), Some(device.expires_at))
            }
        };
        let standing = app.store.standing(&account).await?.filter(|standing| !standing.is_suspended);
        let Some(standing) = standing else { return Ok(Err(Refused::NoAccount)) };
        if !self.attempts.may(&account, &device.to_string()) {
            return Ok(Err(Refused::TooOften));
        }
        if !self.takes_place(&account, device).await {
            return Ok(Err(Refused::Connections));
        }
        let until = now.truncated().plus_seconds(lifetime(&account, device)).unwrap_or(now);
        let until = ends.map_or(until, |ends| until.min(ends));
        let token = app.inboxes.token(&account, standing.revocations);
        Ok(Ok((Grant { account, device, token }, until)))
    }

    /// Before a refusal the servers are asked: one that died has told of no disconnection.
    async fn takes_place(&self, account: &PublicKey, device: Device) -> bool {
        let connections: &Connections = &self.nats.connections;
        let name = device.to_string();
        if connections.begin(account, &name) {
            return true;
        }
        crate::nats::recount(&self.nats, account).await;
        connections.begin(account, &name)
    }
}

/// Answers until the client closes.
pub(crate) async fn run(app: Arc<App>, callout: Arc<Callout>) -> Result<(), Failed> {
    let nats = Arc::clone(&callout.nats);
    let mut requests = nats.auth.queue_subscribe(REQUESTS, QUEUE.to_owned()).await?;
    nats.auth.flush().await?;
    nats.is_up.store(true, std::sync::atomic::Ordering::Relaxed);
    tracing::info!("logins to NATS are possible");
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(request) = requests.next().await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("a login to NATS is not answered: too many are under way");
            continue;
        };
        let (app, callout) = (Arc::clone(&app), Arc::clone(&callout));
        tokio::spawn(async move {
            callout.answer(&app, &request).await;
            drop(place);
        });
    }
    Ok(())
}

impl Callout {
    /// Answers one request, once or never: two answers race, and the later one would end a connection.
    async fn answer(&self, app: &App, message: &Message) {
        let Some(reply) = &message.reply else { return };
        let xkey = message.headers.as_ref().and_then(|headers| headers.get(XKEY_HEADER));
        let xkey = xkey.map_or("", |value| value.as_str());
        let decided = match timeout(ANSWER_WITHIN, self.decide(app, &message.payload, xkey)).await {
            Ok(Ok(decided)) => decided,
            Ok(Err(silence)) => {
                tracing::warn!(error = %silence, "a login to NATS is not answered");
                return;
            }
            Err(_) => {
                tracing::warn!("a login to NATS is not answered: it took too long");
                return;
            }
        };
        log(&decided);
        if let Err(error) = self.nats.auth.publish(reply.clone(), decided.sealed.into()).await {
            tracing::warn!(error = %error, "an answer of the callout was not sent");
        }
    }
}

fn log(decided: &Decided) {
    let request = &decided.request.id;
    match &decided.verdict {
        Ok(grant) => {
            let (key, device) = (grant.account.short(), grant.device);
            tracing::debug!(nats.request = %request, key.short = %key, %device, "logged in to NATS");
        }
        Err(reason) => {
            tracing::info!(nats.request = %request, reason = %reason, "a login to NATS was refused");
        }
    }
}
