//! A server with people whose devices talk through the client.

use std::sync::Arc;
use std::time::Duration;

use kez_client::{DeviceClient, DeviceKeys, HomeServer, Machine, Sleep};
use kez_core::{ClaimId, Device, DeviceRevocation, Envelope, PublicKey, Timestamp, Verified};
use kez_serve::clock::{Clock as _, ManualClock, SystemClock};
use kez_serve::rng::{Rng as _, SystemRng};
use kez_testkit::{MlsDevice, Net};

use crate::link::Link;

/// A server, and the wire that every device is at.
pub(crate) struct Town {
    pub(crate) net: Net,
    pub(crate) link: Link,
}

/// A device of a person: its MLS state, and its client.
pub(crate) struct Phone {
    pub(crate) mls: MlsDevice,
    pub(crate) client: DeviceClient,
}

/// A machine with the clock of the server, whose waits are over at once.
#[derive(Debug)]
struct Desk {
    clock: Arc<ManualClock>,
    fast_s: i64,
}

impl Machine for Desk {
    fn now(&self) -> Timestamp {
        self.clock.now().plus_seconds(self.fast_s).expect("a time")
    }

    fn fill(&self, bytes: &mut [u8]) {
        SystemRng.fill(bytes);
    }

    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(tokio::task::yield_now())
    }
}

impl Town {
    /// At today's date: see [`Net::today`].
    pub(crate) async fn start() -> Self {
        let (link, listener) = Link::bind().await;
        let net = Net::with(|setup| {
            setup.start = SystemClock::new().now().truncated();
            setup.args.public_url = vec![link.url().parse().expect("a URL")];
        });
        let net = net.await;
        link.serve(listener, &net);
        Self { net, link }
    }

    /// Registers a person.
    pub(crate) async fn register(&self, name: &str) {
        self.net.actor(name).register(name).await.expect_status(201);
    }

    /// An enrolled device with a few key packages, of a registered person.
    pub(crate) async fn phone(&self, owner: &str, name: &str) -> Phone {
        let phone = self.box_phone(owner, name, 0);
        phone.client.enrol(&self.document(&phone)).await.expect("a device that fits");
        let packages = phone.mls.key_packages(3, self.net.now());
        phone.client.add_key_packages(&packages, None).await.expect("good key packages");
        phone
    }

    /// A device that nobody has taken in, on a machine whose clock is fast.
    pub(crate) fn box_phone(&self, owner: &str, name: &str, fast_s: i64) -> Phone {
        let mls = self.net.actor(owner).mls_device(name);
        let keys = DeviceKeys { primary: mls.primary(), device_id: mls.id(), auth: mls.auth().clone() };
        let home = HomeServer::new(self.link.url().parse().expect("a URL")).expect("a client");
        let machine = Arc::new(Desk { clock: Arc::clone(&self.net.clock), fast_s });
        Phone { mls, client: DeviceClient::new(home, keys, machine).expect("a client") }
    }

    /// The document that takes a device in, signed now.
    pub(crate) fn document(&self, phone: &Phone) -> Verified<Device> {
        let text = phone.mls.enrolment(&self.net.server_name(), self.net.now());
        Envelope::parse(text.as_bytes()).expect("an envelope").verify().expect("a good one")
    }

    /// The document that lets a device go, signed now.
    pub(crate) fn revocation(&self, owner: &str, phone: &Phone) -> Verified<DeviceRevocation> {
        let document = DeviceRevocation { server: self.net.server_name(), device_id: phone.mls.id() };
        let owner = self.net.actor(owner);
        let envelope = Envelope::sign(&document, owner.seed(), self.net.now()).expect("text to sign");
        envelope.verify().expect("a good one")
    }
}

impl Phone {
    pub(crate) fn key(&self) -> PublicKey {
        self.mls.primary()
    }

    /// A key package of each device of `other`, claimed.
    pub(crate) async fn claim(&self, other: PublicKey) -> Vec<Vec<u8>> {
        let claimed = self.client.claim_key_packages(other, ClaimId::from_bytes(random())).await;
        claimed.expect("key packages").key_packages.into_iter().map(|claimed| claimed.key_package).collect()
    }
}

pub(crate) fn random() -> [u8; 16] {
    kez_serve::rng::bytes(&SystemRng)
}
