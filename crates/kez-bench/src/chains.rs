//! The chains of the bench: the key of each and all its events follow from an index, the same in every run.

use kez_core::{
    Envelope, EnvelopeError, Identifier, PublicKey, Seed, Timestamp,
    sigchain::{self, Event, EventHash, Op},
};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// The time in every event 0, Unix seconds: 2026-01-01. The sig-server holds no event's time against it.
const BEGIN: i64 = 1_767_225_600;

/// Who writes one chain.
pub(crate) struct Writer {
    seed: Seed,
    /// Position and predecessor of the next event.
    seq: u64,
    prev: Option<EventHash>,
}

impl Writer {
    /// The writer of chain `index`, before its first event.
    pub(crate) fn new(index: u32) -> Self {
        let seed = Sha256::new_with_prefix(b"kez-bench chain ").chain_update(index.to_le_bytes()).finalize();
        Self { seed: Seed::from_bytes(seed.into()), seq: 0, prev: None }
    }

    /// The writer of chain `index` after event `seq`, whose hash is `hash`.
    pub(crate) fn after(index: u32, seq: u64, hash: EventHash) -> Self {
        Self { seq: seq + 1, prev: Some(hash), ..Self::new(index) }
    }

    /// The name of the chain.
    pub(crate) fn key(&self) -> PublicKey {
        self.seed.public_key()
    }

    /// Where a sig-server has it.
    pub(crate) fn path(&self) -> String {
        format!("/v1/sigchains/ed25519/{}", self.key().to_hex())
    }

    /// The next event, signed.
    pub(crate) fn next(&mut self) -> Result<Envelope, Error> {
        let Self { seq, prev, .. } = *self;
        // invariant: a name of lower-case letters and digits is an identifier, and the times lie in 2026.
        let subject: Identifier = format!("github:peer{seq:05}").parse().expect("an identifier");
        let at = Timestamp::from_unix(BEGIN + 60 * seq.cast_signed(), 0).expect("a time");
        let event = Event { seq, prev, op: Op::Add { subject } };
        let envelope = Envelope::sign(&event, &self.seed, at).map_err(EnvelopeError::from)?;
        self.seq += 1;
        self.prev = Some(EventHash::from(&envelope));
        Ok(envelope)
    }
}

/// Checks that `lines` are chain `index` with `events` events: a rate of anything else would be a lie.
pub(crate) fn check(index: u32, lines: &[u8], events: u32) -> Result<(), Error> {
    let key = Writer::new(index).key().into();
    let mut head = None;
    let mut found = 0;
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let envelope = Envelope::parse(line.trim_ascii_end()).map_err(EnvelopeError::from)?;
        head = Some(sigchain::append(key, head.as_ref(), envelope)?.head);
        found += 1;
    }
    if found == events as usize { Ok(()) } else { Err(Error::Events { expected: events, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_writer_signs_is_a_chain_also_when_another_goes_on() {
        let mut writer = Writer::new(7);
        let mut lines = String::new();
        for _ in 0..2 {
            lines += writer.next().expect("an event").canonical();
            lines.push('\n');
        }
        let hash = writer.prev.expect("the hash of event 1");
        lines += Writer::after(7, 1, hash).next().expect("event 2").canonical();
        check(7, lines.as_bytes(), 3).expect("a chain");
        assert!(matches!(check(7, lines.as_bytes(), 4), Err(Error::Events { expected: 4, found: 3 })));
        assert!(matches!(check(8, lines.as_bytes(), 3), Err(Error::Chain(_))));
    }
}
