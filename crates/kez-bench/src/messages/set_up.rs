//! People of the home server who talk in pairs: registered, each with a device, a session and one conversation.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use data_encoding::BASE64URL_NOPAD;
use kez_core::http_signature::Signer;
use kez_core::{
    ConversationId, DEVICE_SECONDS_MAX, Device, DeviceCertificate, DeviceId, Envelope, EnvelopeError,
    ExchangeKey, ExchangeSecret, Members, MessageId, PublicKey, Seed, SessionContext,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    frame,
    side::{Pair, Side, signed},
};
use crate::{error::Error, load::AnswerHead, people, process::Server};

/// Makes `pairs` pairs of people, who are new to the server.
pub(super) fn set_up(server: &Server, pairs: u32) -> Result<Side, Error> {
    let ask = Asked { addr: server.addr, host: server.addr.to_string() };
    let info: Value = serde_json::from_slice(&server.get("/v1/server")?).unwrap_or_default();
    let session_key = ask.parsed("/v1/server", &info, "session_key")?;
    let pair = |number| {
        let people = [Person::new(2 * number), Person::new(2 * number + 1)];
        let [sender, listener] = &people;
        sender.enter(&ask)?;
        listener.enter(&ask)?;
        let signers = [sender.open_session(&ask, session_key)?, listener.open_session(&ask, session_key)?];
        let conversation = ConversationId::from_bytes(derived(2 * number, "conversation"));
        let epoch = begin(&ask, &signers[0], conversation, sender, listener)?;
        ask.accept(&signers[1], conversation)?;
        Ok(Pair { conversation, epoch, signers })
    };
    people::on_all_cores(0..pairs, pair).map(Side::Product)
}

/// Creates the conversation of two people; the epoch it is in.
fn begin(
    ask: &Asked,
    signer: &Signer,
    conversation: ConversationId,
    sender: &Person,
    listener: &Person,
) -> Result<u64, Error> {
    // invariant: two people are between 1 and 64.
    let members = Members::try_from(vec![sender.key(), listener.key()]).expect("two people");
    let mid = MessageId::from_bytes(derived(sender.index, "creation"));
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let body = json!({"cid": conversation, "kind": "direct", "bundle": {
        "id": mid,
        "epoch": 0,
        "commit": encode(&frame::commit(conversation, mid, &members)),
        "welcomes": [{
            "welcome": encode(&frame::welcome()),
            "to": [{"primary": listener.key(), "device_id": listener.device_id}],
        }],
        "group_info": encode(&[0xa5; 512]),
        "members_after": [sender.key(), listener.key()],
    }});
    let path = "/v1/conversations";
    let answer = ask.signed(signer, path, &body)?;
    answer["epoch"].as_u64().ok_or_else(|| ask.refused(path, 201, answer.to_string()))
}

struct Person {
    index: u32,
    seed: Seed,
    device_id: DeviceId,
    auth: Seed,
    mls: Seed,
}

impl Person {
    fn new(index: u32) -> Self {
        Self {
            index,
            seed: people::seed(index),
            device_id: DeviceId::from_bytes(derived(index, "device")),
            auth: Seed::from_bytes(derived(index, "auth")),
            mls: Seed::from_bytes(derived(index, "mls")),
        }
    }

    fn key(&self) -> PublicKey {
        self.seed.public_key()
    }

    /// Registers, and takes a device in.
    fn enter(&self, ask: &Asked) -> Result<(), Error> {
        ask.post("/v1/register", people::registration(self.index)?.canonical().as_bytes())?;
        let (now, mls_key) = (people::now(), self.mls.public_key());
        // invariant: now is a year before the end of time, and before its own end.
        let expires_at = now.plus_seconds(DEVICE_SECONDS_MAX).expect("a time");
        let certificate = DeviceCertificate::issue(&self.seed, self.device_id, &mls_key, now, expires_at);
        let document = Device {
            server: people::SERVER.to_owned(),
            device_id: self.device_id,
            auth_key: self.auth.public_key(),
            mls_key,
            mls_certificate: certificate.expect("a window"),
            expires_at,
        };
        let envelope = Envelope::sign(&document, &self.seed, now).map_err(EnvelopeError::from)?;
        ask.post("/v1/devices", envelope.canonical().as_bytes()).map(drop)
    }

    fn open_session(&self, ask: &Asked, server: ExchangeKey) -> Result<Signer, Error> {
        let secret = ExchangeSecret::from_bytes(derived(self.index, "session"));
        let (primary, device_id) = (self.key(), self.device_id);
        let signer = Signer::Device { primary, device_id, seed: self.auth.clone() };
        let path = "/v1/session";
        let opened = ask.signed(&signer, path, &json!({"key": secret.public_key()}))?;
        let context = SessionContext { client: secret.public_key(), server, primary, device_id };
        let key = secret.session_key(&server, &context);
        let key = key.ok_or_else(|| ask.refused(path, 200, "a weak key".to_owned()))?;
        Ok(Signer::Session { token: ask.parsed(path, &opened, "session")?, key })
    }
}

/// The first bytes of a hash.
fn derived<const N: usize>(index: u32, purpose: &str) -> [u8; N] {
    let hash: [u8; 32] = Sha256::new_with_prefix(b"kez-bench ")
        .chain_update(purpose)
        .chain_update(index.to_le_bytes())
        .finalize()
        .into();
    std::array::from_fn(|at| hash[at])
}

/// A server that is asked before anything is measured.
struct Asked {
    addr: SocketAddr,
    host: String,
}

impl Asked {
    fn post(&self, path: &str, json: &[u8]) -> Result<Value, Error> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.host,
            json.len()
        );
        self.send(path, &[head.as_bytes(), json].concat())
    }

    fn signed(&self, signer: &Signer, path: &str, body: &Value) -> Result<Value, Error> {
        let mut request = Vec::new();
        signed(&mut request, signer, "POST", path, &self.host, Some(body.to_string().as_bytes()));
        self.send(path, &request)
    }

    fn accept(&self, signer: &Signer, conversation: ConversationId) -> Result<Value, Error> {
        let (path, mut request) = (format!("/v1/conversations/{conversation}/accept"), Vec::new());
        signed(&mut request, signer, "POST", &path, &self.host, None);
        self.send(&path, &request)
    }

    fn send(&self, path: &str, request: &[u8]) -> Result<Value, Error> {
        let (status, body) = self.exchange(request).map_err(Error::io("set the load up"))?;
        if status < 300 {
            return Ok(serde_json::from_slice(&body).unwrap_or_default());
        }
        Err(self.refused(path, status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn exchange(&self, request: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.write_all(request)?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut piece)?;
            answer.extend_from_slice(&piece[..read]);
            match AnswerHead::read(&answer)? {
                Some(head) if answer.len() >= head.bytes + head.body_bytes => {
                    return Ok((head.status, answer.split_off(head.bytes)));
                }
                _ if read == 0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
    }

    /// A member of an answer.
    fn parsed<T: std::str::FromStr>(&self, path: &str, answer: &Value, member: &str) -> Result<T, Error> {
        let value = answer[member].as_str().and_then(|text| text.parse().ok());
        value.ok_or_else(|| self.refused(path, 200, format!("no {member} in {answer}")))
    }

    fn refused(&self, path: &str, status: u16, body: String) -> Error {
        Error::SetUp { path: format!("http://{}{path}", self.host), status, body }
    }
}
