//! `kez-bench messages`: frames through the home server against the baseline `message-floor`, in turns.

mod delivery;
pub(crate) mod floor;
mod frame;
mod growth;
mod set_up;
mod side;

pub(crate) use side::Talk;

use std::{path::PathBuf, thread};

use clap::Args;

use crate::{
    error::Error,
    fill,
    load::{Requests, Sample},
    messages::{
        delivery::{Delays, Delivery},
        side::Side,
    },
    plan::{Plan, REST, WARM_UP, in_turns},
    process::{Program, Server},
    registry::SERVER,
    report::{Goal, Report, both},
};

/// A rate at which nobody waits for anybody, frames a second.
const QUIET_PER_S: f64 = 100.0;

/// Frames prepared for each second of a flood; more than either side can take.
const FRAMES_PER_S: u32 = 60_000;

/// Streams of each person while memory is measured; what the home server gives one device.
const STREAMS_EACH: u32 = 4;

/// The goals of the project for 2 cores.
mod goals {
    use super::Goal;

    pub(super) const FRAMES: Goal = Goal::AtLeast(0.6);
    pub(super) const P50: Goal = Goal::AtMost(1.3);
    pub(super) const P99: Goal = Goal::AtMost(1.6);
    pub(super) const KIB_PER_STREAM: Goal = Goal::AtMost(28.0);
    pub(super) const FLAT: Goal = Goal::AtLeast(0.85);
    pub(super) const FLAT_DELAY: Goal = Goal::AtMost(1.15);
}

/// What to measure, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Connections that send; each has a conversation of two of its own
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// Accounts beside those that talk, in the smaller of two databases; the larger has ten times as many
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    accounts: u32,
    /// Frames of theirs, in the smaller of two databases; the larger has ten times as many
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    frames: u32,
    /// The home server
    #[arg(long, default_value = SERVER)]
    server: PathBuf,
    #[command(flatten)]
    plan: Plan,
}

/// Measures and prints. False when goals are missed and were to be judged.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    let product = options.product()?;
    let mut report = options.plan.begin(options.clients)?;
    let maxima = options.frames(&product, &mut report)?;
    let quiet = [QUIET_PER_S; 2];
    let half = [maxima.0 / 2.0, maxima.1 / 2.0];
    for (what, rates) in [("at 100 per second", quiet), ("at half of the own maximum", half)] {
        options.deliveries(&product, what, rates, &mut report)?;
    }
    options.memory(&product, &mut report)?;
    if !options.plan.self_check {
        options.growth(&product, &mut report)?;
    }
    Ok(options.plan.end(&report))
}

/// People on a server that has none yet, who talk in pairs.
pub(crate) fn talk(program: &Program, server: &Server, pairs: u32) -> Result<Talk, Error> {
    side(program, server, pairs).map(|side| side.at(server.addr))
}

fn side(program: &Program, server: &Server, pairs: u32) -> Result<Side, Error> {
    match program {
        Program::Product(_) => set_up::set_up(server, pairs),
        _ => Ok(Side::Floor),
    }
}

/// What a flood of frames found.
struct Flood {
    sample: Sample,
    /// What the server's threads ran for each frame, in microseconds.
    cpu_us: f64,
}

/// A server with people on it.
struct Stage {
    server: Server,
    side: Side,
    db: PathBuf,
}

impl Stage {
    fn talk(&self) -> Talk {
        self.side.at(self.server.addr)
    }

    /// Stops it and removes its files.
    fn clear(self) -> Result<(), Error> {
        self.server.stop()?;
        fill::remove(&self.db)
    }
}

impl Options {
    /// The home server, or the floor in its place.
    fn product(&self) -> Result<Program, Error> {
        if self.plan.self_check { Ok(Program::MessageFloor) } else { Program::product(&self.server) }
    }

    /// A server on an empty database, on which the clients' people have what they need.
    fn stage(&self, program: &Program) -> Result<Stage, Error> {
        let db = self.plan.dir.join("messages.db");
        fill::remove(&db)?;
        let server = Server::start(program, &db)?;
        let side = side(program, &server, self.clients)?;
        Ok(Stage { server, side, db })
    }

    /// Frames accepted durably, as fast as they go, nobody listening; the median of each side.
    fn frames(&self, product: &Program, report: &mut Report) -> Result<(f64, f64), Error> {
        let measure = |program: &Program| {
            let stage = self.stage(program)?;
            let flood = self.flood(&stage)?;
            stage.clear()?;
            Ok(flood)
        };
        let (mut pairs, mut cpu) = (Vec::new(), Vec::new());
        for round in 0..self.plan.rounds {
            let (one, other) = in_turns(round, || measure(product), || measure(&Program::MessageFloor))?;
            pairs.push((one.sample, other.sample));
            cpu.push((one.cpu_us, other.cpu_us));
        }
        report.compare("frames of 1 KiB / floor", &pairs, Some(goals::FRAMES), None);
        report.ratio("the server's own time for a frame / floor", "us", &cpu, None);
        let rates = both(&pairs, |sample| sample.per_s);
        Ok((median(rates.iter().map(|pair| pair.0)), median(rates.iter().map(|pair| pair.1))))
    }

