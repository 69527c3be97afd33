//! What nats-server asks when somebody connects: checks 2 and 3 of SPEC "Auth callout".

use serde::Deserialize;

use crate::jwt::{self, BadJwt};
use crate::nkey::{Nkey, Role};

/// How far ahead a request may expire, in seconds: the server's own timeout is 2 to 5.
pub const EXPIRES_IN_S_MAX: i64 = 10;

/// Why a request is none of a server that knows us. None of these is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// The token is not believed.
    #[error(transparent)]
    Jwt(#[from] BadJwt),
    /// A claim is missing or has another value; its name.
    #[error("the claim `{0}` is not what it has to be")]
    Claim(&'static str),
    /// Over, or valid for longer than a server asks.
    #[error("the request is over, or ends too late")]
    Expires,
}

/// A request that a server signed for us and that is not over. Whether it was seen before is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalloutRequest {
    /// The server that asks, by its key.
    pub server: Nkey,
    /// The key that it takes the answer sealed to.
    pub server_xkey: Nkey,
    /// Of this request, for logs. Not unique: servers derive it from claims that are the same within a second.
    pub id: String,
    /// When it is over, in Unix seconds.
    pub expires: i64,
    /// The one-time key of the connection, which the answer names.
    pub user: Nkey,
    pub(crate) client: ClientInfo,
    pub(crate) connect: ConnectOpts,
}

/// Every member is optional: the server omits what is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    jti: String,
    nats: Nats,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Nats {
    #[serde(rename = "type")]
    kind: String,
    version: i64,
    user_nkey: String,
    server_id: ServerId,
    client_info: ClientInfo,
    connect_opts: ConnectOpts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServerId {
    id: String,
    xkey: String,
}

/// Of `client_info`, what is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ClientInfo {
    pub(crate) kind: String,
    #[serde(rename = "type")]
    pub(crate) wire: String,
    pub(crate) nonce: String,
}

/// Of `connect_opts`, what is looked at.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ConnectOpts {
    pub(crate) nkey: String,
    pub(crate) sig: String,
    pub(crate) auth_token: String,
    pub(crate) user: String,
    pub(crate) pass: String,
    pub(crate) jwt: String,
}

/// Without what a client sent as a secret.
impl std::fmt::Debug for ConnectOpts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOpts").field("nkey", &self.nkey).finish_non_exhaustive()
    }
}

impl CalloutRequest {
    /// Reads a request that came sealed by `xkey`, for the issuer `us`, at `now` in Unix seconds.
    pub fn read(token: &[u8], xkey: &Nkey, us: &Nkey, now: i64) -> Result<Self, BadRequest> {
        let server = |claims: &Claims| Nkey::of_role(&claims.iss, Role::Server).ok()?.ed25519();
        let claims: Claims = jwt::read(token, server)?;
        let is = |name, holds: bool| if holds { Ok(()) } else { Err(BadRequest::Claim(name)) };
        is("aud", claims.aud == "nats-authorization-request")?;
        is("sub", claims.sub == us.to_string())?;
        is("server_id.id", claims.nats.server_id.id == claims.iss)?;
        is("server_id.xkey", claims.nats.server_id.xkey == xkey.to_string())?;
        is("type", claims.nats.kind == "authorization_request")?;
        is("version", claims.nats.version == 2)?;
        is("jti", !claims.jti.is_empty() && claims.jti.len() <= 128)?;
        if claims.exp <= now || claims.exp > now.saturating_add(EXPIRES_IN_S_MAX) {
            return Err(BadRequest::Expires);
        }
        let key = |name, text: &str, role| Nkey::of_role(text, role).map_err(|_| BadRequest::Claim(name));
        Ok(Self {
            server: key("iss", &claims.iss, Role::Server)?,
            server_xkey: *xkey,
            id: claims.jti,
            expires: claims.exp,
            user: key("user_nkey", &claims.nats.user_nkey, Role::User)?,
            client: claims.nats.client_info,
            connect: claims.nats.connect_opts,
        })
    }

    /// The key that the client says it is, as it stands there; for the log.
    pub fn claimed_nkey(&self) -> &str {
        &self.connect.nkey
    }
}
