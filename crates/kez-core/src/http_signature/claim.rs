//! A signature as it came with a request: read, and not believed yet.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::base::{Component, RequestParts, profile_base, signature_params};
use super::error::{SignatureError, TimeError};
use super::fields::{Item, Member, Parameter, Value, dictionary};
use super::key_id::{KeyId, Nonce};
use super::{AHEAD_S_MAX, FIELD_BYTES_MAX, LIFETIME_S_MAX, TAG};
use crate::key::{PublicKey, Signature};
use crate::session::SessionKey;
use crate::time::Timestamp;

/// What the headers `Signature-Input` and `Signature` of a request claim: who signed it, when, and what is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureClaim {
    /// In the order received, as many as are covered.
    components: Vec<Component>,
    /// The last line's value.
    signature_params: String,
    created: i64,
    expires: i64,
    nonce: Nonce,
    key_id: KeyId,
    signature: Bytes,
}

#[derive(Clone, PartialEq, Eq)]
enum Bytes {
    Ed25519(Signature),
    HmacSha256([u8; 32]),
}

/// The parameters as they are found, each at most once.
#[derive(Default)]
struct Parameters<'a> {
    created: Option<i64>,
    expires: Option<i64>,
    nonce: Option<&'a str>,
    keyid: Option<&'a str>,
    alg: Option<&'a str>,
    tag: Option<&'a str>,
}

impl SignatureClaim {
    /// Reads both headers (several lines of one joined with `, `, an absent one empty). The one member that counts is
    /// that with our [`TAG`], whatever its label; those of others are passed over.
    pub fn parse(signature_input: &str, signature: &str) -> Result<Self, SignatureError> {
        let inputs = read(signature_input, "Signature-Input")?;
        let member = only(inputs.iter().filter(|member| is_ours(member)))?.ok_or(SignatureError::Absent)?;
        only(inputs.iter().filter(|other| other.key == member.key))?;
        let components = components(member)?;
        let parameters = Parameters::read(&member.parameters)?;
        let key_id = parameters.key_id()?;
        let signatures = read(signature, "Signature")?;
        let bytes = only(signatures.iter().filter(|other| other.key == member.key))?;
        let names = components.iter().map(|component| component.name());
        Ok(Self {
            signature_params: signature_params(names, &member.parameters)
                .ok_or(SignatureError::Parameters(OTHER))?,
            created: parameters.created.ok_or(SignatureError::Parameters("created is missing"))?,
            expires: parameters.expires.ok_or(SignatureError::Parameters("expires is missing"))?,
            nonce: parameters.nonce()?,
            signature: Bytes::read(bytes, &key_id).ok_or(SignatureError::SignatureBytes)?,
            components,
            key_id,
        })
    }

    /// Who is said to have signed.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// When it is said to have been signed, in Unix seconds.
    pub fn created(&self) -> i64 {
        self.created
    }

    /// The last second that it counts in, in Unix seconds.
    pub fn expires(&self) -> i64 {
        self.expires
    }

    /// What tells this call from any other of the same key.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// Whether a body is covered, by its digest.
    pub fn covers_body(&self) -> bool {
        self.components.contains(&Component::ContentDigest)
    }

    /// Checks that the signature counts at `now`: made for 1 to [`LIFETIME_S_MAX`] seconds, at most [`AHEAD_S_MAX`]
    /// seconds from now, and not over.
    pub fn check_time(&self, now: Timestamp) -> Result<(), TimeError> {
        let now_up = now.unix_seconds() + i64::from(now.subsec_nanos() > 0);
        let lifetime_s = self.expires - self.created;
        if !(1..=LIFETIME_S_MAX).contains(&lifetime_s) {
            return Err(TimeError::Lifetime { lifetime_s });
        }
        let ahead_s = self.created - now.unix_seconds();
        if ahead_s > AHEAD_S_MAX {
            return Err(TimeError::Ahead { ahead_s });
        }
        if now_up > self.expires {
            return Err(TimeError::Expired { late_s: now.unix_seconds() - self.expires });
        }
        Ok(())
    }

    /// The signature base over `parts` (RFC 9421 section 2.5).
    pub fn base(&self, parts: &RequestParts<'_>) -> Result<String, SignatureError> {
        profile_base(&self.components, &self.signature_params, parts)
    }

    /// Checks that the device with the auth key `key` signed `parts`. The caller has looked the key up by
    /// [`key_id`](Self::key_id).
    pub fn verify_device(&self, key: &PublicKey, parts: &RequestParts<'_>) -> Result<(), SignatureError> {
        let Bytes::Ed25519(signature) = &self.signature else { return Err(SignatureError::KeyKind) };
        let base = self.base(parts)?;
        key.verify(base.as_bytes(), signature).map_err(|_| SignatureError::BadSignature)
    }

