//! Recovery phrases: a seed as English words. SPEC "Recovery phrase".
//!
//! The words, the checksum and the bit order are those of BIP-39. Its key stretching (PBKDF2) is not used: 24
//! words carry the seed itself, 12 words carry 16 bytes from which the seed is derived.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::key::Seed;

/// Bits that one of 2,048 words stands for.
const WORD_BITS: usize = 11;
/// What the 16 bytes of a short phrase are hashed behind, so that no other use of them gives the same seed.
const SHORT_PHRASE_LABEL: &[u8] = b"kez-bip39-12-v1";

static WORDS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("phrase/english.txt").lines().collect());
static INDEX: LazyLock<HashMap<&'static str, usize>> =
    LazyLock::new(|| WORDS.iter().enumerate().map(|(index, word)| (*word, index)).collect());

/// How long a phrase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordCount {
    /// 12 words, 16 bytes of entropy.
    Twelve,
    /// 24 words, 32 bytes of entropy: the seed itself.
    TwentyFour,
}

/// A recovery phrase with a right checksum. Wiped when dropped; prints as `Phrase(..)` in debug output, and as its
/// words by [`words`](Self::words) only.
#[derive(Clone)]
pub struct Phrase {
    entropy: Zeroizing<Vec<u8>>,
}

/// The text is not a recovery phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPhrase {
    /// Neither 12 nor 24 words.
    #[error("a recovery phrase has 12 or 24 words")]
    Count,
    /// The word at this position (from 1) is not in the list.
    #[error("word {position} is not a word of the recovery list")]
    UnknownWord {
        /// From 1.
        position: usize,
    },
    /// All words exist, but together they do not pass the checksum.
    #[error("the words do not fit together: one is wrong, or two have changed places")]
    Checksum,
}

impl Phrase {
    /// The 24 words that carry `seed`.
    pub fn from_seed(seed: &Seed) -> Self {
        Self { entropy: Zeroizing::new(seed.expose().to_vec()) }
    }

    /// The 12 words that carry these 16 random bytes.
    pub fn from_short_entropy(entropy: &[u8; 16]) -> Self {
        Self { entropy: Zeroizing::new(entropy.to_vec()) }
    }

    /// 12 or 24.
    pub fn word_count(&self) -> WordCount {
        if self.entropy.len() == 16 { WordCount::Twelve } else { WordCount::TwentyFour }
    }

    /// The 16 or 32 bytes that the words stand for.
    pub fn entropy(&self) -> &[u8] {
        &self.entropy
    }

    /// The seed that the phrase restores.
    pub fn seed(&self) -> Seed {
        let seed = <[u8; 32]>::try_from(self.entropy.as_slice()).unwrap_or_else(|_| {
            Sha256::new().chain_update(SHORT_PHRASE_LABEL).chain_update(&self.entropy).finalize().into()
        });
        Seed::from_bytes(seed)
    }

    /// The words, in lower case, with single spaces.
    pub fn words(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(24 * 9));
        for index in word_indices(&self.entropy) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(WORDS.get(index).copied().unwrap_or_default());
        }
        text
    }
}

impl FromStr for Phrase {
    type Err = BadPhrase;

    /// Reads words in any case, with any ASCII white space between them.
    fn from_str(text: &str) -> Result<Self, BadPhrase> {
        let text = Zeroizing::new(text.to_ascii_lowercase());
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if !matches!(words.len(), 12 | 24) {
            return Err(BadPhrase::Count);
        }
        let mut indices = Zeroizing::new(Vec::with_capacity(words.len()));
        for (at, word) in words.iter().enumerate() {
            indices.push(*INDEX.get(word).ok_or(BadPhrase::UnknownWord { position: at + 1 })?);
        }
        let entropy = Zeroizing::new(pack(&indices, words.len() * 4 / 3));
        if word_indices(&entropy) != *indices {
            return Err(BadPhrase::Checksum);
        }
        Ok(Self { entropy })
    }
}

/// The entropy and its checksum byte, cut into words. The checksum is the first bits of SHA-256(entropy): four for
/// 16 bytes, eight for 32.
fn word_indices(entropy: &[u8]) -> Vec<usize> {
    let checksum = Sha256::digest(entropy).first().copied().unwrap_or_default();
    let bits: Zeroizing<Vec<u8>> = Zeroizing::new(
        entropy
            .iter()
            .chain([&checksum])
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
            .collect(),
    );
    bits.chunks_exact(WORD_BITS)
        .map(|word| word.iter().fold(0, |index, bit| index << 1 | usize::from(*bit)))
        .collect()
}

/// The first `len` bytes that the word indices stand for.
fn pack(indices: &[usize], len: usize) -> Vec<u8> {
    let bits: Zeroizing<Vec<usize>> = Zeroizing::new(
        indices.iter().flat_map(|index| (0..WORD_BITS).rev().map(move |bit| index >> bit & 1)).collect(),
    );
    let byte = |bits: &[usize]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit == 1));
    bits.chunks_exact(8).take(len).map(byte).collect()
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(..)")
    }
}
