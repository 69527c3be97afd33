//! Schemathesis: requests made up from the server's OpenAPI document, answers checked against it.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    counts::Counts,
    failure::Failure,
    process::{Log, on_path, visibly},
    project::Project,
    serve::{TestServer, build_for_tests},
};

/// Versions and hashes of the environment; it is made anew when this changes.
const PINS: &str = include_str!("../schemathesis.txt");
/// Fixed, so that a finding comes back; three, because each seed walks elsewhere.
const SEEDS: [u32; 3] = [1, 20_261, 4_294_967];
/// Requests per operation, phase and seed: some seconds each.
const EXAMPLES: &str = "30";
/// The same with `--full`.
const EXAMPLES_FULL: &str = "1000";
/// The published example key, 32 bytes of 0x42: nobody's secret.
const EXAMPLE_PHRASE: &str = "drastic bamboo mountain loyal category cancel animal embark drastic bamboo mountain \
    loyal category cancel animal embark drastic bamboo mountain loyal category cancel animal embark";
/// Seconds that an answer may take before it is a finding.
const ANSWER_MAX_S: &str = "10";

/// The program, when the environment is complete and made from today's pins.
pub(crate) fn installed(project: &Project) -> Option<PathBuf> {
    let stamp = fs::read_to_string(environment(project).join("pins.txt")).ok()?;
    let program = environment(project).join("bin").join("schemathesis");
    (stamp == PINS && program.is_file()).then_some(program)
}

/// Makes the environment.
pub(crate) fn install(project: &Project) -> Result<(), Failure> {
    let Some(python) = on_path(&["python3"]) else { return Ok(()) };
    let environment = environment(project);
    eprintln!("schemathesis: making a Python environment");
    visibly(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment))?;
    let pins = environment.join("pins.new");
    fs::write(&pins, PINS).map_err(Failure::file(&pins))?;
    visibly(
        Command::new(environment.join("bin").join("python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--requirement",
            ])
            .arg(&pins),
    )?;
    // Only now: a stamp beside half an environment would pass for a whole one.
    let stamp = environment.join("pins.txt");
    fs::rename(&pins, &stamp).map_err(Failure::file(&stamp))
}

/// The step: each seed is one test.
pub(crate) fn step(project: &Project, log: &mut Log, full: bool) -> Result<Counts, Failure> {
    let program = installed(project).ok_or_else(|| Failure::Missing {
        tool: crate::tools::SCHEMATHESIS,
        cure: "cargo xtask setup schemathesis".to_owned(),
    })?;
    if !log.run(&mut build_for_tests(project))?.ok {
        return Ok(Counts::one(false));
    }
    let mut server = TestServer::start(project, log)?;
    let mut counts = Counts::default();
    if !register_the_example(project, log, &server)? {
        return Ok(Counts::one(false));
    }
    for seed in SEEDS {
        let run = log.run(
            Command::new(&program)
                .current_dir(project.scratch())
                // A proxy for the outside world must not see requests to this machine.
                .env("NO_PROXY", "127.0.0.1")
                .env("no_proxy", "127.0.0.1")
                .arg("--config-file")
                .arg(project.root.join("xtask/schemathesis.toml"))
                .args(["run", "--no-color", "--checks", "all", "--generation-database", "none"])
                .args(["--max-examples", if full { EXAMPLES_FULL } else { EXAMPLES }])
                .args(["--request-timeout", ANSWER_MAX_S, "--seed", &seed.to_string()])
                .arg(format!("http://{}/openapi.json", server.address)),
        )?;
        counts += Counts::one(run.ok && server.alive());
    }
    if log.text()?.contains("panicked at") {
        log.note("the server panicked")?;
        counts += Counts::one(false);
    }
    Ok(counts)
}

/// Registers the person that the examples of the description are about, so that they find somebody.
fn register_the_example(project: &Project, log: &mut Log, server: &TestServer) -> Result<bool, Failure> {
    let home = server.directory.join("kez");
    let phrase = server.directory.join("phrase");
    fs::write(&phrase, EXAMPLE_PHRASE).map_err(Failure::file(&phrase))?;
    let kez = |arguments: &[&str]| {
        let mut command = Command::new(project.program("kez"));
        command.env("KEZ_HOME", &home).args(arguments);
        command
    };
    let phrase = fs::File::open(&phrase).map_err(Failure::file(&phrase))?;
    let restored = log.run_with_input(&mut kez(&["identity", "restore"]), phrase.into())?;
    let url = format!("http://{}", server.address);
    Ok(restored.ok && log.run(&mut kez(&["register", "alice", "--server", &url]))?.ok)
}

fn environment(project: &Project) -> PathBuf {
    project.tools().join("schemathesis")
}
