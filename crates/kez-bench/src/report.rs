//! What was found: a table for people, JSON for machines.

use std::fmt;

use serde::Serialize;

use crate::{load::Sample, people};

/// A row whose ratios (or values) lie further apart than this part of their median says little.
const SPREAD_MAX: f64 = 0.30;

/// One run.
#[derive(Serialize)]
pub(crate) struct Report {
    /// Number of cores shared by servers and load, e.g. `2 cores`.
    machine: String,
    clients: u32,
    rounds: u32,
    seconds: u32,
    rows: Vec<Row>,
}

/// One thing measured; `product` and `baseline` are medians over the rounds.
#[derive(Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    product: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<f64>,
    /// Product to baseline (or, where the row says so, less baseline) within each round; without a baseline the values
    /// themselves.
    judged: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<Goal>,
    /// Whether the median meets the goal.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<bool>,
    /// Whether the spread is too wide to rely on.
    noisy: bool,
}

/// Median and extremes over the rounds.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

/// What a row must reach.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Goal {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl Spread {
    /// Of at least one value.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let half = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.wrapping_sub(1)), at(half)) };
        Self { median, min: at(0), max: at(values.len().wrapping_sub(1)) }
    }

    fn is_noisy(self) -> bool {
        self.max - self.min > SPREAD_MAX * self.median
    }
}

impl Report {
    /// Nothing found yet.
    pub(crate) fn new(clients: u32, rounds: u32, seconds: u32) -> Self {
        Self { machine: format!("{} cores", people::cores()), clients, rounds, seconds, rows: Vec::new() }
    }

    /// Adds rate, p50 and p99 of pairs (product, baseline) measured one after the other.
    pub(crate) fn compare(
        &mut self,
        what: &str,
        pairs: &[(Sample, Sample)],
        rate: Option<Goal>,
        p99: Option<Goal>,
    ) {
        self.rate(what, pairs, rate);
        self.ratio(what, "p50 ms", &both(pairs, |sample| sample.p50_ms), None);
        self.ratio(what, "p99 ms", &both(pairs, |sample| sample.p99_ms), p99);
    }

    /// Adds the rate of pairs (product, baseline) only.
    pub(crate) fn rate(&mut self, what: &str, pairs: &[(Sample, Sample)], goal: Option<Goal>) {
        self.ratio(what, "per second", &both(pairs, |sample| sample.per_s), goal);
    }

    /// Adds values of the product that have no counterpart; none of them is no row.
    pub(crate) fn values(&mut self, what: &str, unit: &'static str, values: &[f64], goal: Option<Goal>) {
        if !values.is_empty() {
            let judged = Spread::of(values.iter().copied());
            self.row(Row::new(what, unit, judged.median, None, judged, goal));
        }
    }

    /// Adds pairs (product, baseline) of numbers; judged is the one divided by the other.
    pub(crate) fn ratio(&mut self, what: &str, unit: &'static str, pairs: &[(f64, f64)], goal: Option<Goal>) {
        let (product, baseline) = medians(pairs);
        let judged = Spread::of(pairs.iter().map(|(product, baseline)| product / baseline));
        self.row(Row::new(what, unit, product, Some(baseline), judged, goal));
    }

    /// Adds pairs (product, baseline) of numbers; judged is what the product has more than the baseline.
    ///
    /// That may be next to nothing, so the row is noisy by the spread's part of what is allowed.
    pub(crate) fn excess(&mut self, what: &str, unit: &'static str, pairs: &[(f64, f64)], at_most: f64) {
        let (product, baseline) = medians(pairs);
        let judged = Spread::of(pairs.iter().map(|(product, baseline)| product - baseline));
        let row = Row::new(what, unit, product, Some(baseline), judged, Some(Goal::AtMost(at_most)));
        self.row(Row { noisy: judged.max - judged.min > SPREAD_MAX * at_most, ..row });
    }

    fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether every goal is met.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.holds != Some(false))
    }
}

