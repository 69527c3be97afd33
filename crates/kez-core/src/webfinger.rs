//! What WebFinger (RFC 7033) says about a KEZ account, and how far an answer may be believed. SPEC "WebFinger".
//!
//! A home server that looks somebody up for a browser and a client that does so itself read the same bytes with this
//! code, so that the two cannot disagree.

use std::collections::HashMap;

use serde::Deserialize;

use crate::handle::Fqhn;
use crate::key::PublicKey;
use crate::record::Record;

/// The property that holds the primary key.
pub const PROPERTY_PRIMARY: &str = "https://kez.lat/ns/primary";
/// The link to the record, of the media type [`RECORD_TYPE`].
pub const REL_SELF: &str = "self";
/// The media type of a record.
pub const RECORD_TYPE: &str = "application/json";
/// The link to the sigchain, of the media type `application/jsonl`.
pub const REL_SIGCHAIN: &str = "https://kez.lat/rel/sigchain";
/// The link to the page about a person, of the media type `text/html`.
pub const REL_PROFILE_PAGE: &str = "http://webfinger.net/rel/profile-page";

/// The longest `sigchain_url` of a record that is taken from another server, in bytes.
pub const SIGCHAIN_URL_BYTES_MAX: usize = 1024;

/// What is used of a descriptor (RFC 7033 section 4.4). A property or link of somebody else may have any shape.
#[derive(Debug, Deserialize)]
pub struct Descriptor {
    subject: String,
    #[serde(default)]
    properties: HashMap<String, Option<String>>,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Debug, Deserialize)]
struct Link {
    rel: String,
    #[serde(rename = "type")]
    media_type: Option<String>,
    href: Option<String>,
}

/// A KEZ account as a descriptor names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account<'a> {
    /// The key that holds the handle.
    pub primary: PublicKey,
    /// Where its record lies. Not yet checked to be a URL that may be asked.
    pub record_url: &'a str,
}

/// Why an answer is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disagreement {
    /// The descriptor has no KEZ key, or no link to a record.
    #[error("no KEZ account: the key or the link to the record is missing")]
    NoAccount,
    /// The descriptor is about another account.
    #[error("the WebFinger answer is about another account")]
    OtherSubject,
    /// The record is about another address than the one asked for, or about two.
    #[error("the record is about somebody else")]
    OtherHandle,
    /// The record names another key than the descriptor.
    #[error("the WebFinger answer and the record name different keys")]
    OtherKey,
    /// The record's `sigchain_url` is longer than [`SIGCHAIN_URL_BYTES_MAX`], or not a web address.
    #[error("the sigchain of the record is not on the web")]
    NoSigchain,
}

impl Descriptor {
    /// The account that this descriptor, found by asking for `name`, is about.
    pub fn account(&self, name: &Fqhn) -> Result<Account<'_>, Disagreement> {
        if self.subject != format!("acct:{name}") {
            return Err(Disagreement::OtherSubject);
        }
        let primary = self.properties.get(PROPERTY_PRIMARY).and_then(Option::as_deref);
        let primary = primary.and_then(|key| key.parse().ok()).ok_or(Disagreement::NoAccount)?;
        let record_url = self.links.iter().find_map(Link::to_record).ok_or(Disagreement::NoAccount)?;
        Ok(Account { primary, record_url })
    }
}

impl Link {
    fn to_record(&self) -> Option<&str> {
        let is_record = self.rel == REL_SELF && self.media_type.as_deref() == Some(RECORD_TYPE);
        self.href.as_deref().filter(|_| is_record)
    }
}

impl Account<'_> {
    /// Checks the record that was found for `name` at [`record_url`](Self::record_url).
    pub fn check(&self, record: &Record, name: &Fqhn) -> Result<(), Disagreement> {
        let url = &record.sigchain_url;
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        if record.fqhn != *name || record.handle != *name.handle() {
            Err(Disagreement::OtherHandle)
        } else if record.primary != self.primary {
            Err(Disagreement::OtherKey)
        } else if url.len() > SIGCHAIN_URL_BYTES_MAX || !is_web {
            Err(Disagreement::NoSigchain)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTOR: &str = r#"{"subject":"acct:alice@kez.lat","aliases":["https://kez.lat/@alice"],
        "properties":{"https://kez.lat/ns/primary":
            "ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12","http://example.org/none":null},
        "links":[{"rel":"self","type":"application/activity+json","href":"https://elsewhere.example/alice"},
            {"rel":"self","type":"application/json","href":"https://kez.lat/v1/u/alice"}]}"#;
    const RECORD: &str = r#"{"handle":"alice","fqhn":"alice@kez.lat",
        "primary":"ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
        "sigchain_url":"https://kez.lat/v1/sigchains/ed25519/2152","registered_at":"2026-05-25T03:00:00Z"}"#;

    fn outcome(descriptor: &str, record: &str) -> Result<String, Disagreement> {
        let name = "alice@kez.lat".parse().unwrap();
        let descriptor: Descriptor = serde_json::from_str(descriptor).unwrap();
        let account = descriptor.account(&name)?;
        account.check(&serde_json::from_str(record).unwrap(), &name)?;
        Ok(account.record_url.to_owned())
    }

    #[test]
    fn descriptor_and_record_of_one_account_agree() {
        assert_eq!(outcome(DESCRIPTOR, RECORD).unwrap(), "https://kez.lat/v1/u/alice");
    }

    #[test]
    fn each_disagreement_is_named() {
        use Disagreement::{NoAccount, NoSigchain, OtherHandle, OtherKey, OtherSubject};
        let descriptor = |from: &str, to: &str| outcome(&DESCRIPTOR.replace(from, to), RECORD).unwrap_err();
        let record = |from: &str, to: &str| outcome(DESCRIPTOR, &RECORD.replace(from, to)).unwrap_err();
        assert_eq!(descriptor("acct:alice", "acct:mallory"), OtherSubject);
        assert_eq!(descriptor("ns/primary", "ns/other"), NoAccount);
        assert_eq!(descriptor("ed25519:2152", "nostr:2152"), NoAccount);
        assert_eq!(descriptor("application/json", "text/html"), NoAccount);
        assert_eq!(record("alice@kez.lat", "mallory@kez.lat"), OtherHandle);
        assert_eq!(record(r#""handle":"alice""#, r#""handle":"mallory""#), OtherHandle);
        assert_eq!(record("ed25519:2152f8d1", "ed25519:00000000"), OtherKey);
        assert_eq!(record("https://kez.lat/v1", "javascript:alert(1)//"), NoSigchain);
        assert_eq!(record("ed25519/2152", &"a".repeat(SIGCHAIN_URL_BYTES_MAX)), NoSigchain);
    }
}
