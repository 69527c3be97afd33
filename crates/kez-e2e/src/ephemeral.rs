//! Typing and presence: events that are told and forgotten. SPEC "Ephemeral events".
//!
//! They are no MLS messages: those use up the sender's keys, and a receiver that misses a thousand of them cannot read on. An
//! event is sealed under a key that the members of an epoch share (RFC 9420 section 8.5), and signed by its device within,
//! so that a member cannot type in another's name. Nothing of it is stored.

use std::collections::HashMap;

use kez_core::{ConversationId, DeviceId, PublicKey, Seed, Signature, Timestamp};

use crate::policy::Leaf;
use crate::seal::{open, seal};
use crate::storage::Chance;

/// The exporter's label, and the one of the signature.
pub(crate) const LABEL: &str = "kez-chat/ephemeral/v1";
/// What is bound to a sealed event, before the conversation and the epoch.
const DOMAIN: &[u8] = b"kez-chat/ephemeral/v1\0";
/// What MLS puts before each label (RFC 9420 section 5.1.2).
const MLS_LABEL: &[u8] = b"MLS 1.0 ";
/// The one version of the form.
const VERSION: u8 = 1;

/// How far an event's time may lie from the server's, in milliseconds: what is older says nothing any more.
pub const EPHEMERAL_AGE_MS_MAX: u64 = 30_000;

/// Bytes of a sealed event: all have as many.
pub const EPHEMERAL_BYTES: usize = 1 + 8 + 12 + BODY_BYTES + 64 + 16;
/// Leaf, time, kind.
const BODY_BYTES: usize = 4 + 8 + 1;

/// What somebody is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EphemeralKind {
    /// Writes a message.
    Typing,
    /// Writes no more.
    NotTyping,
    /// Looks at the conversation.
    Present,
    /// Looks elsewhere.
    Away,
}

/// An event of a device, believed: its place and signature are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ephemeral {
    /// Whose.
    pub sender: PublicKey,
    /// From which device.
    pub device_id: DeviceId,
    /// When it was sent, by the sender's idea of the server's time, in Unix milliseconds.
    pub sent_at_ms: u64,
    /// What.
    pub kind: EphemeralKind,
}

/// Where an event belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EphemeralPlace {
    pub(crate) cid: ConversationId,
    pub(crate) epoch: u64,
}

/// Why an event is passed over. Never shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotEphemeral {
    /// Not of the one length and version.
    #[error("not an ephemeral event of version 1")]
    Form,
    /// Of an epoch that is over, or not yet here.
    #[error("an event of epoch {0}")]
    OtherEpoch(u64),
    /// Another key or place, or damaged.
    #[error("the event does not open")]
    NotOpened,
    /// Not signed by the device that it names.
    #[error("the event is not by the device that it names")]
    Sender,
    /// A kind of a newer version.
    #[error("an unknown kind of event")]
    Kind,
    /// Too old, from the future, or not newer than the last one of its device.
    #[error("the event is not a fresh one")]
    Stale,
}

impl NotEphemeral {
    /// A stable name of the fault, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::OtherEpoch(_) => "other_epoch",
            Self::NotOpened => "not_opened",
            Self::Sender => "sender",
            Self::Kind => "kind",
            Self::Stale => "stale",
        }
    }
}

/// The newest event of each device, so that none counts twice. In memory only.
#[derive(Debug, Default)]
pub(crate) struct LastEphemeral(HashMap<(ConversationId, DeviceId), u64>);

impl EphemeralKind {
    /// A stable name of the kind: `typing`, `not_typing`, `present`, `away`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Typing => "typing",
            Self::NotTyping => "not_typing",
            Self::Present => "present",
            Self::Away => "away",
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Typing => 1,
            Self::NotTyping => 2,
            Self::Present => 3,
            Self::Away => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Typing, Self::NotTyping, Self::Present, Self::Away]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }
}

/// The epoch that a sealed event names, so that a host can leave others alone.
pub fn ephemeral_epoch(sealed: &[u8]) -> Result<u64, NotEphemeral> {
    read(sealed).map(|(epoch, _)| epoch)
}

