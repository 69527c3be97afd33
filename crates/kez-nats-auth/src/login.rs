//! Who logs in, by what the client itself signed: checks 4 to 7 of SPEC "Auth callout".

use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD};
use kez_core::encoding::COMPACT_PREFIX;
use kez_core::{
    Artifact, BadEnrolment, Device, Enrolment, Envelope, EnvelopeError, PublicKey, ServerName, Signature,
    Timestamp,
};

use crate::nkey::{Nkey, Role};
use crate::request::CalloutRequest;

/// The fewest characters of a nonce that somebody signs. nats-server's has 15.
pub const NONCE_CHARS_MIN: usize = 11;
/// The most.
pub const NONCE_CHARS_MAX: usize = 64;
/// The longest token, in bytes: with it the whole line of a login fits the 4 KiB that nats-server reads.
pub const TOKEN_BYTES_MAX: usize = 2_560;

/// Whether a key may sign this nonce: a text that no other thing that a KEZ key signs can be.
pub fn is_safe_nonce(nonce: &str) -> bool {
    (NONCE_CHARS_MIN..=NONCE_CHARS_MAX).contains(&nonce.len())
        && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Who proved to hold which key. Whether the registry knows them is not known here.
#[derive(Debug, Clone)]
pub enum Login {
    /// A device, with the document that its account signed for this server.
    Device(Box<Enrolment>),
    /// A primary key, alone.
    Primary(PublicKey),
}

/// Why nobody is let in. The client is never told which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginRefusal {
    /// Neither over TCP nor over WebSocket, or not a client at all.
    #[error("not a client over TCP or WebSocket")]
    Kind,
    /// A password, a user or a token of another kind was sent as well.
    #[error("a password, a user name or a JWT beside the key")]
    OtherCredential,
    /// No nonce, or none that a client of ours signs.
    #[error("no nonce of 11 to 64 characters")]
    Nonce,
    /// No user key.
    #[error("no user key")]
    Nkey,
    /// The signature is missing or not the key's over this nonce.
    #[error("the signature over the nonce does not verify")]
    Signature,
    /// The token is no envelope in one of the forms.
    #[error("the token is no envelope")]
    Token,
    /// The envelope is not believed.
    #[error("the envelope: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The envelope does not enrol a device.
    #[error("the envelope: {0}")]
    Enrolment(#[from] BadEnrolment),
    /// The envelope was signed for another server.
    #[error("the envelope is for another server")]
    WrongServer,
    /// The envelope is another device's.
    #[error("the envelope is for another key")]
    OtherKey,
    /// The device has ended.
    #[error("the device has ended")]
    Expired,
}

impl Login {
    /// Who sent the connection that `request` is about, to the home server `server`.
    pub fn check(
        request: &CalloutRequest,
        server: &ServerName,
        now: Timestamp,
    ) -> Result<Self, LoginRefusal> {
        let (client, connect) = (&request.client, &request.connect);
        if client.kind != "Client" || !matches!(&*client.wire, "nats" | "websocket") {
            return Err(LoginRefusal::Kind);
        }
        if [&connect.user, &connect.pass, &connect.jwt].iter().any(|text| !text.is_empty()) {
            return Err(LoginRefusal::OtherCredential);
        }
        if !is_safe_nonce(&client.nonce) {
            return Err(LoginRefusal::Nonce);
        }
        let nkey = Nkey::of_role(&connect.nkey, Role::User).ok().and_then(|nkey| nkey.ed25519());
        let nkey = nkey.ok_or(LoginRefusal::Nkey)?;
        let signature = signature(&connect.sig).ok_or(LoginRefusal::Signature)?;
        nkey.verify(client.nonce.as_bytes(), &signature).map_err(|_| LoginRefusal::Signature)?;
        if connect.auth_token.is_empty() {
            return Ok(Self::Primary(nkey));
        }
        device(&connect.auth_token, &nkey, server, now).map(|device| Self::Device(Box::new(device)))
    }
}

fn device(
    token: &str,
    nkey: &PublicKey,
    server: &ServerName,
    now: Timestamp,
) -> Result<Enrolment, LoginRefusal> {
    let enrolment = Enrolment::check(envelope(token)?.verify::<Device>()?)?;
    let device = enrolment.device();
    if device.server != server.as_str() {
        return Err(LoginRefusal::WrongServer);
    }
    if device.auth_key != *nkey {
        return Err(LoginRefusal::OtherKey);
    }
    if device.expires_at <= now { Err(LoginRefusal::Expired) } else { Ok(enrolment) }
}

/// The base64url of a canonical envelope, or its compact form.
fn envelope(token: &str) -> Result<Envelope, LoginRefusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(LoginRefusal::Token);
    }
    if token.starts_with(COMPACT_PREFIX) {
        return match Artifact::find(token) {
            Ok(Artifact::Envelope(envelope)) => Ok(*envelope),
            _ => Err(LoginRefusal::Token),
        };
    }
    let json = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| LoginRefusal::Token)?;
    Envelope::parse(&json).map_err(|_| LoginRefusal::Token)
}

/// Clients send either alphabet, with or without padding.
fn signature(text: &str) -> Option<Signature> {
    let forms = [BASE64URL_NOPAD, BASE64URL, BASE64];
    let bytes = forms.iter().find_map(|form| form.decode(text.as_bytes()).ok())?;
    bytes.try_into().ok().map(Signature::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::is_safe_nonce;

    #[test]
    fn only_short_words_are_signed() {
        assert!(is_safe_nonce("DDlJpBY_-aAZ1pE"));
        let long = "a".repeat(65);
        for nonce in ["", "0123456789", &long, "{\"a\":\"0123456789\"}", "0123456789\n0", "0123456789é"] {
            assert!(!is_safe_nonce(nonce), "{nonce}");
        }
    }
}
