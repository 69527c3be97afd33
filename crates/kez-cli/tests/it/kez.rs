//! Runs the program in a home of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// The longest that a call may take, however busy this machine is.
const DEADLINE: Duration = Duration::from_mins(1);

/// A computer with kez on it, and nothing else of kez's.
pub(crate) struct Computer {
    dir: TempDir,
    env: Vec<(&'static str, String)>,
}

/// What a run left behind.
pub(crate) struct Ran(Output);

impl Computer {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), env: Vec::new() }
    }

    /// The same computer, with `text` in the passphrase file.
    pub(crate) fn with_passphrase(mut self, text: &str) -> Self {
        let path = self.path("passphrase.txt");
        fs::write(&path, text).unwrap();
        self.env.retain(|(name, _)| *name != "KEZ_PASSPHRASE_FILE");
        self.env.push(("KEZ_PASSPHRASE_FILE", path.display().to_string()));
        self
    }

    /// A file beside kez's home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file in kez's home.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path("home").join(name)
    }

    pub(crate) fn kez(&self, args: &str) -> Ran {
        self.kez_reading(args, "")
    }

    /// Runs `kez` with words as arguments and `input` on its standard input.
    pub(crate) fn kez_reading(&self, args: &str, input: &str) -> Ran {
        self.kez_args(&args.split_whitespace().collect::<Vec<_>>(), input)
    }

    /// The same with arguments that may have spaces.
    pub(crate) fn kez_args(&self, args: &[&str], input: &str) -> Ran {
        let mut command = Command::cargo_bin("kez").unwrap();
        command.env_clear().env("KEZ_HOME", self.path("home")).envs(self.env.clone());
        command.args(args).write_stdin(input).timeout(DEADLINE);
        Ran(command.output().unwrap())
    }

    /// Starts `kez` with words as arguments, to be spoken with.
    pub(crate) fn start(&self, args: &str) -> Running {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("kez"));
        command.env_clear().env("KEZ_HOME", self.path("home")).envs(self.env.clone());
        command.args(args.split_whitespace());
        Running::start(command)
    }
}

/// A `kez` that runs. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    fn start(mut command: std::process::Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (found, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if found.send(line).is_err() {
                    break;
                }
            }
        });
        Self { stdin: child.stdin.take(), child, lines }
    }

    /// Says a line.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line of JSON that fits; others before it are passed over.
    #[track_caller]
    pub(crate) fn until(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut passed = Vec::new();
        loop {
            let line = self.lines.recv_timeout(DEADLINE).unwrap_or_else(|error| {
                panic!("{error}; it said:\n{}", passed.join("\n"));
            });
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if fits(&value) {
                return value;
            }
            passed.push(line);
        }
    }

    /// Ends it without warning.
    pub(crate) fn kill_9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Ran {
    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    pub(crate) fn status(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// Fails unless the program ended with this status.
    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Self {
        assert_eq!(self.0.status.code(), Some(status), "{}{}", self.out(), self.err());
        self
    }

    /// The JSON object of a success.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let ran = self.exits(0);
        serde_json::from_str(&ran.out()).unwrap()
    }

    /// The JSON object of a failure with this status, and its code.
    #[track_caller]
    pub(crate) fn refusal(self, status: i32) -> (String, Value) {
        let ran = self.exits(status);
        assert_eq!(ran.out(), "");
        let object: Value = serde_json::from_str(ran.err().lines().last().unwrap()).unwrap();
        assert_eq!((&object["level"], &object["exit"]), (&"error".into(), &status.into()));
        (object["code"].as_str().unwrap().to_owned(), object)
    }
}

/// The mode bits of a file or directory.
#[cfg(unix)]
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
