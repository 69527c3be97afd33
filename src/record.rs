//! What this server says about an account: as a value, and as text. SPEC "Records".

use data_encoding::HEXLOWER;
use kez_core::{Fqhn, Record, ServerName};

use crate::base_url::BaseUrl;
use crate::store::Account;

/// Room for the usual record, in bytes.
const RECORD_BYTES: usize = 512;

/// Makes records. What is the same in each of them is prepared.
#[derive(Debug)]
pub(crate) struct Records {
    server: ServerName,
    /// Before the hex digits of the key.
    sigchain_url: String,
    /// From the end of the handle in `fqhn` to the hex digits in `primary`.
    to_primary: String,
    /// From there to the hex digits in `sigchain_url`.
    to_sigchain: String,
}

impl Records {
    /// Records of `server`, whose people publish their sigchains at `sig_server_url`.
    pub(crate) fn new(server: ServerName, sig_server_url: &BaseUrl) -> Self {
        let sigchain_url = sigchains(sig_server_url);
        let escaped = serde_json::Value::from(sigchain_url.as_str()).to_string();
        Self {
            to_primary: format!("@{server}\",\"primary\":\"ed25519:"),
            to_sigchain: format!("\",\"sigchain_url\":{}", escaped.trim_end_matches('"')),
            server,
            sigchain_url,
        }
    }

    /// What is told about an account.
    pub(crate) fn record(&self, account: Account) -> Record {
        Record {
            sigchain_url: self.sigchain_url(&account),
            fqhn: Fqhn::new(account.handle.clone(), self.server.clone()),
            handle: account.handle,
            primary: account.primary,
            registered_at: account.registered_at,
        }
    }

    /// Where the sigchain of an account is served.
    pub(crate) fn sigchain_url(&self, account: &Account) -> String {
        self.sigchain_url.clone() + &account.primary.to_hex()
    }

    /// The JSON that serde makes of the [`record`](Self::record), in a tenth of its time: lookups are most of what a home
    /// server does, and four short values are all that differs between two records.
    pub(crate) fn json(&self, account: &Account) -> Vec<u8> {
        let mut hex = [0; 64];
        HEXLOWER.encode_mut(account.primary.as_bytes(), &mut hex);
        let handle = account.handle.as_str().as_bytes(); // needs no escaping: a-z 0-9 _ -
        let registered_at = account.registered_at.to_string();
        let parts = [
            b"{\"handle\":\"",
            handle,
            b"\",\"fqhn\":\"",
            handle,
            self.to_primary.as_bytes(),
            &hex,
            self.to_sigchain.as_bytes(),
            &hex,
            b"\",\"registered_at\":\"",
            registered_at.as_bytes(),
            b"\"}",
        ];
        let mut json = Vec::with_capacity(RECORD_BYTES);
        for part in parts {
            json.extend_from_slice(part);
        }
        json
    }
}

/// Where the sigchains of Ed25519 keys are served, before the hex digits of one.
pub(crate) fn sigchains(sig_server_url: &BaseUrl) -> String {
    format!("{sig_server_url}/v1/sigchains/ed25519/")
}

#[cfg(test)]
mod tests {
    use kez_core::{PublicKey, Timestamp};

    use super::*;

    #[test]
    fn the_text_is_what_serde_makes_of_the_value() {
        for url in ["http://localhost:7878", "https://[::1]/~a'b|c\\%22é"] {
            let records = Records::new("kez.lat".parse().unwrap(), &url.parse().unwrap());
            for (handle, byte, seconds) in [("a_-", 0, 0), ("alice", 0xaf, 1_779_678_000), ("b9b", 255, -1)] {
                let account = Account {
                    handle: handle.parse().unwrap(),
                    primary: PublicKey::from_bytes([byte; 32]),
                    registered_at: Timestamp::from_unix(seconds, 0).unwrap(),
                };
                let text = String::from_utf8(records.json(&account)).unwrap();
                assert_eq!(text, serde_json::to_string(&records.record(account)).unwrap());
            }
        }
    }
}
