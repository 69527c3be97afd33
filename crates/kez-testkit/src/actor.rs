//! People with fixed keys.

use kez_core::{AccountDeletion, Envelope, PublicKey, Registration, Seed, Timestamp, json};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::answer::Answer;
use crate::client::Call;
use crate::device::DeviceActor;
use crate::mls::MlsDevice;
use crate::net::Net;

/// The seed of the person called `name`: SHA-256 of `kez-testkit/<name>`, the same in every run.
pub fn seed(name: &str) -> Seed {
    Seed::from_bytes(Sha256::digest(format!("kez-testkit/{name}")).into())
}

/// A person at a server.
#[derive(Debug, Clone)]
pub struct Actor {
    net: Net,
    name: String,
    seed: Seed,
}

impl Actor {
    pub(crate) fn new(net: &Net, name: &str) -> Self {
        Self { net: net.clone(), name: name.to_owned(), seed: seed(name) }
    }

    /// What the person is called, which their keys are made of.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The person's secret.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// The person's primary key.
    pub fn key(&self) -> PublicKey {
        self.seed.public_key()
    }

    /// The person's device called `name`, certified now; not enrolled. Whoever asks for a name gets the same keys, and
    /// other MLS state.
    pub fn mls_device(&self, name: &str) -> MlsDevice {
        MlsDevice::new(&self.seed, name, self.net.now())
    }

    /// Registers under `handle`, signed now, for this server.
    pub async fn register(&self, handle: &str) -> Answer {
        self.net.register(self.registration(handle)).await
    }

    /// The same with the header `Kez-Invite`.
    pub async fn register_with(&self, handle: &str, invite: &str) -> Answer {
        self.registering(handle).header("kez-invite", invite).send().await
    }

    /// The call that registers under `handle`, for tests that add to it.
    pub fn registering(&self, handle: &str) -> Call {
        self.net.post("/v1/register").json(self.registration(handle))
    }

    /// A registration signed now, for this server, in canonical form.
    pub fn registration(&self, handle: &str) -> String {
        self.registration_at(handle, self.net.now())
    }

    /// A registration signed at `created_at`, for this server, in canonical form.
    pub fn registration_at(&self, handle: &str, created_at: Timestamp) -> String {
        let server = self.net.server_name();
        let document = Registration { handle: handle.to_owned(), server };
        let envelope = Envelope::sign(&document, &self.seed, created_at).expect("text that can be signed");
        envelope.canonical().to_owned()
    }

    /// A deletion of the account that holds `handle`, signed now, for this server, in canonical form.
    pub fn deletion(&self, handle: &str) -> String {
        let document = AccountDeletion { server: self.net.server_name(), handle: handle.to_owned() };
        let envelope =
            Envelope::sign(&document, &self.seed, self.net.now()).expect("text that can be signed");
        envelope.canonical().to_owned()
    }

    /// A deletion to be spoilt before it is signed, or after.
    pub fn deletion_draft(&self, handle: &str) -> Draft {
        Draft::new(&self.deletion(handle), &self.seed)
    }

    /// Ends the account that holds `handle`, by a deletion signed now.
    pub async fn delete(&self, handle: &str) -> Answer {
        self.net.post("/v1/account/delete").json(self.deletion(handle)).send().await
    }

    /// A registration to be spoilt before it is signed, or after.
    pub fn draft(&self, handle: &str) -> Draft {
        Draft::new(&self.registration(handle), &self.seed)
    }

    /// The person's device called `name` as it calls the server; whoever asks for a name gets the same id and keys,
    /// which are also those of the [`mls_device`](Self::mls_device) of that name.
    pub fn device(&self, name: &str) -> DeviceActor {
        DeviceActor::new(self, name)
    }

    /// The server that the person is at.
    pub fn net(&self) -> &Net {
        &self.net
    }
}

/// An envelope in the making, which may become any kind of wrong.
#[derive(Debug, Clone)]
#[must_use]
pub struct Draft {
    envelope: Value,
    seed: Seed,
}

impl Draft {
    pub(crate) fn new(signed: &str, seed: &Seed) -> Self {
        Self { envelope: serde_json::from_str(signed).expect("JSON"), seed: seed.clone() }
    }

    /// Sets a member of the payload.
    pub fn payload(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.envelope["payload"][name] = value.into();
        self
    }

    /// Takes a member out of the payload.
    pub fn without(mut self, name: &str) -> Self {
        self.envelope["payload"].as_object_mut().expect("an object").remove(name);
        self
    }

    /// Sets a member of the signature.
    pub fn signature(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.envelope["signature"][name] = value.into();
        self
    }

    /// Sets a member of the envelope.
    pub fn envelope(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.envelope[name] = value.into();
        self
    }

    /// Signs the payload as it stands now, by the drafter's key.
    pub fn sign(self) -> Self {
        let payload = json::parse(self.envelope["payload"].to_string().as_bytes()).expect("strict JSON");
        let signed = payload.canonical().expect("a canonical form");
        let sig = self.seed.sign(signed.as_bytes()).to_hex();
        self.signature("sig", json!(sig))
    }

    /// The bytes to send.
    pub fn text(&self) -> String {
        self.envelope.to_string()
    }
}
