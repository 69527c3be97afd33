//! What a fuzzer throws bytes at, and what has to hold whatever they are. Used by `tests/fuzz.rs` on stable Rust and by
//! `fuzz/` with libFuzzer.
//!
//! Signatures keep a fuzzer out, so the targets sign what they are given with a key of their own where that is the only
//! way in; nothing in the crate lets a signature pass.

use data_encoding::BASE64URL_NOPAD;
use kez_core::encoding::{self, COMPACT_BYTES_MAX, COMPACT_PREFIX};
use kez_core::http_signature::{
    Nonce, RequestParts, SignatureClaim, Signer, check_content_digest, content_digest, sign,
};
use kez_core::json::{self, Object, Value};
use kez_core::mls_framing::{AppFrame, BadMessage, CheckedKeyPackage, CommitFrame, Message};
use kez_core::sigchain::{Chain, Event, Head, Op, RotationProof, append};
use kez_core::{
    Artifact, Claim, ConversationId, Device, DeviceCertificate, DeviceId, DeviceRevocation, Document,
    Enrolment, Envelope, Members, MessageId, Phrase, PrimaryKey, PublicKey, Registration, Seed, Timestamp,
};

/// A target and its name, which is that of its file in `fuzz/fuzz_targets/`.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: [Target; 7] = [
    ("envelope", envelope),
    ("chain_line", chain_line),
    ("compact", compact),
    ("markdown", markdown),
    ("phrase", phrase),
    ("signed_call", signed_call),
    ("mls", mls),
];

/// An envelope, or the payload of one that is then well signed.
pub(crate) fn envelope(data: &[u8]) {
    if let Ok(envelope) = Envelope::parse(data) {
        let again = Envelope::parse(envelope.canonical().as_bytes());
        assert_eq!(again.as_ref(), Ok(&envelope), "the canonical form is read back the same");
    }
    for tag in
        [Registration::TAG, Claim::TAG, Event::TAG, RotationProof::TAG, Device::TAG, DeviceRevocation::TAG]
    {
        let Some(signed) = signed(data, tag, |_| {}) else { return };
        round_trip::<Registration>(signed.clone());
        round_trip::<Claim>(signed.clone());
        round_trip::<Event>(signed.clone());
        round_trip::<RotationProof>(signed.clone());
        round_trip::<DeviceRevocation>(signed.clone());
        round_trip::<Device>(signed.clone());
        let _ = signed.verify::<Device>().map(Enrolment::check);
    }
}

/// A text of JSON lines, or the payload of an event that is put at the right place of a chain and well signed.
pub(crate) fn chain_line(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Chain::read(None, &text);
    let head = head();
    let place = |payload: &mut Object| {
        payload.insert("seq".into(), Value::Integer(1));
        payload.insert("prev".into(), head.hash.to_string().as_str().into());
        payload.insert("type".into(), Event::TYPE.into());
        payload.insert("version".into(), Value::Integer(1));
    };
    let Some(line) = signed(data, Event::TAG, place) else { return };
    if let Ok(appended) = append(head.chain, Some(&head), line.clone()) {
        assert_eq!((appended.head.seq, appended.head.chain), (1, head.chain));
        let is_rotation = matches!(appended.event.document().op, Op::Rotate { .. });
        assert_eq!(appended.head.primary != head.primary, is_rotation);
        assert!(append(head.chain, Some(&appended.head), line).is_err(), "no event follows itself");
    }
}

/// The digits of a compact form, the frame behind them, or what follows the magic number of a frame.
pub(crate) fn compact(data: &[u8]) {
    find(&format!("{COMPACT_PREFIX}{}", String::from_utf8_lossy(data)));
    find(&format!("{COMPACT_PREFIX}{}", BASE64URL_NOPAD.encode(data)));
    let frame = [&[0x28, 0xb5, 0x2f, 0xfd], data].concat();
    find(&format!("{COMPACT_PREFIX}{}", BASE64URL_NOPAD.encode(&frame)));
    find(&format!("{}{}", encoding::BUNDLE_PREFIX, BASE64URL_NOPAD.encode(data)));
}

/// Any text that may hold a document.
pub(crate) fn markdown(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    find(&text);
    find(&format!("```kez\n{text}\n```\n"));
}

/// Words of a recovery phrase.
pub(crate) fn phrase(data: &[u8]) {
    if let Ok(phrase) = String::from_utf8_lossy(data).parse::<Phrase>() {
        let words = phrase.words();
        let again: Phrase = words.parse().expect("our own words");
        assert_eq!(again.entropy(), phrase.entropy());
    }
}

