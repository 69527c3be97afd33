//! Something is said.

use kez_core::{ConversationId, MessageId, authenticated_data};
use openmls::prelude::MlsGroup;

use super::change::not_active;
use super::{Effect, Engine, Step, message_bytes};
use crate::fault::Fault;
use crate::payload::Payload;
use crate::records::{State, Waiting, conversation_key, outbox_key, write};
use crate::storage::Provider;

impl Engine {
    /// Encrypts a payload and sends it. It is in the history once the log shows it; until then it waits.
    ///
    /// A change of the conversation that comes first makes it encrypted anew, under the same id.
    pub fn send(&mut self, cid: ConversationId, mid: MessageId, payload: &Payload) -> Result<Step, Fault> {
        let mut conversation = self.record(cid)?;
        if conversation.state != State::Active {
            return Err(not_active(&conversation.state));
        }
        if self.rows.contains_key(&outbox_key(cid, mid)) {
            return Err(Fault::MidReused(mid));
        }
        let order = self.waiting(cid)?.last().map_or(0, |last| last.order + 1);
        let mut group = self.take(cid)?;
        let provider = self.provider();
        let waiting = encrypt(&mut group, &provider, self, Wanted { cid, mid, order, payload })?;
        write(&provider.records, outbox_key(cid, mid), &waiting)?;
        conversation.sent = conversation.sent.saturating_add(1);
        write(&provider.records, conversation_key(cid), &conversation)?;
        let effect = Effect::Frame { cid, mid, frame: waiting.frame };
        Ok(self.step(provider.records, vec![effect]).with_group(cid, group))
    }

    /// Gives up a message that waits: the server refused it for good.
    pub fn give_up(&mut self, cid: ConversationId, mid: MessageId) -> Result<Step, Fault> {
        let key = outbox_key(cid, mid);
        if !self.rows.contains_key(&key) {
            return Err(Fault::NotWaiting(mid));
        }
        let records = self.provider().records;
        records.remove(key);
        Ok(self.step(records, Vec::new()))
    }
}

/// A message that is to be encrypted.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) cid: ConversationId,
    pub(super) mid: MessageId,
    pub(super) order: u64,
    pub(super) payload: &'a Payload,
}

/// Encrypts a message in the group's epoch.
pub(super) fn encrypt(
    group: &mut MlsGroup,
    provider: &Provider<'_>,
    engine: &Engine,
    wanted: Wanted<'_>,
) -> Result<Waiting, Fault> {
    let Wanted { cid, mid, order, payload } = wanted;
    let plain = payload.to_bytes().map_err(|fault| Fault::TooLong { bytes: fault.bytes, max: fault.max })?;
    group.set_aad(authenticated_data::app(cid, mid));
    let message = group
        .create_message(provider, &engine.signer, &plain)
        .map_err(|error| Fault::mls("encrypting a message", error))?;
    let epoch = group.epoch().as_u64();
    Ok(Waiting { order, mid, epoch, frame: message_bytes(&message)?, payload: payload.clone() })
}
