//! A real nats-server, started from what `nats-config` writes, and a client that says exactly what a test wants.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use kez_chat_server::config::NatsConfigArgs;
use kez_core::Seed;
use kez_nats_auth::Nkey;
use kez_serve::rng::SystemRng;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::DEADLINE;
use crate::device::DeviceActor;
use crate::net::{Net, Setup};

/// Which nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatsVersion {
    /// The one that is recommended.
    Current,
    /// 2.10.27, for compatibility.
    Old,
}

/// How a client reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// NATS over TCP.
    Tcp,
    /// NATS over WebSocket (RFC 6455).
    WebSocket,
}

/// A nats-server of its own, ended when dropped.
#[derive(Debug)]
pub struct NatsServer {
    process: Child,
    /// `127.0.0.1:port`.
    pub tcp: String,
    /// `127.0.0.1:port`.
    pub websocket: String,
    /// Where its keys are.
    pub keys: PathBuf,
    dir: tempfile::TempDir,
}

/// The program, where it is; `None` after saying that the test is skipped. Panics where `KEZ_REQUIRE` names `nats`.
fn program(version: NatsVersion) -> Option<PathBuf> {
    let (name, file, tool) = match version {
        NatsVersion::Current => ("KEZ_NATS_SERVER", "nats-server", "nats"),
        NatsVersion::Old => ("KEZ_NATS_SERVER_OLD", "nats-server-2.10.27", "nats-old"),
    };
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools").join(file);
    let found = std::env::var_os(name).map(PathBuf::from).or_else(|| tools.is_file().then_some(tools));
    if found.is_none() {
        let required = std::env::var("KEZ_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|required| required == tool),
            "{tool} is required and missing: cargo xtask setup {tool}"
        );
        eprintln!("skipped: no {file}; run: cargo xtask setup {tool}");
    }
    found
}

impl NatsServer {
    /// Starts one on free ports, configured by `nats-config` and nothing else; `None`: it is not installed.
    pub async fn start(version: NatsVersion) -> Option<Self> {
        Self::with(version, |_| {}).await
    }

    /// The same, with a change of nats.conf.
    pub async fn with(version: NatsVersion, change: impl FnOnce(&mut String)) -> Option<Self> {
        let program = program(version)?;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let args = NatsConfigArgs {
            out: dir.path().join("kez-nats"),
            name: "nats-test".to_owned(),
            listen: any,
            websocket: any,
            monitor: any,
            origin: Vec::new(),
            store_dir: dir.path().join("streams"),
        };
        let server = "kez.lat".parse().expect("a server name");
        kez_chat_server::write_nats_config(&args, &server, &SystemRng, &mut std::io::sink())
            .expect("a configuration");
        let conf = args.out.join("nats.conf");
        let mut text = std::fs::read_to_string(&conf).expect("a configuration");
        change(&mut text);
        std::fs::write(&conf, text).expect("a configuration");
        let log = dir.path().join("log");
        let process = Command::new(program)
            .arg("-c")
            .arg(&conf)
            .arg("--ports_file_dir")
            .arg(dir.path())
            .arg("-l")
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        let mut server = Self { process, tcp: String::new(), websocket: String::new(), keys: args.out, dir };
        let ports = server.ports(&log).await;
        let url = |kind: &str| {
            let url = ports[kind][0].as_str().unwrap_or_default();
            url.split("://").nth(1).expect("an address").to_owned()
        };
        (server.tcp, server.websocket) = (url("nats"), url("websocket"));
        Some(server)
    }

    /// What the server writes down about its ports as soon as it has them.
    async fn ports(&mut self, log: &Path) -> Value {
        let folder = self.dir.path().to_owned();
        let found = async {
            loop {
                let files =
                    std::fs::read_dir(&folder).expect("the folder").flatten().map(|entry| entry.path());
                let mut ports = files.filter(|path| path.extension().is_some_and(|ext| ext == "ports"));
                let text = ports.next().and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
                if let Ok(ports) = serde_json::from_slice::<Value>(&text)
                    && ports["websocket"][0].is_string()
                {
                    return ports;
                }
                let ended = self.process.try_wait().expect("its state");
                assert!(ended.is_none(), "{}", std::fs::read_to_string(log).unwrap_or_default());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, found).await.expect("nats-server comes up in time")
    }

    /// Ends the process at once.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Net {
    /// A home server with a nats-server beside it, at the machine's time; `None`: there is no nats-server.
    pub async fn with_nats(
        version: NatsVersion,
        change: impl FnOnce(&mut Setup),
    ) -> Option<(Self, NatsServer)> {
        let nats = NatsServer::start(version).await?;
        let net = Self::beside(&nats, change).await;
        Some((net, nats))
    }

    /// A home server that uses this nats-server, once logins are possible.
    pub async fn beside(nats: &NatsServer, change: impl FnOnce(&mut Setup)) -> Self {
        let net = Self::today_with(|setup| {
            setup.live_clock = true;
            setup.args.nats_url = vec![format!("nats://{}", nats.tcp)];
            setup.args.nats_keys.clone_from(&nats.keys);
            setup.args.nats_public_url = vec![format!("nats://{}", nats.tcp)];
            change(setup);
        })
        .await;
        net.until_ready().await;
        net
    }

    /// Waits until the server is ready, which it is not before logins to NATS are possible.
    pub async fn until_ready(&self) {
        let ready = async {
            while self.get("/v1/readyz").await.status() != 200 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, ready).await.expect("the server is ready in time");
    }
}

impl DeviceActor {
    /// What a client of this device sends for `nonce`.
    pub fn nats_login(&self, nonce: &str) -> Value {
        let token = BASE64URL_NOPAD.encode(self.enrolment_at_first().as_bytes());
        let mut login = nats_login(&self.auth_seed(), nonce);
        login["auth_token"] = token.into();
        login
    }

