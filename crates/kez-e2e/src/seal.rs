//! Bytes sealed with a key of 32 bytes: AES-256-GCM (NIST SP 800-38D), a random nonce of 12 bytes before the ciphertext.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use kez_core::ConversationId;

use crate::room::GroupInfoKey;
use crate::storage::{Chance, random};

/// What is bound to sealed group information, before the conversation and the epoch.
const GROUP_INFO: &[u8] = b"kez-chat/group-info/v1\0";

const NONCE_BYTES: usize = 12;

/// The sealed bytes are not of this key, of this place, or are damaged: nobody learns which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open with this key, here")]
pub struct NotOpened;

/// Seals `plain`, bound to `context`.
pub(crate) fn seal(key: &[u8; 32], context: &[u8], plain: &[u8], chance: &dyn Chance) -> Vec<u8> {
    let nonce = random::<NONCE_BYTES>(chance);
    let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key));
    let payload = Payload { msg: plain, aad: context };
    // Fails beyond 64 GiB only, which nothing here comes near; an empty text opens nowhere.
    let sealed = cipher.encrypt(Nonce::from_slice(&nonce), payload).unwrap_or_default();
    [&nonce[..], &sealed].concat()
}

/// Opens what [`seal`] made, bound to the same `context`.
pub(crate) fn open(key: &[u8; 32], context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotOpened> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(NotOpened)?;
    let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key));
    let payload = Payload { msg: sealed, aad: context };
    cipher.decrypt(Nonce::from_slice(nonce), payload).map_err(|_| NotOpened)
}

fn group_info_context(cid: ConversationId, epoch: u64) -> Vec<u8> {
    [GROUP_INFO, cid.as_bytes(), &epoch.to_be_bytes()].concat()
}

/// Seals the group information of an epoch for whoever has the key of the room.
pub(crate) fn seal_group_info(
    key: &GroupInfoKey,
    cid: ConversationId,
    epoch: u64,
    info: &[u8],
    chance: &dyn Chance,
) -> Vec<u8> {
    seal(key.expose(), &group_info_context(cid, epoch), info, chance)
}

/// Opens the group information of an epoch.
pub fn open_group_info(
    key: &GroupInfoKey,
    cid: ConversationId,
    epoch: u64,
    sealed: &[u8],
) -> Result<Vec<u8>, NotOpened> {
    open(key.expose(), &group_info_context(cid, epoch), sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Chance for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        }
    }

    #[test]
    fn only_the_same_key_place_and_bytes_open() {
        let (key, cid) = (GroupInfoKey::from_bytes([1; 32]), ConversationId::from_bytes([2; 16]));
        let sealed = seal_group_info(&key, cid, 3, b"info", &Counting);
        assert_eq!(open_group_info(&key, cid, 3, &sealed), Ok(b"info".to_vec()));
        let other = GroupInfoKey::from_bytes([9; 32]);
        assert_eq!(open_group_info(&other, cid, 3, &sealed), Err(NotOpened));
        assert_eq!(open_group_info(&key, ConversationId::from_bytes([9; 16]), 3, &sealed), Err(NotOpened));
        assert_eq!(open_group_info(&key, cid, 4, &sealed), Err(NotOpened));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert_eq!(open_group_info(&key, cid, 3, &flipped), Err(NotOpened), "byte {at}");
        }
        assert_eq!(open_group_info(&key, cid, 3, &sealed[..11]), Err(NotOpened));
    }
}
