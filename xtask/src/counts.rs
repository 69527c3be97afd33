//! Numbers of tests, read from the summaries of test runners.

use std::ops::AddAssign;

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl Counts {
    /// A check that is one test.
    pub(crate) fn one(ok: bool) -> Self {
        if ok { Self { passed: 1, failed: 0 } } else { Self { passed: 0, failed: 1 } }
    }

    /// What a run of cargo-nextest, `cargo test` or vitest printed.
    ///
    /// A run that failed counts at least one failure, also when nothing could be compiled.
    pub(crate) fn of_run(ok: bool, text: &str) -> Self {
        let mut counts = Self::default();
        for line in text.lines() {
            counts += nextest_summary(line)
                .or_else(|| libtest_result(line))
                .or_else(|| vitest_summary(line))
                .unwrap_or_default();
        }
        if !ok && counts.failed == 0 {
            counts.failed = 1;
        }
        counts
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// `     Summary [   0.512s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 3 skipped`; a run that was
/// broken off says `7/12 tests run`. Everything that ran and did not pass has failed.
fn nextest_summary(line: &str) -> Option<Counts> {
    let (_, after) = line.trim_start().strip_prefix("Summary [")?.split_once(']')?;
    let (run, verdicts) = after.split_once(" run:")?;
    let run: u32 = run.split_whitespace().next()?.split('/').next()?.parse().ok()?;
    let passed = number_before(verdicts, "passed").unwrap_or(0);
    Some(Counts { passed, failed: run.saturating_sub(passed) })
}

/// `test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s`
fn libtest_result(line: &str) -> Option<Counts> {
    let verdicts = line.strip_prefix("test result: ")?;
    Some(Counts { passed: number_before(verdicts, "passed")?, failed: number_before(verdicts, "failed")? })
}

/// `      Tests  1 failed | 12 passed (13)`
fn vitest_summary(line: &str) -> Option<Counts> {
    let verdicts = line.trim_start().strip_prefix("Tests  ")?;
    let count = |word| number_before(verdicts, word).unwrap_or(0);
    Some(Counts { passed: count("passed"), failed: count("failed") })
}

fn number_before(text: &str, word: &str) -> Option<u32> {
    let words: Vec<&str> = text.split([' ', ',', ';']).collect();
    words.windows(2).find(|pair| pair[1] == word)?[0].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn nextest_counts_what_did_not_pass_as_failed() {
        let text = "     Summary [   0.512s] 12 tests run: 10 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 3 skipped";
        assert_eq!(Counts::of_run(false, text), Counts { passed: 10, failed: 2 });
    }

    #[test]
    fn nextest_run_that_was_broken_off() {
        let text = "     Summary [   1.000s] 7/12 tests run: 6 passed, 1 failed, 0 skipped";
        assert_eq!(Counts::of_run(false, text), Counts { passed: 6, failed: 1 });
    }

    #[test]
    fn nextest_with_a_single_test() {
        let text = "     Summary [   0.010s] 1 test run: 1 passed, 0 skipped";
        assert_eq!(Counts::of_run(true, text), Counts { passed: 1, failed: 0 });
    }

    #[test]
    fn cargo_test_sums_over_binaries() {
        let text = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
                    test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s";
        assert_eq!(Counts::of_run(false, text), Counts { passed: 7, failed: 2 });
    }

    #[test]
    fn a_run_that_did_not_compile_is_a_failure() {
        assert_eq!(Counts::of_run(false, "error: could not compile"), Counts { passed: 0, failed: 1 });
    }

    #[test]
    fn vitest_counts_tests_and_not_files() {
        let text = " Test Files  1 failed | 2 passed (3)\n      Tests  1 failed | 12 passed (13)\n";
        assert_eq!(Counts::of_run(false, text), Counts { passed: 12, failed: 1 });
        assert_eq!(Counts::of_run(true, "      Tests  7 passed (7)\n"), Counts { passed: 7, failed: 0 });
    }
}
