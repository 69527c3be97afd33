//! Sessions: tokens that this server believes without having stored them. SPEC "Sessions", ADR 0013.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use kez_core::{
    DeviceId, ExchangeKey, ExchangeSecret, PublicKey, SessionContext, SessionKey, SessionToken, Timestamp,
};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Caller;
use super::recent::Recent;
use crate::secret::{KeyId, Secrets};

/// The longest life of a session, in seconds. A stolen session key is of use for as long.
pub(crate) const SESSION_SECONDS_MAX: i64 = 60 * 60;
/// Sessions whose keys are kept at most: some 2 MiB. Of others the key is derived again with each call.
const SESSIONS_MAX: usize = 4_096;

/// The uses of the server's secret. See [`Secrets::derived`].
const EXCHANGE_LABEL: &[u8] = b"kez-chat/session-exchange/v1";
const TOKEN_LABEL: &[u8] = b"kez-chat/session-token/v1";

/// The first byte of a token.
const VERSION: u8 = 1;
/// What is signed of a token: version 1, key id 4, primary 32, device id 16, client's key 32, expiry 8, revocations 8.
const BODY_BYTES: usize = 101;
/// As much of the HMAC as a token carries: RFC 2104 section 5 asks for half at least.
const MAC_BYTES: usize = 16;

/// What a session's calls are checked against.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) primary: PublicKey,
    pub(super) device_id: DeviceId,
    pub(super) expires_at: Timestamp,
    /// How many devices the account had revoked when it was opened.
    pub(super) revocations: u64,
    pub(super) key: SessionKey,
}

/// A session as its client is told.
#[derive(Debug)]
pub(crate) struct OpenedSession {
    pub(crate) token: SessionToken,
    pub(crate) expires_at: Timestamp,
}

/// The client's key has a small order: with it, everybody could derive the session's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this X25519 key makes no secret: it is a point of small order")]
pub(crate) struct WeakKey;

/// Opens sessions, and knows its own.
pub(crate) struct Sessions {
    /// The current secret's first; never empty.
    keys: Vec<Keys>,
    recent: Mutex<Recent<SessionToken, Arc<Session>>>,
}

/// What one line of the secret file gives.
struct Keys {
    id: KeyId,
    mac: Zeroizing<[u8; 32]>,
    exchange: ExchangeSecret,
    public: ExchangeKey,
}

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claims {
    primary: PublicKey,
    device_id: DeviceId,
    client: ExchangeKey,
    /// Unix seconds.
    expires_at: u64,
    revocations: u64,
}

impl Sessions {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let keys = secrets.derived(TOKEN_LABEL).zip(secrets.derived(EXCHANGE_LABEL));
        let keys = keys.map(|((id, mac), (_, exchange))| {
            let exchange = ExchangeSecret::from_bytes(*exchange);
            Keys { id, mac, public: exchange.public_key(), exchange }
        });
        Self { keys: keys.collect(), recent: Mutex::new(Recent::new(SESSIONS_MAX / 2)) }
    }

    /// The key that clients exchange with.
    pub(crate) fn public_key(&self) -> ExchangeKey {
        self.current().public
    }

    /// Opens a session of the caller's device with the client's fresh `key`. Nothing is stored.
    pub(crate) fn open(
        &self,
        caller: &Caller,
        key: ExchangeKey,
        now: Timestamp,
    ) -> Result<OpenedSession, WeakKey> {
        let longest = now.truncated().plus_seconds(SESSION_SECONDS_MAX).unwrap_or(caller.expires_at);
        let expires_at = longest.min(caller.expires_at);
        let claims = Claims {
            primary: caller.primary,
            device_id: caller.device_id,
            client: key,
            expires_at: expires_at.unix_seconds().unsigned_abs(),
            revocations: caller.revocations,
        };
        let keys = self.current();
        keys.session_key(&claims).ok_or(WeakKey)?;
        Ok(OpenedSession { token: keys.seal(&claims), expires_at })
    }

    /// The session of a token that this server made; `None`: it did not.
    pub(super) fn find(&self, token: &SessionToken) -> Option<Arc<Session>> {
        if let Some(session) = self.lock().find(token) {
            return Some(session);
        }
        let session = Arc::new(self.derive(token)?);
        self.lock().keep(token.clone(), Arc::clone(&session));
        Some(session)
    }

    fn derive(&self, token: &SessionToken) -> Option<Session> {
        let bytes = BASE64URL_NOPAD.decode(token.as_str().as_bytes()).ok()?;
        let (body, mac) = bytes.split_first_chunk::<BODY_BYTES>()?;
        let (version, rest) = body.split_first()?;
        let (id, _) = rest.split_first_chunk::<4>()?;
        let keys = self.keys.iter().find(|keys| keys.id == *id && *version == VERSION)?;
        let mac: &[u8; MAC_BYTES] = mac.try_into().ok()?;
        keys.mac(body).verify_truncated_left(mac).ok()?;
        let claims = Claims::read(body)?;
        Some(Session {
            primary: claims.primary,
            device_id: claims.device_id,
            expires_at: Timestamp::from_unix(i64::try_from(claims.expires_at).ok()?, 0)?,
            revocations: claims.revocations,
            key: keys.session_key(&claims)?,
        })
    }

    fn current(&self) -> &Keys {
        // invariant: a secret file without a line is refused at start.
        #[expect(clippy::indexing_slicing, reason = "there is always one secret")]
        &self.keys[0]
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recent<SessionToken, Arc<Session>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn seal(&self, claims: &Claims) -> SessionToken {
        let mut bytes = claims.write(self.id).to_vec();
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend(mac.iter().take(MAC_BYTES));
        // invariant: 117 bytes are 156 characters of base64url.
        BASE64URL_NOPAD.encode(&bytes).parse().expect("a session token")
    }

    fn mac(&self, body: &[u8]) -> Hmac<Sha256> {
        // invariant: HMAC takes a key of any length.
        Hmac::<Sha256>::new_from_slice(&*self.mac).expect("a key of any length").chain_update(body)
    }

    fn session_key(&self, claims: &Claims) -> Option<SessionKey> {
        let context = SessionContext {
            client: claims.client,
            server: self.public,
            primary: claims.primary,
            device_id: claims.device_id,
        };
        self.exchange.session_key(&claims.client, &context)
    }
}

impl Claims {
    fn write(&self, key_id: KeyId) -> [u8; BODY_BYTES] {
        let parts: [&[u8]; 7] = [
            &[VERSION],
            &key_id,
            self.primary.as_bytes(),
            self.device_id.as_bytes(),
            self.client.as_bytes(),
            &self.expires_at.to_be_bytes(),
            &self.revocations.to_be_bytes(),
        ];
        let mut body = [0; BODY_BYTES];
        body.iter_mut().zip(parts.into_iter().flatten()).for_each(|(byte, value)| *byte = *value);
        body
    }

    fn read(body: &[u8; BODY_BYTES]) -> Option<Self> {
        let (_, rest) = body.split_first_chunk::<5>()?;
        let (primary, rest) = rest.split_first_chunk()?;
        let (device_id, rest) = rest.split_first_chunk()?;
        let (client, rest) = rest.split_first_chunk()?;
        let (expires_at, rest) = rest.split_first_chunk()?;
        let (revocations, _) = rest.split_first_chunk()?;
        Some(Self {
            primary: PublicKey::from_bytes(*primary),
            device_id: DeviceId::from_bytes(*device_id),
            client: ExchangeKey::from_bytes(*client),
            expires_at: u64::from_be_bytes(*expires_at),
            revocations: u64::from_be_bytes(*revocations),
        })
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions(..)")
    }
}
