//! `kez`: make an identity, take a handle on a home server, look people up and check what can be checked.
//!
//! The identity's secret never stands on a command line, in a log or in an error. Whatever can fail says what to do
//! next; [`error`] alone decides words, codes and exit status.

mod ask;
mod chain_view;
mod chat;
mod cli;
mod commands;
mod device;
mod disk;
mod document;
mod error;
mod home;
mod local_chain;
mod output;
mod records;
mod sealing;
mod seed_file;
mod seen;
mod system;

use std::process::ExitCode;

use crate::cli::{Cli, Parsed};
use crate::output::Output;

fn main() -> ExitCode {
    let (output, cli) = match Cli::read(std::env::args_os()) {
        Parsed::Command(cli) => (Output::new(cli.json), cli),
        Parsed::Answered(code) => return code,
    };
    match commands::run(cli.command, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.failure(&error.into()),
    }
}