/// Seals an event of the device at `leaf`, whose MLS key is `mls`.
pub(crate) fn seal_ephemeral(
    key: &[u8; 32],
    place: EphemeralPlace,
    (leaf, mls): (u32, &Seed),
    (sent_at_ms, kind): (u64, EphemeralKind),
    chance: &dyn Chance,
) -> Vec<u8> {
    let body = [&leaf.to_be_bytes()[..], &sent_at_ms.to_be_bytes(), &[kind.byte()]].concat();
    let signature = mls.sign(&signed_bytes(place, &body));
    let plain = [&body[..], signature.as_bytes()].concat();
    let sealed = seal(key, &context(place), &plain, chance);
    [&[VERSION][..], &place.epoch.to_be_bytes(), &sealed].concat()
}

/// Opens an event. `device_at` is the roster of the epoch.
pub(crate) fn open_ephemeral(
    key: &[u8; 32],
    place: EphemeralPlace,
    device_at: impl FnOnce(u32) -> Option<Leaf>,
    sealed: &[u8],
) -> Result<Ephemeral, NotEphemeral> {
    let (epoch, sealed) = read(sealed)?;
    if epoch != place.epoch {
        return Err(NotEphemeral::OtherEpoch(epoch));
    }
    let plain = open(key, &context(place), sealed).map_err(|_| NotEphemeral::NotOpened)?;
    let (body, signature) = plain.split_first_chunk::<BODY_BYTES>().ok_or(NotEphemeral::Form)?;
    let (leaf, rest) = body.split_first_chunk::<4>().ok_or(NotEphemeral::Form)?;
    let (sent_at_ms, rest) = rest.split_first_chunk::<8>().ok_or(NotEphemeral::Form)?;
    let kind = rest.first().and_then(|byte| EphemeralKind::from_byte(*byte));
    let device = device_at(u32::from_be_bytes(*leaf)).ok_or(NotEphemeral::Sender)?;
    let signature = Signature::from_bytes(signature.try_into().map_err(|_| NotEphemeral::Form)?);
    let verified = device.mls_key.verify(&signed_bytes(place, body), &signature);
    verified.map_err(|_| NotEphemeral::Sender)?;
    Ok(Ephemeral {
        sender: device.primary,
        device_id: device.device_id,
        sent_at_ms: u64::from_be_bytes(*sent_at_ms),
        kind: kind.ok_or(NotEphemeral::Kind)?,
    })
}

impl LastEphemeral {
    /// Whether an event is fresh at `now`, the server's time, and the newest of its device.
    pub(crate) fn take(
        &mut self,
        cid: ConversationId,
        event: &Ephemeral,
        now: Timestamp,
    ) -> Result<(), NotEphemeral> {
        let now = u64::try_from(now.unix_millis()).unwrap_or_default();
        let last = self.0.entry((cid, event.device_id)).or_default();
        if event.sent_at_ms.abs_diff(now) > EPHEMERAL_AGE_MS_MAX || event.sent_at_ms <= *last {
            return Err(NotEphemeral::Stale);
        }
        *last = event.sent_at_ms;
        Ok(())
    }
}

fn read(sealed: &[u8]) -> Result<(u64, &[u8]), NotEphemeral> {
    if sealed.len() != EPHEMERAL_BYTES {
        return Err(NotEphemeral::Form);
    }
    let (version, rest) = sealed.split_first().ok_or(NotEphemeral::Form)?;
    let (epoch, rest) = rest.split_first_chunk::<8>().ok_or(NotEphemeral::Form)?;
    if *version == VERSION { Ok((u64::from_be_bytes(*epoch), rest)) } else { Err(NotEphemeral::Form) }
}

fn context(place: EphemeralPlace) -> Vec<u8> {
    [DOMAIN, place.cid.as_bytes(), &place.epoch.to_be_bytes()].concat()
}

/// `SignContent` of RFC 9420 section 5.1.2: the device's MLS key signs what MLS gives a label to, and nothing else.
fn signed_bytes(place: EphemeralPlace, body: &[u8]) -> Vec<u8> {
    let label = [MLS_LABEL, LABEL.as_bytes()].concat();
    let content = [place.cid.as_bytes(), &place.epoch.to_be_bytes()[..], body].concat();
    [short(&label), short(&content)].concat()
}

