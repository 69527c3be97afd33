//! What the callout answers: a token within a token, both signed by the issuer.

use serde_json::json;

use crate::grant::Grant;
use crate::nkey::{Nkey, NkeySeed};
use crate::request::CalloutRequest;

/// The account that people are placed in, whatever they ask for.
const CHAT: &str = "CHAT";

/// The one text of every refusal.
const REFUSED: &str = "login refused";

/// Whom an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressee {
    /// The one-time key of the connection.
    pub user: Nkey,
    /// The server that asked.
    pub server: Nkey,
}

impl From<&CalloutRequest> for Addressee {
    fn from(request: &CalloutRequest) -> Self {
        Self { user: request.user, server: request.server }
    }
}

/// Lets a connection in with `grant` until `expires`; times in Unix seconds.
pub fn admit(
    to: Addressee,
    grant: &Grant,
    expires: i64,
    issuer: &NkeySeed,
    now: i64,
) -> Result<String, serde_json::Error> {
    let user = json!({
        "sub": to.user.to_string(),
        "aud": CHAT,
        "name": grant.name(),
        "exp": expires,
        "nats": {
            "type": "user", "version": 2,
            "pub": {"allow": [grant.publish()]},
            "sub": {"allow": grant.subscribe()},
            "subs": -1, "data": -1, "payload": -1,
        },
    });
    answer(to, json!({"jwt": crate::jwt::write(&user, issuer, now)?}), issuer, now)
}

/// Lets nobody in, and says no more than that.
pub fn refuse(to: Addressee, issuer: &NkeySeed, now: i64) -> Result<String, serde_json::Error> {
    answer(to, json!({"error": REFUSED}), issuer, now)
}

fn answer(
    to: Addressee,
    mut nats: serde_json::Value,
    issuer: &NkeySeed,
    now: i64,
) -> Result<String, serde_json::Error> {
    if let Some(members) = nats.as_object_mut() {
        members.insert("type".into(), "authorization_response".into());
        members.insert("version".into(), 2.into());
    }
    let claims = json!({"sub": to.user.to_string(), "aud": to.server.to_string(), "nats": nats});
    crate::jwt::write(&claims, issuer, now)
}
