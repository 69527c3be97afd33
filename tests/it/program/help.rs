//! What the program says about itself.

use insta::assert_snapshot;

use super::{Outcome, run};

/// Without the white space that ends some lines.
fn shown(outcome: &Outcome) -> String {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    outcome.stdout.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[expect(clippy::too_many_lines, reason = "one snapshot")]
#[tokio::test]
async fn help_teaches() {
    let dir = tempfile::tempdir().expect("a folder");
    let outcome = run(dir.path(), &[], &["--help"]).await;
    assert_snapshot!(shown(&outcome), @r#"
    A chat home for a person or a community.

    People take a handle (alice@example.org) bound to a key that only they hold; anybody can find and
    check that key. One program, no other service needed: without a subcommand it serves, on the
    defaults below.

      Try it here        kez-chat-server --bind 127.0.0.1:6969
      Serve a community  kez-chat-server --server example.org --bind 127.0.0.1:6969 \
                           --trusted-proxy 127.0.0.1
                         behind a TLS proxy that sends https://example.org to port 6969
      Invite people      kez-chat-server --registration invite
                         kez-chat-server invite create --uses 10 --days 7
      Stop an account    kez-chat-server admin suspend mallory --reason spam
      Save everything    kez-chat-server backup /var/backups/kez-chat/2026-12-01

    RUST_LOG sets what is logged, for example RUST_LOG=debug,hyper=info.

    Usage: kez-chat-server [OPTIONS] [COMMAND]

    Commands:
      invite       Make, list and revoke invite tokens (also while the server runs)
      admin        Suspend accounts, set quotas, see usage and the audit (also while the server runs)
      backup       Save everything that this server keeps in a folder (also while the server runs)
      restore      Put the home of a backup where --db and the like say; overwrites nothing
      verify       Check all files, signed documents and sigchains of a backup or of this server
      nats-config  Write nats.conf and the keys that go with it into a new folder
      openapi      Print the OpenAPI document of the HTTP interface
      help         Print this message or the help of the given subcommand(s)

    Options:
          --bind <ADDR:PORT>
              Address and port to listen on

              [env: KEZ_CHAT_BIND=]
              [default: 0.0.0.0:6969]

          --db <FILE>
              SQLite file that holds everything but sigchains; made when missing

              [env: KEZ_CHAT_DB=]
              [default: kez-chat.db]

          --server <NAME>
              The name behind the @ of this server's handles

              [env: KEZ_CHAT_SERVER=]
              [default: kez.lat]

          --sig-server-url <URL>
              Where this server's people publish their sigchains

              [env: KEZ_CHAT_SIG_SERVER_URL=]
              [default: http://localhost:7878]

          --web-dir <DIR>
              Folder with a web client to serve instead of the built-in one

              [env: KEZ_CHAT_WEB_DIR=]

          --public-url <URL>
              Where people reach this server, repeatable [default: https://<server>]

              [env: KEZ_CHAT_PUBLIC_URL=]

          --secret-file <FILE>
              File with the server's secret, made on first start [default: kez-chat.secret beside the
              database]

              [env: KEZ_CHAT_SECRET_FILE=]

          --trusted-proxy <CIDR,…>
              Addresses of proxies whose X-Forwarded-For counts, comma-separated [default: none]

              [env: KEZ_CHAT_TRUSTED_PROXY=]

          --rate-limit <RATE_LIMIT>
              Whether each client network is held to a rate

              Possible values:
              - on:  Switched on
              - off: Switched off

              [env: KEZ_CHAT_RATE_LIMIT=]
              [default: on]

          --registration <REGISTRATION>
              Who may take a handle

              Possible values:
              - open:   Everybody
              - invite: Whoever brings a token of `invite create`
              - closed: Nobody

              [env: KEZ_CHAT_REGISTRATION=]
              [default: open]

          --retention-days <DAYS>
              Days after which an event goes although a device has not acknowledged it

              [env: KEZ_CHAT_RETENTION_DAYS=]
              [default: 30]

          --message-storage-max <SIZE>
              Bytes that the database may take before it takes no more messages

              [env: KEZ_CHAT_MESSAGE_STORAGE_MAX=]
              [default: 10GiB]

          --blob-store <DIR>
              Folder for attachments [default: kez-chat-blobs beside the database]

              [env: KEZ_CHAT_BLOB_STORE=]

          --blob-storage-max <SIZE>
              Bytes that all attachments together may have

              [env: KEZ_CHAT_BLOB_STORAGE_MAX=]
              [default: 10GiB]

          --sig-bind <ADDR:PORT|off>
              Where sigchains are served besides /v1/sigchains of --bind, or "off" for neither

              [env: KEZ_CHAT_SIG_BIND=]
              [default: 127.0.0.1:7878]

          --sig-chain-limits <RATES>
              Events that one sigchain may get per hour, day and week, or "off"; revocations are not
              counted

              [env: KEZ_CHAT_SIG_CHAIN_LIMITS=]
              [default: 10/h,30/d,100/w]

          --sig-storage-max <SIZE>
              Bytes that all sigchains together may have, in a file of their own beside --db

              [env: KEZ_CHAT_SIG_STORAGE_MAX=]
              [default: 10GiB]

          --nats-url <URL,…>
              NATS servers, comma-separated, such as <nats://127.0.0.1:4222> [default: none; an
              in-process bus delivers]

              [env: KEZ_CHAT_NATS_URL=]

          --nats-keys <DIR>
              Folder with the secret files that `nats-config` wrote

              [env: KEZ_CHAT_NATS_KEYS=]
              [default: kez-nats]

          --nats-public-url <URL,…>
              Where clients reach NATS, comma-separated, such as <wss://chat.example.org/nats> [default:
              none is offered]

              [env: KEZ_CHAT_NATS_PUBLIC_URL=]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version
    "#);
}

#[tokio::test]
async fn short_help_is_a_page() {
    let dir = tempfile::tempdir().expect("a folder");
    let outcome = run(dir.path(), &[], &["-h"]).await;
    assert_snapshot!(shown(&outcome), @r#"
    A chat home for handles that people own

    Usage: kez-chat-server [OPTIONS] [COMMAND]

    Commands:
      invite       Make, list and revoke invite tokens (also while the server runs)
      admin        Suspend accounts, set quotas, see usage and the audit (also while the server runs)
      backup       Save everything that this server keeps in a folder (also while the server runs)
      restore      Put the home of a backup where --db and the like say; overwrites nothing
      verify       Check all files, signed documents and sigchains of a backup or of this server
      nats-config  Write nats.conf and the keys that go with it into a new folder
      openapi      Print the OpenAPI document of the HTTP interface
      help         Print this message or the help of the given subcommand(s)

    Options:
          --bind <ADDR:PORT>             Address and port to listen on [env: KEZ_CHAT_BIND=] [default:
                                         0.0.0.0:6969]
          --db <FILE>                    SQLite file that holds everything but sigchains; made when
                                         missing [env: KEZ_CHAT_DB=] [default: kez-chat.db]
          --server <NAME>                The name behind the @ of this server's handles [env:
                                         KEZ_CHAT_SERVER=] [default: kez.lat]
          --sig-server-url <URL>         Where this server's people publish their sigchains [env:
                                         KEZ_CHAT_SIG_SERVER_URL=] [default: http://localhost:7878]
          --web-dir <DIR>                Folder with a web client to serve instead of the built-in one
                                         [env: KEZ_CHAT_WEB_DIR=]
          --public-url <URL>             Where people reach this server, repeatable [default:
                                         https://<server>] [env: KEZ_CHAT_PUBLIC_URL=]
          --secret-file <FILE>           File with the server's secret, made on first start [default:
                                         kez-chat.secret beside the database] [env:
                                         KEZ_CHAT_SECRET_FILE=]
          --trusted-proxy <CIDR,…>       Addresses of proxies whose X-Forwarded-For counts,
                                         comma-separated [default: none] [env: KEZ_CHAT_TRUSTED_PROXY=]
          --rate-limit <RATE_LIMIT>      Whether each client network is held to a rate [env:
                                         KEZ_CHAT_RATE_LIMIT=] [default: on] [possible values: on, off]
          --registration <REGISTRATION>  Who may take a handle [env: KEZ_CHAT_REGISTRATION=] [default:
                                         open] [possible values: open, invite, closed]
          --retention-days <DAYS>        Days after which an event goes although a device has not
                                         acknowledged it [env: KEZ_CHAT_RETENTION_DAYS=] [default: 30]
          --message-storage-max <SIZE>   Bytes that the database may take before it takes no more
                                         messages [env: KEZ_CHAT_MESSAGE_STORAGE_MAX=] [default: 10GiB]
          --blob-store <DIR>             Folder for attachments [default: kez-chat-blobs beside the
                                         database] [env: KEZ_CHAT_BLOB_STORE=]
          --blob-storage-max <SIZE>      Bytes that all attachments together may have [env:
                                         KEZ_CHAT_BLOB_STORAGE_MAX=] [default: 10GiB]
          --sig-bind <ADDR:PORT|off>     Where sigchains are served besides /v1/sigchains of --bind, or
                                         "off" for neither [env: KEZ_CHAT_SIG_BIND=] [default:
                                         127.0.0.1:7878]
          --sig-chain-limits <RATES>     Events that one sigchain may get per hour, day and week, or
                                         "off"; revocations are not counted [env:
                                         KEZ_CHAT_SIG_CHAIN_LIMITS=] [default: 10/h,30/d,100/w]
          --sig-storage-max <SIZE>       Bytes that all sigchains together may have, in a file of their
                                         own beside --db [env: KEZ_CHAT_SIG_STORAGE_MAX=] [default:
                                         10GiB]
          --nats-url <URL,…>             NATS servers, comma-separated, such as <nats://127.0.0.1:4222>
                                         [default: none; an in-process bus delivers] [env:
                                         KEZ_CHAT_NATS_URL=]
          --nats-keys <DIR>              Folder with the secret files that `nats-config` wrote [env:
                                         KEZ_CHAT_NATS_KEYS=] [default: kez-nats]
          --nats-public-url <URL,…>      Where clients reach NATS, comma-separated, such as
                                         <wss://chat.example.org/nats> [default: none is offered] [env:
                                         KEZ_CHAT_NATS_PUBLIC_URL=]
      -h, --help                         Print help (see more with '--help')
      -V, --version                      Print version
    "#);
}

