//! The web client: built with npm into `web/dist/client`, which the server's build takes in (ADR 0024), and checked.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, ExitCode},
    time::SystemTime,
};

use crate::{
    counts::Counts,
    failure::Failure,
    process::{Log, on_path, visibly},
    project::Project,
    serve,
    setup::{Found, ensure, report},
    tools::{NPM, WASM, chromium, tool},
    wasm,
};

/// What a build of the client is made from, below `web/`; the engine is one of them.
const SOURCES: &[&str] = &[
    "src",
    "public",
    "scripts",
    "index.html",
    "package.json",
    "package-lock.json",
    "svelte.config.js",
    "vite.config.ts",
];
/// The checks before the build, each one test.
const CHECKS: &[&str] = &["lock", "licences", "lint", "check"];

/// `cargo xtask web`.
pub(crate) fn web(project: &Project) -> Result<ExitCode, Failure> {
    for name in [NPM, WASM] {
        let Some(tool) = tool(name) else { continue };
        if matches!(ensure(project, tool), Found::Missing) {
            return Err(Failure::Missing { tool: tool.name, cure: tool.cure.to_owned() });
        }
    }
    build(project)?;
    println!("the web client is in web/dist; the next build of the server has it inside");
    Ok(ExitCode::SUCCESS)
}

/// Builds the client for `cargo xtask run` when the tools are there or can be had; else says what is left out.
pub(crate) fn offer(project: &Project) -> Result<(), Failure> {
    if std::env::var_os("KEZ_WEB").is_some() {
        return Ok(());
    }
    for name in [NPM, WASM] {
        let Some(tool) = tool(name) else { continue };
        match ensure(project, tool) {
            Found::Already(_) => {}
            found @ Found::Now(_) => report(tool, &found),
            Found::Missing => {
                println!("The web client is left out: no {}. {}", tool.name, tool.cure);
                return Ok(());
            }
        }
    }
    build(project)
}

/// Starts Vite for `cargo xtask dev`, where npm and the engine are there.
pub(crate) fn vite(project: &Project) -> Result<Option<Child>, Failure> {
    let Some(npm) = npm(project) else {
        println!("The web client is left out: no npm.");
        return Ok(None);
    };
    wasm::build(project)?;
    install(project)?;
    let mut command = npm;
    command.args(["run", "--silent", "dev"]);
    command.spawn().map(Some).map_err(|source| Failure::Start { program: NPM.to_owned(), source })
}

/// Engine, packages, client: whatever is out of date.
fn build(project: &Project) -> Result<(), Failure> {
    wasm::build(project)?;
    install(project)?;
    if is_current(project) {
        return Ok(());
    }
    println!("Building the web client.");
    visibly(&mut run(project, "build")?)
}

fn install(project: &Project) -> Result<(), Failure> {
    if is_installed(project) {
        return Ok(());
    }
    println!("Fetching the packages of the web client.");
    visibly(npm_required(project)?.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))
}

/// The step: each check is one test; the unit tests and vectors count as vitest counts them.
pub(crate) fn step(project: &Project, log: &mut Log) -> Result<Counts, Failure> {
    if !is_installed(project) && !log.run(npm_required(project)?.args(["ci", "--no-audit", "--no-fund"]))?.ok
    {
        return Ok(Counts::one(false));
    }
    let mut counts = Counts::default();
    for check in CHECKS {
        counts += Counts::one(log.run(&mut run(project, check)?)?.ok);
    }
    let tests = log.run(&mut run(project, "test")?)?;
    counts += Counts::of_run(tests.ok, &tests.text);
    let built = is_current(project) || log.run(&mut run(project, "build")?)?.ok;
    counts += Counts::one(built);
    if built {
        counts += Counts::one(log.run(&mut run(project, "budget")?)?.ok);
    }
    Ok(counts)
}

/// The step: the tests of `web/e2e` against the server that is built here.
pub(crate) fn end_to_end(project: &Project, log: &mut Log) -> Result<Counts, Failure> {
    if !is_current(project) && !log.run(&mut run(project, "build")?)?.ok {
        return Ok(Counts::one(false));
    }
    if !log.run(&mut serve::build_for_tests(project))?.ok {
        return Ok(Counts::one(false));
    }
    let Some(chromium) = chromium() else { return Ok(Counts::one(false)) };
    let mut command = run(project, "e2e")?;
    command
        .env("KEZ_SERVER_PROGRAM", project.program(serve::SERVER))
        .env("CHROMIUM", chromium)
        .env("KEZ_SCREENSHOTS", project.target.join("screenshots"));
    let run = log.run(&mut command)?;
    Ok(Counts::of_run(run.ok, &run.text))
}

fn folder(project: &Project) -> PathBuf {
    project.root.join("web")
}

fn run(project: &Project, script: &str) -> Result<Command, Failure> {
    let mut npm = npm_required(project)?;
    npm.args(["run", "--silent", script]);
    Ok(npm)
}

fn npm(project: &Project) -> Option<Command> {
    let mut npm = Command::new(on_path(&["npm"])?);
    npm.current_dir(folder(project));
    Some(npm)
}

fn npm_required(project: &Project) -> Result<Command, Failure> {
    let cure = || tool(NPM).map_or("", |tool| tool.cure).to_owned();
    npm(project).ok_or_else(|| Failure::Missing { tool: NPM, cure: cure() })
}

fn is_installed(project: &Project) -> bool {
    let changed = |name: &str| modified(&folder(project).join(name));
    // npm writes the inner file when it has installed everything.
    matches!((changed("node_modules/.package-lock.json"), changed("package-lock.json")), (Some(done), Some(lock)) if done >= lock)
}

/// Whether the built client is newer than everything that it is made from.
fn is_current(project: &Project) -> bool {
    let Some(built) = modified(&folder(project).join("dist/client/index.html")) else { return false };
    SOURCES
        .iter()
        .flat_map(|source| wasm::files_below(&folder(project).join(source)))
        .all(|file| modified(&file).is_some_and(|changed| changed <= built))
}

fn modified(file: &std::path::Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}
