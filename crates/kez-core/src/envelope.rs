//! Signed documents and what it takes to believe one. SPEC "Envelopes".

use std::fmt;

use sha2::{Digest, Sha256};

use crate::identifier::PrimaryKey;
use crate::json::{self, Malformed, Object, Value};
use crate::key::{PublicKey, Seed, Signature};
#[cfg(feature = "nostr")]
use crate::nostr::NostrSecret;
use crate::time::Timestamp;

/// `alg` of an Ed25519 signature over the canonical payload: plain RFC 8032, no pre-hash.
const ALG_ED25519: &str = "ed25519-sha512-jcs";
/// `alg` of a BIP-340 signature by a nostr key over SHA-256 of the canonical payload.
const ALG_NOSTR: &str = "nostr-secp256k1-schnorr-sha256-jcs";
/// The one version of every document type.
const VERSION: i64 = 1;

/// The tag of an envelope, its member `kez`.
pub type Tag = &'static str;

/// A kind of signed document.
pub trait Document: Sized {
    /// The keys that may sign this kind: [`PublicKey`] where only Ed25519 counts (everything of chat),
    /// [`PrimaryKey`] where a nostr key does as well (claims, sigchains).
    ///
    /// Using a nostr key where chat wants an Ed25519 one does not compile:
    ///
    /// ```compile_fail
    /// fn account(claim: &kez_core::Verified<kez_core::Claim>) -> kez_core::PublicKey {
    ///     claim.primary()
    /// }
    /// ```
    type Primary: DocumentKey;
    /// The envelope's member `kez`. It is not signed, so [`TYPE`](Self::TYPE) must agree.
    const TAG: Tag;
    /// The payload's member `type`.
    const TYPE: &'static str;

    /// Reads the members that this kind adds to `type`, `version`, `primary`, `created_at`. Unknown ones are kept in
    /// the signed bytes and ignored here.
    fn from_payload(payload: &Object) -> Result<Self, Malformed>;

    /// The members that this kind adds.
    fn to_payload(&self) -> Object;
}

/// A set of keys that a kind of document accepts. Its two members are [`PublicKey`] and [`PrimaryKey`].
pub trait DocumentKey: Copy + Eq + fmt::Debug + Into<PrimaryKey> + sealed::Sealed {
    /// The key as one of this set, or `None` when the set does not have it.
    fn among(key: PrimaryKey) -> Option<Self>;
}

/// A document of the right shape. Nothing about it has been believed yet: see [`verify`](Self::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    tag: String,
    payload: Object,
    common: Common,
    alg: Algorithm,
    key: String,
    signature: Signature,
    canonical: String,
    signed: String,
}

/// The members that every payload has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Common {
    document_type: String,
    version: i64,
    primary: String,
    created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Ed25519,
    Nostr,
}

/// A document that the key named in it has signed. [`Envelope::verify`] is the only constructor.
#[derive(Debug, Clone)]
pub struct Verified<D: Document> {
    document: D,
    primary: D::Primary,
    created_at: Timestamp,
    canonical: String,
    payload_sha256: [u8; 32],
}

/// Why a document is not believed, in the order in which it is checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not strict JSON, or not the shape of an envelope.
    #[error("malformed envelope: {0}")]
    Malformed(#[from] Malformed),
    /// `kez`, `payload.type` or `payload.version` is that of another document.
    #[error("not a {expected} of version 1")]
    WrongType {
        /// The tag that was asked for.
        expected: Tag,
    },
    /// `signature.key` and `payload.primary` are not one and the same key, or not one that signs this document.
    #[error(
        "signature.key and payload.primary do not name the same key, or not one that signs this document"
    )]
    KeyMismatch,
    /// The key did not sign this payload, or not by its algorithm.
    #[error("the signature does not verify")]
    BadSignature,
    /// By a nostr key, whose signatures this build cannot check: it was made without the feature `nostr`.
    #[error("signatures of nostr keys are not supported by this build")]
    Unsupported,
}

impl EnvelopeError {
    /// The stable code of SPEC "Errors".
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::WrongType { .. } => "wrong_type",
            Self::KeyMismatch => "key_mismatch",
            Self::BadSignature => "bad_signature",
            Self::Unsupported => "unsupported",
        }
    }
}

