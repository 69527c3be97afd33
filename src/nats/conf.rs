//! `kez-chat-server nats-config`: a nats.conf that is safe as it stands, and the keys that go with it.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;

use kez_core::ServerName;
use kez_serve::rng::Rng;

use super::keys::{NatsKeyError, NatsKeys, create};
use crate::base_url::BaseUrl;
use crate::config::NatsConfigArgs;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsConfigError {
    /// The folder cannot be made, or is there.
    #[error("--out {path}: {source}; name a folder that does not exist yet, so that no key is written over", path = path.display())]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Keys(#[from] NatsKeyError),
    /// The name of the server makes no URL.
    #[error("--server {0}: no browser takes https://{0} for an address; give --origin")]
    ServerName(ServerName),
    /// Nobody reads what is said.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// Makes the folder of `args` for the home server `server`, and says what is in it.
pub fn write(
    args: &NatsConfigArgs,
    server: &ServerName,
    rng: &dyn Rng,
    out: &mut dyn Write,
) -> Result<(), NatsConfigError> {
    let mut origins = args.origin.clone();
    if origins.is_empty() {
        origins.push(BaseUrl::https(server).map_err(|_| NatsConfigError::ServerName(server.clone()))?);
    }
    let folder = |source| NatsConfigError::Folder { path: args.out.clone(), source };
    fs::create_dir(&args.out).map_err(folder)?;
    let keys = NatsKeys::fresh(rng);
    keys.write(&args.out)?;
    create(&args.out.join("nats.conf"), 0o644, &text(args, &origins, server, &keys))?;
    writeln!(
        out,
        "Wrote {dir}/nats.conf, which holds public keys only, and five secrets beside it (mode 600).\n\
         \n\
         Start NATS         nats-server -c {dir}/nats.conf\n\
         Start this server  kez-chat-server --nats-url nats://127.0.0.1:{port} --nats-keys {dir}\n\
         \n\
         Give the NATS server nats.conf and nothing else of the folder. Back the folder up: whoever has issuer.seed\n\
         can log in as anybody.",
        dir = args.out.display(),
        port = args.listen.port(),
    )?;
    Ok(())
}

/// nats-server takes -1 for any free port.
fn address(addr: SocketAddr) -> String {
    match (addr.port(), addr.ip()) {
        (0, ip) if ip.is_ipv6() => format!("[{ip}]:-1"),
        (0, ip) => format!("{ip}:-1"),
        _ => addr.to_string(),
    }
}

fn text(args: &NatsConfigArgs, origins: &[BaseUrl], server: &ServerName, keys: &NatsKeys) -> String {
    let origins: Vec<_> = origins.iter().map(|origin| format!("\"{}\"", origin.as_str())).collect();
    format!(
        r#"# NATS for the KEZ home server of {server}. Only PUBLIC keys stand here; their seeds are the chat server's secret files.
server_name: "{name}"
listen: "{listen}"  # inner network; publish only with a tls {{}} block
http: "{monitor}"  # asks nobody for a password: never publish
max_payload: 128KB  # fits a frame of 64 KiB as base64url in JSON
max_pending: 8MB  # a reader this far behind is cut off
max_connections: 20000
max_subscriptions: 64  # of one connection, the chat server's included
max_control_line: 4KB  # a whole login
write_deadline: "10s"
ping_interval: "30s"
ping_max: 2
websocket {{
  listen: "{websocket}"
  no_tls: true  # ONLY behind the TLS proxy
  allowed_origins: [ {origins} ]  # programs that send no Origin pass all the same
  handshake_timeout: "5s"
  compression: false
}}
# The operator's own streams. Nothing of the home server's lies in them: a stream acknowledges before it is durable.
jetstream {{ store_dir: "{store_dir}", max_memory_store: 16MB, max_file_store: 1GB }}
accounts {{
  # Finds and kicks connections.
  SYS {{ users: [ {{ nkey: {sys}, permissions: {{
    publish: [ "$SYS.REQ.SERVER.*.KICK", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.PING.IDZ" ]
    subscribe: [ "_INBOX.>", "$SYS.ACCOUNT.CHAT.*" ] }} }} ] }}
  # Answers the callout.
  AUTH {{ users: [ {{ nkey: {auth}, permissions: {{
    publish: "$SYS._INBOX.>", subscribe: "$SYS.REQ.USER.AUTH" }} }} ] }}
  # The home server. A user of the operator's goes here and into auth_users.
  HOME {{
    jetstream: {{ max_mem: 16MB, max_file: 1GB, max_streams: 8, max_consumers: 64 }}
    users: [ {{ nkey: {home}, permissions: {{
      publish: [ "kez.inbox.>", "kez.node.>", "_R_.>", "_INBOX.>" ]
      subscribe: [ "kez.rpc.>", "kez.inbox.>", "kez.node.>", "_INBOX.>" ] }} }} ]
    exports: [ {{ service: "kez.rpc.>", accounts: [CHAT] }}, {{ stream: "kez.inbox.>", accounts: [CHAT] }} ]
  }}
  # People. The callout places them here, with permissions of their own; without those, anybody could send hints.
  CHAT {{
    users: []
    limits: {{ max_connections: 20000, max_subscriptions: 200000, max_payload: 131072 }}
    imports: [ {{ service: {{ account: HOME, subject: "kez.rpc.>" }} }},
               {{ stream: {{ account: HOME, subject: "kez.inbox.>" }} }} ]
  }}
}}
system_account: SYS
authorization {{
  timeout: 2  # seconds; 5 above some 5,000 clients
  auth_callout {{  # a change of these takes a restart
    issuer: {issuer}
    account: AUTH
    auth_users: [ {auth}, {home}, {sys} ]  # every user of this file
    xkey: {xkey}
  }}
}}
# A cluster adds cluster {{ name, listen, routes, tls }}: a private network, or TLS on both sides.
"#,
        name = args.name,
        listen = address(args.listen),
        monitor = address(args.monitor),
        websocket = address(args.websocket),
        origins = origins.join(", "),
        store_dir = args.store_dir.display(),
        sys = keys.sys.public_key(),
        auth = keys.auth.public_key(),
        home = keys.home.public_key(),
        issuer = keys.issuer.public_key(),
        xkey = keys.xkey.public_key(),
    )
}