/// A line of `Signature-Input`, one of `Signature`, and one of `Content-Digest`.
pub(crate) fn signed_call(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let [input, signature, digest] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let _ = check_content_digest(digest, BODY);
    let Ok(claim) = SignatureClaim::parse(input, signature) else { return };
    let parts = parts(claim.covers_body().then_some("x"));
    let base = claim.base(&parts).expect("parts that can be signed");
    let (_, params) = base.rsplit_once("\"@signature-params\": ").expect("the last line");
    let label = signature.split('=').next().unwrap_or_default();
    if let Ok(again) = SignatureClaim::parse(&format!("{}={params}", label.trim()), signature) {
        assert_eq!(again, claim, "what is signed is read back the same");
    }
    let key = kez_core::SessionKey::from_bytes([7; 32]);
    assert!(claim.verify_session(&key, &parts).is_err(), "nobody has signed with this key");
}

const BODY: &[u8] = b"{}";

fn parts(content_digest: Option<&str>) -> RequestParts<'_> {
    RequestParts { method: "PUT", authority: "kez.lat", path: "/", query: Some("a"), content_digest }
}

/// Three lines, by a device with a body or in a session without.
fn call(signer: &Signer, content_digest: Option<&str>) -> String {
    let nonce = Nonce::from_random([7; 16]);
    let headers = sign(signer, &parts(content_digest), at().unix_seconds(), 60, &nonce).expect("a call");
    format!("{}\n{}\n{}", headers.signature_input, headers.signature, content_digest.unwrap_or_default())
}

/// An MLS message, in each place where a server takes one, or a device certificate.
pub(crate) fn mls(data: &[u8]) {
    if let Ok(certificate) = DeviceCertificate::parse(data) {
        assert_eq!(certificate.to_bytes(), data);
    }
    let (cid, mid) = (ConversationId::from_bytes([1; 16]), MessageId::from_bytes([2; 16]));
    let members = Members::try_from(vec![seed().public_key()]).expect("one member");
    assert!(AppFrame::check(data, cid, mid).is_err(), "not for this conversation");
    assert!(CommitFrame::check(data, cid, mid, &members).is_err(), "not for this conversation");
    let Ok(message) = Message::parse(data) else { return };
    let longer = [data, &[0]].concat();
    assert_eq!(Message::parse(&longer), Err(BadMessage::TrailingBytes));
    assert_eq!(Message::parse(&data[..data.len() - 1]), Err(BadMessage::Truncated));
    if let Message::KeyPackage(package) = message
        && let Ok(certificate) = DeviceCertificate::parse(package.leaf_node.identity)
        && let Ok(key) = package.leaf_node.signature_key.try_into()
        && CheckedKeyPackage::check(data, &certificate, &PublicKey::from_bytes(key), mls_now()).is_ok()
    {
        assert!(mls_messages().iter().any(|(_, made)| made == data), "nobody signed this one");
    }
}

/// Inputs to start from, some of them for each target.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let seed = seed();
    let subject: kez_core::Identifier = "github:jason".parse().expect("an identifier");
    let claim = Claim { subject: subject.clone(), expires_at: Some(at()) };
    let claim = Envelope::sign(&claim, &seed, at()).expect("a claim");
    let new = Seed::from_bytes([0x43; 32]);
    let proof = Envelope::sign(&RotationProof::after(&head()), &new, at()).expect("a consent");
    let rotate = Op::Rotate { new_primary: new.public_key().into(), proof: Box::new(proof.clone()) };
    let events = [Op::Add { subject }, rotate]
        .map(|op| Envelope::sign(&head().next(op), &seed, at()).expect("an event").canonical().to_owned());
    let compact = encoding::compact(&claim).expect("small");
    let digits = compact.strip_prefix(COMPACT_PREFIX).expect("its own prefix").to_owned();
    let frame = BASE64URL_NOPAD.decode(digits.as_bytes()).expect("our own digits");
    let payloads = [&events[0], &events[1], &claim.canonical().to_owned(), &proof.canonical().to_owned()]
        .map(|text| payload_of(text));
    let mut corpus = vec![
        claim.canonical().as_bytes().to_vec(),
        encoding::markdown(&claim).into_bytes(),
        format!("\"{}\" \"{}\"", &compact[..100], &compact[100..]).into_bytes(),
        encoding::bundle(&events.join("\n")).expect("small").into_bytes(),
        events.join("\n").into_bytes(),
        compact.into_bytes(),
        digits.into_bytes(),
        frame[4..].to_vec(),
        frame,
        Phrase::from_seed(&seed).words().as_bytes().to_vec(),
        Phrase::from_short_entropy(&[7; 16]).words().as_bytes().to_vec(),
    ];
    let device_id = kez_core::DeviceId::from_bytes([7; 16]);
    let device = Signer::Device { primary: seed.public_key(), device_id, seed: seed.clone() };
    let key = kez_core::SessionKey::from_bytes([8; 32]);
    let session = Signer::Session { token: "token".parse().expect("a token"), key };
    corpus.push(call(&device, Some(&content_digest(BODY))).into_bytes());
    corpus.push(call(&session, None).into_bytes());
    corpus.extend(events.map(String::into_bytes));
    corpus.extend(payloads.map(String::into_bytes));
    let (device, certificate) = enrolled();
    corpus.push(payload_of(device.canonical()).into_bytes());
    corpus.push(certificate.to_bytes().to_vec());
    let of_interest = ["key_package_last_resort", "commit_external", "application", "group_info", "welcome"];
    corpus.extend(
        mls_messages()
            .into_iter()
            .filter(|(name, _)| of_interest.contains(&name.as_str()))
            .map(|(_, made)| made),
    );
    corpus
}

