//! How much is run, and with what chance.

/// Whether the full counts are asked for (`cargo xtask test --full`).
pub(crate) fn is_full() -> bool {
    std::env::var_os("KEZ_FULL").is_some_and(|value| value == "1")
}

/// `short`, or `full` in the full form.
pub(crate) fn count(short: u32, full: u32) -> u32 {
    if is_full() { full } else { short }
}

/// Whether a case may go on that needs `tool`; says why when not, and fails when `KEZ_REQUIRE` names it.
#[track_caller]
pub(crate) fn may_go_on(tool: &str, is_there: bool) -> bool {
    if is_there {
        return true;
    }
    let required = std::env::var("KEZ_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == tool), "KEZ_REQUIRE names {tool}: it is missing");
    println!("skipped: no {tool}");
    false
}

/// A stream of numbers that is the same in every run: `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).unwrap()
    }

    /// A moment of up to 50 ms.
    pub(crate) fn delay(&mut self) -> std::time::Duration {
        std::time::Duration::from_micros(self.number() % 50_000)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
