//! Flags, environment names, defaults, and what is said about wrong ones.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use insta::assert_snapshot;
use kez_chat_server::config::Cli;
use kez_testkit::Call;
use rustix::process::Signal;

use super::{Running, run};

/// The rows `flag, environment name, default` of the command.
fn table() -> Vec<[String; 3]> {
    let command = Cli::command();
    let flags =
        command.get_arguments().filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"));
    let row = |argument: &clap::Arg| {
        let defaults: Vec<_> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        [
            format!("--{}", argument.get_long().expect("a long flag")),
            argument.get_env().expect("an environment name").to_string_lossy().into_owned(),
            if defaults.concat().is_empty() { "-".into() } else { defaults.join(",") },
        ]
    };
    flags.map(row).collect()
}

/// The first five rows are the product's promise; the others are ours.
#[test]
fn flags_names_and_defaults_are_those_of_the_specification() {
    let table = table();
    let mut text = String::new();
    for [flag, env, default] in &table {
        assert_eq!(*env, format!("KEZ_CHAT_{}", flag[2..].replace('-', "_").to_uppercase()));
        writeln!(text, "{flag} | {env} | {default}").expect("a String");
    }
    assert_snapshot!(text, @r#"
    --bind | KEZ_CHAT_BIND | 0.0.0.0:6969
    --db | KEZ_CHAT_DB | kez-chat.db
    --server | KEZ_CHAT_SERVER | kez.lat
    --sig-server-url | KEZ_CHAT_SIG_SERVER_URL | http://localhost:7878
    --web-dir | KEZ_CHAT_WEB_DIR | -
    --public-url | KEZ_CHAT_PUBLIC_URL | -
    --secret-file | KEZ_CHAT_SECRET_FILE | -
    --trusted-proxy | KEZ_CHAT_TRUSTED_PROXY | -
    --rate-limit | KEZ_CHAT_RATE_LIMIT | on
    --registration | KEZ_CHAT_REGISTRATION | open
    --retention-days | KEZ_CHAT_RETENTION_DAYS | 30
    --message-storage-max | KEZ_CHAT_MESSAGE_STORAGE_MAX | 10GiB
    --blob-store | KEZ_CHAT_BLOB_STORE | -
    --blob-storage-max | KEZ_CHAT_BLOB_STORAGE_MAX | 10GiB
    --sig-bind | KEZ_CHAT_SIG_BIND | 127.0.0.1:7878
    --sig-chain-limits | KEZ_CHAT_SIG_CHAIN_LIMITS | 10/h,30/d,100/w
    --sig-storage-max | KEZ_CHAT_SIG_STORAGE_MAX | 10GiB
    --nats-url | KEZ_CHAT_NATS_URL | -
    --nats-keys | KEZ_CHAT_NATS_KEYS | kez-nats
    --nats-public-url | KEZ_CHAT_NATS_PUBLIC_URL | -
    "#);
}

/// Each flag by its environment name, and by the flag over it.
#[tokio::test]
async fn the_environment_counts_and_a_flag_counts_more() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("web")).expect("a folder");
    std::fs::write(dir.path().join("web/index.html"), "the client").expect("a file");
    let env = [
        ("KEZ_CHAT_DB", "by-env.db"),
        ("KEZ_CHAT_SERVER", "env.example"),
        ("KEZ_CHAT_SIG_SERVER_URL", "https://sig.env.example"),
        ("KEZ_CHAT_WEB_DIR", "web"),
        ("KEZ_CHAT_PUBLIC_URL", "https://a.env.example,https://b.env.example"),
        ("KEZ_CHAT_SECRET_FILE", "by-env.secret"),
        ("KEZ_CHAT_TRUSTED_PROXY", "10.0.0.0/8, ::1"),
        ("KEZ_CHAT_RATE_LIMIT", "off"),
        ("KEZ_CHAT_REGISTRATION", "closed"),
        ("KEZ_CHAT_RETENTION_DAYS", "29"),
        ("KEZ_CHAT_SIG_BIND", "off"),
    ];
    let server = Running::start(dir.path(), &env, &[]).await;
    let info = Call::to(server.addr, "GET", "/v1/server").send().await.json();
    assert_eq!(info["server"], "env.example");
    assert_eq!(info["sig_server_url"], "https://sig.env.example");
    assert_eq!(info["public_urls"], serde_json::json!(["https://a.env.example", "https://b.env.example"]));
    assert_eq!(info["registration"], "closed");
    assert_eq!(info["retention_days"], 29);
    assert_eq!(Call::to(server.addr, "GET", "/").send().await.text(), "the client");
    for file in ["by-env.db", "by-env.secret"] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
    server.stop(Signal::TERM).await;

    let flags = [
        "--db",
        "by-flag.db",
        "--server",
        "flag.example",
        "--sig-server-url",
        "https://sig.flag.example",
        "--public-url",
        "https://flag.example",
        "--registration",
        "invite",
        "--retention-days",
        "28",
        "--secret-file",
        "by-flag.secret",
        "--blob-store",
        "by-flag.blobs",
    ];
    let server = Running::start(dir.path(), &env, &flags).await;
    let info = Call::to(server.addr, "GET", "/v1/server").send().await.json();
    assert_eq!(info["server"], "flag.example");
    assert_eq!(info["sig_server_url"], "https://sig.flag.example");
    assert_eq!(info["public_urls"], serde_json::json!(["https://flag.example"]));
    assert_eq!(info["registration"], "invite");
    assert_eq!(info["retention_days"], 28);
    for file in ["by-flag.db", "by-flag.secret"] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
    assert!(dir.path().join("by-flag.blobs/spool").is_dir());
    let (status, _) = server.stop(Signal::INT).await;
    assert!(status.success());
}