/// A device document and its certificate.
fn enrolled() -> (Envelope, DeviceCertificate) {
    let [auth_key, mls_key] = [0x44, 0x45].map(|byte| Seed::from_bytes([byte; 32]).public_key());
    let device_id = DeviceId::from_bytes([3; 16]);
    let expires_at = at().plus_seconds(86_400).expect("within the years");
    let mls_certificate =
        DeviceCertificate::issue(&seed(), device_id, &mls_key, at(), expires_at).expect("a window");
    let server = "kez.lat".to_owned();
    let device = Device { server, device_id, auth_key, mls_key, mls_certificate, expires_at };
    (Envelope::sign(&device, &seed(), at()).expect("a device"), mls_certificate)
}

/// The messages of `vectors/mls/openmls.json`.
fn mls_messages() -> Vec<(String, Vec<u8>)> {
    let members = mls_members().into_iter().filter(|(name, _)| name != "cid");
    members
        .filter_map(|(name, value)| Some((name, BASE64URL_NOPAD.decode(value.as_str()?.as_bytes()).ok()?)))
        .collect()
}

/// When they were made.
fn mls_now() -> Timestamp {
    match mls_members().get("now") {
        Some(Value::Integer(seconds)) => Timestamp::from_unix(*seconds, 0).expect("within the years"),
        other => panic!("{other:?}"),
    }
}

fn mls_members() -> Object {
    let text = include_str!("../../../../vectors/mls/openmls.json");
    json::parse(text.as_bytes()).ok().and_then(Value::into_object).expect("an object")
}

fn payload_of(envelope: &str) -> String {
    let members = json::parse(envelope.as_bytes()).ok().and_then(Value::into_object).expect("an object");
    members["payload"].canonical().expect("canonical")
}

/// Reads a text in every way there is.
fn find(text: &str) {
    let Ok(found) = Artifact::find(text) else { return };
    let is_compact = text.starts_with(COMPACT_PREFIX);
    for envelope in found.into_envelopes() {
        assert!(!is_compact || envelope.canonical().len() <= COMPACT_BYTES_MAX);
        let again = Artifact::find(&encoding::markdown(&envelope)).expect("our own form");
        assert_eq!(again, Artifact::Envelope(Box::new(envelope)));
    }
}

/// `data` as a payload under our key, well signed; `None` when it is no object of strict JSON.
fn signed(data: &[u8], tag: &str, change: impl FnOnce(&mut Object)) -> Option<Envelope> {
    let mut payload = json::parse(data).ok()?.into_object()?;
    change(&mut payload);
    let key = seed().public_key().to_string();
    payload.insert("primary".into(), key.as_str().into());
    payload.insert("created_at".into(), at().to_string().as_str().into());
    let payload = Value::Object(payload).canonical().ok()?;
    let sig = seed().sign(payload.as_bytes()).to_hex();
    let signature = format!(r#"{{"alg":"ed25519-sha512-jcs","key":"{key}","sig":"{sig}"}}"#);
    Envelope::parse(format!(r#"{{"kez":"{tag}","payload":{payload},"signature":{signature}}}"#).as_bytes())
        .ok()
}

/// What was read is written as it was, but for the spelling of subjects and members that the kind does not know.
fn round_trip<D: Document + PartialEq + std::fmt::Debug>(envelope: Envelope) {
    if let Ok(verified) = envelope.verify::<D>() {
        let again = D::from_payload(&verified.document().to_payload());
        assert_eq!(again.as_ref(), Ok(verified.document()));
    }
}

fn seed() -> Seed {
    Seed::from_bytes([0x42; 32])
}

fn at() -> Timestamp {
    Timestamp::from_unix(1_779_667_200, 0).expect("within the years")
}

/// The end of a chain of one event.
fn head() -> Head {
    let primary: PrimaryKey = seed().public_key().into();
    Head { chain: primary, primary, seq: 0, hash: kez_core::sigchain::EventHash::from_bytes([7; 32]) }
}
