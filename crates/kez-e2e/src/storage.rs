//! Records: what a device keeps, and the changes of one step above it.
//!
//! OpenMLS wants a synchronous store that it writes to in the middle of an operation. [`Overlay`] is one: it reads what is
//! stored and gathers what changes, so that a host stores all of it at once or nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;

use openmls_rust_crypto::RustCrypto;
use openmls_traits::OpenMlsProvider;
use openmls_traits::random::OpenMlsRand;
use openmls_traits::storage::{CURRENT_VERSION, Entity, StorageProvider, traits};
use serde::Serialize;
use serde_json::Value;

/// The name of a record. All of a group's records begin alike.
pub type Key = Vec<u8>;
/// The content of a record.
pub type Bytes = Vec<u8>;
/// Everything that a device keeps.
pub(crate) type Rows = BTreeMap<Key, Bytes>;
/// What changes: a new content, or `None` where the record goes.
pub(crate) type Changes = BTreeMap<Key, Option<Bytes>>;

/// Chance, which this crate never takes by itself.
pub trait Chance {
    /// Fills `bytes` so that nobody can guess them.
    fn fill(&self, bytes: &mut [u8]);
}

/// `N` bytes that nobody can guess.
pub(crate) fn random<const N: usize>(chance: &dyn Chance) -> [u8; N] {
    let mut bytes = [0; N];
    chance.fill(&mut bytes);
    bytes
}

/// Where records of MLS itself lie, by the first byte of their keys.
const OF_A_GROUP: u8 = b'g';
const OF_THE_DEVICE: u8 = b'x';

/// What a record of MLS holds: the byte after the group's id, or after [`OF_THE_DEVICE`].
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Slot {
    JoinConfig = 1,
    OwnLeafNodes,
    Proposals,
    Tree,
    TranscriptHash,
    Context,
    ConfirmationTag,
    State,
    MessageSecrets,
    ResumptionPsks,
    OwnLeafIndex,
    EpochSecrets,
    EpochKeyPairs,
    SignatureKeyPair,
    EncryptionKeyPair,
    KeyPackage,
    Psk,
}

/// What all records of a group begin with.
pub(crate) fn group_prefix(id: &[u8]) -> Key {
    [&[OF_A_GROUP], id].concat()
}

/// A record cannot be written as JSON, or is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("a stored record of MLS cannot be read or written: {0}")]
pub struct RecordFault(#[from] serde_json::Error);

/// The stored records with the changes of one step above them.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    stored: &'a Rows,
    changes: RefCell<Changes>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(stored: &'a Rows) -> Self {
        Self { stored, changes: RefCell::default() }
    }

    pub(crate) fn read(&self, key: &[u8]) -> Option<Bytes> {
        match self.changes.borrow().get(key) {
            Some(change) => change.clone(),
            None => self.stored.get(key).cloned(),
        }
    }

    pub(crate) fn write(&self, key: Key, bytes: Bytes) {
        self.changes.borrow_mut().insert(key, Some(bytes));
    }

    pub(crate) fn remove(&self, key: Key) {
        self.changes.borrow_mut().insert(key, None);
    }

    /// Removes every record whose key begins so.
    pub(crate) fn remove_all(&self, prefix: &[u8]) {
        let mut changes = self.changes.borrow_mut();
        for (_, change) in changes.range_mut(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix))
        {
            *change = None;
        }
        for (key, _) in self.stored.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)) {
            changes.insert(key.clone(), None);
        }
    }

    /// What has changed: nothing that is as it was.
    pub(crate) fn into_changes(self) -> Changes {
        let stored = self.stored;
        let mut changes = self.changes.into_inner();
        changes.retain(|key, change| stored.get(key) != change.as_ref());
        changes
    }

    fn put(&self, key: Key, value: &impl Serialize) -> Result<(), RecordFault> {
        self.write(key, serde_json::to_vec(value)?);
        Ok(())
    }

    fn get<T: Entity<CURRENT_VERSION>>(&self, key: &[u8]) -> Result<Option<T>, RecordFault> {
        self.read(key).map(|bytes| Ok(serde_json::from_slice(&bytes)?)).transpose()
    }

    /// A list that is kept in one record.
    fn list(&self, key: &[u8]) -> Result<Vec<Value>, RecordFault> {
        self.read(key).map_or(Ok(Vec::new()), |bytes| Ok(serde_json::from_slice(&bytes)?))
    }
}

