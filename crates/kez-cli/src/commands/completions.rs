//! `kez completions`.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::error::CliError;
use crate::output::Output;

/// Prints the script that completes command lines in one shell.
pub(super) fn run(args: &Completions, output: &Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kez", &mut script);
    output.raw(&script)
}
