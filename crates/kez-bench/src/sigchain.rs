//! `kez-bench sigchain`: the sig-server against the baselines, in turns.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Args;

use crate::{
    chain_fill::{self, End, Shape},
    chains::{self, Writer},
    error::Error,
    fill,
    load::{Prepared, Requests, Sample},
    people,
    plan::{Plan, REGISTRATIONS_PER_S, REST, WARM_UP, in_turns},
    process::{Program, Server},
    report::{Goal, Report, both},
    stream::Readers,
};

/// Where cargo puts the sig-server.
const SERVER: &str = "target/release/kez-sig-server";

/// Events that the long chains may still get in one round.
const ROOM: u32 = 1_000;

/// How often the memory of a server under load is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The goals of the project for 2 cores.
mod goals {
    use super::Goal;

    pub(super) const APPENDS: Goal = Goal::AtLeast(0.65);
    pub(super) const P99_EXCESS_MS: f64 = 20.0;
    pub(super) const READS: Goal = Goal::AtLeast(0.6);
    /// Whatever the length of the chain: two pieces of 64 KiB, one read and one sent, each in twice the room.
    pub(super) const MIB_PER_READER: f64 = 0.25;
}

/// What to measure, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Connections of the appending load; each has a chain of its own
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// Connections that read
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    readers: u32,
    /// Events of the chain that is read, and at most of those that are appended to
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2_000..=10_000))]
    events: u32,
    /// The sig-server
    #[arg(long, default_value = SERVER)]
    server: PathBuf,
    #[command(flatten)]
    plan: Plan,
}

/// Measures and prints. False when goals are missed and were to be judged.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    let server = Program::sig_server(&options.server)?;
    let mut report = options.plan.begin(options.clients)?;
    let db = chain_fill::filled(&server, &options.plan.dir, options.shape())?;
    let long = chain_fill::cut_back(&db, options.shape())?;
    if options.plan.self_check {
        options.floors(&mut report)?;
    } else {
        options.appends(&server, &db, &long, &mut report)?;
    }
    options.reads(&server, &db, &mut report)?;
    Ok(options.plan.end(&report))
}

/// What the rounds found, in their order.
#[derive(Default)]
struct Appends {
    fresh: Vec<Sample>,
    floor: Vec<Sample>,
    long: Vec<Sample>,
}

impl Options {
    fn shape(&self) -> Shape {
        Shape { chains: self.clients, events: self.events - ROOM, full: self.events }
    }

    /// Events go to fresh chains, to long ones, and registrations to the floor.
    fn appends(&self, server: &Program, db: &Path, ends: &[End], report: &mut Report) -> Result<(), Error> {
        let registrations = self.registrations()?;
        let (fresh, long) = (self.fresh_chains()?, self.long_chains(ends)?);
        let mut found = Appends::default();
        let mut measure = |turn| -> Result<(), Error> {
            match turn {
                0 => found.fresh.push(self.on_empty(server, Requests::Own(Arc::clone(&fresh)))?),
                1 => found.floor.push(self.on_empty(&Program::Floor, Requests::register(&registrations))?),
                _ => found.long.push(self.on_filled(server, db, Requests::Own(Arc::clone(&long)))?),
            }
            Ok(())
        };
        for round in 0..self.plan.rounds {
            let turns = if round.is_multiple_of(2) { [0, 1, 2] } else { [2, 1, 0] };
            turns.into_iter().try_for_each(&mut measure)?;
        }
        self.report_appends(&found, report);
        Ok(())
    }

    fn report_appends(&self, found: &Appends, report: &mut Report) {
        let Appends { fresh, floor, long } = found;
        let pairs = |one: &[Sample], other: &[Sample]| -> Vec<_> {
            one.iter().copied().zip(other.iter().copied()).collect()
        };
        let length = self.shape().events;
        report.compare("appends, fresh chains / floor", &pairs(fresh, floor), Some(goals::APPENDS), None);
        let what = format!("appends, {length} events / floor");
        report.compare(&what, &pairs(long, floor), None, None);
        let what = format!("appends, {length} events / fresh");
        report.compare(&what, &pairs(long, fresh), None, None);
        let p99 = both(&pairs(long, floor), |sample| sample.p99_ms);
        let what = format!("append p99 less the floor's, {length} events");
        report.excess(&what, "ms", &p99, goals::P99_EXCESS_MS);
    }

    /// The floor against itself.
    fn floors(&self, report: &mut Report) -> Result<(), Error> {
        let registrations = self.registrations()?;
        let register = || self.on_empty(&Program::Floor, Requests::register(&registrations));
        let pairs: Vec<_> = (0..self.plan.rounds)
            .map(|round| in_turns(round, register, register))
            .collect::<Result<_, _>>()?;
        report.compare("registrations, floor / floor", &pairs, Some(goals::APPENDS), None);
        Ok(())
    }

    /// Load on an empty database.
    fn on_empty(&self, program: &Program, requests: Requests) -> Result<Sample, Error> {
        let db = self.plan.dir.join("appends.db");
        fill::remove(&db)?;
        let sample = self.on(program, &db, requests)?;
        fill::remove(&db)?;
        Ok(sample)
    }

