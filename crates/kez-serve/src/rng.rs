//! Chance as a dependency: where random bytes come from.

use std::fmt::Debug;

/// A source of random bytes fit for keys and tokens.
pub trait Rng: Send + Sync + Debug {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

/// `N` random bytes.
pub fn bytes<const N: usize>(rng: &dyn Rng) -> [u8; N] {
    let mut out = [0; N];
    rng.fill(&mut out);
    out
}

/// The operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRng;

impl Rng for SystemRng {
    /// # Panics
    ///
    /// When the operating system has no randomness to give: nothing safe can be done without it.
    fn fill(&self, out: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "the one place that draws from the system's generator")]
        let filled = getrandom::fill(out);
        // invariant: getrandom(2) does not fail once the kernel is up; without it no key may be made.
        filled.expect("the operating system gives random bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes::<16>(&SystemRng), bytes::<16>(&SystemRng));
    }
}
