//! Sessions: opened when there is none, dropped when the server says so. SPEC "Signed calls".

use kez_core::http_signature::Signer;
use kez_core::{ExchangeKey, ExchangeSecret, SessionContext, SessionKey, SessionToken, Timestamp};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::DeviceClient;
use crate::call_error::CallError;
use crate::machine::random;

/// A session is left this long before its end, in seconds: a call must not arrive after it.
const LEAVE_S: i64 = 60;
/// How long nobody opens a session after an attempt was begun, in seconds. One attempt is enough for all calls that run
/// at once, and a server that has no session to give is not asked each time.
const ATTEMPT_S: i64 = 60;

/// The session of a device, if there is one.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    current: Option<Session>,
    /// When the next attempt may begin, by the machine's clock, which the server's word does not move.
    next_attempt: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Session {
    token: SessionToken,
    key: SessionKey,
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct Opening {
    key: ExchangeKey,
}

#[derive(Deserialize)]
struct Opened {
    session: SessionToken,
    expires_at: Timestamp,
}

impl Sessions {
    fn at(&self, now: Timestamp) -> Option<Signer> {
        let session = self.current.as_ref().filter(|session| {
            now.plus_seconds(LEAVE_S).is_some_and(|arrives_by| arrives_by < session.expires_at)
        })?;
        Some(Signer::Session { token: session.token.clone(), key: session.key.clone() })
    }

    /// Whether the caller is the one to open a session.
    fn begin_attempt(&mut self, now: Timestamp) -> bool {
        let may_begin = self.next_attempt.is_none_or(|earliest| now >= earliest);
        if may_begin {
            self.next_attempt = now.plus_seconds(ATTEMPT_S);
        }
        may_begin
    }

    fn put(&mut self, session: Session) {
        self.current = Some(session);
        self.next_attempt = None;
    }

    /// Forgets the session by this token; another call may have opened a new one meanwhile.
    fn drop_session(&mut self, token: &SessionToken) {
        if self.current.take_if(|session| session.token == *token).is_some() {
            self.next_attempt = None;
        }
    }
}

impl DeviceClient {
    /// What the next call is signed with: the session, a new one, or the device's key.
    pub(super) async fn signer(&self, distrusts_sessions: bool) -> Signer {
        let now = self.server_time();
        if distrusts_sessions {
            return self.device_signer();
        }
        if let Some(signer) = self.state().sessions.at(now) {
            return signer;
        }
        if !self.state().sessions.begin_attempt(self.machine().now()) {
            return self.device_signer();
        }
        // Whatever went wrong, the device's own key may do; if not, the call itself says what it is.
        let Ok(Some(session)) = self.open_session().await else { return self.device_signer() };
        let signer = Signer::Session { token: session.token.clone(), key: session.key.clone() };
        self.state().sessions.put(session);
        signer
    }

    pub(super) fn forget_session(&self, signer: &Signer) {
        if let Signer::Session { token, .. } = signer {
            self.state().sessions.drop_session(token);
        }
    }

    pub(super) fn device_signer(&self) -> Signer {
        let keys = &self.shared.keys;
        Signer::Device { primary: keys.primary, device_id: keys.device_id, seed: keys.auth.clone() }
    }

    /// `None`: the server offers none, or its key is not one.
    async fn open_session(&self) -> Result<Option<Session>, CallError> {
        let Some(server) = self.home().server_info().await?.session_key else { return Ok(None) };
        let secret = ExchangeSecret::from_bytes(random(self.machine()));
        let context = SessionContext {
            client: secret.public_key(),
            server,
            primary: self.primary(),
            device_id: self.device_id(),
        };
        let Some(key) = secret.session_key(&server, &context) else { return Ok(None) };
        let request = self.request(Method::POST, &["session"]).json(&Opening { key: context.client });
        let signer = self.device_signer();
        let answer = match self.once(&request, &signer).await {
            Err(CallError::SignatureExpired { server_time: Some(time) }) => {
                self.correct_clock(time);
                self.once(&request, &signer).await?
            }
            other => other?,
        };
        let Opened { session: token, expires_at } = answer.json()?;
        Ok(Some(Session { token, key, expires_at }))
    }
}