/// A vector of less than 64 bytes (RFC 9420 section 2.1.2): its length in one byte. The label has 29, the content 37.
fn short(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap_or_default();
    [&[length], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [3; 32];
    const PLACE: EphemeralPlace = EphemeralPlace { cid: ConversationId::from_bytes([1; 16]), epoch: 7 };

    struct Sevens;

    impl Chance for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn mls(byte: u8) -> Seed {
        Seed::from_bytes([byte; 32])
    }

    fn device(leaf: u32) -> Option<Leaf> {
        let byte = u8::try_from(leaf).ok().filter(|byte| (1..=2).contains(byte))?;
        Some(Leaf {
            primary: PublicKey::from_bytes([byte; 32]),
            device_id: DeviceId::from_bytes([byte; 16]),
            mls_key: mls(byte).public_key(),
        })
    }

    fn sealed(leaf: u32, signer: u8) -> Vec<u8> {
        seal_ephemeral(&KEY, PLACE, (leaf, &mls(signer)), (1_000, EphemeralKind::Typing), &Sevens)
    }

    fn opened(sealed: &[u8]) -> Result<Ephemeral, NotEphemeral> {
        open_ephemeral(&KEY, PLACE, device, sealed)
    }

    #[test]
    fn who_types_is_told_in_one_length() {
        let event = opened(&sealed(1, 1)).unwrap();
        assert_eq!(event.sender, PublicKey::from_bytes([1; 32]));
        assert_eq!((event.sent_at_ms, event.kind), (1_000, EphemeralKind::Typing));
        assert_eq!(sealed(1, 1).len(), EPHEMERAL_BYTES);
        assert_eq!(ephemeral_epoch(&sealed(1, 1)), Ok(7));
    }

    #[test]
    fn a_member_does_not_type_in_anothers_name() {
        assert_eq!(opened(&sealed(1, 2)), Err(NotEphemeral::Sender));
        assert_eq!(opened(&sealed(3, 3)), Err(NotEphemeral::Sender), "nobody's place");
    }

    #[test]
    fn an_event_is_of_its_place_only() {
        let good = sealed(1, 1);
        let at = |place, key: &[u8; 32]| open_ephemeral(key, place, device, &good);
        let elsewhere = EphemeralPlace { cid: ConversationId::from_bytes([9; 16]), ..PLACE };
        assert_eq!(at(elsewhere, &KEY), Err(NotEphemeral::NotOpened));
        assert_eq!(at(EphemeralPlace { epoch: 8, ..PLACE }, &KEY), Err(NotEphemeral::OtherEpoch(7)));
        assert_eq!(at(PLACE, &[4; 32]), Err(NotEphemeral::NotOpened));
        for byte in 0..good.len() {
            let mut flipped = good.clone();
            flipped[byte] ^= 1;
            assert!(opened(&flipped).is_err(), "byte {byte}");
        }
        assert_eq!(opened(&good[1..]), Err(NotEphemeral::Form));
        assert_eq!(opened(&[&good[..], &[0]].concat()), Err(NotEphemeral::Form));
    }

    #[test]
    fn a_kind_of_a_newer_version_is_passed_over() {
        let body = [&1_u32.to_be_bytes()[..], &1_000_u64.to_be_bytes(), &[9]].concat();
        let signature = mls(1).sign(&signed_bytes(PLACE, &body));
        let plain = [&body[..], signature.as_bytes()].concat();
        let inner = seal(&KEY, &context(PLACE), &plain, &Sevens);
        let newer = [&[VERSION][..], &PLACE.epoch.to_be_bytes(), &inner].concat();
        assert_eq!(opened(&newer), Err(NotEphemeral::Kind));
    }

    #[test]
    fn an_event_counts_once_and_while_it_is_fresh() {
        let mut last = LastEphemeral::default();
        let at = |millis| Timestamp::from_unix_millis(millis).unwrap();
        let event = opened(&sealed(1, 1)).unwrap();
        let newer = Ephemeral { sent_at_ms: 1_001, ..event };
        let other = Ephemeral { device_id: DeviceId::from_bytes([2; 16]), ..event };
        assert_eq!(last.take(PLACE.cid, &event, at(31_001)), Err(NotEphemeral::Stale));
        assert_eq!(last.take(PLACE.cid, &event, at(31_000)), Ok(()));
        assert_eq!(last.take(PLACE.cid, &event, at(1_000)), Err(NotEphemeral::Stale), "shown again");
        assert_eq!(last.take(PLACE.cid, &newer, at(1_000)), Ok(()));
        assert_eq!(last.take(PLACE.cid, &event, at(1_000)), Err(NotEphemeral::Stale), "an older one");
        assert_eq!(last.take(PLACE.cid, &other, at(1_000)), Ok(()), "of another device");
        let ahead = Ephemeral { sent_at_ms: 40_000, ..event };
        assert_eq!(last.take(PLACE.cid, &ahead, at(1_000)), Err(NotEphemeral::Stale));
    }
}