/// The bytes of an id, which serde shows as numbers somewhere in it.
fn id_bytes(id: &impl Serialize) -> Result<Vec<u8>, RecordFault> {
    fn gather(value: &Value, bytes: &mut Vec<u8>) {
        match value {
            Value::Number(number) => {
                bytes.extend(number.as_u64().and_then(|number| u8::try_from(number).ok()));
            }
            Value::Array(items) => items.iter().for_each(|item| gather(item, bytes)),
            Value::Object(members) => members.values().for_each(|member| gather(member, bytes)),
            _ => {}
        }
    }
    let mut bytes = Vec::new();
    gather(&serde_json::to_value(id)?, &mut bytes);
    Ok(bytes)
}

fn of_group(group: &impl Serialize, slot: Slot) -> Result<Key, RecordFault> {
    let mut key = group_prefix(&id_bytes(group)?);
    key.push(slot as u8);
    Ok(key)
}

fn of_epoch(group: &impl Serialize, epoch: &impl Serialize, leaf: u32) -> Result<Key, RecordFault> {
    let mut key = of_group(group, Slot::EpochKeyPairs)?;
    key.extend(leaf.to_be_bytes());
    key.extend(serde_json::to_vec(epoch)?);
    Ok(key)
}

fn of_device(id: &impl Serialize, slot: Slot) -> Result<Key, RecordFault> {
    let mut key = vec![OF_THE_DEVICE, slot as u8];
    key.extend(id_bytes(id)?);
    Ok(key)
}

type Done = Result<(), RecordFault>;

/// One value of a group: written, read, deleted.
macro_rules! of_a_group {
    ($($write:ident $read:ident $delete:ident: $kind:ident in $slot:ident;)+) => { $(
        fn $write<G: traits::GroupId<CURRENT_VERSION>, T: traits::$kind<CURRENT_VERSION>>(
            &self,
            group_id: &G,
            value: &T,
        ) -> Done {
            self.put(of_group(group_id, Slot::$slot)?, value)
        }

        fn $read<G: traits::GroupId<CURRENT_VERSION>, T: traits::$kind<CURRENT_VERSION>>(
            &self,
            group_id: &G,
        ) -> Result<Option<T>, RecordFault> {
            self.get(&of_group(group_id, Slot::$slot)?)
        }

        fn $delete<G: traits::GroupId<CURRENT_VERSION>>(&self, group_id: &G) -> Done {
            self.remove(of_group(group_id, Slot::$slot)?);
            Ok(())
        }
    )+ };
}

/// One value of the device under an id of its own: written and deleted.
macro_rules! of_the_device {
    ($($write:ident $delete:ident: $id:ident $kind:ident in $slot:ident;)+) => { $(
        fn $write<I: traits::$id<CURRENT_VERSION>, T: traits::$kind<CURRENT_VERSION>>(
            &self,
            id: &I,
            value: &T,
        ) -> Done {
            self.put(of_device(id, Slot::$slot)?, value)
        }

        fn $delete<I: traits::$id<CURRENT_VERSION>>(&self, id: &I) -> Done {
            self.remove(of_device(id, Slot::$slot)?);
            Ok(())
        }
    )+ };
}

