//! What all measurements have in common: how long, how often, in which order, and where.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    error::Error,
    load::{Load, Requests, Sample},
    process::Server,
    report::Report,
};

/// Load before each counted window, so that both sides are warm.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

/// Idle time before memory is read.
pub(crate) const REST: Duration = Duration::from_secs(2);

/// Registrations or events signed for each second of a round; more than any server here can take.
pub(crate) const REGISTRATIONS_PER_S: u32 = 25_000;

/// How long, how often, and what becomes of it.
#[derive(Args)]
pub(crate) struct Plan {
    /// Length of each counted window
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) seconds: u32,
    /// How often everything is repeated
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Where databases are made; filled ones are kept for the next run. Must be on a real disk
    #[arg(long, default_value = "target/kez-bench")]
    pub(crate) dir: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Exit with status 1 when a goal is missed
    #[arg(long)]
    judge: bool,
    /// Measure the baselines against themselves: how far ratios are from 1 is the error of the method
    #[arg(long, conflicts_with = "judge")]
    pub(crate) self_check: bool,
}

impl Plan {
    /// The place for databases, and a report with nothing in it.
    pub(crate) fn begin(&self, clients: u32) -> Result<Report, Error> {
        fs::create_dir_all(&self.dir).map_err(Error::io("create the directory for databases"))?;
        Ok(Report::new(clients, self.rounds, self.seconds))
    }

    /// Prints. False when goals are missed and were to be judged.
    pub(crate) fn end(&self, report: &Report) -> bool {
        if self.json {
            println!("{}", serde_json::to_string_pretty(report).unwrap_or_default());
        } else {
            println!("\n{report}");
        }
        !self.judge || report.holds()
    }

    /// The length of a counted window.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// One measurement of one server, said on standard error.
    pub(crate) fn measure(
        &self,
        server: &Server,
        clients: u32,
        requests: Requests,
        warm_up: Duration,
        status: u16,
    ) -> Result<Sample, Error> {
        let sample = Load { clients, warm_up, window: self.window(), requests, status }.run(server)?;
        eprintln!("{}: {:.0} per second, p99 {:.2} ms", server.name, sample.per_s, sample.p99_ms);
        Ok(sample)
    }
}

/// Measures product and baseline, in another order every round: A B, B A, …
pub(crate) fn in_turns<T>(
    round: u32,
    product: impl FnOnce() -> Result<T, Error>,
    baseline: impl FnOnce() -> Result<T, Error>,
) -> Result<(T, T), Error> {
    if round.is_multiple_of(2) {
        let baseline = baseline()?;
        Ok((product()?, baseline))
    } else {
        Ok((product()?, baseline()?))
    }
}
