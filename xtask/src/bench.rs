//! `cargo xtask bench`: everything that judges speed, measured on optimised builds.

use std::process::{Command, ExitCode};

use crate::{
    failure::Failure,
    process::visibly,
    project::{Project, without_package_variables},
    serve::replace_process,
};

/// Builds the measured server and the bench, then runs the bench with these arguments (`registry` when none is named).
pub(crate) fn bench(project: &Project, arguments: &[String]) -> Result<ExitCode, Failure> {
    let named = arguments.first().filter(|first| !first.starts_with('-'));
    let server = match named.map(String::as_str) {
        Some("sigchain") => "kez-sig-server",
        _ => "kez-chat-server",
    };
    println!("Optimised build first: about ten minutes of CPU when nothing is built yet.");
    visibly(project.cargo().args(["build", "--release", "--package", server, "--package", "kez-bench"]))?;
    let program = project.target.join("release").join(format!("kez-bench{}", std::env::consts::EXE_SUFFIX));
    let mut bench = Command::new(program);
    bench.current_dir(&project.root);
    without_package_variables(&mut bench);
    if named.is_none() {
        bench.arg("registry");
    }
    replace_process(bench.args(arguments))
}
