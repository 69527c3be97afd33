//! Devices with fixed ids and keys, and the documents by which their people take them in and let them go.

use std::sync::{Arc, Mutex};

use kez_core::http_signature::Signer;
use kez_core::{
    DEVICE_SECONDS_MAX, Device, DeviceCertificate, DeviceId, DeviceRevocation, Document, Envelope,
    ExchangeKey, ExchangeSecret, PublicKey, Seed, SessionContext, Timestamp,
};
use kez_serve::rng::SystemRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::actor::{Actor, Draft};
use crate::answer::Answer;
use crate::client::Call;

/// A device of a person. A clone is the same device.
#[derive(Debug, Clone)]
pub struct DeviceActor {
    owner: Actor,
    name: String,
    /// What took it in last.
    enrolment: Arc<Mutex<Option<String>>>,
}

/// An enrolment in the making, whose parts may disagree.
#[derive(Debug, Clone)]
#[must_use]
pub struct DeviceDraft {
    owner: Actor,
    /// When it is signed, also where its certificate begins.
    pub signed_at: Timestamp,
    /// What is signed.
    pub device: Device,
}

impl DeviceActor {
    pub(crate) fn new(owner: &Actor, name: &str) -> Self {
        Self { owner: owner.clone(), name: name.to_owned(), enrolment: Arc::default() }
    }

    /// Whose it is.
    pub fn owner(&self) -> &Actor {
        &self.owner
    }

    /// The device's id, the same in every run.
    pub fn id(&self) -> DeviceId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.secret("device")[..16]);
        DeviceId::from_bytes(id)
    }

    /// The secret of its signed calls.
    pub fn auth_seed(&self) -> Seed {
        Seed::from_bytes(self.secret("auth"))
    }

    /// The secret of its signature key in MLS.
    pub fn mls_seed(&self) -> Seed {
        Seed::from_bytes(self.secret("mls"))
    }

    /// Takes it in, by an envelope signed now.
    pub async fn enrol(&self) -> Answer {
        let enrolment = self.enrolment();
        let answer = self.owner.net().post("/v1/devices").json(enrolment.clone()).send().await;
        if answer.status() < 300 {
            *self.enrolment.lock().expect("no panic before") = Some(enrolment);
        }
        answer
    }

    /// The envelope by which [`enrol`](Self::enrol) took it in last; one signed now, if it never did.
    pub fn enrolment_at_first(&self) -> String {
        self.enrolment.lock().expect("no panic before").clone().unwrap_or_else(|| self.enrolment())
    }

    /// Registers its owner under the owner's name, unless that was done before, takes the device in, and makes contacts of
    /// everybody who is there: see [`befriend_everybody`](crate::befriend_everybody).
    pub async fn set_up(&self) {
        self.set_up_as_stranger().await;
        self.owner.net().befriend_everybody();
    }

    /// The same without making contacts.
    pub async fn set_up_as_stranger(&self) {
        let registered = self.owner.register(self.owner.name()).await;
        assert!(
            registered.status() < 300 || matches!(&*registered.code(), "key_taken" | "handle_taken"),
            "{registered}"
        );
        self.enrol().await.expect_status(201);
    }

    /// What signs its calls, outside of a session.
    pub fn signer(&self) -> Signer {
        Signer::Device { primary: self.owner.key(), device_id: self.id(), seed: self.auth_seed() }
    }

    /// The call as it stands, signed with the auth key now.
    pub fn signed(&self, call: Call) -> Call {
        call.signed(&self.signer(), self.owner.net().now())
    }

    /// The call that opens a session with this key of the client, to be signed.
    pub fn opening(&self, key: ExchangeKey) -> Call {
        self.owner.net().post("/v1/session").json(json!({"key": key}).to_string())
    }

    /// Opens a session, and has what signs its calls.
    pub async fn open_session(&self) -> Signer {
        let secret = ExchangeSecret::from_bytes(kez_serve::rng::bytes(&SystemRng));
        let info = self.owner.net().get("/v1/server").await.expect_status(200).json();
        let server: ExchangeKey = text(&info, "session_key").parse().expect("an exchange key");
        let opening = self.signed(self.opening(secret.public_key()));
        let opened = opening.send().await.expect_status(200).json();
        let context = SessionContext {
            client: secret.public_key(),
            server,
            primary: self.owner.key(),
            device_id: self.id(),
        };
        Signer::Session {
            token: text(&opened, "session").parse().expect("a session token"),
            key: secret.session_key(&server, &context).expect("a key of full order"),
        }
    }

    /// Lets it go, by an envelope signed now.
    pub async fn revoke(&self) -> Answer {
        self.owner.net().post("/v1/devices/revoke").json(self.revocation()).send().await
    }

    /// An enrolment signed now, in canonical form.
    pub fn enrolment(&self) -> String {
        self.draft().sign()
    }

    /// An enrolment that ends `seconds` from now, signed now, in canonical form.
    pub fn enrolment_for(&self, seconds: i64) -> String {
        self.draft().lasting(seconds).sign()
    }

    /// An enrolment to be changed before it is signed.
    pub fn draft(&self) -> DeviceDraft {
        self.draft_at(self.owner.net().now())
    }

    /// An enrolment of another time, to be changed before it is signed.
    pub fn draft_at(&self, signed_at: Timestamp) -> DeviceDraft {
        let (mls_key, expires_at) = (self.mls_seed().public_key(), later(signed_at, DEVICE_SECONDS_MAX));
        let device = Device {
            server: self.owner.net().server_name(),
            device_id: self.id(),
            auth_key: self.auth_seed().public_key(),
            mls_key,
            mls_certificate: certificate(&self.owner, self.id(), &mls_key, signed_at, expires_at),
            expires_at,
        };
        DeviceDraft { owner: self.owner.clone(), signed_at, device }
    }

    /// A revocation signed now, in canonical form.
    pub fn revocation(&self) -> String {
        self.revocation_for(&self.owner.net().server_name(), self.owner.net().now())
    }

    /// A revocation for a server of this name, signed at `created_at`, in canonical form.
    pub fn revocation_for(&self, server: &str, created_at: Timestamp) -> String {
        let document = DeviceRevocation { server: server.to_owned(), device_id: self.id() };
        sign(&document, &self.owner, created_at)
    }

    /// As of the [`MlsDevice`](crate::MlsDevice) of the same name.
    fn secret(&self, purpose: &str) -> [u8; 32] {
        let owner = self.owner.key().to_hex();
        Sha256::digest(format!("kez-testkit/{purpose}/{owner}/{}", self.name)).into()
    }
}

