//! `cargo xtask`: what a developer, a newcomer and CI type. `cargo xtask` alone explains itself.
//!
//! Every command waits for this crate to compile, so it has no dependency; it imports nothing of ours.

mod bench;
mod counts;
mod docs;
mod failure;
mod openapi;
mod process;
mod project;
mod schemathesis;
mod serve;
mod setup;
mod steps;
mod test;
mod tools;
mod wasm;
mod web;

use std::{env, process::ExitCode};

use crate::{failure::Failure, project::Project};

const HELP: &str = "\
cargo xtask <command>

  run [-- <flags>]       build the web client and the chat server, obtain what that needs, start it with these flags
                           cargo xtask run
                           cargo xtask run -- --bind 127.0.0.1:6969 --db ./kez-chat.db --server kez.lat
                           cargo xtask run -- --help
  dev [-- <flags>]       the same, and build and start again whenever a source file changes; Vite serves the client beside
                           it, on http://127.0.0.1:5173
  test [<step>…]         every check there is, or only the named steps; obtains the tools they need
      --list               name the steps and what each does
      --full               long cases with their full counts (kills, races, fuzz inputs): an hour or more
      --bless              with the step `openapi`: accept the server's description
  setup [<tool>…]        obtain the tools that today's steps use, or the named ones, and say what was done
  openapi                write the server's description to docs/openapi.json
  wasm                   build the web client's engine for browsers, into its sources
  web                    build the web client, into web/dist; the next build of the server has it inside
  bench [<what> <flags>] build everything optimised and measure; `registry` when nothing is named

Environment
  KEZ_REQUIRE            tools whose absence fails `test` instead of skipping a step, such as wasm,root
  KEZ_FULL               set to 1 for the tests by `--full`
  CARGO_TARGET_DIR       as for cargo; what `setup` fetches lies in `tools/` of it, logs of steps in `xtask/`
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("cargo xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode, Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    // `run`, `dev` and `bench` hand --help to the program they start.
    if matches!(command.as_str(), "help" | "--help" | "-h")
        || (matches!(command.as_str(), "test" | "setup" | "openapi" | "wasm" | "web")
            && rest.iter().any(|flag| flag == "--help" || flag == "-h"))
    {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let project = Project::find()?;
    match command.as_str() {
        "run" => serve::run(&project, passed_on(rest)),
        "dev" => serve::dev(&project, passed_on(rest)),
        "test" => test::test(&project, rest),
        "setup" => setup::setup(&project, rest),
        "openapi" => openapi::bless(&project),
        "wasm" => wasm::wasm(&project),
        "web" => web::web(&project),
        "bench" => bench::bench(&project, passed_on(rest)),
        unknown => Err(Failure::Usage(format!("there is no command `{unknown}`; `cargo xtask` lists them"))),
    }
}

/// The flags for the program that is started: everything, less the `--` that separates them.
fn passed_on(rest: &[String]) -> &[String] {
    match rest {
        [dashes, flags @ ..] if dashes == "--" => flags,
        flags => flags,
    }
}
