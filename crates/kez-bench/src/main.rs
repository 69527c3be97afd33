//! Load for the home server and the sig-server, and the baselines they are compared with.
//!
//! `constant` and `floor` must never use code of the product: they are what it is measured against.

mod chain_fill;
mod chains;
mod constant;
mod cost;
mod error;
mod fill;
mod floor;
mod load;
mod messages;
mod people;
mod plan;
mod process;
mod registry;
mod report;
mod sigchain;
mod static_file;
mod stream;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Measures the servers against baselines, all in one run.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Registration, lookup, WebFinger, memory and start, as ratios to the baselines
    Registry(registry::Options),
    /// Appends to sigchains, reading them, and memory meanwhile, as ratios to the baselines
    Sigchain(sigchain::Options),
    /// Frames accepted and delivered, memory of streams, and growth, as ratios to the baseline
    Messages(messages::Options),
    /// Instructions that the home server executes for a frame and a lookup, counted by valgrind
    Cost(cost::Options),
    /// Baseline: frames durably stored and pushed, and nothing else
    MessageFloor {
        /// Address to listen on
        #[arg(long)]
        bind: SocketAddr,
        /// SQLite file, made if missing
        #[arg(long)]
        db: PathBuf,
    },
    /// Baseline: a bare handler that answers one constant body
    Constant {
        /// Address to listen on
        #[arg(long)]
        bind: SocketAddr,
    },
    /// Baseline: strict verification and a durable row, and nothing else
    Floor {
        /// Address to listen on
        #[arg(long)]
        bind: SocketAddr,
        /// SQLite file, made if missing
        #[arg(long)]
        db: PathBuf,
    },
    /// Baseline: one file, by the listener that the servers use
    Static {
        /// Address to listen on
        #[arg(long)]
        bind: SocketAddr,
        /// What is answered on every path
        #[arg(long)]
        file: PathBuf,
    },
    /// Makes a database of the home server with many handles in it
    Fill {
        /// SQLite file, replaced if it exists
        #[arg(long)]
        db: PathBuf,
        /// How many
        #[arg(long)]
        handles: u32,
        /// The home server, which makes the tables
        #[arg(long, default_value = registry::SERVER)]
        server: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Registry(options) => registry::run(&options),
        Command::Sigchain(options) => sigchain::run(&options),
        Command::Messages(options) => messages::run(&options),
        Command::Cost(options) => cost::run(&options),
        Command::MessageFloor { bind, db } => messages::floor::serve(bind, &db).map(|()| true),
        Command::Constant { bind } => constant::serve(bind).map(|()| true),
        Command::Floor { bind, db } => floor::serve(bind, &db).map(|()| true),
        Command::Static { bind, file } => static_file::serve(bind, &file).map(|()| true),
        Command::Fill { db, handles, server } => fill::make(&server, &db, handles).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            eprintln!(
                "kez-bench: {}",
                causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
            );
            ExitCode::from(2)
        }
    }
}