    /// Signed before the clock runs, as registrations are: the rate is the server's, not that of its load.
    fn flood(&self, stage: &Stage) -> Result<Flood, Error> {
        let frames = (self.plan.seconds + 1) * FRAMES_PER_S;
        let requests = Requests::Own(stage.talk().prepared(self.clients, frames / self.clients)?);
        let before = stage.server.cpu_us()?;
        let sample = self.plan.measure(&stage.server, self.clients, requests, WARM_UP, 201)?;
        let cpu_us = (stage.server.cpu_us()? - before) / f64::from(sample.sent);
        Ok(Flood { sample, cpu_us })
    }

    /// From the request to the event, at a rate for each side.
    fn deliveries(
        &self,
        product: &Program,
        what: &str,
        rates: [f64; 2],
        report: &mut Report,
    ) -> Result<(), Error> {
        let measure = |program: &Program, rate| {
            let stage = self.stage(program)?;
            let delays = self.delays(&stage, rate)?;
            stage.clear()?;
            Ok(delays)
        };
        let mut pairs = Vec::new();
        for round in 0..self.plan.rounds {
            let floor = || measure(&Program::MessageFloor, rates[1]);
            pairs.push(in_turns(round, || measure(product, rates[0]), floor)?);
        }
        let what = format!("delivery {what} / floor");
        report_delays(&what, &pairs, Some(goals::P50), Some(goals::P99), report);
        Ok(())
    }

    fn delays(&self, stage: &Stage, rate: f64) -> Result<Delays, Error> {
        let delivery = Delivery { clients: self.clients, rate, warm_up: WARM_UP, window: self.plan.window() };
        delivery.run(&stage.server, &stage.talk())
    }

    /// Resident memory of a stream on which nothing happens.
    fn memory(&self, product: &Program, report: &mut Report) -> Result<(), Error> {
        for (what, program, goal) in [
            ("memory of an idle stream", product, Some(goals::KIB_PER_STREAM)),
            ("memory of an idle stream, floor", &Program::MessageFloor, None),
        ] {
            let mut found = Vec::new();
            for _ in 0..self.plan.rounds {
                let stage = self.stage(program)?;
                found.push(self.kib_per_stream(&stage)?);
                stage.clear()?;
            }
            report.values(what, "KiB", &found, goal);
        }
        Ok(())
    }

    #[tokio::main(flavor = "current_thread")]
    async fn kib_per_stream(&self, stage: &Stage) -> Result<f64, Error> {
        thread::sleep(REST);
        let (before, talk) = (stage.server.resident_mib()?, stage.talk());
        let mut streams = Vec::new();
        for client in 0..self.clients {
            for stream in 0..2 * STREAMS_EACH {
                let who = usize::from(stream >= STREAMS_EACH);
                let open = delivery::open(&talk, stage.server.addr, client, who, 0).await;
                streams.push(open.map_err(Error::io("open a stream of events"))?);
            }
        }
        thread::sleep(REST);
        let grown = stage.server.resident_mib()? - before;
        Ok(grown * 1024.0 / f64::from(2 * STREAMS_EACH * self.clients))
    }

    /// The same load with ten times as many accounts and frames in the database.
    fn growth(&self, product: &Program, report: &mut Report) -> Result<(), Error> {
        let grown = |times| -> Result<Stage, Error> {
            let Stage { server, side, db } = self.stage(product)?;
            server.stop()?;
            let named = self.plan.dir.join(format!("messages-{times}.db"));
            growth::grow(&db, &named, self.accounts * times, self.frames * times)?;
            Ok(Stage { server: Server::start(product, &named)?, side, db: named })
        };
        let (small, large) = (grown(1)?, grown(10)?);
        let (mut rates, mut delays, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.plan.rounds {
            let (one, other) = in_turns(round, || self.flood(&large), || self.flood(&small))?;
            rates.push((one.sample, other.sample));
            let quiet = |stage| self.delays(stage, QUIET_PER_S);
            delays.push(in_turns(round, || quiet(&large), || quiet(&small))?);
            memory.push((large.server.resident_mib()?, small.server.resident_mib()?));
        }
        let what = "10 times the accounts and frames / once";
        report.rate(&format!("frames, {what}"), &rates, Some(goals::FLAT));
        let (p50, p99) = (Some(goals::FLAT_DELAY), Some(goals::FLAT_DELAY));
        report_delays(&format!("delivery, {what}"), &delays, p50, p99, report);
        report.ratio(&format!("memory, {what}"), "MiB", &memory, Some(goals::FLAT_DELAY));
        large.clear()?;
        small.clear()
    }
}

fn report_delays(
    what: &str,
    pairs: &[(Delays, Delays)],
    p50: Option<Goal>,
    p99: Option<Goal>,
    report: &mut Report,
) {
    let of = |one: fn(&Delays) -> f64| -> Vec<_> { pairs.iter().map(|(a, b)| (one(a), one(b))).collect() };
    report.ratio(what, "p50 ms", &of(|delays| delays.p50_ms), p50);
    report.ratio(what, "p99 ms", &of(|delays| delays.p99_ms), p99);
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
