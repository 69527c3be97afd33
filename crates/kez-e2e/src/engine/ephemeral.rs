//! Typing and presence within a conversation.

use kez_core::{ConversationId, Timestamp};
use openmls::prelude::MlsGroup;
use zeroize::Zeroizing;

use super::Engine;
use crate::ephemeral::{
    Ephemeral, EphemeralKind, EphemeralPlace, LABEL, NotEphemeral, open_ephemeral, seal_ephemeral,
};
use crate::facts;
use crate::fault::Fault;
use crate::records::State;

impl Engine {
    /// Seals what this device tells of itself, [`EPHEMERAL_BYTES`](crate::EPHEMERAL_BYTES) for the members. Nothing is stored;
    /// it may be lost. `now` is the server's time.
    pub fn seal_ephemeral(
        &self,
        cid: ConversationId,
        kind: EphemeralKind,
        now: Timestamp,
    ) -> Result<Vec<u8>, Fault> {
        self.with_active(cid, |group| {
            let place = EphemeralPlace { cid, epoch: group.epoch().as_u64() };
            let who = (group.own_leaf_index().u32(), &self.mls);
            let sent_at_ms = u64::try_from(now.unix_millis()).unwrap_or_default();
            let key = self.ephemeral_key(cid, group)?;
            Ok(seal_ephemeral(&key, place, who, (sent_at_ms, kind), &*self.chance))
        })
    }

    /// Opens what a device told, once. `now` is the server's time.
    pub fn open_ephemeral(
        &mut self,
        cid: ConversationId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<Result<Ephemeral, NotEphemeral>, Fault> {
        let opened = self.with_active(cid, |group| {
            let place = EphemeralPlace { cid, epoch: group.epoch().as_u64() };
            let key = self.ephemeral_key(cid, group)?;
            let roster = facts::roster(group)?;
            Ok(open_ephemeral(&key, place, |leaf| roster.leaves.get(&leaf).copied(), sealed))
        })?;
        Ok(opened.and_then(|event| self.last_ephemeral.take(cid, &event, now).map(|()| event)))
    }

    /// The group as it is stored, of a conversation that this device is in.
    fn with_active<T>(
        &self,
        cid: ConversationId,
        work: impl FnOnce(&MlsGroup) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.record(cid)?.state != State::Active {
            return Err(Fault::NotInConversation);
        }
        match self.groups.get(&cid) {
            Some(group) => work(group),
            None => work(&self.decoded(cid)?),
        }
    }

    fn ephemeral_key(&self, cid: ConversationId, group: &MlsGroup) -> Result<Zeroizing<[u8; 32]>, Fault> {
        let exported = group.export_secret(&self.crypto, LABEL, cid.as_bytes(), 32);
        let exported = Zeroizing::new(exported.map_err(|error| Fault::mls("deriving a key", error))?);
        let key = exported.as_slice().try_into().map_err(|_| Fault::Damaged { what: "a derived key" })?;
        Ok(Zeroizing::new(key))
    }
}
