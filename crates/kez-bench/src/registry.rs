//! `kez-bench registry`: the home server against the baselines, in turns.

use std::{iter, path::PathBuf, thread, time::Duration};

use clap::Args;

use crate::{
    error::Error,
    fill,
    load::{Requests, Sample},
    people,
    plan::{Plan, REGISTRATIONS_PER_S, REST, WARM_UP, in_turns},
    process::{self, Program, Server},
    report::{Goal, Report},
};

/// Where cargo puts the home server.
pub(crate) const SERVER: &str = "target/release/kez-chat-server";

/// The goals of the project for 2 cores.
mod goals {
    use super::Goal;

    pub(super) const REGISTRATIONS: Goal = Goal::AtLeast(0.65);
    pub(super) const LOOKUPS: Goal = Goal::AtLeast(0.65);
    pub(super) const WEBFINGER: Goal = Goal::AtLeast(0.5);
    pub(super) const P99: Goal = Goal::AtMost(1.5);
    pub(super) const FLAT: Goal = Goal::AtLeast(0.85);
    pub(super) const RESIDENT_MIB: Goal = Goal::AtMost(20.0);
    pub(super) const READY_MS: Goal = Goal::AtMost(150.0);
}

/// What to measure, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Connections of the load
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Sizes of the databases that lookups are measured on, ascending
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 1_000_000],
        value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    handles: Vec<u32>,
    /// The home server
    #[arg(long, default_value = SERVER)]
    server: PathBuf,
    #[command(flatten)]
    plan: Plan,
}

/// Measures and prints. False when goals are missed and were to be judged.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    options.product(Program::Floor)?; // before a minute is spent on baselines
    let mut report = options.plan.begin(options.clients)?;
    options.registrations(&mut report)?;
    let filled = options.filled()?;
    options.lookups(&filled, &mut report)?;
    if !options.plan.self_check {
        options.starts(&filled, &mut report)?;
    }
    Ok(options.plan.end(&report))
}

/// Product and baseline of each round.
type Pairs = Vec<(Sample, Sample)>;

impl Options {
    /// Fresh people register; both sides start with an empty database in every round.
    fn registrations(&self, report: &mut Report) -> Result<(), Error> {
        let mut pairs = Pairs::new();
        let sent = (self.plan.seconds + 1) * REGISTRATIONS_PER_S;
        for round in 0..self.plan.rounds {
            let sign = |index| people::registration(index).map(|envelope| envelope.canonical().to_owned());
            let envelopes = people::on_all_cores(round * sent..(round + 1) * sent, sign)?;
            let register = |program: &Program| self.register(program, &envelopes);
            let product = self.product(Program::Floor)?;
            pairs.push(in_turns(round, || register(&product), || register(&Program::Floor))?);
        }
        report.compare("registrations / floor", &pairs, Some(goals::REGISTRATIONS), Some(goals::P99));
        Ok(())
    }

    fn register(&self, program: &Program, envelopes: &[String]) -> Result<Sample, Error> {
        let db = self.plan.dir.join("registrations.db");
        fill::remove(&db)?;
        let server = Server::start(program, &db)?;
        let sample = self.measure(&server, Requests::register(envelopes), WARM_UP, 201)?;
        server.stop()?;
        fill::remove(&db)?;
        Ok(sample)
    }

    /// Lookups and WebFinger on each database, warm, and the memory of the server with the largest.
    fn lookups(&self, filled: &[Filled], report: &mut Report) -> Result<(), Error> {
        let constant = Server::start(&Program::Constant, &self.plan.dir.join("constant"))?;
        let program = self.product(Program::Constant)?;
        let servers: Vec<_> =
            filled.iter().map(|f| Server::start(&program, &f.db)).collect::<Result<_, _>>()?;
        let before = resident_at_rest(servers.last())?;
        let mut found =
            [Operation::Lookup, Operation::WebFinger].map(|o| (o, vec![Pairs::new(); filled.len()]));
        for round in 0..self.plan.rounds {
            for (operation, found) in &mut found {
                for ((server, filled), pairs) in servers.iter().zip(filled).zip(found) {
                    let ask = |server| self.look_up(server, *operation, filled.handles, WARM_UP);
                    pairs.push(in_turns(round, || ask(server), || ask(&constant))?);
                }
            }
        }
        let after = resident_at_rest(servers.last())?;
        servers.into_iter().chain([constant]).try_for_each(Server::stop)?;
        for (operation, found) in &found {
            let (name, goal) = operation.name_and_goal();
            for (filled, pairs) in filled.iter().zip(found) {
                report.compare(&of(name, filled, " / constant"), pairs, Some(goal), Some(goals::P99));
            }
        }
        let [(_, lookups), _] = found;
        let products = |pairs: &Pairs| pairs.iter().map(|(product, _)| *product).collect();
        flat("lookups, largest / smallest, warm", lookups.iter().map(products).collect(), report);
        if let Some(largest) = filled.last().filter(|_| !self.plan.self_check) {
            let goal = Some(goals::RESIDENT_MIB);
            report.values(&of("memory at rest", largest, ", started"), "MiB", &[before], goal);
            report.values(&of("memory at rest", largest, ", after load"), "MiB", &[after], goal);
        }
        Ok(())
    }

