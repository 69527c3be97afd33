//! The steps of `cargo xtask test`, cheap first.

use std::process::Command;

use crate::{
    counts::Counts,
    docs,
    failure::Failure,
    openapi,
    process::{Log, on_path},
    project::Project,
    schemathesis,
    tools::{CARGO_DENY, CHROMIUM, NATS, NATS_OLD_NAME, NEXTEST, NPM, POSTGRES, ROOT, SCHEMATHESIS, WASM},
    wasm, web,
};

/// One step.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) purpose: &'static str,
    /// Tools without which it cannot run.
    pub(crate) needs: &'static [&'static str],
    /// Tools without which it leaves something out: what, and the tool.
    pub(crate) wants: &'static [(&'static str, &'static str)],
    /// Whether `cargo xtask test` without names runs it.
    pub(crate) usual: bool,
    pub(crate) run: fn(&Task<'_>, &mut Log) -> Result<Counts, Failure>,
}

/// What a step is told.
pub(crate) struct Task<'a> {
    pub(crate) project: &'a Project,
    /// Long cases with their full counts.
    pub(crate) full: bool,
    /// Accept the server's description.
    pub(crate) bless: bool,
}

/// File systems are mounted by some tests of the server.
const MOUNTS: &[(&str, &str)] = &[("power-cut and disk-full tests", ROOT)];
/// What the Rust tests leave out without their tools.
const OF_RUST: &[(&str, &str)] = &[
    ("power-cut and disk-full tests", ROOT),
    ("tests beside a nats-server", NATS),
    ("the same tests beside nats-server 2.10.27", NATS_OLD_NAME),
    ("tests of the engines on PostgreSQL", POSTGRES),
];

/// All steps.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        purpose: "cargo fmt --all --check",
        needs: &[],
        wants: &[],
        usual: true,
        run: |task, log| {
            one(log, task.project.cargo().args(["fmt", "--all", "--check", "--", "--color=never"]))
        },
    },
    Step {
        name: "docs",
        purpose: "links between our documents, the index of decisions, no paths of somebody's machine",
        needs: &[],
        wants: &[],
        usual: true,
        run: |task, log| docs::step(task.project, log),
    },
    Step {
        name: "deny",
        purpose: "cargo-deny: licences, bans, sources, advisories (the first two are Rust tests as well)",
        needs: &[CARGO_DENY],
        wants: &[],
        usual: true,
        run: deny,
    },
    Step {
        name: "wasm",
        purpose: "the engine of the web client builds for browsers",
        needs: &[WASM],
        wants: &[],
        usual: true,
        run: |task, log| wasm::step(task.project, log),
    },
    Step {
        name: "web",
        purpose: "the web client: lock file, licences, lint, types, tests, build, sizes; the vectors in its engine",
        needs: &[NPM, WASM],
        wants: &[],
        usual: true,
        run: |task, log| web::step(task.project, log),
    },
    Step {
        name: "clippy",
        purpose: "cargo clippy on every target, warnings are errors",
        needs: &[],
        wants: &[],
        usual: true,
        run: |task, log| {
            one(
                log,
                task.project.cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
            )
        },
    },
    Step {
        name: "rust",
        purpose: "all Rust tests, with cargo-nextest where it is installed, and documentation tests",
        needs: &[],
        wants: OF_RUST,
        usual: true,
        run: rust,
    },
    Step {
        name: "faults",
        purpose: "of `rust` only the kills, power cuts, full disks and hostile connections",
        needs: &[],
        wants: MOUNTS,
        usual: false, // `rust` runs them, with --full in their full form
        run: faults,
    },
    Step {
        name: "openapi",
        purpose: "docs/openapi.json is what the server prints; --bless accepts it",
        needs: &[],
        wants: &[],
        usual: true,
        run: |task, log| openapi::step(task.project, log, task.bless),
    },
    Step {
        name: "e2e",
        purpose: "the web client in Chromium against a real server; screenshots in target/screenshots",
        needs: &[NPM, WASM, CHROMIUM],
        wants: &[],
        usual: true,
        run: |task, log| web::end_to_end(task.project, log),
    },
    Step {
        name: "schemathesis",
        purpose: "a real server against its OpenAPI document, three seeds",
        needs: &[SCHEMATHESIS],
        wants: &[],
        usual: true,
        run: |task, log| schemathesis::step(task.project, log, task.full),
    },
];

impl Step {
    /// The tools it can use.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &'static str> {
        self.needs.iter().copied().chain(self.wants.iter().map(|(_, tool)| *tool))
    }
}

/// Whether today's steps, or the build, use a tool.
pub(crate) fn use_tool(name: &str) -> bool {
    matches!(name, crate::tools::CC | NEXTEST) || STEPS.iter().flat_map(Step::tools).any(|tool| tool == name)
}

fn one(log: &mut Log, command: &mut Command) -> Result<Counts, Failure> {
    Ok(Counts::one(log.run(command)?.ok))
}

fn rust(task: &Task<'_>, log: &mut Log) -> Result<Counts, Failure> {
    let mut counts = tests(task, log, &[])?;
    // nextest runs no documentation tests, and `tests` leaves them out with cargo test too.
    let run = log
        .run(rust_env(task, task.project.cargo().args(["test", "--workspace", "--doc", "--no-fail-fast"])))?;
    counts += Counts::of_run(run.ok, &run.text);
    Ok(counts)
}

fn faults(task: &Task<'_>, log: &mut Log) -> Result<Counts, Failure> {
    tests(task, log, &["--test", "faults"])
}

/// The Rust tests of the whole workspace, or a selection of targets in it. Always the whole workspace, because a
/// narrower one resolves other features and compiles dependencies again.
fn tests(task: &Task<'_>, log: &mut Log, selection: &[&str]) -> Result<Counts, Failure> {
    let mut cargo = task.project.cargo();
    if on_path(&["cargo-nextest"]).is_some() {
        cargo.args(["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "fail"]);
        cargo.args(["--failure-output", "final", "--success-output", "never"]);
    } else {
        cargo.args(["test", "--workspace", "--no-fail-fast"]);
        if selection.is_empty() {
            cargo.args(["--lib", "--bins", "--tests"]);
        }
    }
    let run = log.run(rust_env(task, cargo.args(selection)))?;
    Ok(Counts::of_run(run.ok, &run.text))
}

fn rust_env<'c>(task: &Task<'_>, cargo: &'c mut Command) -> &'c mut Command {
    if task.full {
        cargo.env("KEZ_FULL", "1");
    }
    cargo
}

/// Advisories come from the network and judge the day, not the change: without a network they only warn.
fn deny(task: &Task<'_>, log: &mut Log) -> Result<Counts, Failure> {
    let mut counts = one(log, task.project.cargo().args(["deny", "check", "licenses", "bans", "sources"]))?;
    let advisories = log.run(task.project.cargo().args(["deny", "check", "advisories"]))?;
    if advisories.ok || !advisories.text.contains("failed to fetch advisory database") {
        counts += Counts::one(advisories.ok);
    } else {
        println!("warning: no advisory database, so no advisories were checked");
    }
    Ok(counts)
}
