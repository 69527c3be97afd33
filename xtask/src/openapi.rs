//! The server's description of itself, and the copy of it that is committed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use crate::{
    counts::Counts,
    failure::Failure,
    process::{Log, visibly},
    project::Project,
    serve,
};

/// `cargo xtask openapi`: accepts what the server says now.
pub(crate) fn bless(project: &Project) -> Result<ExitCode, Failure> {
    visibly(&mut serve::build_for_tests(project))?;
    let path = committed(project);
    let text = described(project)?;
    if fs::read(&path).ok().as_deref() == Some(text.as_slice()) {
        println!("docs/openapi.json is up to date");
    } else {
        write(&path, &text)?;
        println!("docs/openapi.json written; look at the difference before committing it");
    }
    Ok(ExitCode::SUCCESS)
}

/// The step: what the server prints equals the committed file byte for byte.
pub(crate) fn step(project: &Project, log: &mut Log, accept: bool) -> Result<Counts, Failure> {
    if !log.run(&mut serve::build_for_tests(project))?.ok {
        return Ok(Counts::one(false));
    }
    let path = committed(project);
    let described = described(project)?;
    if accept {
        write(&path, &described)?;
    }
    let committed = fs::read(&path).unwrap_or_default();
    if committed == described {
        return Ok(Counts::one(true));
    }
    log.note(&difference(&String::from_utf8_lossy(&committed), &String::from_utf8_lossy(&described)))?;
    Ok(Counts::one(false))
}

fn committed(project: &Project) -> PathBuf {
    project.root.join("docs").join("openapi.json")
}

fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(Failure::file(directory))?;
    }
    fs::write(path, text).map_err(Failure::file(path))
}

fn described(project: &Project) -> Result<Vec<u8>, Failure> {
    let program = project.program(serve::SERVER);
    let output = Command::new(&program)
        .arg("openapi")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Failure::Start { program: serve::SERVER.to_owned(), source })?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::Ended { program: format!("{} openapi", serve::SERVER) })
    }
}

/// The first line that differs, and the cure.
fn difference(committed: &str, described: &str) -> String {
    let mut lines = committed.lines().zip(described.lines()).enumerate();
    let first = lines.find(|(_, (old, new))| old != new);
    let shared = committed.lines().count().min(described.lines().count());
    let (line, old, new) = match first {
        Some((index, (old, new))) => (index + 1, old, new),
        None => (
            shared + 1,
            committed.lines().nth(shared).unwrap_or("(end of file)"),
            described.lines().nth(shared).unwrap_or("(end of file)"),
        ),
    };
    format!(
        "docs/openapi.json is not what the server says, from line {line} on:\n  committed: {old}\n  server:    {new}\n\
         if the server is right: cargo xtask openapi"
    )
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn the_first_difference_is_named() {
        assert!(difference("{\n  1\n}", "{\n  2\n}").contains("line 2"));
        assert!(difference("{\n", "{\n}").contains("line 2"));
    }
}