/// Environment and arguments.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

/// What an operator may get wrong.
const WRONG: &[Case] = &[
    (&[], &["--bind", "localhost"]),
    (&[], &["--bind", "127.0.0.1:99999"]),
    (&[("KEZ_CHAT_BIND", "6969")], &[]),
    (&[], &["--db", ""]),
    (&[], &["--db", "postgres://localhost/kez"]),
    (&[], &["--db", "missing/kez-chat.db"]),
    (&[], &["--db", "other.db"]),
    (&[], &["--server", "KEZ.LAT"]),
    (&[], &["--server", "https://kez.lat"]),
    (&[("KEZ_CHAT_SERVER", "127.0.0.1")], &[]),
    (&[], &["--server", "xn--a.lat"]),
    (&[], &["--sig-server-url", "localhost:7878"]),
    (&[], &["--web-dir", "missing"]),
    (&[], &["--public-url", "ftp://kez.lat"]),
    (&[], &["--public-url", "https://user@kez.lat"]),
    (&[], &["--secret-file", "damaged.secret"]),
    (&[], &["--trusted-proxy", "proxy.local"]),
    (&[], &["--rate-limit", "maybe"]),
    (&[], &["--registration", "friends"]),
    (&[], &["--retention-days", "0"]),
    (&[("KEZ_CHAT_RETENTION_DAYS", "31")], &[]),
    (&[], &["--blob-store", "s3://bucket"]),
    (&[], &["--blob-storage-max", "10GB"]),
    (&[], &["--sig-bind", "on"]),
    (&[], &["--sig-chain-limits", "10 per hour"]),
    (&[], &["--sig-storage-max", "10GB"]),
    (&[("RUST_LOG", "kez=loud")], &[]),
    (&[], &["--colour"]),
    (&[], &["serve"]),
    (&[], &["invite", "create", "--uses", "0"]),
    (&[], &["invite", "create", "--days", "100000"]),
    (&[], &["invite", "list", "--db", "missing.db"]),
    (&[], &["invite", "revoke", "one"]),
];