impl StorageProvider<CURRENT_VERSION> for Overlay<'_> {
    type Error = RecordFault;

    of_a_group! {
        write_mls_join_config mls_group_join_config delete_group_config: MlsGroupJoinConfig in JoinConfig;
        write_tree tree delete_tree: TreeSync in Tree;
        write_interim_transcript_hash interim_transcript_hash delete_interim_transcript_hash: InterimTranscriptHash in TranscriptHash;
        write_context group_context delete_context: GroupContext in Context;
        write_confirmation_tag confirmation_tag delete_confirmation_tag: ConfirmationTag in ConfirmationTag;
        write_message_secrets message_secrets delete_message_secrets: MessageSecrets in MessageSecrets;
        write_resumption_psk_store resumption_psk_store delete_all_resumption_psk_secrets: ResumptionPskStore in ResumptionPsks;
        write_own_leaf_index own_leaf_index delete_own_leaf_index: LeafNodeIndex in OwnLeafIndex;
        write_group_epoch_secrets group_epoch_secrets delete_group_epoch_secrets: GroupEpochSecrets in EpochSecrets;
    }

    of_the_device! {
        write_signature_key_pair delete_signature_key_pair: SignaturePublicKey SignatureKeyPair in SignatureKeyPair;
        write_encryption_key_pair delete_encryption_key_pair: EncryptionKey HpkeKeyPair in EncryptionKeyPair;
        write_key_package delete_key_package: HashReference KeyPackage in KeyPackage;
        write_psk delete_psk: PskId PskBundle in Psk;
    }

    fn write_group_state<T: traits::GroupState<CURRENT_VERSION>, G: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &G,
        state: &T,
    ) -> Done {
        self.put(of_group(group_id, Slot::State)?, state)
    }

    fn group_state<T: traits::GroupState<CURRENT_VERSION>, G: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &G,
    ) -> Result<Option<T>, RecordFault> {
        self.get(&of_group(group_id, Slot::State)?)
    }

    fn delete_group_state<G: traits::GroupId<CURRENT_VERSION>>(&self, group_id: &G) -> Done {
        self.remove(of_group(group_id, Slot::State)?);
        Ok(())
    }

    fn signature_key_pair<
        I: traits::SignaturePublicKey<CURRENT_VERSION>,
        T: traits::SignatureKeyPair<CURRENT_VERSION>,
    >(
        &self,
        id: &I,
    ) -> Result<Option<T>, RecordFault> {
        self.get(&of_device(id, Slot::SignatureKeyPair)?)
    }

    fn encryption_key_pair<
        T: traits::HpkeKeyPair<CURRENT_VERSION>,
        I: traits::EncryptionKey<CURRENT_VERSION>,
    >(
        &self,
        id: &I,
    ) -> Result<Option<T>, RecordFault> {
        self.get(&of_device(id, Slot::EncryptionKeyPair)?)
    }

    fn key_package<I: traits::HashReference<CURRENT_VERSION>, T: traits::KeyPackage<CURRENT_VERSION>>(
        &self,
        id: &I,
    ) -> Result<Option<T>, RecordFault> {
        self.get(&of_device(id, Slot::KeyPackage)?)
    }

    fn psk<T: traits::PskBundle<CURRENT_VERSION>, I: traits::PskId<CURRENT_VERSION>>(
        &self,
        id: &I,
    ) -> Result<Option<T>, RecordFault> {
        self.get(&of_device(id, Slot::Psk)?)
    }

    fn write_encryption_epoch_key_pairs<
        G: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
        T: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group_id: &G,
        epoch: &E,
        leaf_index: u32,
        key_pairs: &[T],
    ) -> Done {
        self.put(of_epoch(group_id, epoch, leaf_index)?, &key_pairs)
    }

    fn encryption_epoch_key_pairs<
        G: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
        T: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group_id: &G,
        epoch: &E,
        leaf_index: u32,
    ) -> Result<Vec<T>, RecordFault> {
        let stored = self.read(&of_epoch(group_id, epoch, leaf_index)?);
        stored.map_or(Ok(Vec::new()), |bytes| Ok(serde_json::from_slice(&bytes)?))
    }

    fn delete_encryption_epoch_key_pairs<
        G: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
    >(
        &self,
        group_id: &G,
        epoch: &E,
        leaf_index: u32,
    ) -> Done {
        self.remove(of_epoch(group_id, epoch, leaf_index)?);
        Ok(())
    }

    fn append_own_leaf_node<G: traits::GroupId<CURRENT_VERSION>, T: traits::LeafNode<CURRENT_VERSION>>(
        &self,
        group_id: &G,
        leaf_node: &T,
    ) -> Done {
        let key = of_group(group_id, Slot::OwnLeafNodes)?;
        let mut list = self.list(&key)?;
        list.push(serde_json::to_value(leaf_node)?);
        self.put(key, &list)
    }

    fn own_leaf_nodes<G: traits::GroupId<CURRENT_VERSION>, T: traits::LeafNode<CURRENT_VERSION>>(
        &self,
        group_id: &G,
    ) -> Result<Vec<T>, RecordFault> {
        let list = self.list(&of_group(group_id, Slot::OwnLeafNodes)?)?;
        list.into_iter().map(|node| Ok(serde_json::from_value(node)?)).collect()
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<CURRENT_VERSION>>(&self, group_id: &G) -> Done {
        self.remove(of_group(group_id, Slot::OwnLeafNodes)?);
        Ok(())
    }

    fn queue_proposal<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group_id: &G,
        proposal_ref: &R,
        proposal: &P,
    ) -> Done {
        let key = of_group(group_id, Slot::Proposals)?;
        let mut list = self.list(&key)?;
        list.push(serde_json::to_value((proposal_ref, proposal))?);
        self.put(key, &list)
    }

    fn queued_proposals<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group_id: &G,
    ) -> Result<Vec<(R, P)>, RecordFault> {
        let list = self.list(&of_group(group_id, Slot::Proposals)?)?;
        list.into_iter().map(|pair| Ok(serde_json::from_value(pair)?)).collect()
    }

    fn queued_proposal_refs<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        group_id: &G,
    ) -> Result<Vec<R>, RecordFault> {
        let list = self.list(&of_group(group_id, Slot::Proposals)?)?;
        let first = |pair: Value| Ok(serde_json::from_value::<(R, Value)>(pair)?.0);
        list.into_iter().map(first).collect()
    }

    fn remove_proposal<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        group_id: &G,
        proposal_ref: &R,
    ) -> Done {
        let key = of_group(group_id, Slot::Proposals)?;
        let gone = serde_json::to_value(proposal_ref)?;
        let mut list = self.list(&key)?;
        list.retain(|pair| pair.get(0) != Some(&gone));
        self.put(key, &list)
    }

    fn clear_proposal_queue<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        group_id: &G,
    ) -> Done {
        self.remove(of_group(group_id, Slot::Proposals)?);
        Ok(())
    }
}

/// What OpenMLS works with: its own cryptography in Rust, the host's chance, and the records of one step.
pub(crate) struct Provider<'a> {
    pub(crate) crypto: &'a RustCrypto,
    pub(crate) chance: HostChance<'a>,
    pub(crate) records: Overlay<'a>,
}

/// The host's chance, as OpenMLS takes it.
pub(crate) struct HostChance<'a>(pub(crate) &'a dyn Chance);

/// Chance does not fail.
#[derive(Debug, thiserror::Error)]
#[error("no chance")]
pub(crate) struct NoChance;

impl OpenMlsRand for HostChance<'_> {
    type Error = NoChance;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], NoChance> {
        Ok(random(self.0))
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, NoChance> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes);
        Ok(bytes)
    }
}

impl<'a> OpenMlsProvider for Provider<'a> {
    type CryptoProvider = RustCrypto;
    type RandProvider = HostChance<'a>;
    type StorageProvider = Overlay<'a>;

    fn storage(&self) -> &Overlay<'a> {
        &self.records
    }

    fn crypto(&self) -> &RustCrypto {
        self.crypto
    }

    fn rand(&self) -> &HostChance<'a> {
        &self.chance
    }
}