    /// `kez.rpc.<A>.<d>.<op>`.
    pub fn call_subject(&self, op: &str) -> String {
        format!("kez.rpc.{}.{}.{op}", self.owner().key().to_hex(), self.id())
    }

    /// `_INBOX_<A>_<d>`.
    pub fn reply_prefix(&self) -> String {
        format!("_INBOX_{}_{}", self.owner().key().to_hex(), self.id())
    }
}

/// What a client of a key alone sends for `nonce`.
pub fn nats_login(seed: &Seed, nonce: &str) -> Value {
    let signature = seed.sign(nonce.as_bytes());
    json!({
        "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "protocol": 1,
        "lang": "test", "version": "1",
        "nkey": Nkey::user(&seed.public_key()).to_string(),
        "sig": BASE64URL_NOPAD.encode(signature.as_bytes()),
    })
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A message.
    Message {
        /// Where it was published to.
        subject: String,
        /// Where an answer goes.
        reply: Option<String>,
        /// Headers, as they stand, and the payload.
        payload: String,
    },
    /// `-ERR`.
    Error(String),
    /// The connection is over.
    Closed,
}

/// A client that says exactly what a test wants, over either wire.
#[derive(Debug)]
pub struct NatsPeer {
    stream: TcpStream,
    wire: Wire,
    /// Bytes of the protocol that were not looked at.
    bytes: Vec<u8>,
    /// Bytes of WebSocket frames that are not whole yet.
    frames: Vec<u8>,
    /// The first line of the server.
    pub info: Value,
    next_sid: u64,
}

impl NatsPeer {
    /// Connects and reads INFO.
    pub async fn open(nats: &NatsServer, wire: Wire) -> Self {
        let addr = if wire == Wire::Tcp { &nats.tcp } else { &nats.websocket };
        let mut stream = TcpStream::connect(addr).await.expect("nats-server listens");
        if wire == Wire::WebSocket {
            let asked = format!(
                "GET / HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
                BASE64.encode(&[7; 16])
            );
            stream.write_all(asked.as_bytes()).await.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("an answer"));
            }
            assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        }
        let (bytes, frames) = (Vec::new(), Vec::new());
        let mut peer = Self { stream, wire, bytes, frames, info: Value::Null, next_sid: 1 };
        let line = peer.line().await.expect("INFO");
        peer.info = serde_json::from_str(line.strip_prefix("INFO ").expect("INFO")).expect("JSON");
        peer
    }

    /// Connects as a device.
    pub async fn of(nats: &NatsServer, wire: Wire, device: &DeviceActor) -> Self {
        let mut peer = Self::open(nats, wire).await;
        let login = device.nats_login(&peer.nonce());
        peer.log_in(&login).await.unwrap_or_else(|error| panic!("not let in: {error}"));
        peer
    }

    /// What is to be signed.
    pub fn nonce(&self) -> String {
        self.info["nonce"].as_str().unwrap_or_default().to_owned()
    }

    /// Sends CONNECT; whether the server lets it in, or its words.
    pub async fn log_in(&mut self, connect: &Value) -> Result<(), String> {
        self.say(&format!("CONNECT {connect}\r\nPING\r\n")).await;
        loop {
            match self.line().await {
                None => return Err("closed".to_owned()),
                Some(line) if line == "PONG" => return Ok(()),
                Some(line) if line.starts_with("-ERR") => return Err(line),
                Some(_) => {}
            }
        }
    }

    /// Subscribes; the server may refuse it later.
    pub async fn subscribe(&mut self, subject: &str, queue: Option<&str>) -> u64 {
        let sid = self.next_sid;
        self.next_sid += 1;
        let queue = queue.map_or(String::new(), |queue| format!("{queue} "));
        self.say(&format!("SUB {subject} {queue}{sid}\r\n")).await;
        sid
    }

    /// Publishes.
    pub async fn publish(&mut self, subject: &str, reply: Option<&str>, payload: &str) {
        let reply = reply.map_or(String::new(), |reply| format!("{reply} "));
        self.say(&format!("PUB {subject} {reply}{}\r\n{payload}\r\n", payload.len())).await;
    }

    /// Publishes with headers, which end with an empty line.
    pub async fn publish_with_headers(&mut self, subject: &str, reply: &str, headers: &str, payload: &str) {
        let head = format!("NATS/1.0\r\n{headers}\r\n\r\n");
        let total = head.len() + payload.len();
        self.say(&format!("HPUB {subject} {reply} {} {total}\r\n{head}{payload}\r\n", head.len())).await;
    }

    /// Calls an operation as `device`; the answer.
    pub async fn call(&mut self, device: &DeviceActor, op: &str, call: &Value) -> Value {
        let reply = format!("{}.{}", device.reply_prefix(), self.next_sid);
        self.subscribe(&reply, None).await;
        self.publish(&device.call_subject(op), Some(&reply), &call.to_string()).await;
        loop {
            match self.next().await {
                Said::Message { subject, payload, .. } if subject == reply => {
                    return serde_json::from_str(&payload).unwrap_or(Value::String(payload));
                }
                Said::Message { .. } => {}
                other => panic!("{op}: {other:?}"),
            }
        }
    }

    /// Everything that the server said until it has dealt with all that was sent.
    pub async fn flush(&mut self) -> Vec<Said> {
        self.say("PING\r\n").await;
        let mut said = Vec::new();
        loop {
            match self.item().await {
                None => {
                    said.push(Said::Closed);
                    return said;
                }
                Some(Item::Pong) => return said,
                Some(Item::Said(one)) => said.push(one),
            }
        }
    }

    /// What comes next.
    pub async fn next(&mut self) -> Said {
        loop {
            match self.item().await {
                None => return Said::Closed,
                Some(Item::Pong) => {}
                Some(Item::Said(said)) => return said,
            }
        }
    }

    async fn item(&mut self) -> Option<Item> {
        loop {
            let line = self.line().await?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["PING"] => self.say("PONG\r\n").await,
                ["PONG"] => return Some(Item::Pong),
                ["MSG", subject, _, rest @ .., length] => {
                    let payload = self.payload(length).await?;
                    return Some(Item::Said(message(subject, rest.first(), payload)));
                }
                ["HMSG", subject, _, rest @ .., _, length] => {
                    let payload = self.payload(length).await?;
                    return Some(Item::Said(message(subject, rest.first(), payload)));
                }
                [first, ..] if first.starts_with("-ERR") => return Some(Item::Said(Said::Error(line))),
                _ => {}
            }
        }
    }

    /// Says something; a connection that is over is noticed by who reads.
    pub async fn say(&mut self, text: &str) {
        let bytes = match self.wire {
            Wire::Tcp => text.as_bytes().to_vec(),
            Wire::WebSocket => frame(text.as_bytes()),
        };
        let _ = self.stream.write_all(&bytes).await;
    }

    async fn payload(&mut self, length: &str) -> Option<String> {
        let length: usize = length.parse().expect("a length");
        while self.bytes.len() < length + 2 {
            self.read().await?;
        }
        let payload = self.bytes.drain(..length + 2).take(length).collect::<Vec<_>>();
        Some(String::from_utf8_lossy(&payload).into_owned())
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|two| two == b"\r\n") {
                let line = self.bytes.drain(..end + 2).take(end).collect::<Vec<_>>();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Option<()> {
        let mut piece = vec![0; 16 * 1024];
        let read = timeout(DEADLINE, self.stream.read(&mut piece)).await.expect("nats-server goes on");
        let read = read.ok().filter(|read| *read > 0)?;
        if self.wire == Wire::Tcp {
            self.bytes.extend_from_slice(&piece[..read]);
            return Some(());
        }
        self.frames.extend_from_slice(&piece[..read]);
        while let Some((opcode, length, head)) = frame_head(&self.frames) {
            if self.frames.len() < head + length {
                break;
            }
            let payload: Vec<u8> = self.frames.drain(..head + length).skip(head).collect();
            match opcode {
                8 => return None,
                _ => self.bytes.extend(payload),
            }
        }
        Some(())
    }
}

enum Item {
    Pong,
    Said(Said),
}

fn message(subject: &str, reply: Option<&&str>, payload: String) -> Said {
    Said::Message { subject: subject.to_owned(), reply: reply.map(|reply| (*reply).to_owned()), payload }
}

/// A binary frame under a mask of zeros. RFC 6455 section 5.2.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).expect("short")),
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Opcode, length of the payload, length of what stands before it.
fn frame_head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    let opcode = first & 0x0f;
    Some(match second & 0x7f {
        126 => (opcode, u16::from_be_bytes(*rest.first_chunk::<2>()?).into(), 4),
        127 => (opcode, u64::from_be_bytes(*rest.first_chunk::<8>()?).try_into().ok()?, 10),
        short => (opcode, short.into(), 2),
    })
}
