//! MLS messages (RFC 9420) as they look to a server: headers around bytes that nobody can decrypt.

use kez_core::{ConversationId, Members, MessageId, authenticated_data};

/// `PrivateMessage` with application data.
const APPLICATION: u8 = 1;
/// `PrivateMessage` with a commit.
const COMMIT: u8 = 3;

/// An application message of `bytes` bytes in all.
pub(super) fn app(conversation: ConversationId, mid: MessageId, epoch: u64, bytes: usize) -> Vec<u8> {
    let around = |ciphertext: usize| {
        let aad = authenticated_data::app(conversation, mid);
        private(conversation, epoch, APPLICATION, &aad, &vec![0xa5; ciphertext])
    };
    let room = bytes.saturating_sub(around(64).len() - 64); // 64 and more have a length of two bytes
    around(room)
}

/// The first commit of a conversation.
pub(super) fn commit(conversation: ConversationId, mid: MessageId, members_after: &Members) -> Vec<u8> {
    let aad = authenticated_data::commit(conversation, mid, members_after);
    private(conversation, 0, COMMIT, &aad, &[0xa5; 256])
}

/// A Welcome of the one suite.
pub(super) fn welcome() -> Vec<u8> {
    [&[0, 1, 0, 3, 0, 1][..], &vector(&[0xa5; 128]), &vector(&[0xa5; 512])].concat()
}

/// RFC 9420 section 6.3.
fn private(
    conversation: ConversationId,
    epoch: u64,
    content_type: u8,
    aad: &[u8],
    ciphertext: &[u8],
) -> Vec<u8> {
    [
        &[0, 1, 0, 2][..],
        &vector(conversation.as_bytes()),
        &epoch.to_be_bytes(),
        &[content_type],
        &vector(aad),
        &vector(&[0xa5; 28]),
        &vector(ciphertext),
    ]
    .concat()
}

/// RFC 9420 section 2.1.2, for up to 16,383 bytes.
fn vector(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let wide = (0x4000 | length).to_be_bytes();
    let prefix = if length < 64 { &wide[1..] } else { &wide[..] };
    [prefix, content].concat()
}

#[cfg(test)]
mod tests {
    use kez_core::mls_framing::{AppFrame, CommitFrame, Message};

    use super::*;

    #[test]
    fn a_server_takes_these_for_messages() {
        let (cid, mid) = (ConversationId::from_bytes([1; 16]), MessageId::from_bytes([2; 16]));
        let frame = app(cid, mid, 7, 1024);
        assert_eq!(
            (frame.len(), AppFrame::check(&frame, cid, mid).map(|frame| frame.epoch())),
            (1024, Ok(7))
        );
        let members = Members::try_from(vec![kez_core::Seed::from_bytes([3; 32]).public_key()]).expect("one");
        let commit = commit(cid, mid, &members);
        assert_eq!(CommitFrame::check(&commit, cid, mid, &members).map(|commit| commit.epoch()), Ok(0));
        assert!(matches!(Message::parse(&welcome()), Ok(Message::Welcome { cipher_suite: 1 })));
    }
}
