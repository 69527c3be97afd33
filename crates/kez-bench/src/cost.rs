//! `kez-bench cost`: how many instructions a server executes for one operation, in user mode, counted by valgrind.
//!
//! Rates say what people wait for, on a quiet machine. This says what a change is worth on any machine.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use crate::{
    error::Error,
    fill,
    load::{Load, Requests},
    messages,
    process::{Counted, Program},
    registry::{Operation, SERVER},
};

/// Handles in the database that lookups are counted on: enough that each reads another page.
const HANDLES: u32 = 10_000;

/// Frames prepared for each second; more than a server takes under valgrind.
const FRAMES_PER_S: u32 = 3_000;

/// What to count, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Connections of the load
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// How long each operation is counted; valgrind makes a server fifty times as slow
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// The home server
    #[arg(long, default_value = SERVER)]
    server: PathBuf,
    /// Where databases and profiles are made; `callgrind_annotate` shows what the instructions are for
    #[arg(long, default_value = "target/kez-bench")]
    dir: PathBuf,
}

/// Counts and prints.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    fs::create_dir_all(&options.dir).map_err(Error::io("create the directory for databases"))?;
    let product = Program::product(&options.server)?;
    println!("{:<12} {:>12} {:>12}   instructions, in user mode", "", "product", "baseline");
    let row =
        |name: &str, product: f64, baseline: f64| println!("{name:<12} {product:>12.0} {baseline:>12.0}");
    row("frame", options.frame(&product, "frame")?, options.frame(&Program::MessageFloor, "frame-floor")?);
    let filled = fill::filled(&options.server, &options.dir, HANDLES)?;
    let constant = options.lookup(&Program::Constant, &filled, Operation::Lookup, "constant")?;
    for (name, operation) in [("lookup", Operation::Lookup), ("WebFinger", Operation::WebFinger)] {
        row(name, options.lookup(&product, &filled, operation, name)?, constant);
    }
    Ok(true)
}

impl Options {
    /// A frame of 1 KiB between two people.
    fn frame(&self, program: &Program, name: &str) -> Result<f64, Error> {
        let db = self.dir.join("cost.db");
        fill::remove(&db)?;
        let counted = self.start(program, &db, name)?;
        let talk = messages::talk(program, counted.server(), self.clients)?;
        let requests = talk.prepared(self.clients, self.seconds * FRAMES_PER_S / self.clients)?;
        let per_frame = self.count(counted, Requests::Own(requests), 201)?;
        fill::remove(&db)?;
        Ok(per_frame)
    }

    fn lookup(&self, program: &Program, db: &Path, operation: Operation, name: &str) -> Result<f64, Error> {
        self.count(self.start(program, db, name)?, operation.requests(HANDLES), 200)
    }

    fn start(&self, program: &Program, db: &Path, name: &str) -> Result<Counted, Error> {
        Counted::start(program, db, &self.dir.join(format!("callgrind.{name}")))
    }

    /// Instructions for each request.
    fn count(&self, server: Counted, requests: Requests, status: u16) -> Result<f64, Error> {
        let (clients, window) = (self.clients, Duration::from_secs(self.seconds.into()));
        let load = Load { clients, warm_up: Duration::ZERO, window, requests, status };
        server.begin()?;
        let sample = load.run(server.server())?;
        Ok(server.end()? / f64::from(sample.sent))
    }
}