/// The medians of both sides.
fn medians(pairs: &[(f64, f64)]) -> (f64, f64) {
    let median = |of: fn(&(f64, f64)) -> f64| Spread::of(pairs.iter().map(of)).median;
    (median(|(product, _)| *product), median(|(_, baseline)| *baseline))
}

/// One number of each sample.
pub(crate) fn both(pairs: &[(Sample, Sample)], of: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    pairs.iter().map(|(product, baseline)| (of(product), of(baseline))).collect()
}

impl Row {
    fn new(
        what: &str,
        unit: &'static str,
        product: f64,
        baseline: Option<f64>,
        judged: Spread,
        goal: Option<Goal>,
    ) -> Self {
        let holds = goal.map(|goal| goal.holds(judged.median));
        Self { what: what.to_owned(), unit, product, baseline, judged, goal, holds, noisy: judged.is_noisy() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, clients, rounds, seconds, rows } = self;
        writeln!(
            f,
            "{machine}, shared by servers and load; {clients} clients; {rounds} rounds of {seconds} s"
        )?;
        writeln!(f, "{HEAD}")?;
        rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        let missed = rows.iter().filter(|row| row.holds == Some(false)).count();
        let judged = rows.iter().filter(|row| row.holds.is_some()).count();
        write!(f, "{} of {judged} goals met", judged - missed)?;
        match rows.iter().filter(|row| row.noisy).count() {
            0 => Ok(()),
            noisy => write!(
                f,
                "; {noisy} rows are noisy (spread over 30 % of the median): repeat before relying on them"
            ),
        }
    }
}

/// Over the columns of a [`Row`].
const HEAD: &str = concat!(
    "                                              ",
    "          product   baseline   ratio  min–max          goal"
);

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, unit, product, baseline, judged, goal, holds, noisy } = self;
        write!(f, "{what:<44} {unit:<10} {:>9}", number(*product))?;
        let (baseline, ratio) = match baseline {
            Some(baseline) => (number(*baseline), number(judged.median)),
            None => (String::new(), String::new()),
        };
        let extremes = format!("{}–{}", number(judged.min), number(judged.max));
        let goal = match goal {
            Some(Goal::AtLeast(bound)) => format!("≥ {bound}"),
            Some(Goal::AtMost(bound)) => format!("≤ {bound}"),
            None => String::new(),
        };
        let verdict = holds.map_or("", |holds| if holds { "ok" } else { "MISSED" });
        let noisy = if *noisy { "(noisy)" } else { "" };
        let line = format!(" {baseline:>10} {ratio:>7}  {extremes:<15}  {goal:<7} {verdict} {noisy}");
        f.write_str(line.trim_end())
    }
}

/// Two decimals below 100, whole with thousands separated above.
fn number(value: f64) -> String {
    if value < 99.995 {
        return format!("{value:.2}");
    }
    let mut text = format!("{value:.0}");
    let mut group = text.len();
    while group > 3 {
        group -= 3;
        text.insert(group, ',');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let text = [0.654, 99.99, 100.0, 999.6, 13_004.4, 1_000_000.0].map(number);
        assert_eq!(text, ["0.65", "99.99", "100", "1,000", "13,004", "1,000,000"]);
    }

    #[test]
    fn medians_and_noise() {
        let spread = Spread::of([3.0, 1.0, 2.0, 4.0].into_iter());
        assert!((spread.median - 2.5).abs() < 1e-9 && spread.is_noisy());
        assert!(!Spread::of([0.9, 1.0, 1.1].into_iter()).is_noisy());
    }

    #[test]
    fn a_missed_goal_is_said() {
        let mut report = Report::new(64, 1, 1);
        report.values("memory", "MiB", &[21.0], Some(Goal::AtMost(20.0)));
        assert!(!report.holds());
        assert!(report.to_string().contains("≤ 20    MISSED"), "{report}");
    }

    #[test]
    fn an_excess_of_next_to_nothing_is_not_noisy() {
        let mut report = Report::new(64, 2, 1);
        report.excess("p99 less the floor's", "ms", &[(9.0, 9.1), (8.0, 7.9)], 20.0);
        assert!(report.holds() && !report.to_string().contains("noisy"), "{report}");
    }
}
