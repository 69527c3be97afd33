//! Devices that speak MLS (RFC 9420) with each other, on OpenMLS: the bytes that a home server carries and cannot read.
//!
//! A tool of tests: it does what it is told and judges nothing. What devices accept from each other is no part of it.

mod bundle;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use kez_core::http_signature::Signer;
use kez_core::{
    ConversationId, DEVICE_SECONDS_MAX, Device, DeviceCertificate, DeviceId, Envelope, Members, MessageId,
    PublicKey, Seed, Timestamp, authenticated_data,
};
use openmls::prelude::tls_codec::{DeserializeBytes as _, Serialize as _};
use openmls::prelude::{
    BasicCredential, CredentialWithKey, GroupId, KeyPackage, LeafNodeIndex, LeafNodeParameters, MlsGroup,
    MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, ProcessedMessageContent, ProtocolMessage, ProtocolVersion,
    SignatureScheme, StagedWelcome,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider as _;
use sha2::{Digest as _, Sha256};

pub use bundle::{Bundle, Leaf};

/// A device of a person, with its keys and its groups. Keys and id follow from the owner and the device's name; what
/// MLS itself draws does not.
pub struct MlsDevice {
    id: DeviceId,
    auth: Seed,
    owner: Seed,
    certificate: DeviceCertificate,
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
    groups: BTreeMap<ConversationId, MlsGroup>,
}

/// What a frame held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Something said.
    Said(Vec<u8>),
    /// A commit, which has been merged. The device may have been removed by it.
    Commit,
}

impl MlsDevice {
    /// The device called `name` of `owner`, certified at `now` for as long as a device may live.
    pub fn new(owner: &Seed, name: &str, now: Timestamp) -> Self {
        let not_after = now.plus_seconds(DEVICE_SECONDS_MAX).expect("a time").truncated();
        Self::until(owner, name, now, not_after)
    }

    /// The same with its end.
    pub fn until(owner: &Seed, name: &str, now: Timestamp, not_after: Timestamp) -> Self {
        let secret = |purpose: &str| -> [u8; 32] {
            let owner = owner.public_key().to_hex();
            Sha256::digest(format!("kez-testkit/{purpose}/{owner}/{name}")).into()
        };
        let mls = Seed::from_bytes(secret("mls"));
        let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = secret("device");
        let id = DeviceId::from_bytes(id);
        let certificate = DeviceCertificate::issue(owner, id, &mls.public_key(), now, not_after);
        let signer = SignatureKeyPair::from_raw(
            SignatureScheme::ED25519,
            mls.expose().to_vec(),
            mls.public_key().as_bytes().to_vec(),
        );
        Self {
            id,
            auth: Seed::from_bytes(secret("auth")),
            owner: owner.clone(),
            certificate: certificate.expect("a window"),
            provider: OpenMlsRustCrypto::default(),
            signer,
            groups: BTreeMap::new(),
        }
    }

    /// Its id.
    pub fn id(&self) -> DeviceId {
        self.id
    }

    /// Its owner's primary key.
    pub fn primary(&self) -> PublicKey {
        self.owner.public_key()
    }

    /// The secret of its signed calls.
    pub fn auth(&self) -> &Seed {
        &self.auth
    }

    /// What signs its calls.
    pub fn signer(&self) -> Signer {
        Signer::Device { primary: self.primary(), device_id: self.id, seed: self.auth.clone() }
    }