impl Envelope {
    /// Reads strict JSON and checks the shape: exactly `kez`, `payload`, `signature`, and exactly `alg`, `key`, `sig`.
    ///
    /// A further member of the envelope or the signature would be unsigned, yet part of its hash: refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::from_value(json::parse(bytes)?)
    }

    /// Signs a document as `seed`'s owner at `created_at`.
    ///
    /// [`Malformed`] when the document holds text that the strict reader would refuse.
    pub fn sign<D: Document>(document: &D, seed: &Seed, created_at: Timestamp) -> Result<Self, Malformed> {
        Self::sign_with(document, seed.public_key().into(), created_at, |signed| Ok(seed.sign(signed)))
    }

    /// Signs a document as the owner of a nostr key at `created_at`; `aux` is fresh randomness, see
    /// [`NostrSecret::sign`].
    ///
    /// [`Malformed`] when the document holds text that the strict reader would refuse.
    #[cfg(feature = "nostr")]
    pub fn sign_nostr<D: Document<Primary = PrimaryKey>>(
        document: &D,
        secret: &NostrSecret,
        aux: &[u8; 32],
        created_at: Timestamp,
    ) -> Result<Self, Malformed> {
        Self::sign_with(document, secret.public_key().into(), created_at, |signed| {
            let hash = Sha256::digest(signed).into();
            secret.sign(&hash, aux).map_err(|_| Malformed::Shape("cannot be signed with these random bytes"))
        })
    }

    fn sign_with<D: Document>(
        document: &D,
        primary: PrimaryKey,
        created_at: Timestamp,
        sign: impl FnOnce(&[u8]) -> Result<Signature, Malformed>,
    ) -> Result<Self, Malformed> {
        let key = primary.to_string();
        let mut payload = document.to_payload();
        payload.insert("type".into(), D::TYPE.into());
        payload.insert("version".into(), Value::Integer(VERSION));
        payload.insert("primary".into(), key.as_str().into());
        payload.insert("created_at".into(), created_at.to_string().as_str().into());

        let payload = Value::Object(payload);
        let signature = sign(payload.canonical()?.as_bytes())?;
        let envelope = envelope_value(D::TAG, payload, Algorithm::of(primary), &key, signature);
        Self::parse(envelope.canonical()?.as_bytes())
    }

    /// Believes the document, or says why not. The checks come in the order of [`EnvelopeError`]'s variants; the
    /// members of `D` are read once the type is known.
    pub fn verify<D: Document>(self) -> Result<Verified<D>, EnvelopeError> {
        let common = &self.common;
        if self.tag != D::TAG || common.document_type != D::TYPE || common.version != VERSION {
            return Err(EnvelopeError::WrongType { expected: D::TAG });
        }
        let document = D::from_payload(&self.payload)?;
        let primary = self.signer::<D::Primary>()?;
        self.check_signature(primary.into())?;
        Ok(Verified {
            document,
            primary,
            created_at: self.common.created_at,
            payload_sha256: Sha256::digest(self.signed.as_bytes()).into(),
            canonical: self.canonical,
        })
    }

    /// The whole envelope in canonical form (RFC 8785): what is hashed and stored.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The member `kez`. Nothing about it has been checked.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The envelope as a member of another document.
    pub(crate) fn to_value(&self) -> Value {
        let payload = Value::Object(self.payload.clone());
        envelope_value(&self.tag, payload, self.alg, &self.key, self.signature)
    }

    pub(crate) fn from_value(value: Value) -> Result<Self, Malformed> {
        let canonical = value.canonical()?;
        let mut envelope = object(value, "the envelope is not an object")?;
        let tag = take_text(&mut envelope, "kez", "kez is not a string")?;
        let payload = take(&mut envelope, "payload", "payload is missing")?;
        let signed = payload.canonical()?;
        let payload = object(payload, "payload is not an object")?;
        let signature = take(&mut envelope, "signature", "signature is missing")?;
        let mut signature = object(signature, "signature is not an object")?;
        let alg = Algorithm::read(&take_text(&mut signature, "alg", "signature.alg is not a string")?)?;
        let key = take_text(&mut signature, "key", "signature.key is not a string")?;
        let sig = take_text(&mut signature, "sig", "signature.sig is not a string")?;
        let sig = Signature::from_hex(&sig)
            .ok_or(Malformed::Shape("signature.sig is not 128 lower-case hex digits"))?;
        if !envelope.is_empty() || !signature.is_empty() {
            return Err(Malformed::Shape(
                "an envelope has kez, payload, signature; a signature alg, key, sig",
            ));
        }
        let common = Common::read(&payload)?;
        Ok(Self { tag, payload, common, alg, key, signature: sig, canonical, signed })
    }

    /// The one key that the document claims to be by.
    fn signer<K: DocumentKey>(&self) -> Result<K, EnvelopeError> {
        if self.key != self.common.primary {
            return Err(EnvelopeError::KeyMismatch);
        }
        self.key.parse().ok().and_then(K::among).ok_or(EnvelopeError::KeyMismatch)
    }

    /// A key makes no signature of another kind of key.
    fn check_signature(&self, key: PrimaryKey) -> Result<(), EnvelopeError> {
        if self.alg != Algorithm::of(key) {
            return Err(EnvelopeError::BadSignature);
        }
        match key {
            PrimaryKey::Ed25519(key) => {
                key.verify(self.signed.as_bytes(), &self.signature).map_err(|_| EnvelopeError::BadSignature)
            }
            #[cfg(feature = "nostr")]
            PrimaryKey::Nostr(key) => key
                .verify(&Sha256::digest(self.signed.as_bytes()).into(), &self.signature)
                .map_err(|_| EnvelopeError::BadSignature),
            #[cfg(not(feature = "nostr"))]
            PrimaryKey::Nostr(_) => Err(EnvelopeError::Unsupported),
        }
    }
}

