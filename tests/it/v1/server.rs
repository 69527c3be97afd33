//! `GET /v1/server`.

use insta::assert_snapshot;
use kez_chat_server::config::RegistrationMode;
use kez_testkit::Net;

/// Without what differs from release to release and from server to server.
async fn shown(net: &Net) -> String {
    let answer = net.get("/v1/server").await.expect_status(200);
    let info = answer.json();
    let key = info["session_key"].as_str().expect("a key");
    key.parse::<kez_core::ExchangeKey>().expect("an X25519 key");
    let receipt_key = info["receipt_key"].as_str().expect("a key");
    receipt_key.parse::<kez_core::PublicKey>().expect("an Ed25519 key");
    let shown = answer.to_string().replace(env!("CARGO_PKG_VERSION"), "[version]");
    shown.replace(key, "[key]").replace(receipt_key, "[receipt key]")
}

#[tokio::test]
async fn a_client_learns_what_it_has_to_know() {
    let net = Net::start().await;
    assert_snapshot!(shown(&net).await, @r#"
    200 application/json
    {
      "limits": {
        "clock_skew_max_s": 300,
        "device_bytes_max": 16384,
        "device_seconds_max": 31536000,
        "devices_max": 16,
        "frames_bytes_max": 720896,
        "frames_max": 16,
        "handle_bytes_max": 32,
        "handle_bytes_min": 3,
        "registration_bytes_max": 16384,
        "session_seconds_max": 3600,
        "signature_seconds_max": 60
      },
      "public_urls": [
        "https://kez.lat"
      ],
      "receipt_key": "[receipt key]",
      "registration": "open",
      "retention_days": 30,
      "server": "kez.lat",
      "session_key": "[key]",
      "sig_server_url": "http://localhost:7878",
      "time": "2026-05-25T03:00:00Z",
      "version": "[version]",
      "web_client": "none"
    }
    "#);
}

#[tokio::test]
async fn it_follows_the_configuration_and_the_clock() {
    let net = Net::with(|setup| {
        setup.args.server = "example.org".parse().expect("a server name");
        setup.args.public_url = ["https://chat.example.org", "http://localhost:6969"]
            .map(|url| url.parse().expect("a URL"))
            .into();
        setup.args.registration = RegistrationMode::Invite;
        setup.args.retention_days = 7;
        setup.args.sig_server_url = "https://sig.example.org/".parse().expect("a URL");
    })
    .await;
    net.advance_s(61);
    assert_snapshot!(shown(&net).await, @r#"
    200 application/json
    {
      "limits": {
        "clock_skew_max_s": 300,
        "device_bytes_max": 16384,
        "device_seconds_max": 31536000,
        "devices_max": 16,
        "frames_bytes_max": 720896,
        "frames_max": 16,
        "handle_bytes_max": 32,
        "handle_bytes_min": 3,
        "registration_bytes_max": 16384,
        "session_seconds_max": 3600,
        "signature_seconds_max": 60
      },
      "public_urls": [
        "https://chat.example.org",
        "http://localhost:6969"
      ],
      "receipt_key": "[receipt key]",
      "registration": "invite",
      "retention_days": 7,
      "server": "example.org",
      "session_key": "[key]",
      "sig_server_url": "https://sig.example.org",
      "time": "2026-05-25T03:01:01Z",
      "version": "[version]",
      "web_client": "none"
    }
    "#);
}
