//! Seeded inputs: random ones, and known ones with something broken.

pub(crate) mod targets;

/// Numbers that are the same in every run (`SplitMix64`).
pub(crate) struct Dice(u64);

/// Pieces that readers look for.
const PIECES: [&[u8]; 28] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"\\u0000",
    b"null",
    b"-1",
    b"9007199254740992",
    b"kez:z1:",
    b"kez:zc1:",
    b"```kez\n",
    b"\n```\n",
    b"~~~",
    b"\" \"",
    b"==",
    b"\xff",
    b"\r\n",
    b"abandon ",
    b"\xe2\x80\xa8",
    b"\x28\xb5\x2f\xfd",
    b";tag=\"kez-chat\"",
    b"=(\"@path\" ",
    b":AA==:",
    b";x=?1, ",
];

impl Dice {
    /// Dice for one purpose.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, or 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % (end.max(1) as u64)).unwrap_or_default()
    }

    /// One of `corpus` with up to six changes, or once in eight times noise.
    pub(crate) fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        if self.below(8) == 0 {
            let length = self.below(200);
            return (0..length).map(|_| self.roll().to_le_bytes()[0]).collect();
        }
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..self.below(7) {
            self.change(&mut input, corpus);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len());
        match self.below(8) {
            0 if !input.is_empty() => input[at] ^= 1 << self.below(8),
            1 if !input.is_empty() => input[at] = self.roll().to_le_bytes()[0],
            2 => input.truncate(at),
            3 if !input.is_empty() => drop(input.drain(at..(at + 1 + self.below(8)).min(input.len()))),
            4 => {
                let piece = PIECES[self.below(PIECES.len())];
                input.splice(at..at, piece.iter().copied());
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 if !input.is_empty() => {
                let piece = input[at..(at + self.below(40)).min(input.len())].to_vec();
                input.splice(at..at, piece);
            }
            _ => input.insert(at, b"0123456789abcdefghijklmnopqrstuvwxyz_- \n"[self.below(40)]),
        }
    }
}
