//! Leaving, and taking one's own data along.

use kez_client::{CallError, ClientError, Contradiction};
use kez_core::{AccountDeletion, Envelope, Seed, Verified};

use crate::town::Town;

fn deletion(town: &Town, name: &str) -> Verified<AccountDeletion> {
    let text = town.net.actor(name).deletion(name);
    Envelope::parse(text.as_bytes()).expect("an envelope").verify().expect("a deletion")
}

#[tokio::test]
async fn who_exports_and_leaves_has_it_in_writing() {
    let town = Town::start().await;
    town.register("alice").await;
    let phone = town.phone("alice", "phone").await;
    let mut export = phone.client.export().await.expect("an export");
    let mut bytes = Vec::new();
    while let Some(piece) = export.next().await.expect("the next piece") {
        bytes.extend(piece);
    }
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.contains(r#""handle":"alice""#) && text.ends_with("}\n"), "{text}");

    let home = phone.client.home();
    let key = home.server_info().await.expect("what it says").receipt_key.expect("a receipt key");
    let deletion = deletion(&town, "alice");
    let receipt = phone.client.delete_account(&deletion, &key).await.expect("a receipt");
    assert_eq!(receipt.verify(&key).expect("signed").handle.as_str(), "alice");
    let fault = phone.client.export().await.expect_err("no account");
    assert!(matches!(fault, CallError::UnknownDevice), "{fault:?}");

    // Sent again it is the same; by a server that has another key it is none.
    assert_eq!(home.delete_account(&deletion, &key).await.expect("the same"), receipt);
    let other = Seed::from_bytes([7; 32]).public_key();
    let fault = home.delete_account(&deletion, &other).await.expect_err("another key");
    assert!(
        matches!(
            fault,
            CallError::Client(ClientError::Contradiction { what: Contradiction::UnfitReceipt, .. })
        ),
        "{fault:?}"
    );
}
