//! Starting programs: seen by the reader, or into the log of a step.

use std::{
    env,
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::failure::Failure;

/// Runs `command` with its output visible; an error when it fails.
pub(crate) fn visibly(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|source| Failure::Start { program: name(command), source })?;
    if status.success() { Ok(()) } else { Err(Failure::Ended { program: line(command) }) }
}

/// What `command` prints, or nothing when it cannot start or fails. For looking around.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first of `names` in a directory of PATH, or in the directories that hold system programs.
pub(crate) fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> =
        env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    names
        .iter()
        .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    let Ok(metadata) = fs::metadata(file) else { return false };
    #[cfg(unix)]
    let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let executable = true;
    metadata.is_file() && executable
}

/// The program and its arguments, for messages.
pub(crate) fn line(command: &Command) -> String {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name(command)).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

/// The log of one step: both streams of everything it starts, in order, and readable while it runs.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

/// How a program in a log ended, and what it printed.
pub(crate) struct Run {
    pub(crate) ok: bool,
    pub(crate) text: String,
}

impl Log {
    /// Starts an empty log.
    pub(crate) fn create(path: PathBuf) -> Result<Self, Failure> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(Failure::file(directory))?;
        }
        // Appending, so that a program's writes and ours never overwrite one another.
        fs::write(&path, "").map_err(Failure::file(&path))?;
        let file = File::options().read(true).append(true).open(&path).map_err(Failure::file(&path))?;
        Ok(Self { path, file })
    }

    /// Adds a line of our own.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.file, "{text}").map_err(Failure::file(&self.path))
    }

    /// A second handle for a program that runs beside the step.
    pub(crate) fn stream(&self) -> Result<Stdio, Failure> {
        Ok(self.file.try_clone().map_err(Failure::file(&self.path))?.into())
    }

    /// Runs `command` into the log, without colour and without input.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<Run, Failure> {
        self.run_with_input(command, Stdio::null())
    }

    /// The same for a command that reads `input`.
    pub(crate) fn run_with_input(&mut self, command: &mut Command, input: Stdio) -> Result<Run, Failure> {
        self.note(&format!("$ {}", line(command)))?;
        let start = self.file.seek(SeekFrom::End(0)).map_err(Failure::file(&self.path))?;
        let status = command
            .env("CARGO_TERM_COLOR", "never")
            .env("NO_COLOR", "1")
            .stdin(input)
            .stdout(self.stream()?)
            .stderr(self.stream()?)
            .status()
            .map_err(|source| Failure::Start { program: name(command), source })?;
        Ok(Run { ok: status.success(), text: self.read_from(start)? })
    }

    /// Everything logged so far.
    pub(crate) fn text(&mut self) -> Result<String, Failure> {
        self.read_from(0)
    }

    fn read_from(&mut self, start: u64) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(start))
            .and_then(|_| self.file.read_to_end(&mut bytes))
            .map_err(Failure::file(&self.path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