#[tokio::test]
async fn short_help_of_a_command_is_half_a_page() {
    let dir = tempfile::tempdir().expect("a folder");
    let invite = run(dir.path(), &[], &["invite", "create", "-h"]).await;
    assert_snapshot!(shown(&invite), @r#"
    Make a token and print it; it is not stored and cannot be shown again

    Usage: kez-chat-server invite create [OPTIONS]

    Options:
          --uses <USES>    How many people may register with it [default: 1]
          --days <DAYS>    After how many days it stops working [default: 7]
          --db <FILE>      SQLite file that holds everything but sigchains; made when missing [env:
                           KEZ_CHAT_DB=] [default: kez-chat.db]
          --server <NAME>  The name behind the @ of this server's handles [env: KEZ_CHAT_SERVER=]
                           [default: kez.lat]
      -h, --help           Print help
    "#);
    let admin = run(dir.path(), &[], &["admin", "-h"]).await;
    assert_snapshot!(shown(&admin), @r#"
    Suspend accounts, set quotas, see usage and the audit (also while the server runs)

    Usage: kez-chat-server admin [OPTIONS] <COMMAND>

    Commands:
      suspend    Refuse everything that an account's devices ask for; nothing is deleted, and the handle
                 still leads to its key
      reinstate  End a suspension
      quota      Show how much an account may keep here, or set it
      usage      List the accounts that take up most
      audit      List what was done by these commands and by `invite`, newest first
      help       Print this message or the help of the given subcommand(s)

    Options:
          --json           Print JSON, one object a line
          --db <FILE>      SQLite file that holds everything but sigchains; made when missing [env:
                           KEZ_CHAT_DB=] [default: kez-chat.db]
          --server <NAME>  The name behind the @ of this server's handles [env: KEZ_CHAT_SERVER=]
                           [default: kez.lat]
      -h, --help           Print help
    "#);
    let quota = run(dir.path(), &[], &["admin", "quota", "-h"]).await;
    assert_snapshot!(shown(&quota), @r#"
    Show how much an account may keep here, or set it

    Usage: kez-chat-server admin quota [OPTIONS] <HANDLE>

    Arguments:
      <HANDLE>  Whose, without @ and server

    Options:
          --json             Print JSON, one object a line
          --messages <SIZE>  Bytes of messages that it sent, such as 512MiB, or "default"
          --blobs <SIZE>     Bytes of attachments that it uploaded, such as 2GiB, or "default"
          --db <FILE>        SQLite file that holds everything but sigchains; made when missing [env:
                             KEZ_CHAT_DB=] [default: kez-chat.db]
          --server <NAME>    The name behind the @ of this server's handles [env: KEZ_CHAT_SERVER=]
                             [default: kez.lat]
      -h, --help             Print help
    "#);
}

#[tokio::test]
async fn version_and_openapi_go_to_standard_output() {
    let dir = tempfile::tempdir().expect("a folder");
    let version = run(dir.path(), &[], &["--version"]).await;
    assert_eq!(version.stdout, format!("kez-chat-server {}\n", env!("CARGO_PKG_VERSION")));
    let openapi = run(dir.path(), &[], &["openapi"]).await;
    assert_eq!(openapi.stdout, kez_chat_server::router::openapi_json());
    assert!(std::fs::read_dir(dir.path()).expect("a folder").next().is_none(), "neither leaves a file");
}