impl DeviceDraft {
    /// Changes what is signed; the certificate stays as it is.
    pub fn with(mut self, change: impl FnOnce(&mut Device)) -> Self {
        change(&mut self.device);
        self
    }

    /// Moves the end, of the certificate as well.
    pub fn lasting(mut self, seconds: i64) -> Self {
        self.device.expires_at = later(self.signed_at, seconds);
        self.certified()
    }

    /// Certifies what the draft now says.
    pub fn certified(mut self) -> Self {
        let Device { device_id, mls_key, expires_at, .. } = self.device;
        self.device.mls_certificate =
            certificate(&self.owner, device_id, &mls_key, self.signed_at, expires_at);
        self
    }

    /// The signed envelope, in canonical form.
    pub fn sign(&self) -> String {
        sign(&self.device, &self.owner, self.signed_at)
    }

    /// The signed envelope, to be spoilt as JSON.
    pub fn json(&self) -> Draft {
        Draft::new(&self.sign(), self.owner.seed())
    }
}

fn certificate(
    owner: &Actor,
    device_id: DeviceId,
    mls_key: &PublicKey,
    not_before: Timestamp,
    not_after: Timestamp,
) -> DeviceCertificate {
    DeviceCertificate::issue(owner.seed(), device_id, mls_key, not_before, not_after).expect("a window")
}

fn text<'a>(answer: &'a Value, member: &str) -> &'a str {
    answer[member].as_str().expect("text")
}

fn sign<D: Document>(document: &D, owner: &Actor, created_at: Timestamp) -> String {
    let envelope = Envelope::sign(document, owner.seed(), created_at).expect("text that can be signed");
    envelope.canonical().to_owned()
}

/// In whole seconds, as the end of a device has to be.
fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.truncated().plus_seconds(seconds).expect("a time")
}