    /// Load on the long chains, which are then as they were.
    fn on_filled(&self, program: &Program, db: &Path, requests: Requests) -> Result<Sample, Error> {
        let sample = self.on(program, db, requests)?;
        chain_fill::cut_back(db, self.shape())?;
        Ok(sample)
    }

    fn on(&self, program: &Program, db: &Path, requests: Requests) -> Result<Sample, Error> {
        let server = Server::start(program, db)?;
        let sample = self.plan.measure(&server, self.clients, requests, WARM_UP, 201)?;
        server.stop()?;
        Ok(sample)
    }

    /// Registrations for the floor, which takes the same in every round.
    fn registrations(&self) -> Result<Vec<String>, Error> {
        let sign = |index| people::registration(index).map(|envelope| envelope.canonical().to_owned());
        people::on_all_cores(0..self.events_in_a_round(), sign)
    }

    /// The events of each client, from the first of a chain on; chain after chain where one is not enough.
    fn fresh_chains(&self) -> Result<Arc<[Prepared]>, Error> {
        let each = self.events_in_a_round().div_ceil(self.clients);
        let prepare = |client| {
            let mut requests = Prepared::default();
            let chains = (client..).step_by(self.clients as usize);
            for (chain, begun) in chains.zip((0..each).step_by(self.events as usize)) {
                post(&mut requests, &mut Writer::new(chain), self.events.min(each - begun))?;
            }
            Ok(requests)
        };
        people::on_all_cores(0..self.clients, prepare).map(Into::into)
    }

    /// The next events of each client's long chain.
    fn long_chains(&self, ends: &[End]) -> Result<Arc<[Prepared]>, Error> {
        let prepare = |client| {
            let End { seq, hash, .. } = &ends[client as usize];
            let mut requests = Prepared::default();
            post(&mut requests, &mut Writer::after(client, *seq, *hash), ROOM)?;
            Ok(requests)
        };
        people::on_all_cores(0..self.clients, prepare).map(Into::into)
    }

    fn events_in_a_round(&self) -> u32 {
        (self.plan.seconds + 1) * REGISTRATIONS_PER_S
    }

    /// The full chain is read, and the same bytes as a file; then memory while it is read.
    fn reads(&self, program: &Program, db: &Path, report: &mut Report) -> Result<(), Error> {
        let chain = self.clients;
        let path = Writer::new(chain).path();
        let server = Server::start(program, db)?;
        let lines = server.get(&path)?;
        chains::check(chain, &lines, self.events)?;
        let file = self.plan.dir.join("chain.jsonl");
        fs::write(&file, &lines).map_err(Error::io("write the chain to a file"))?;
        let baseline = Server::start(&Program::Static(file.clone()), &file)?;
        let readers = Readers {
            count: self.readers,
            warm_up: WARM_UP,
            window: self.plan.window(),
            path,
            bytes: lines.len(),
        };
        let product = if self.plan.self_check { &baseline } else { &server };
        let pairs: Vec<_> = (0..self.plan.rounds)
            .map(|round| in_turns(round, || readers.run(product), || readers.run(&baseline)))
            .collect::<Result<_, _>>()?;
        let what = format!("a chain of {} events / static", self.events);
        report.ratio(&what, "MB/s", &pairs, Some(goals::READS));
        [server, baseline].into_iter().try_for_each(Server::stop)?;
        if self.plan.self_check { Ok(()) } else { self.memory(program, db, &readers, report) }
    }

    /// Resident memory before, while and after the full chain is read by all readers.
    fn memory(
        &self,
        program: &Program,
        db: &Path,
        readers: &Readers,
        report: &mut Report,
    ) -> Result<(), Error> {
        let server = Server::start(program, db)?;
        thread::sleep(REST);
        let before = server.resident_mib()?;
        let highest = highest_while(&server, || readers.run(&server))?;
        thread::sleep(REST);
        let after = server.resident_mib()?;
        server.stop()?;
        let mut row = |when, mib, goal| {
            report.values(&format!("memory, {when}"), "MiB", &[mib], goal);
        };
        row("started".to_owned(), before, None);
        row(format!("highest while {} read the chain", self.readers), highest, None);
        row("two seconds after".to_owned(), after, None);
        let goal = Goal::AtMost(goals::MIB_PER_READER * f64::from(self.readers));
        row("most it grew".to_owned(), highest - before, Some(goal));
        Ok(())
    }
}

/// Adds the writer's next events.
fn post(requests: &mut Prepared, writer: &mut Writer, events: u32) -> Result<(), Error> {
    let path = writer.path();
    for _ in 0..events {
        requests.post(&path, writer.next()?.canonical());
    }
    Ok(())
}

/// The most resident memory that is seen while `load` runs, in MiB.
fn highest_while<T: Send>(
    server: &Server,
    load: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<f64, Error> {
    thread::scope(|scope| {
        let load = scope.spawn(load);
        let mut highest = server.resident_mib()?;
        while !load.is_finished() {
            thread::sleep(LOOK_EVERY);
            highest = highest.max(server.resident_mib()?);
        }
        people::joined(load)?;
        Ok(highest)
    })
}
