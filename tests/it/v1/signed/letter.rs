//! A signed call put together by hand, by the text of RFC 9421 and none of our code, so that it can be wrong anywhere.

use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::BASE64;
use kez_core::Seed;
use kez_testkit::{Answer, Call, DeviceActor, Net};
use sha2::{Digest as _, Sha256};

/// Where each accepted call writes something: a body of [`next`] moves the cursor further than all before it.
pub(super) const TARGET: &str = "/v1/inbox/ack";

/// A body that writes something if it is accepted: beyond the few events that there are when a device is taken in.
pub(super) fn next() -> String {
    static LAST: AtomicU64 = AtomicU64::new(1_000);
    format!("{{\"n\":{}}}", LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// Gives every inbox more events than are ever acknowledged here.
pub(super) fn fill_inboxes(net: &Net) {
    let file = rusqlite::Connection::open(net.args().db).expect("the file opens");
    let far = "INSERT OR IGNORE INTO inbox (account, n, kind, subject, change, at)
        SELECT account, 1 << 40, 2, min(id), 0, 0 FROM devices GROUP BY account";
    file.execute(far, []).expect("written");
}

/// A call that writes something if it is accepted. What is signed and what is sent are told apart.
pub(super) struct Letter {
    pub(super) phone: DeviceActor,
    pub(super) signed: SignedParts,
    pub(super) sent: SentParts,
    pub(super) covered: Vec<String>,
    pub(super) created: i64,
    pub(super) expires: i64,
    pub(super) nonce: String,
    pub(super) keyid: String,
    pub(super) alg: String,
    pub(super) tag: String,
    /// After all other parameters.
    pub(super) further: String,
    pub(super) seed: Seed,
    pub(super) is_signed: bool,
    /// How often the signature is sent, under labels of their own.
    pub(super) copies: usize,
    /// What becomes of the signature's bytes.
    pub(super) spoil: fn(&mut Vec<u8>),
    /// A text of `Signature-Input` and what takes its place once all is signed.
    pub(super) swap: (&'static str, &'static str),
    pub(super) content_type: &'static str,
    without: Option<&'static str>,
}

pub(super) struct SignedParts {
    pub(super) method: String,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) digest: String,
}

pub(super) struct SentParts {
    pub(super) target: String,
    pub(super) host: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) body: String,
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

/// `Content-Digest` of a body (RFC 9530 section 2).
pub(super) fn digest(body: &str) -> String {
    format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body)))
}

impl Letter {
    /// One with nothing wrong.
    pub(super) fn new(phone: &DeviceActor) -> Self {
        let net = phone.owner().net();
        let (now, body) = (net.now().unix_seconds(), next());
        fill_inboxes(net);
        Self {
            signed: SignedParts {
                method: "POST".into(),
                authority: net.addr().to_string(),
                path: TARGET.into(),
                query: "?".into(),
                digest: digest(&body),
            },
            sent: SentParts {
                target: TARGET.into(),
                host: None,
                digest: Some(digest(&body)),
                body,
                headers: Vec::new(),
            },
            covered: ["@method", "@authority", "@path", "@query", "content-digest"].map(String::from).into(),
            created: now,
            expires: now + 60,
            nonce: "0123456789abcdefghij".into(),
            keyid: format!("{}/{}", phone.owner().key(), phone.id()),
            alg: "ed25519".into(),
            tag: "kez-chat".into(),
            further: String::new(),
            seed: phone.auth_seed(),
            is_signed: true,
            copies: 1,
            spoil: |_| {},
            swap: ("", ""),
            content_type: "application/json",
            without: None,
            phone: phone.clone(),
        }
    }

    /// Signs and sends this body.
    pub(super) fn write(&mut self, body: &str) {
        self.signed.digest = digest(body);
        self.sent.digest = Some(digest(body));
        body.clone_into(&mut self.sent.body);
    }

    /// Signs and sends to another name.
    pub(super) fn to(&mut self, host: &str, authority: &str) {
        self.sent.host = Some(host.into());
        self.signed.authority = authority.into();
    }

    /// `created` and `expires`, by seconds from now.
    pub(super) fn times(&mut self, created: i64, expires: i64) {
        let now = self.phone.owner().net().now().unix_seconds();
        (self.created, self.expires) = (now + created, now + expires);
    }

    /// Leaves a parameter out.
    pub(super) fn without(&mut self, parameter: &'static str) {
        self.without = Some(parameter);
    }

    /// Leaves a component out.
    pub(super) fn uncover(&mut self, component: &str) {
        self.covered.retain(|covered| covered != component);
    }

    pub(super) fn key_of(&self, person: &str) -> String {
        self.phone.owner().net().actor(person).key().to_string()
    }

    pub(super) fn key_id_of(&self, person: &str, device: &str) -> String {
        let device = self.phone.owner().net().actor(person).device(device);
        format!("{}/{}", device.owner().key(), device.id())
    }

    pub(super) async fn send(&self, net: &Net) -> Answer {
        self.call(net).send().await
    }

    pub(super) fn call(&self, net: &Net) -> Call {
        let mut call = net.post(&self.sent.target).header("content-type", self.content_type);
        call = self.sent.host.iter().fold(call, |call, host| call.header("host", host));
        call = self.sent.digest.iter().fold(call, |call, digest| call.header("content-digest", digest));
        call = self.sent.headers.iter().fold(call, |call, (name, value)| call.header(name, value));
        if self.is_signed {
            let params = self.params();
            let mut bytes = self.seed.sign(self.base(&params).as_bytes()).as_bytes().to_vec();
            (self.spoil)(&mut bytes);
            let (from, to) = self.swap;
            let params = if from.is_empty() { params } else { params.replace(from, to) };
            for copy in 0..self.copies {
                call = call
                    .header("signature-input", &format!("sig{copy}={params}"))
                    .header("signature", &format!("sig{copy}=:{}:", BASE64.encode(&bytes)));
            }
        }
        call.body(self.sent.body.clone())
    }

    /// RFC 9421 section 2.3.
    fn params(&self) -> String {
        let covered: Vec<_> = self.covered.iter().map(|name| format!("\"{name}\"")).collect();
        let all = [
            ("created", self.created.to_string()),
            ("expires", self.expires.to_string()),
            ("nonce", format!("\"{}\"", self.nonce)),
            ("keyid", format!("\"{}\"", self.keyid)),
            ("alg", format!("\"{}\"", self.alg)),
            ("tag", format!("\"{}\"", self.tag)),
        ];
        let kept = all.iter().filter(|(name, _)| self.without != Some(*name));
        let parameters: Vec<_> = kept.map(|(name, value)| format!(";{name}={value}")).collect();
        format!("({}){}{}", covered.join(" "), parameters.concat(), self.further)
    }

    /// RFC 9421 section 2.5.
    fn base(&self, params: &str) -> String {
        let value = |name: &str| match name {
            "@method" => self.signed.method.clone(),
            "@authority" => self.signed.authority.clone(),
            "@path" => self.signed.path.clone(),
            "@query" => self.signed.query.clone(),
            "content-digest" => self.signed.digest.clone(),
            "content-type" => self.content_type.to_owned(),
            other => panic!("{other} is not known here"),
        };
        let lines: Vec<_> =
            self.covered.iter().map(|name| format!("\"{name}\": {}\n", value(name))).collect();
        format!("{}\"@signature-params\": {params}", lines.concat())
    }
}