/// Nothing starts on a mistake: one line names the flag and the cure, the exit code is not 0.
#[tokio::test]
async fn wrong_values_are_refused_with_the_cure() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(
        dir.path().join("other.db"),
        "this is a letter to my aunt, and no database at all".repeat(100),
    )
    .expect("a file");
    std::fs::write(dir.path().join("damaged.secret"), "x").expect("a file");
    std::fs::set_permissions(
        dir.path().join("damaged.secret"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .expect("a mode");
    let mut shown = String::new();
    for (env, args) in WRONG {
        let env = [&[("KEZ_CHAT_BIND", "127.0.0.1:0")], *env].concat();
        let outcome = run(dir.path(), &env, args).await;
        assert_ne!(outcome.code, 0, "{args:?}");
        assert_eq!(outcome.stdout, "", "{args:?}");
        assert!(
            !outcome.stderr.contains("panicked") && !outcome.stderr.contains('\u{1b}'),
            "{args:?}: {}",
            outcome.stderr
        );
        let line = outcome.stderr.lines().next().unwrap_or_default();
        let line = line.replace(dir.path().to_str().expect("UTF-8"), "[dir]");
        assert!(line.starts_with("error: "), "{args:?}: {}", outcome.stderr);
        writeln!(shown, "{line}").expect("a String");
    }
    assert_snapshot!(shown, @r#"
    error: invalid value 'localhost' for '--bind <ADDR:PORT>': give an IP address and a port, such as 127.0.0.1:6969 or [::]:6969
    error: invalid value '127.0.0.1:99999' for '--bind <ADDR:PORT>': give an IP address and a port, such as 127.0.0.1:6969 or [::]:6969
    error: invalid value '6969' for '--bind <ADDR:PORT>': give an IP address and a port, such as 127.0.0.1:6969 or [::]:6969
    error: invalid value '' for '--db <FILE>': name a file, such as kez-chat.db
    error: invalid value 'postgres://localhost/kez' for '--db <FILE>': this version keeps its data in a SQLite file; name a file, such as kez-chat.db
    error: --db missing/kez-chat.db: its folder does not exist; make the folder, or name a file in an existing one
    error: --db: [dir]/other.db is not a database of this program and was left alone: choose another path
    error: invalid value 'KEZ.LAT' for '--server <NAME>': not a lower-case DNS name such as example.org (no port, no scheme, no IP address)
    error: invalid value 'https://kez.lat' for '--server <NAME>': not a lower-case DNS name such as example.org (no port, no scheme, no IP address)
    error: invalid value '127.0.0.1' for '--server <NAME>': not a lower-case DNS name such as example.org (no port, no scheme, no IP address)
    error: --server xn--a.lat: no browser takes https://xn--a.lat for an address; correct the name, or give --public-url
    error: invalid value 'localhost:7878' for '--sig-server-url <URL>': give a URL such as https://example.org, without query, fragment or user name
    error: --web-dir missing: there is no index.html in it; name the folder that holds a built web client
    error: invalid value 'ftp://kez.lat' for '--public-url <URL>': give a URL such as https://example.org, without query, fragment or user name
    error: invalid value 'https://user@kez.lat' for '--public-url <URL>': give a URL such as https://example.org, without query, fragment or user name
    error: --secret-file damaged.secret: line 1 is not a key id of 8 and a secret of 64 hex digits; restore the file from a backup
    error: invalid value 'proxy.local' for '--trusted-proxy <CIDR,…>': "proxy.local" is no IP address and no network; write for example 10.0.0.7 or 10.0.0.0/8
    error: invalid value 'maybe' for '--rate-limit <RATE_LIMIT>'
    error: invalid value 'friends' for '--registration <REGISTRATION>'
    error: invalid value '0' for '--retention-days <DAYS>': 0 is not in 1..=30
    error: invalid value '31' for '--retention-days <DAYS>': 31 is not in 1..=30
    error: invalid value 's3://bucket' for '--blob-store <DIR>': this version keeps attachments in a folder; name one, such as kez-chat-blobs
    error: invalid value '10GB' for '--blob-storage-max <SIZE>': give a size of at least 1MiB such as 500MiB or 10GiB
    error: invalid value 'on' for '--sig-bind <ADDR:PORT|off>': give an address and port such as 127.0.0.1:7878, or off
    error: invalid value '10 per hour' for '--sig-chain-limits <RATES>': give events per hour, day and week such as 10/h,30/d,100/w, each 1 to 10000 and once, or off
    error: invalid value '10GB' for '--sig-storage-max <SIZE>': give a size of at least 1MiB such as 500MiB or 10GiB
    error: RUST_LOG is not valid (error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5); write for example RUST_LOG=info or RUST_LOG=debug,hyper=info
    error: unexpected argument '--colour' found
    error: unrecognized subcommand 'serve'
    error: invalid value '0' for '--uses <USES>': 0 is not in 1..=10000
    error: invalid value '100000' for '--days <DAYS>': 100000 is not in 1..=3650
    error: --db missing.db: there is no such file; start the server once, or name its database
    error: invalid value 'one' for '<ID>': invalid digit found in string
    "#);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("an address").to_string();
    let outcome = run(dir.path(), &[], &["--bind", &taken]).await;
    assert_eq!(outcome.code, 1);
    assert_snapshot!(outcome.stderr.replace(&taken, "[taken]").trim_end(), @"error: --bind [taken]: Address already in use (os error 98); is another program using the port? Choose another with --bind");
}

/// Two servers on one file would each believe that they own it.
#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = Running::start(dir.path(), &[], &[]).await;
    let outcome = run(dir.path(), &[("KEZ_CHAT_BIND", "127.0.0.1:0")], &[]).await;
    assert_eq!(outcome.code, 1);
    assert_snapshot!(outcome.stderr.replace(dir.path().to_str().expect("UTF-8"), "[dir]").trim_end(), @"error: --db: another server uses [dir]/kez-chat.db: stop it or choose another file");
    let (status, _) = first.stop(Signal::INT).await;
    assert!(status.success());
}

/// The people of a database have signed for one name.
#[tokio::test]
async fn a_database_stays_the_home_of_its_name() {
    let dir = tempfile::tempdir().expect("a folder");
    Running::start(dir.path(), &[], &["--server", "one.example"]).await.stop(Signal::INT).await;
    let outcome = run(dir.path(), &[("KEZ_CHAT_BIND", "127.0.0.1:0")], &["--server", "two.example"]).await;
    assert_eq!(outcome.code, 1);
    assert_snapshot!(outcome.stderr.trim_end(), @"error: --server two.example: this database is the home of one.example, and its people signed for that name; start with --server one.example, or name another --db");
}