    /// Its signature key in MLS.
    pub fn mls_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.signer.public().try_into().expect("32 bytes"))
    }

    /// What its MLS credential holds.
    pub fn certificate(&self) -> DeviceCertificate {
        self.certificate
    }

    /// The document that takes it in at `server`.
    pub fn document(&self, server: &str) -> Device {
        Device {
            server: server.to_owned(),
            device_id: self.id,
            auth_key: self.auth.public_key(),
            mls_key: self.mls_key(),
            mls_certificate: self.certificate,
            expires_at: self.certificate.not_after(),
        }
    }

    /// That document, signed by the owner at `now`, in canonical form.
    pub fn enrolment(&self, server: &str, now: Timestamp) -> String {
        let envelope = Envelope::sign(&self.document(server), &self.owner, now);
        envelope.expect("text that can be signed").canonical().to_owned()
    }

    /// One-time key packages for use from `now` on.
    pub fn key_packages(&self, count: usize, now: Timestamp) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.key_package(now, false)).collect()
    }

    /// A key package of last resort for use from `now` on.
    pub fn last_resort(&self, now: Timestamp) -> Vec<u8> {
        self.key_package(now, true)
    }

    fn key_package(&self, now: Timestamp, is_last_resort: bool) -> Vec<u8> {
        let builder = KeyPackage::builder()
            .leaf_node_capabilities(settings::capabilities())
            .key_package_lifetime(settings::lifetime(now));
        let builder = if is_last_resort { builder.mark_as_last_resort() } else { builder };
        let made = builder.build(settings::SUITE, &self.provider, &self.signer, self.credential());
        bytes(&MlsMessageOut::from(made.expect("a key package").into_key_package()))
    }

    /// Begins a conversation that only this device is in. `kind` is that of its `kez_room`.
    pub fn create(&mut self, conversation: ConversationId, kind: &str, now: Timestamp) {
        let config = settings::creation(kind, self.primary(), now);
        let id = GroupId::from_slice(conversation.as_bytes());
        let group = MlsGroup::new_with_group_id(&self.provider, &self.signer, &config, id, self.credential());
        self.groups.insert(conversation, group.expect("a group"));
    }

    /// A commit that adds the owners of these key packages; none: a commit that only renews this device's keys.
    ///
    /// It is pending until [`merge`](Self::merge) or [`discard`](Self::discard).
    pub fn add(&mut self, conversation: ConversationId, id: MessageId, packages: &[Vec<u8>]) -> Bundle {
        let added: Vec<_> = packages.iter().map(|bytes| self.checked(bytes)).collect();
        self.commit(conversation, id, added, |_| false)
    }

    /// A commit that removes all devices of `primary`, pending as by [`add`](Self::add).
    pub fn remove(&mut self, conversation: ConversationId, id: MessageId, primary: PublicKey) -> Bundle {
        self.commit(conversation, id, Vec::new(), |leaf| leaf.primary == primary)
    }

    /// A commit that removes one device, pending as by [`add`](Self::add).
    pub fn remove_device(&mut self, conversation: ConversationId, id: MessageId, gone: Leaf) -> Bundle {
        self.commit(conversation, id, Vec::new(), |leaf| leaf == gone)
    }

    fn commit(
        &mut self,
        conversation: ConversationId,
        id: MessageId,
        added: Vec<KeyPackage>,
        is_removed: impl Fn(Leaf) -> bool,
    ) -> Bundle {
        let Self { provider, signer, groups, .. } = self;
        let group = groups.get_mut(&conversation).expect("a group");
        let (removed, kept): (Vec<_>, Vec<_>) = leaves(group).partition(|(_, leaf)| is_removed(*leaf));
        let newcomers: Vec<_> =
            added.iter().map(|package| Leaf::of(package.leaf_node().credential())).collect();
        let members_after = members(kept.iter().map(|(_, leaf)| *leaf).chain(newcomers.iter().copied()));
        let epoch = group.epoch().as_u64();
        group.set_aad(authenticated_data::commit(conversation, id, &members_after));
        let staged = group
            .commit_builder()
            .force_self_update(true)
            .propose_adds(added)
            .propose_removals(removed.into_iter().map(|(index, _)| index))
            .load_psks(provider.storage())
            .expect("no pre-shared keys")
            .create_group_info(true)
            .build(provider.rand(), provider.crypto(), signer, |_| true)
            .expect("a commit")
            .stage_commit(provider)
            .expect("a staged commit");
        let (commit, welcome, group_info) = staged.into_messages();
        Bundle {
            id,
            epoch,
            commit: bytes(&commit),
            welcomes: welcome.iter().map(|welcome| (bytes(welcome), newcomers.clone())).collect(),
            group_info: bytes(&group_info.expect("asked for")),
            members_after,
        }
    }

    /// Makes the pending commit the state of the conversation: the server took it.
    pub fn merge(&mut self, conversation: ConversationId) {
        let Self { provider, groups, .. } = self;
        let group = groups.get_mut(&conversation).expect("a group");
        group.merge_pending_commit(provider).expect("a pending commit");
    }

    /// Drops the pending commit: the server took another.
    pub fn discard(&mut self, conversation: ConversationId) {
        let Self { provider, groups, .. } = self;
        let group = groups.get_mut(&conversation).expect("a group");
        group.clear_pending_commit(provider.storage()).expect("memory");
    }

    /// Forgets a conversation: one whose creation or external commit was refused.
    pub fn forget(&mut self, conversation: ConversationId) {
        let mut group = self.groups.remove(&conversation).expect("a group");
        group.delete(self.provider.storage()).expect("memory");
    }

    /// Enters a conversation by an external commit, from the group information of its head; `members_after` are those
    /// of before, unless the commit is to be a wrong one.
    ///
    /// The commit is merged at once, as OpenMLS has it; [`forget`](Self::forget) the conversation when it is refused. A
    /// device that lost its state takes its own leaf's place.
    pub fn enter(
        &mut self,
        conversation: ConversationId,
        id: MessageId,
        group_info: &[u8],
        members_after: &Members,
    ) -> Bundle {
        let MlsMessageBodyIn::GroupInfo(info) = message(group_info).extract() else {
            panic!("no group information");
        };
        let epoch = info.epoch().as_u64();
        let members_after = members_after.clone();
        let (group, made) = MlsGroup::external_commit_builder()
            .with_config(settings::joining())
            .with_aad(authenticated_data::commit(conversation, id, &members_after))
            .skip_lifetime_validation()
            .build_group(&self.provider, info, self.credential())
            .expect("a group to enter")
            .leaf_node_parameters(
                LeafNodeParameters::builder().with_capabilities(settings::capabilities()).build(),
            )
            .load_psks(self.provider.storage())
            .expect("no pre-shared keys")
            .create_group_info(true)
            .build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)
            .expect("an external commit")
            .finalize(&self.provider)
            .expect("a merged commit");
        self.groups.insert(conversation, group);
        let (commit, _, group_info) = made.into_messages();
        let group_info = bytes(&group_info.expect("asked for"));
        Bundle { id, epoch, commit: bytes(&commit), welcomes: Vec::new(), group_info, members_after }
    }

    /// Joins by a Welcome, with the key package that it is for.
    pub fn join(&mut self, welcome: &[u8]) -> ConversationId {
        let MlsMessageBodyIn::Welcome(welcome) = message(welcome).extract() else { panic!("no Welcome") };
        let group = StagedWelcome::build_from_welcome(&self.provider, &settings::joining(), welcome)
            .expect("a Welcome for this device")
            .skip_lifetime_validation()
            .build()
            .expect("a good tree")
            .into_group(&self.provider)
            .expect("memory");
        let id = group.group_id().as_slice().try_into().expect("16 bytes");
        let conversation = ConversationId::from_bytes(id);
        self.groups.insert(conversation, group);
        conversation
    }

    /// A frame that says `plaintext`, which MLS encrypts without padding.
    pub fn say(&mut self, conversation: ConversationId, id: MessageId, plaintext: &[u8]) -> Vec<u8> {
        let Self { provider, signer, groups, .. } = self;
        let group = groups.get_mut(&conversation).expect("a group");
        group.set_aad(authenticated_data::app(conversation, id));
        bytes(&group.create_message(provider, signer, plaintext).expect("a message"))
    }

    /// Takes a frame of another device: decrypts it, or merges its commit.
    pub fn receive(&mut self, conversation: ConversationId, frame: &[u8]) -> Received {
        self.try_receive(conversation, frame).unwrap_or_else(|error| panic!("a bad frame: {error}"))
    }

    /// [`receive`](Self::receive) of a frame that may be none for this device: the library's word for why.
    pub fn try_receive(&mut self, conversation: ConversationId, frame: &[u8]) -> Result<Received, String> {
        let Self { provider, groups, .. } = self;
        let group = groups.get_mut(&conversation).expect("a group");
        let message = match message(frame).extract() {
            MlsMessageBodyIn::PrivateMessage(message) => ProtocolMessage::from(message),
            MlsMessageBodyIn::PublicMessage(message) => ProtocolMessage::from(message),
            other => panic!("no frame: {other:?}"),
        };
        let processed = group.process_message(provider, message).map_err(|error| error.to_string())?;
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(said) => Ok(Received::Said(said.into_bytes())),
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                group.merge_staged_commit(provider, *staged).map_err(|error| error.to_string())?;
                Ok(Received::Commit)
            }
            other => Err(format!("not a frame that devices send: {other:?}")),
        }
    }

    /// The epoch of a conversation.
    pub fn epoch(&self, conversation: ConversationId) -> u64 {
        self.group(conversation).epoch().as_u64()
    }

    /// What is equal on two devices exactly when they are in the same epoch of the same group.
    pub fn epoch_authenticator(&self, conversation: ConversationId) -> Vec<u8> {
        self.group(conversation).epoch_authenticator().as_slice().to_vec()
    }

    /// The people of a conversation.
    pub fn members(&self, conversation: ConversationId) -> Members {
        members(leaves(self.group(conversation)).map(|(_, leaf)| leaf))
    }

    /// Whether the device is in a conversation: it has it, and was not removed from it.
    pub fn is_in(&self, conversation: ConversationId) -> bool {
        self.groups.get(&conversation).is_some_and(MlsGroup::is_active)
    }

    /// Its place in a group.
    pub fn leaf(&self) -> Leaf {
        Leaf { primary: self.primary(), device_id: self.id }
    }

    fn group(&self, conversation: ConversationId) -> &MlsGroup {
        self.groups.get(&conversation).expect("a group")
    }

    fn credential(&self) -> CredentialWithKey {
        let credential = BasicCredential::new(self.certificate.to_bytes().to_vec()).into();
        CredentialWithKey { credential, signature_key: self.signer.public().into() }
    }

    fn checked(&self, package: &[u8]) -> KeyPackage {
        let MlsMessageBodyIn::KeyPackage(package) = message(package).extract() else {
            panic!("no key package");
        };
        package.validate(self.provider.crypto(), ProtocolVersion::Mls10).expect("a good key package")
    }
}

fn leaves(group: &MlsGroup) -> impl Iterator<Item = (LeafNodeIndex, Leaf)> {
    group.members().map(|member| (member.index, Leaf::of(&member.credential)))
}

fn members(leaves: impl Iterator<Item = Leaf>) -> Members {
    let distinct: std::collections::BTreeSet<_> = leaves.map(|leaf| leaf.primary).collect();
    Members::try_from(Vec::from_iter(distinct)).expect("1 to 64 people")
}

fn message(bytes: &[u8]) -> MlsMessageIn {
    MlsMessageIn::tls_deserialize_exact_bytes(bytes).expect("an MLS message")
}

fn bytes(message: &MlsMessageOut) -> Vec<u8> {
    message.tls_serialize_detached().expect("bytes")
}

impl fmt::Debug for MlsDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlsDevice").field("id", &self.id).finish_non_exhaustive()
    }
}
