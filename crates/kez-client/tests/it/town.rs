//! A server with people whose devices talk through the client.

use std::sync::Arc;
use std::time::Duration;

use kez_client::{
    Bundle, DeviceClient, DeviceKeys, Happening, HomeServer, InboxEvent, InboxStream, Machine, OutgoingFrame,
    Sent, Sleep, StreamItem, Welcome, WelcomeTo,
};
use kez_core::{
    ClaimId, ConversationId, ConversationKind, Device, DeviceRevocation, Envelope, MessageId, PublicKey,
    Timestamp, Verified,
};
use kez_testkit::mls::Received;
use kez_testkit::{DEADLINE, MlsDevice, Net, fill_random};
use tokio::time::timeout;

use crate::link::Link;

pub(crate) const CID: ConversationId = ConversationId::from_bytes([7; 16]);

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
    net: Net,
    fast_s: i64,
}

impl Machine for Desk {
    fn now(&self) -> Timestamp {
        self.net.now().plus_seconds(self.fast_s).expect("a time")
    }

    fn fill(&self, bytes: &mut [u8]) {
        fill_random(bytes);
    }

    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(tokio::task::yield_now())
    }
}

impl Town {
    /// At today's date: see [`Net::today`].
    pub(crate) async fn start() -> Self {
        let (link, listener) = Link::bind().await;
        let public_url = link.url().parse().expect("a URL");
        let net = Net::today_with(|setup| setup.args.public_url = vec![public_url]).await;
        link.serve(listener, &net);
        Self { net, link }
    }

    /// Registers a person.
    pub(crate) async fn register(&self, name: &str) {
        self.net.actor(name).register(name).await.expect_status(201);
    }

    /// An enrolled device with a few key packages, of a registered person.
    pub(crate) async fn phone(&self, owner: &str, name: &str) -> Phone {
        let phone = self.strange_phone(owner, name).await;
        self.net.befriend_everybody();
        phone
    }

    /// The same of somebody who is no contact of those who were there before.
    pub(crate) async fn strange_phone(&self, owner: &str, name: &str) -> Phone {
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
        let machine = Arc::new(Desk { net: self.net.clone(), fast_s });
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

    /// Alice and Bob with a device each, and their conversation, of which Bob's device knows nothing yet.
    pub(crate) async fn pair() -> (Self, Phone, Phone) {
        let town = Box::pin(Self::start()).await;
        for name in ["alice", "bob"] {
            town.register(name).await;
        }
        let (mut alice, bob) = (town.phone("alice", "phone").await, town.phone("bob", "phone").await);
        let bundle = alice.begin(ConversationKind::Direct, &bob).await;
        let created =
            Box::pin(alice.client.create_conversation(CID, ConversationKind::Direct, &bundle)).await;
        assert!(!created.expect("a new conversation").already);
        alice.mls.merge(CID);
        (town, alice, bob)
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

    /// The bundle of a conversation with `other`, which is not sent.
    pub(crate) async fn begin(&mut self, kind: ConversationKind, other: &Self) -> Bundle {
        let packages = self.claim(other.key()).await;
        let name = if kind == ConversationKind::Direct { "direct" } else { "group" };
        self.mls.create(CID, name, self.client.server_time());
        bundle(self.mls.add(CID, MessageId::from_bytes(random()), &packages))
    }

    /// A frame that says `text`, which is not sent.
    pub(crate) fn frame(&mut self, text: &str) -> OutgoingFrame {
        let mid = MessageId::from_bytes(random());
        OutgoingFrame { mid, frame: self.mls.say(CID, mid, text.as_bytes()) }
    }

    pub(crate) async fn say(&mut self, text: &str) -> Sent {
        let frame = self.frame(text);
        self.client.send(CID, &frame).await.expect("a frame of this epoch")
    }

    /// Commits what adds `packages`, and merges it.
    pub(crate) async fn add(&mut self, packages: &[Vec<u8>]) {
        let made = bundle(self.mls.add(CID, MessageId::from_bytes(random()), packages));
        self.client.commit(CID, &made).await.expect("a commit of this epoch");
        self.mls.merge(CID);
    }

    /// Enters the conversation by an external commit.
    pub(crate) async fn enter(&mut self) {
        let now = self.client.conversation(CID).await.expect("a conversation of the account");
        let id = MessageId::from_bytes(random());
        let made = bundle(self.mls.enter(CID, id, &now.group_info, &now.members));
        self.client.commit(CID, &made).await.expect("a commit of this epoch");
    }

    /// All that the inbox holds after `after`.
    pub(crate) async fn inbox(&self, after: u64) -> Vec<InboxEvent> {
        let mut pages = self.client.inbox(after);
        let mut events = Vec::new();
        while let Some(page) = pages.next().await.expect("a page") {
            events.extend(page.events);
        }
        events
    }

    /// Joins by the first Welcome in the inbox.
    pub(crate) async fn join(&mut self) {
        let events = self.inbox(0).await;
        let welcome = events.into_iter().find_map(|event| match event.what {
            Happening::Welcome { welcome, device_ids, .. } => {
                assert!(device_ids.contains(&self.mls.id()));
                Some(welcome)
            }
            _ => None,
        });
        assert_eq!(self.mls.join(&welcome.expect("a Welcome")), CID);
    }

    /// Reads the frames after number `after` of others into its group; what they said.
    pub(crate) async fn read(&mut self, after: u64) -> Vec<String> {
        let mut pages = self.client.frames(CID, after);
        let mut said = Vec::new();
        while let Some(page) = pages.next().await.expect("a page") {
            for frame in page.frames {
                if let Received::Said(bytes) = self.mls.receive(CID, &frame.frame) {
                    said.push(String::from_utf8(bytes).expect("text"));
                }
            }
        }
        said
    }
}

/// The bundle as the client takes it.
pub(crate) fn bundle(made: kez_testkit::mls::Bundle) -> Bundle {
    let to = |leaf: kez_testkit::mls::Leaf| WelcomeTo { primary: leaf.primary, device_id: leaf.device_id };
    let welcomes = made.welcomes.into_iter();
    Bundle {
        id: made.id,
        epoch: made.epoch,
        commit: made.commit,
        welcomes: welcomes
            .map(|(welcome, leaves)| Welcome { welcome, to: leaves.into_iter().map(to).collect() })
            .collect(),
        group_info: made.group_info,
        members_after: made.members_after,
    }
}

/// The next event of a stream, which has to come.
pub(crate) async fn next(stream: &mut InboxStream) -> InboxEvent {
    loop {
        let item = timeout(DEADLINE, stream.next()).await.expect("an event in time");
        if let StreamItem::Event(event) = item.expect("a stream") {
            return event;
        }
    }
}

pub(crate) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    fill_random(&mut bytes);
    bytes
}
