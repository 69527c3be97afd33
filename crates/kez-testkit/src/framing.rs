//! MLS messages that nobody can decrypt: headers as RFC 9420 section 6 frames them, around whatever a test puts in.
//!
//! For what a server reads. Tests that need real groups take real MLS.

use kez_core::{ConversationId, Members, MessageId, authenticated_data};

/// An MLS message in the making, which may become any kind of wrong.
#[derive(Debug, Clone)]
#[must_use]
pub struct FrameDraft {
    /// Private, or public by this sender.
    pub wire: Wire,
    /// The group: the 16 bytes of the conversation, when it is right.
    pub group_id: Vec<u8>,
    /// The epoch.
    pub epoch: u64,
    /// 1 application, 2 proposal, 3 commit.
    pub content_type: u8,
    /// What the sender signs beside the content.
    pub authenticated_data: Vec<u8>,
    /// The ciphertext; in a public message what was said, or nothing for a commit.
    pub content: Vec<u8>,
}

/// How a message is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `PrivateMessage`.
    Private,
    /// `PublicMessage` of the member at leaf 0.
    PublicMember,
    /// `PublicMessage` of somebody who joins by it.
    PublicNewMember,
}

impl FrameDraft {
    /// A private application message.
    pub fn app(conversation: ConversationId, message: MessageId, epoch: u64, content: &[u8]) -> Self {
        Self {
            wire: Wire::Private,
            group_id: conversation.as_bytes().to_vec(),
            epoch,
            content_type: 1,
            authenticated_data: authenticated_data::app(conversation, message),
            content: content.to_vec(),
        }
    }

    /// A private commit after which the conversation has these members.
    pub fn commit(
        conversation: ConversationId,
        message: MessageId,
        members_after: &Members,
        epoch: u64,
        content: &[u8],
    ) -> Self {
        Self {
            content_type: 3,
            authenticated_data: authenticated_data::commit(conversation, message, members_after),
            ..Self::app(conversation, message, epoch, content)
        }
    }

    /// The same, framed in another way.
    pub fn framed(self, wire: Wire) -> Self {
        Self { wire, ..self }
    }

    /// The `MLSMessage`.
    pub fn bytes(&self) -> Vec<u8> {
        match self.wire {
            Wire::Private => self.private(),
            Wire::PublicMember => self.public(&[1, 0, 0, 0, 0], true),
            Wire::PublicNewMember => self.public(&[4], false),
        }
    }

    /// RFC 9420 section 6.3.
    fn private(&self) -> Vec<u8> {
        let encrypted_sender_data = [7; 28];
        [
            &[0, 1, 0, 2][..],
            &vector(&self.group_id),
            &self.epoch.to_be_bytes(),
            &[self.content_type],
            &vector(&self.authenticated_data),
            &vector(&encrypted_sender_data),
            &vector(&self.content),
        ]
        .concat()
    }

    /// RFC 9420 section 6.2, with a signature and tags of the right length.
    fn public(&self, sender: &[u8], is_member: bool) -> Vec<u8> {
        let is_commit = self.content_type == 3;
        // A commit without proposals and without a path.
        let content = if is_commit { vec![0, 0] } else { vector(&self.content) };
        let (signature, tag) = (vector(&[7; 64]), vector(&[7; 32]));
        let head: [&[u8]; 6] = [
            &[0, 1, 0, 1],
            &vector(&self.group_id),
            &self.epoch.to_be_bytes(),
            sender,
            &vector(&self.authenticated_data),
            &[self.content_type],
        ];
        let confirmation_tag = if is_commit { tag.as_slice() } else { &[] };
        let membership_tag = if is_member { tag.as_slice() } else { &[] };
        [&head.concat()[..], &content, &signature, confirmation_tag, membership_tag].concat()
    }
}

/// A Welcome of the one suite (RFC 9420 section 12.4.3.1), with `content` where the encrypted group info stands.
pub fn welcome(content: &[u8]) -> Vec<u8> {
    [&[0, 1, 0, 3, 0, 1][..], &vector(&[7; 100]), &vector(content)].concat()
}

/// `opaque value<V>` (RFC 9420 section 2.1.2).
fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a length below 2^30");
    let [_, _, high, low] = length.to_be_bytes();
    let prefix = match length {
        0..0x40 => vec![low],
        0x40..0x4000 => vec![high | 0x40, low],
        0x4000..0x4000_0000 => (length | 0x8000_0000).to_be_bytes().to_vec(),
        _ => panic!("{length} bytes are no vector"),
    };
    [&prefix, bytes].concat()
}

#[cfg(test)]
mod tests {
    use kez_core::PublicKey;
    use kez_core::mls_framing::{AppFrame, CommitFrame, Message};

    use super::*;

    #[test]
    fn what_is_drafted_is_read() {
        let (cid, mid) = (ConversationId::from_bytes([1; 16]), MessageId::from_bytes([2; 16]));
        let members = Members::try_from(vec![PublicKey::from_bytes([3; 32])]).unwrap();
        for content in [0, 63, 64, 16_383, 16_384, 65_000] {
            let app = FrameDraft::app(cid, mid, 5, &vec![9; content]);
            assert_eq!(AppFrame::check(&app.bytes(), cid, mid).unwrap().epoch(), 5);
        }
        let commit = FrameDraft::commit(cid, mid, &members, 5, &[9; 100]);
        let read = CommitFrame::check(&commit.bytes(), cid, mid, &members).unwrap();
        assert_eq!((read.epoch(), read.is_external()), (5, false));
        let external = commit.framed(Wire::PublicNewMember).bytes();
        assert!(CommitFrame::check(&external, cid, mid, &members).unwrap().is_external());
        for wire in [Wire::PublicMember, Wire::PublicNewMember] {
            let public = FrameDraft::app(cid, mid, 5, &[9; 100]).framed(wire).bytes();
            assert!(matches!(Message::parse(&public), Ok(Message::Public { .. })));
        }
        assert!(matches!(Message::parse(&welcome(&[9; 100])), Ok(Message::Welcome { cipher_suite: 1 })));
    }
}
