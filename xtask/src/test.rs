//! `cargo xtask test`: runs the steps, one line each, and counts.
//!
//! The last line counts tests. A step that runs tests of its own (each Rust test, each seed, each document) counts
//! as those; a step that is a single check (`fmt`) counts as one; a run that failed counts at least one failure.

use std::{
    env,
    io::{IsTerminal, Write},
    process::ExitCode,
    time::Instant,
};

use crate::{
    counts::Counts,
    failure::Failure,
    process::Log,
    project::Project,
    setup::{Found, ensure, report},
    steps::{STEPS, Step, Task},
    tools::{TOOLS, Tool, names, tool},
};

/// What the command line asks for.
struct Request {
    steps: Vec<&'static Step>,
    list: bool,
    full: bool,
    bless: bool,
}

/// `cargo xtask test`.
pub(crate) fn test(project: &Project, arguments: &[String]) -> Result<ExitCode, Failure> {
    let request = parse(arguments)?;
    if request.list {
        for step in STEPS {
            let needs =
                if step.needs.is_empty() { String::new() } else { format!(" [{}]", step.needs.join(", ")) };
            let alone = if step.usual { "" } else { " (only when named)" };
            println!("{:<13} {}{needs}{alone}", step.name, step.purpose);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let required = required(&env::var("KEZ_REQUIRE").unwrap_or_default())?;
    let missing = prepare(project, &request.steps);
    let task = Task { project, full: request.full, bless: request.bless };
    let mut counts = Counts::default();
    let mut skipped = Vec::new();
    for step in request.steps {
        let lacking: Vec<&Tool> =
            missing.iter().copied().filter(|tool| step.needs.contains(&tool.name)).collect();
        let forbidden = lacking.iter().find(|tool| required.contains(&tool.name));
        if let Some(tool) = forbidden {
            println!("FAIL  {}: KEZ_REQUIRE names {}, which is missing; {}", step.name, tool.name, tool.cure);
            counts += Counts::one(false);
        } else if lacking.is_empty() {
            counts += run(&task, step)?;
        } else {
            skipped.extend(lacking.iter().map(|tool| (step.name.to_owned(), *tool)));
        }
        for (part, name) in step.wants {
            let Some(tool) = missing.iter().find(|tool| tool.name == *name) else { continue };
            if required.contains(name) {
                println!("FAIL  {} ({part}): KEZ_REQUIRE names {name}; {}", step.name, tool.cure);
                counts += Counts::one(false);
            } else {
                skipped.push((format!("{} ({part})", step.name), tool));
            }
        }
    }
    for (what, tool) in skipped {
        println!("skipped  {what}: no {}; {}", tool.name, tool.cure);
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(arguments: &[String]) -> Result<Request, Failure> {
    let mut request = Request { steps: Vec::new(), list: false, full: false, bless: false };
    for argument in arguments {
        match argument.as_str() {
            "--list" => request.list = true,
            "--full" => request.full = true,
            "--bless" => request.bless = true,
            name => {
                let step = STEPS.iter().find(|step| step.name == name).ok_or_else(|| {
                    Failure::Usage(format!("there is no step `{name}`; `cargo xtask test --list` names them"))
                })?;
                request.steps.push(step);
            }
        }
    }
    if request.steps.is_empty() {
        request.steps = STEPS.iter().filter(|step| step.usual).collect();
    }
    Ok(request)
}

/// The tools that `KEZ_REQUIRE` names. A misspelt name would silently require nothing, so it is an error.
fn required(value: &str) -> Result<Vec<&'static str>, Failure> {
    value
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            tool(name).map(|tool| tool.name).ok_or_else(|| {
                Failure::Usage(format!("KEZ_REQUIRE names `{name}`, which is no tool; there are {}", names()))
            })
        })
        .collect()
}

/// Obtains what these steps use; says what it obtained, and returns what is still missing.
fn prepare(project: &Project, steps: &[&Step]) -> Vec<&'static Tool> {
    let mut missing = Vec::new();
    for tool in TOOLS {
        if !steps.iter().flat_map(|step| step.tools()).any(|name| name == tool.name) {
            continue;
        }
        match ensure(project, tool) {
            Found::Already(_) => {}
            Found::Missing => missing.push(tool),
            found @ Found::Now(_) => report(tool, &found),
        }
    }
    missing
}

fn run(task: &Task<'_>, step: &Step) -> Result<Counts, Failure> {
    let path = task.project.scratch().join(format!("{}.log", step.name));
    let interactive = std::io::stdout().is_terminal();
    if interactive {
        // Overwritten by the verdict.
        print!("..    {}  (log: {})\r", step.name, path.display());
        let _ = std::io::stdout().flush();
    }
    let mut log = Log::create(path)?;
    let start = Instant::now();
    let outcome = (step.run)(task, &mut log);
    let seconds = start.elapsed().as_secs_f32();
    if interactive {
        print!("\r\x1b[K");
    }
    // A step that could not be carried out has failed; the others still run.
    let counts = outcome.or_else(|failure| log.note(&failure.to_string()).map(|()| Counts::one(false)))?;
    let tests = if counts.passed + counts.failed > 1 {
        format!("  ({} passed, {} failed)", counts.passed, counts.failed)
    } else {
        String::new()
    };
    if counts.failed == 0 {
        println!("ok    {}  {seconds:.1} s{tests}", step.name);
    } else {
        println!("FAIL  {}  {seconds:.1} s{tests}", step.name);
        print_log(&log.text()?);
    }
    Ok(counts)
}

/// The log without cargo's lines of progress.
fn print_log(text: &str) {
    let progress = ["Compiling", "Checking", "Downloaded", "Downloading", "Updating", "Locking", "Blocking"];
    for line in text.lines() {
        if !progress.iter().any(|word| line.trim_start().starts_with(word)) {
            println!("      {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, required};
    use crate::{steps::STEPS, tools::tool};

    #[test]
    fn every_name_that_ci_requires_is_known() {
        assert_eq!(
            required("nats,pg,chromium,wasm,npm,root").ok(),
            Some(vec!["nats", "pg", "chromium", "wasm", "npm", "root"])
        );
        assert_eq!(required("schemathesis, wasm").ok(), Some(vec!["schemathesis", "wasm"]));
        assert_eq!(required("").ok(), Some(vec![]));
    }

    #[test]
    fn a_misspelt_requirement_is_refused() {
        assert!(required("wasm,natts").is_err_and(|failure| failure.to_string().contains("natts")));
    }

    #[test]
    fn steps_use_only_tools_of_the_table() {
        for step in STEPS {
            for name in step.tools() {
                assert!(tool(name).is_some(), "{} uses {name}", step.name);
            }
        }
    }

    #[test]
    fn without_names_the_usual_steps_run() {
        let usual: Vec<&str> = parse(&[])
            .map(|request| request.steps.iter().map(|step| step.name).collect())
            .unwrap_or_default();
        assert!(usual.contains(&"rust") && !usual.contains(&"faults"));
        assert!(parse(&["no-such-step".to_owned()]).is_err());
    }
}