impl Algorithm {
    fn of(key: PrimaryKey) -> Self {
        match key {
            PrimaryKey::Ed25519(_) => Self::Ed25519,
            PrimaryKey::Nostr(_) => Self::Nostr,
        }
    }

    fn read(name: &str) -> Result<Self, Malformed> {
        match name {
            ALG_ED25519 => Ok(Self::Ed25519),
            ALG_NOSTR => Ok(Self::Nostr),
            _ => Err(Malformed::Shape("signature.alg is not a known algorithm")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => ALG_ED25519,
            Self::Nostr => ALG_NOSTR,
        }
    }
}

fn envelope_value(tag: &str, payload: Value, alg: Algorithm, key: &str, signature: Signature) -> Value {
    let signature = Object::from([
        ("alg".into(), alg.name().into()),
        ("key".into(), key.into()),
        ("sig".into(), signature.to_hex().as_str().into()),
    ]);
    Value::Object(Object::from([
        ("kez".into(), tag.into()),
        ("payload".into(), payload),
        ("signature".into(), Value::Object(signature)),
    ]))
}

impl Common {
    fn read(payload: &Object) -> Result<Self, Malformed> {
        Ok(Self {
            document_type: text(payload, "type", "payload.type is not a string")?,
            version: match payload.get("version") {
                Some(Value::Integer(version)) => *version,
                _ => return Err(Malformed::Shape("payload.version is not an integer")),
            },
            primary: text(payload, "primary", "payload.primary is not a string")?,
            created_at: text(payload, "created_at", "payload.created_at is not a string")?.parse().map_err(
                |_| Malformed::Shape("payload.created_at is not a time like 2026-05-25T03:00:00Z"),
            )?,
        })
    }
}

impl<D: Document> Verified<D> {
    /// The members of this kind of document.
    pub fn document(&self) -> &D {
        &self.document
    }

    /// The key that signed.
    pub fn primary(&self) -> D::Primary {
        self.primary
    }

    /// When it was signed, by the signer's clock.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The whole envelope in canonical form (RFC 8785): what is hashed and stored.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the signed bytes: two envelopes with this hash say the same, whatever their signatures.
    pub fn payload_sha256(&self) -> &[u8; 32] {
        &self.payload_sha256
    }

    /// SHA-256 of [`canonical`](Self::canonical).
    pub fn envelope_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.canonical.as_bytes()).into()
    }
}

impl DocumentKey for PublicKey {
    fn among(key: PrimaryKey) -> Option<Self> {
        match key {
            PrimaryKey::Ed25519(key) => Some(key),
            PrimaryKey::Nostr(_) => None,
        }
    }
}

impl DocumentKey for PrimaryKey {
    fn among(key: PrimaryKey) -> Option<Self> {
        Some(key)
    }
}

mod sealed {
    /// Nobody else decides which keys sign documents.
    pub trait Sealed {}
    impl Sealed for crate::PublicKey {}
    impl Sealed for crate::PrimaryKey {}
}

/// The string member `name` of a payload.
pub(crate) fn text(payload: &Object, name: &str, fault: &'static str) -> Result<String, Malformed> {
    payload.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(Malformed::Shape(fault))
}

fn take(members: &mut Object, name: &str, fault: &'static str) -> Result<Value, Malformed> {
    members.remove(name).ok_or(Malformed::Shape(fault))
}

fn take_text(members: &mut Object, name: &str, fault: &'static str) -> Result<String, Malformed> {
    match members.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(Malformed::Shape(fault)),
    }
}

fn object(value: Value, fault: &'static str) -> Result<Object, Malformed> {
    value.into_object().ok_or(Malformed::Shape(fault))
}