    /// Checks that whoever has the session's `key` signed `parts`, in constant time. The caller has found the key by
    /// [`key_id`](Self::key_id).
    pub fn verify_session(&self, key: &SessionKey, parts: &RequestParts<'_>) -> Result<(), SignatureError> {
        let Bytes::HmacSha256(tag) = &self.signature else { return Err(SignatureError::KeyKind) };
        let base = self.base(parts)?;
        hmac(key, &base)?.verify_slice(tag).map_err(|_| SignatureError::BadSignature)
    }
}

/// HMAC-SHA256 (RFC 9421 section 3.3.3) over a base, ready to be finished or compared.
pub(super) fn hmac(key: &SessionKey, base: &str) -> Result<Hmac<Sha256>, SignatureError> {
    // HMAC takes a key of any length; the type's error cannot occur.
    let mut hmac = Hmac::new_from_slice(key.expose()).map_err(|_| SignatureError::KeyKind)?;
    hmac.update(base.as_bytes());
    Ok(hmac)
}

fn read<'a>(text: &'a str, header: &'static str) -> Result<Vec<Member<'a>>, SignatureError> {
    if text.len() > FIELD_BYTES_MAX {
        return Err(SignatureError::Malformed(header));
    }
    dictionary(text).map_err(|_| SignatureError::Malformed(header))
}

/// Whether any `tag` of a member is ours: of several the last would count, and ours is then refused for the others.
fn is_ours(member: &Member<'_>) -> bool {
    member.parameters.contains(&("tag", Item::String(TAG)))
}

/// The first, when there is no second.
fn only<T>(mut items: impl Iterator<Item = T>) -> Result<Option<T>, SignatureError> {
    let first = items.next();
    if items.next().is_some() { Err(SignatureError::Repeated) } else { Ok(first) }
}

/// All but the digest must be there, and nothing twice. A component with parameters (`"@path";req`) is another one.
fn components(member: &Member<'_>) -> Result<Vec<Component>, SignatureError> {
    let Value::InnerList(items) = &member.value else { return Err(SignatureError::Components) };
    let mut found = Vec::with_capacity(Component::ALL.len());
    for (item, parameters) in items {
        let component = Component::ALL
            .into_iter()
            .find(|component| *item == Item::String(component.name()))
            .filter(|component| parameters.is_empty() && !found.contains(component))
            .ok_or(SignatureError::Components)?;
        found.push(component);
    }
    let required = Component::ALL.len() - usize::from(!found.contains(&Component::ContentDigest));
    if found.len() == required { Ok(found) } else { Err(SignatureError::Components) }
}

/// What is said of a parameter that is not as the profile has it.
const OTHER: &str = "one is unknown, there twice or of another type";

impl<'a> Parameters<'a> {
    fn read(parameters: &[Parameter<'a>]) -> Result<Self, SignatureError> {
        let mut found = Self::default();
        for (key, item) in parameters {
            let is_new = match (*key, *item) {
                ("created", Item::Integer(seconds)) => found.created.replace(seconds).is_none(),
                ("expires", Item::Integer(seconds)) => found.expires.replace(seconds).is_none(),
                ("nonce", Item::String(text)) => found.nonce.replace(text).is_none(),
                ("keyid", Item::String(text)) => found.keyid.replace(text).is_none(),
                ("alg", Item::String(text)) => found.alg.replace(text).is_none(),
                ("tag", Item::String(text)) => found.tag.replace(text).is_none(),
                _ => false,
            };
            if !is_new {
                return Err(SignatureError::Parameters(OTHER));
            }
        }
        Ok(found)
    }

    fn key_id(&self) -> Result<KeyId, SignatureError> {
        let text = self.keyid.ok_or(SignatureError::Parameters("keyid is missing"))?;
        let key_id: KeyId = text.parse().map_err(|_| SignatureError::KeyId)?;
        let alg = self.alg.ok_or(SignatureError::Parameters("alg is missing"))?;
        if alg == key_id.alg() { Ok(key_id) } else { Err(SignatureError::Algorithm) }
    }

    fn nonce(&self) -> Result<Nonce, SignatureError> {
        let text = self.nonce.ok_or(SignatureError::Parameters("nonce is missing"))?;
        text.parse().map_err(|_| SignatureError::Nonce)
    }
}

impl Bytes {
    fn read(member: Option<&Member<'_>>, key_id: &KeyId) -> Option<Self> {
        let member = member.filter(|member| member.parameters.is_empty())?;
        let Value::Item(Item::Bytes(base64)) = member.value else { return None };
        let bytes = BASE64.decode(base64.as_bytes()).ok()?;
        match key_id {
            KeyId::Device { .. } => bytes.try_into().ok().map(Signature::from_bytes).map(Self::Ed25519),
            KeyId::Session(_) => bytes.try_into().ok().map(Self::HmacSha256),
        }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(..)")
    }
}
