//! MLS messages: what is read of them, and a server's judgement.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use kez_core::mls_framing::{
    AppFrame, BadFrame, BadKeyPackage, BadMessage, CheckedKeyPackage, CommitFrame, ContentType, LeafSource,
    Message, Sender,
};
use kez_core::{ConversationId, DeviceCertificate, Members, MessageId, PublicKey, Timestamp};
use serde::Deserialize;

use super::each;

fn base64(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}

/// What a vector says about a message; absent: the message has no such field.
#[derive(Debug, Default, Deserialize, PartialEq)]
struct Fields {
    wire_format: String,
    group_id: Option<String>,
    epoch: Option<u64>,
    sender: Option<String>,
    index: Option<u32>,
    content_type: Option<String>,
    authenticated_data: Option<String>,
    cipher_suite: Option<u16>,
    init_key: Option<String>,
    signature_key: Option<String>,
    identity: Option<String>,
    not_before: Option<u64>,
    not_after: Option<u64>,
}

fn content_type(content_type: ContentType) -> String {
    match content_type {
        ContentType::Application => "application",
        ContentType::Proposal => "proposal",
        ContentType::Commit => "commit",
    }
    .to_owned()
}

fn sender(sender: Sender) -> (&'static str, Option<u32>) {
    match sender {
        Sender::Member(leaf) => ("member", Some(leaf)),
        Sender::External(index) => ("external", Some(index)),
        Sender::NewMemberProposal => ("new_member_proposal", None),
        Sender::NewMemberCommit => ("new_member_commit", None),
    }
}

fn fields(message: &Message<'_>) -> Fields {
    let hex = |bytes: &[u8]| Some(HEXLOWER.encode(bytes));
    match message {
        Message::Public { group_id, epoch, sender: from, content_type: kind, authenticated_data } => Fields {
            wire_format: "public".to_owned(),
            group_id: hex(group_id),
            epoch: Some(*epoch),
            sender: Some(sender(*from).0.to_owned()),
            index: sender(*from).1,
            content_type: Some(content_type(*kind)),
            authenticated_data: hex(authenticated_data),
            ..Fields::default()
        },
        Message::Private { group_id, epoch, content_type: kind, authenticated_data } => Fields {
            wire_format: "private".to_owned(),
            group_id: hex(group_id),
            epoch: Some(*epoch),
            content_type: Some(content_type(*kind)),
            authenticated_data: hex(authenticated_data),
            ..Fields::default()
        },
        Message::Welcome { cipher_suite } => Fields {
            wire_format: "welcome".to_owned(),
            cipher_suite: Some(*cipher_suite),
            ..Fields::default()
        },
        Message::GroupInfo { cipher_suite, group_id, epoch } => Fields {
            wire_format: "group_info".to_owned(),
            cipher_suite: Some(*cipher_suite),
            group_id: hex(group_id),
            epoch: Some(*epoch),
            ..Fields::default()
        },
        Message::KeyPackage(package) => {
            let LeafSource::KeyPackage(lifetime) = package.leaf_node.source else { panic!("another source") };
            Fields {
                wire_format: "key_package".to_owned(),
                cipher_suite: Some(package.cipher_suite),
                init_key: hex(package.init_key),
                signature_key: hex(package.leaf_node.signature_key),
                identity: hex(package.leaf_node.identity),
                not_before: Some(lifetime.not_before),
                not_after: Some(lifetime.not_after),
                ..Fields::default()
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages() {
    #[derive(Deserialize)]
    struct Valid {
        message: String,
        #[serde(flatten)]
        fields: Fields,
    }
    #[derive(Deserialize)]
    struct Invalid {
        message: String,
        error: String,
    }
    each("mls/message", "valid", |case: Valid| {
        let bytes = base64(&case.message);
        assert_eq!(fields(&Message::parse(&bytes).unwrap()), case.fields);
        // No message is the beginning of another.
        for end in 0..bytes.len() {
            let fault = Message::parse(&bytes[..end]).unwrap_err();
            assert_eq!(fault, BadMessage::Truncated, "after {end} bytes");
        }
    });
    each("mls/message", "invalid", |case: Invalid| {
        assert_eq!(Message::parse(&base64(&case.message)).unwrap_err().name(), case.error);
    });
}

#[derive(Deserialize)]
struct Frame {
    kind: String,
    message: String,
    cid: ConversationId,
    mid: MessageId,
    members_after: Members,
    epoch: Option<u64>,
    is_external: Option<bool>,
    error: Option<String>,
}

impl Frame {
    /// The epoch, and whether the sender joins.
    fn check(&self) -> Result<(u64, bool), &'static str> {
        let bytes = base64(&self.message);
        match self.kind.as_str() {
            "app" => AppFrame::check(&bytes, self.cid, self.mid)
                .map(|frame| (frame.epoch(), false))
                .map_err(BadFrame::name),
            _ => CommitFrame::check(&bytes, self.cid, self.mid, &self.members_after)
                .map(|frame| (frame.epoch(), frame.is_external()))
                .map_err(BadFrame::name),
        }
    }
}

#[test]
fn frames() {
    each("mls/frame", "valid", |case: Frame| {
        assert_eq!(case.check(), Ok((case.epoch.unwrap(), case.is_external.unwrap())));
    });
    each("mls/frame", "invalid", |case: Frame| {
        assert_eq!(case.check(), Err(case.error.as_deref().unwrap()));
    });
}

#[derive(Deserialize)]
struct Package {
    message: String,
    certificate: String,
    mls_key: PublicKey,
    now: Timestamp,
    init_key_sha256: Option<String>,
    not_after: Option<Timestamp>,
    is_last_resort: Option<bool>,
    error: Option<String>,
}

impl Package {
    fn check(&self) -> Result<CheckedKeyPackage, &'static str> {
        let certificate = DeviceCertificate::parse(&base64(&self.certificate)).unwrap();
        CheckedKeyPackage::check(&base64(&self.message), &certificate, &self.mls_key, self.now)
            .map_err(BadKeyPackage::name)
    }
}

#[test]
fn key_packages() {
    each("mls/key-package", "valid", |case: Package| {
        let package = case.check().unwrap();
        assert_eq!(Some(HEXLOWER.encode(package.init_key_sha256())), case.init_key_sha256);
        assert_eq!(Some(package.not_after()), case.not_after);
        assert_eq!(Some(package.is_last_resort()), case.is_last_resort);
    });
    each("mls/key-package", "invalid", |case: Package| {
        assert_eq!(case.check(), Err(case.error.as_deref().unwrap()));
    });
}

/// The folders below `mls` are read by the tests above.
#[test]
fn every_folder_below_has_a_reader() {
    let mut folders: Vec<String> = std::fs::read_dir(super::vectors().join("mls"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, ["frame", "key-package", "message"]);
}

/// What the others were made from is in one file, as it came out of another library.
#[test]
fn every_message_of_the_library_is_read() {
    let text = std::fs::read_to_string(super::vectors().join("mls/openmls.json")).unwrap();
    let made: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    for (name, value) in made.iter().filter(|(name, _)| !matches!(name.as_str(), "now" | "cid")) {
        let bytes = base64(value.as_str().unwrap());
        let message = Message::parse(&bytes).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        if let Message::KeyPackage(package) = message {
            assert_eq!(package.verify().is_ok(), package.cipher_suite == 1, "{name}");
        }
    }
}
