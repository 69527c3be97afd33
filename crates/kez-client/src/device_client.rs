//! A home server as one device of an account sees it: every call is signed. SPEC "Signed calls".

mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kez_core::http_signature::{LIFETIME_S_MAX, Nonce, RequestParts, Signer, content_digest, sign};
use kez_core::{DeviceId, PublicKey, Seed, Timestamp};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Serialize;

use crate::call_error::CallError;
use crate::error::ClientError;
use crate::home_server::HomeServer;
use crate::machine::{Machine, random};
use crate::patience::{Patience, Spent};
use crate::transport::{Answer, Ask, BODY_BYTES_MAX, Content, Pieces, Transport};

use session::Sessions;

/// How far a signature's `created` is put back, in seconds: a server refuses one that lies ahead of its own clock by
/// more than a few.
const CREATED_BACK_S: i64 = 2;

/// How far a clock may be wrong and still be corrected, in seconds. Beyond a day either the machine has no idea of the
/// time, which its owner should hear of, or the server makes one up: what is dated by it would count for nobody.
const CLOCK_OFF_S_MAX: u64 = 24 * 60 * 60;

/// Who a device is to its server, with the secret of its calls. Prints without it.
#[derive(Debug, Clone)]
pub struct DeviceKeys {
    /// The account.
    pub primary: PublicKey,
    /// The device of this account.
    pub device_id: DeviceId,
    /// Of the device's auth key, which is not the primary.
    pub auth: Seed,
}

/// A home server as one device sees it. A clone is the same client.
///
/// Calls are signed within a session where the server offers one, and with the device's own key otherwise. A call whose
/// answer does not come is sent again within its [`Patience`]: every call carries an id of the caller or asks for a
/// state, so what arrives twice is done once. A clock that is wrong by a day at most is corrected by the server's.
#[derive(Clone)]
pub struct DeviceClient {
    shared: Arc<Shared>,
}

struct Shared {
    home: HomeServer,
    streams: Transport,
    keys: DeviceKeys,
    machine: Arc<dyn Machine>,
    patience: Patience,
    state: Mutex<State>,
}

/// What was learnt from the server.
#[derive(Debug, Default)]
struct State {
    /// What to add to the machine's clock, in seconds.
    clock_behind_s: i64,
    sessions: Sessions,
}

/// A call, before it is signed. It may be sent several times.
#[derive(Debug)]
pub(crate) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    content: Option<Content>,
    bytes_max: usize,
}

/// What has been done about refusals of one call.
#[derive(Debug, Default)]
struct Remedies {
    has_corrected_clock: bool,
    sessions_lost: u32,
}

impl Remedies {
    /// Two lost sessions in one call are no accident.
    fn distrusts_sessions(&self) -> bool {
        self.sessions_lost > 1
    }
}

impl DeviceClient {
    /// A client for the device with these keys, which may still have to be enrolled. Nothing is sent yet.
    pub fn new(home: HomeServer, keys: DeviceKeys, machine: Arc<dyn Machine>) -> Result<Self, ClientError> {
        Self::with_patience(home, keys, machine, Patience::default())
    }

