//! Codes that people compare: whether a key is the other person's, and whether a conversation was split. SPEC "Safety
//! numbers".

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use kez_core::PublicKey;
use sha2::{Digest as _, Sha512};

/// Before a primary key. No other hash of KEZ begins so.
const PERSON: &[u8] = b"kez-chat/safety/v1\0";
/// Before an epoch authenticator.
const EPOCH: &[u8] = b"kez-chat/epoch-code/v1\0";

/// Rounds of SHA-512: each guess at a key with a similar code costs as many. The number of Signal's fingerprints.
const ROUNDS: u32 = 5200;
/// Digits of a group.
const GROUP_DIGITS: usize = 5;
/// Bytes behind a group: 40 bits over 100,000 leave no bias that counts.
const GROUP_BYTES: usize = 5;
/// Groups of one half.
const GROUPS: usize = 6;

/// What a QR code of a safety number begins with.
const QR_PREFIX: &str = "kez-safety:1:";

/// Twelve groups of five digits, the same for both of two people and for nobody else. Written with spaces between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyNumber([Code; 2]);

/// Six groups of five digits, equal on two devices exactly when they are in the same epoch of the same group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochCode(Code);

/// 30 digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Code(String);

/// What one person shows and the other scans: whose screen it is, and whom it is about.
///
/// As text `kez-safety:1:` and 64 bytes in base64url: the key of who shows it, then the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SafetyQr {
    /// The key of who shows the code.
    pub shown_by: PublicKey,
    /// Whom they believe to talk with.
    pub about: PublicKey,
}

/// What a scanned code says of the person one talks with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    /// Both have each other's key.
    Same,
    /// One of the two keys is another one: somebody stands between, or it is another person's code.
    Different,
    /// It is the code of one's own screen.
    Own,
}

/// The text is not a safety code of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a safety code of version 1")]
pub struct BadSafetyQr;

impl SafetyNumber {
    /// The number of two people, in either order.
    pub fn of(one: &PublicKey, other: &PublicKey) -> Self {
        let mut halves = [one, other].map(|key| Code::of(PERSON, key.as_bytes()));
        halves.sort();
        Self(halves)
    }

    /// The 60 digits without spaces.
    pub fn digits(&self) -> String {
        let [first, second] = &self.0;
        [first.0.as_str(), &second.0].concat()
    }
}

impl EpochCode {
    /// The code of an epoch, from its authenticator (RFC 9420 section 8.7).
    pub fn of(epoch_authenticator: &[u8]) -> Self {
        Self(Code::of(EPOCH, epoch_authenticator))
    }

    /// The 30 digits without spaces.
    pub fn digits(&self) -> &str {
        &self.0.0
    }
}

impl Code {
    fn of(domain: &[u8], subject: &[u8]) -> Self {
        let first = Sha512::new().chain_update(domain).chain_update(subject).finalize();
        let last = (1..ROUNDS)
            .fold(first, |digest, _| Sha512::new().chain_update(digest).chain_update(subject).finalize());
        Self(last.chunks_exact(GROUP_BYTES).take(GROUPS).map(group).collect())
    }
}

/// Five digits of five bytes.
fn group(bytes: &[u8]) -> String {
    let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{:0GROUP_DIGITS$}", number % 100_000)
}

/// The digits in groups, with spaces between.
fn write_groups(digits: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % GROUP_DIGITS == 0 {
            f.write_str(" ")?;
        }
        write!(f, "{digit}")?;
    }
    Ok(())
}

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_groups(&self.digits(), f)
    }
}

impl fmt::Display for EpochCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_groups(self.digits(), f)
    }
}

impl SafetyQr {
    /// What this code says to `me`, who scanned it from the screen of `other`.
    pub fn scanned(&self, me: &PublicKey, other: &PublicKey) -> Scanned {
        if self.shown_by == *other && self.about == *me {
            Scanned::Same
        } else if self.shown_by == *me {
            Scanned::Own
        } else {
            Scanned::Different
        }
    }
}

impl fmt::Display for SafetyQr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = [*self.shown_by.as_bytes(), *self.about.as_bytes()].concat();
        write!(f, "{QR_PREFIX}{}", BASE64URL_NOPAD.encode(&keys))
    }
}

impl FromStr for SafetyQr {
    type Err = BadSafetyQr;

    fn from_str(text: &str) -> Result<Self, BadSafetyQr> {
        let keys = text.strip_prefix(QR_PREFIX).ok_or(BadSafetyQr)?;
        let keys = BASE64URL_NOPAD.decode(keys.as_bytes()).map_err(|_| BadSafetyQr)?;
        let (shown_by, about) = keys.split_first_chunk::<32>().ok_or(BadSafetyQr)?;
        let about = <[u8; 32]>::try_from(about).map_err(|_| BadSafetyQr)?;
        Ok(Self { shown_by: PublicKey::from_bytes(*shown_by), about: PublicKey::from_bytes(about) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: PublicKey = PublicKey::from_bytes([1; 32]);
    const BOB: PublicKey = PublicKey::from_bytes([2; 32]);
    const MALLORY: PublicKey = PublicKey::from_bytes([3; 32]);

    #[test]
    fn both_see_the_same_number_and_nobody_else_does() {
        let number = SafetyNumber::of(&ALICE, &BOB);
        assert_eq!(number, SafetyNumber::of(&BOB, &ALICE));
        assert_eq!(number.digits().len(), 60);
        assert_eq!(number.to_string().split(' ').count(), 12);
        assert_ne!(number, SafetyNumber::of(&ALICE, &MALLORY));
        assert_ne!(EpochCode::of(&[1; 32]).digits(), EpochCode::of(&[2; 32]).digits());
        assert_ne!(EpochCode::of(&[1; 32]).0, Code::of(PERSON, &[1; 32]), "the two kinds are apart");
    }

    #[test]
    fn a_scanned_code_tells_who_stands_between() {
        let shown = SafetyQr { shown_by: BOB, about: ALICE };
        let scanned: SafetyQr = shown.to_string().parse().unwrap();
        assert_eq!(scanned, shown);
        assert_eq!(scanned.scanned(&ALICE, &BOB), Scanned::Same);
        assert_eq!(scanned.scanned(&BOB, &ALICE), Scanned::Own);
        assert_eq!(scanned.scanned(&ALICE, &MALLORY), Scanned::Different);
        let of_mallory = SafetyQr { shown_by: BOB, about: MALLORY };
        assert_eq!(of_mallory.scanned(&ALICE, &BOB), Scanned::Different);
    }

    #[test]
    fn no_other_text_is_a_code() {
        let good = SafetyQr { shown_by: BOB, about: ALICE }.to_string();
        for bad in
            ["", "kez-safety:1:", &good[..good.len() - 1], &format!("{good}A"), &good.replace(":1:", ":2:")]
        {
            assert_eq!(bad.parse::<SafetyQr>(), Err(BadSafetyQr), "{bad}");
        }
    }
}