    /// Time to ready, and lookups in the first seconds after a cold start.
    fn starts(&self, filled: &[Filled], report: &mut Report) -> Result<(), Error> {
        let mut starts = vec![Vec::new(); filled.len()];
        for _ in 0..self.plan.rounds {
            for (filled, starts) in filled.iter().zip(&mut starts) {
                starts.push(self.start(filled)?);
            }
        }
        let first = |starts: &Vec<Start>| starts.iter().map(|start| start.first).collect();
        flat("lookups, largest / smallest, cold", starts.iter().map(first).collect(), report);
        if let (Some(largest), Some(starts)) = (filled.last(), starts.last()) {
            let mut row = |what, remark, unit, value: fn(&Start) -> f64, goal| {
                let values: Vec<f64> = starts.iter().map(value).collect();
                report.values(&of(what, largest, remark), unit, &values, goal);
            };
            row("start to ready", ", cold", "ms", |start| start.cold_ms, Some(goals::READY_MS));
            row("start to ready", ", warm", "ms", |start| start.warm_ms, Some(goals::READY_MS));
            row("read from storage", ", cold", "MiB", |start| start.read_mib, None);
        }
        Ok(())
    }

    /// One cold start with load at once, and one warm start.
    fn start(&self, filled: &Filled) -> Result<Start, Error> {
        let program = Program::product(&self.server)?;
        process::drop_page_cache(&filled.db)?;
        let cold = Server::start(&program, &filled.db)?;
        let first = self.look_up(&cold, Operation::Lookup, filled.handles, Duration::ZERO)?;
        let (cold_ms, read_mib) = (cold.ready_ms, cold.storage_read_mib()?);
        cold.stop()?;
        let warm = Server::start(&program, &filled.db)?;
        let warm_ms = warm.ready_ms;
        warm.stop()?;
        Ok(Start { first, cold_ms, warm_ms, read_mib })
    }

    fn look_up(
        &self,
        server: &Server,
        operation: Operation,
        people: u32,
        warm_up: Duration,
    ) -> Result<Sample, Error> {
        self.measure(server, operation.requests(people), warm_up, 200)
    }

    fn measure(
        &self,
        server: &Server,
        requests: Requests,
        warm_up: Duration,
        status: u16,
    ) -> Result<Sample, Error> {
        self.plan.measure(server, self.clients, requests, warm_up, status)
    }

    /// The home server, or the baseline that stands in for it.
    fn product(&self, stand_in: Program) -> Result<Program, Error> {
        if self.plan.self_check { Ok(stand_in) } else { Program::product(&self.server) }
    }

    /// The databases. The baselines need none.
    fn filled(&self) -> Result<Vec<Filled>, Error> {
        let one = |&handles: &u32| {
            let db = if self.plan.self_check {
                self.plan.dir.join(format!("handles-{handles}"))
            } else {
                fill::filled(&self.server, &self.plan.dir, handles)?
            };
            Ok(Filled { handles, db })
        };
        self.handles.iter().map(one).collect()
    }
}

/// A database with this many handles in it.
struct Filled {
    handles: u32,
    db: PathBuf,
}

/// What a cold and a warm start took.
#[derive(Clone)]
struct Start {
    /// Lookups from the moment the cold server was ready.
    first: Sample,
    cold_ms: f64,
    warm_ms: f64,
    /// Read by the cold server until the end of those lookups.
    read_mib: f64,
}

/// What is looked up.
#[derive(Clone, Copy)]
pub(crate) enum Operation {
    /// By handle.
    Lookup,
    /// By `acct:` URI.
    WebFinger,
}

impl Operation {
    fn name_and_goal(self) -> (&'static str, Goal) {
        match self {
            Self::Lookup => ("lookups", goals::LOOKUPS),
            Self::WebFinger => ("WebFinger", goals::WEBFINGER),
        }
    }

    /// Of uniformly random people among the first.
    pub(crate) fn requests(self, people: u32) -> Requests {
        match self {
            Self::Lookup => Requests::lookup("/v1/u/", "", people),
            Self::WebFinger => {
                let after = format!("@{}", people::SERVER);
                Requests::lookup("/.well-known/webfinger?resource=acct:", &after, people)
            }
        }
    }
}

/// Compares the largest database with the smallest, round by round.
fn flat(what: &str, samples: Vec<Vec<Sample>>, report: &mut Report) {
    let mut samples = samples.into_iter();
    if let (Some(smallest), Some(largest)) = (samples.next(), samples.next_back()) {
        report.rate(what, &iter::zip(largest, smallest).collect::<Pairs>(), Some(goals::FLAT));
    }
}

/// `lookups, 1000 handles / constant`
fn of(what: &str, filled: &Filled, remark: &str) -> String {
    format!("{what}, {} handles{remark}", filled.handles)
}

fn resident_at_rest(server: Option<&Server>) -> Result<f64, Error> {
    thread::sleep(REST);
    server.map_or(Ok(f64::NAN), Server::resident_mib)
}