    /// The same with another [`Patience`].
    pub fn with_patience(
        home: HomeServer,
        keys: DeviceKeys,
        machine: Arc<dyn Machine>,
        patience: Patience,
    ) -> Result<Self, ClientError> {
        let streams = home.stream_transport()?;
        let state = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { home, streams, keys, machine, patience, state }) })
    }

    /// The server.
    pub fn home(&self) -> &HomeServer {
        &self.shared.home
    }

    /// The account.
    pub fn primary(&self) -> PublicKey {
        self.shared.keys.primary
    }

    /// The device.
    pub fn device_id(&self) -> DeviceId {
        self.shared.keys.device_id
    }

    /// The server's time, as well as it is known: a day at most from the machine's.
    pub fn server_time(&self) -> Timestamp {
        let machine = self.shared.machine.now();
        machine.plus_seconds(self.state().clock_behind_s).unwrap_or(machine)
    }

    pub(crate) fn machine(&self) -> &dyn Machine {
        &*self.shared.machine
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.shared.patience
    }

    /// A request to `/v1/` and these segments.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> Request {
        Request {
            method,
            url: self.home().call(segments),
            headers: HeaderMap::new(),
            content: None,
            bytes_max: BODY_BYTES_MAX,
        }
    }

    /// Makes the call until there is an answer, and gives it when it is a success.
    pub(crate) async fn call(&self, request: &Request) -> Result<Answer, CallError> {
        let (mut spent, mut remedies) = (Spent::default(), Remedies::default());
        loop {
            match self.attempt(request, &mut remedies).await {
                Err(fault) => self.wait(fault, &mut spent).await?,
                success => return success,
            }
        }
    }

    /// Makes the call once, again only after what can be remedied. No answer is an error, and so is "not now".
    pub(crate) async fn call_once(&self, request: &Request) -> Result<Answer, CallError> {
        self.attempt(request, &mut Remedies::default()).await
    }

    /// One attempt, again only after what can be remedied.
    async fn attempt(&self, request: &Request, remedies: &mut Remedies) -> Result<Answer, CallError> {
        loop {
            let signer = self.signer(remedies.distrusts_sessions()).await;
            let fault = match self.once(request, &signer).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            if !self.remedy(&fault, &signer, remedies) {
                return Err(fault);
            }
        }
    }

    /// Makes the call that asks for a page of at most `limit` items. Where its answer does not come in time the next
    /// attempt asks for half as many, and so does every later call: else a slow line would carry the same beginning of a
    /// page again and again. An answer that had begun shows that there is a server, and costs no patience.
    pub(crate) async fn call_page(
        &self,
        limit: &mut u16,
        request: impl Fn(&str) -> Request,
    ) -> Result<Answer, CallError> {
        let (mut spent, mut remedies) = (Spent::default(), Remedies::default());
        loop {
            let fault = match self.attempt(&request(&limit.to_string()), &mut remedies).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let slow = match fault {
                CallError::Client(ClientError::TimedOut { has_begun, .. }) if *limit > 1 => Some(has_begun),
                _ => None,
            };
            if slow.is_some() {
                *limit /= 2;
            }
            if slow != Some(true) {
                self.wait(fault, &mut spent).await?;
            }
        }
    }

    /// Opens a stream. Refusals are remedied as by [`call`](Self::call); nothing is waited for.
    pub(crate) async fn open(
        &self,
        request: &Request,
        media: &str,
        call_max: Duration,
    ) -> Result<Pieces, CallError> {
        let mut remedies = Remedies::default();
        loop {
            let signer = self.signer(remedies.distrusts_sessions()).await;
            let headers = self.signed(request, &signer);
            let fault = match self.shared.streams.open(&request.url, media, headers, call_max).await? {
                Ok(pieces) => return Ok(pieces),
                Err(answer) => self.fault(&answer),
            };
            if !self.remedy(&fault, &signer, &mut remedies) {
                return Err(fault);
            }
        }
    }

    /// Makes a call that is signed by the primary key until there is an answer.
    pub(crate) async fn patiently<T>(
        &self,
        call: impl AsyncFn() -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut spent = Spent::default();
        loop {
            match call().await {
                Err(fault) => self.wait(fault, &mut spent).await?,
                success => return success,
            }
        }
    }

    /// Waits before the next attempt; the fault itself, when there is to be none.
    pub(crate) async fn wait(&self, fault: CallError, spent: &mut Spent) -> Result<(), CallError> {
        let Some(retry_after) = fault.try_again_after() else { return Err(fault) };
        let chance = u32::from_be_bytes(random(self.machine()));
        let Some(wait) = spent.next_wait(self.patience(), chance, retry_after) else { return Err(fault) };
        self.machine().sleep(wait).await;
        Ok(())
    }

    /// Waits before a stream is opened again that the server ended. All end some time, so this is no failure and goes on
    /// for ever; and those that a server ends together must not come back together.
    pub(crate) async fn wait_after_end(&self, spent: &mut Spent) {
        let endless = Patience { attempts_max: u32::MAX, waits_max: Duration::MAX, ..*self.patience() };
        let chance = u32::from_be_bytes(random(self.machine()));
        let wait = spent.next_wait(&endless, chance, Duration::ZERO).unwrap_or(endless.longest_wait);
        self.machine().sleep(wait).await;
    }

    /// One attempt.
    async fn once(&self, request: &Request, signer: &Signer) -> Result<Answer, CallError> {
        let ask = Ask {
            method: request.method.clone(),
            url: &request.url,
            headers: self.signed(request, signer),
            content: request.content.clone(),
            bytes_max: request.bytes_max,
        };
        let answer = self.home().transport().ask(ask).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.fault(&answer)) }
    }

    /// What an answer means that is no success.
    fn fault(&self, answer: &Answer) -> CallError {
        match CallError::of(answer) {
            CallError::SignatureExpired { server_time: Some(server_time) }
                if self.behind_s(server_time).unsigned_abs() > CLOCK_OFF_S_MAX =>
            {
                CallError::ClockFarOff { server_time }
            }
            fault => fault,
        }
    }

    /// The headers that sign `request`, now.
    fn signed(&self, request: &Request, signer: &Signer) -> HeaderMap {
        let digest = request.content.as_ref().map(|content| content_digest(content.bytes()));
        let parts = RequestParts {
            method: request.method.as_str(),
            authority: request.url.authority(), // host in lower case, no default port, no user
            path: request.url.path(),
            query: request.url.query(),
            content_digest: digest.as_deref(),
        };
        let created = self.server_time().unix_seconds() - CREATED_BACK_S;
        let nonce = Nonce::from_random(random(self.machine()));
        // invariant: a URL has no characters that a request cannot have, and a Timestamp has at most 12 digits.
        let signature =
            sign(signer, &parts, created, LIFETIME_S_MAX, &nonce).expect("a request can be signed");
        let mut headers = request.headers.clone();
        let mut insert = |name, text: &str| {
            // invariant: base64, digits, and names of ours.
            headers.insert(name, HeaderValue::from_str(text).expect("visible ASCII"))
        };
        insert("signature-input", &signature.signature_input);
        insert("signature", &signature.signature);
        if let Some(digest) = &digest {
            insert("content-digest", digest);
        }
        headers
    }

    /// Whether something was done because of which the same call may now succeed. Each is done at most so often that a
    /// call ends.
    fn remedy(&self, fault: &CallError, signer: &Signer, remedies: &mut Remedies) -> bool {
        match fault {
            CallError::SignatureExpired { server_time: Some(time) } if !remedies.has_corrected_clock => {
                remedies.has_corrected_clock = true;
                self.correct_clock(*time);
                true
            }
            _ if is_by_session(signer) && speaks_of_the_session(fault) => {
                remedies.sessions_lost += 1;
                self.forget_session(signer);
                true
            }
            _ => false,
        }
    }

    fn correct_clock(&self, server_time: Timestamp) {
        let behind_s = self.behind_s(server_time);
        self.state().clock_behind_s = behind_s;
    }

    /// What to add to the machine's clock so that it says this.
    fn behind_s(&self, server_time: Timestamp) -> i64 {
        server_time.unix_seconds() - self.machine().now().unix_seconds()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_by_session(signer: &Signer) -> bool {
    matches!(signer, Signer::Session { .. })
}

/// `bad_signature` as well: a server that has lost its secret derives another key.
fn speaks_of_the_session(fault: &CallError) -> bool {
    matches!(fault, CallError::SessionEnded) || fault.code() == Some("bad_signature")
}

impl Request {
    /// With a body.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        // invariant: our types have text for every key, and no map.
        self.content = Some(Content::json(serde_json::to_string(body).expect("types of ours become JSON")));
        self
    }

    /// With a body that means nothing to the server.
    pub(crate) fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.content = Some(Content::opaque(bytes));
        self
    }

    /// With a header, which is not signed.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        // invariant: all values are digits, quotes and names of ours.
        self.headers.insert(name, HeaderValue::from_str(value).expect("visible ASCII"));
        self
    }

    /// With a member of the query.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// With another bound on the body of the answer, in bytes.
    pub(crate) fn bytes_max(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }
}

impl fmt::Debug for DeviceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceClient")
            .field("home", self.home())
            .field("device_id", &self.device_id())
            .finish_non_exhaustive()
    }
}
