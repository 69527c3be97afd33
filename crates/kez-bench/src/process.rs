//! Servers as child processes: started, watched, stopped, and their files taken out of the page cache.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Advice, fadvise},
    process::{Pid, Signal, kill_process},
};

use crate::{error::Error, load::AnswerHead, people};

/// How long a server may take to become ready, or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who is started.
#[derive(Clone)]
pub(crate) enum Program {
    /// The home server's binary.
    Product(PathBuf),
    /// The sig-server's binary.
    SigServer(PathBuf),
    /// The baseline `floor`.
    Floor,
    /// The baseline `message-floor`.
    MessageFloor,
    /// The baseline `constant`.
    Constant,
    /// The baseline `static`, serving this file.
    Static(PathBuf),
}

/// A server that answered 200 on `/v1/readyz`. Killed when dropped.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    /// Milliseconds from the start of the process to the first 200.
    pub(crate) ready_ms: f64,
    /// For messages.
    pub(crate) name: &'static str,
    child: Child,
}

impl Server {
    /// Starts a program on a free port and waits until it is ready. Its standard error goes to `<db>.log`.
    pub(crate) fn start(program: &Program, db: &Path) -> Result<Self, Error> {
        let addr = free_addr().map_err(Error::io("find a free port"))?;
        let (command, name) = program.command(addr, db)?;
        Self::start_by(command, name, addr, db)
    }

    fn start_by(
        mut command: Command,
        name: &'static str,
        addr: SocketAddr,
        db: &Path,
    ) -> Result<Self, Error> {
        let log = db.with_extension("log");
        let stderr = File::create(&log).map_err(Error::io("create a log file"))?;
        command.env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let started = Instant::now();
        let mut child = command.spawn().map_err(Error::io("start a server"))?;
        while !is_ready(addr) {
            if let Some(status) = child.try_wait().map_err(Error::io("watch a server"))? {
                return Err(Error::Ended { name, status, log });
            }
            if started.elapsed() > PATIENCE {
                return Err(Error::NotReady { name, seconds: PATIENCE.as_secs(), log });
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Self { addr, ready_ms: started.elapsed().as_secs_f64() * 1000.0, name, child })
    }

    /// Resident memory now (`VmRSS`), in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64, Error> {
        let kib = self.proc_number("status", "VmRSS:")?;
        Ok(kib / 1024.0)
    }

    /// What it has read from storage rather than the page cache, in MiB.
    pub(crate) fn storage_read_mib(&self) -> Result<f64, Error> {
        let bytes = self.proc_number("io", "read_bytes:")?;
        Ok(bytes / 1024.0 / 1024.0)
    }

    /// The time that its threads have run on a core, in microseconds; counted in hundredths of a second.
    pub(crate) fn cpu_us(&self) -> Result<f64, Error> {
        let what = "read the state of a server";
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let text = text.map_err(Error::io(what))?;
        // proc_pid_stat(5): behind the name, in parentheses, `utime` and `stime` are the 12th and 13th.
        let numbers = text.rsplit_once(')').map_or("", |(_, numbers)| numbers).split_whitespace();
        let ticks: Vec<f64> = numbers.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok((user + system) * 10_000.0),
            _ => Err(Error::io(what)(io::ErrorKind::InvalidData)),
        }
    }

    /// The first number of a line of `/proc/<pid>/<file>`.
    fn proc_number(&self, file: &str, line: &str) -> Result<f64, Error> {
        let what = "read the state of a server";
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let text = text.map_err(Error::io(what))?;
        let value = text.lines().find_map(|l| l.strip_prefix(line)?.split_whitespace().next()?.parse().ok());
        value.ok_or_else(|| Error::io(what)(io::ErrorKind::InvalidData))
    }

    /// The body of a `GET`, whole.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>, Error> {
        get(self.addr, path).map_err(Error::io("read an answer"))
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(Error::io("stop a server"))?;
        let asked = Instant::now();
        while self.child.try_wait().map_err(Error::io("watch a server"))?.is_none() {
            if asked.elapsed() > PATIENCE {
                return Err(Error::io("stop a server")(io::ErrorKind::TimedOut));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A server whose instructions valgrind counts.
pub(crate) struct Counted {
    server: Server,
    profile: PathBuf,
}

impl Counted {
    /// Starts a program by valgrind. What it finds goes to `<profile>.1`.
    pub(crate) fn start(program: &Program, db: &Path, profile: &Path) -> Result<Self, Error> {
        let addr = free_addr().map_err(Error::io("find a free port"))?;
        let (inner, name) = program.command(addr, db)?;
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--instr-atstart=no", "--fair-sched=yes"]);
        command.arg(format!("--callgrind-out-file={}", profile.display()));
        command.arg(inner.get_program()).args(inner.get_args());
        Ok(Self { server: Server::start_by(command, name, addr, db)?, profile: profile.to_owned() })
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Counts from now on.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        self.tell(&["instrumentation", "on"])
    }

    /// Stops the server; what it executed since [`begin`](Self::begin), in user mode.
    pub(crate) fn end(self) -> Result<f64, Error> {
        self.tell(&["dump"])?;
        let found = fs::read_to_string(format!("{}.1", self.profile.display()));
        let found = found.map_err(Error::io("read a profile"))?;
        self.server.stop()?;
        let total = found.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
        total.ok_or_else(|| Error::io("read a profile")(io::ErrorKind::InvalidData))
    }

    fn tell(&self, words: &[&str]) -> Result<(), Error> {
        let mut vgdb = Command::new("vgdb");
        vgdb.arg(format!("--pid={}", self.server.child.id())).args(words);
        let told = vgdb.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let failed = |source| Error::NoValgrind { tool: "vgdb", source };
        if told.map_err(failed)?.success() { Ok(()) } else { Err(failed(io::ErrorKind::Other.into())) }
    }
}

impl Program {
    /// The home server, if it is there.
    pub(crate) fn product(binary: &Path) -> Result<Self, Error> {
        there(binary).map(Self::Product)
    }

    /// The sig-server, if it is there.
    pub(crate) fn sig_server(binary: &Path) -> Result<Self, Error> {
        there(binary).map(Self::SigServer)
    }

    fn command(&self, addr: SocketAddr, db: &Path) -> Result<(Command, &'static str), Error> {
        let (name, mut command) = match self {
            Self::Product(binary) => ("the home server", Command::new(binary)),
            Self::SigServer(binary) => ("the sig-server", Command::new(binary)),
            Self::Floor => ("floor", itself("floor")?),
            Self::MessageFloor => ("message floor", itself("message-floor")?),
            Self::Constant => ("constant", itself("constant")?),
            Self::Static(_) => ("static", itself("static")?),
        };
        command.arg("--bind").arg(addr.to_string());
        match self {
            Self::Product(_) => {
                command.args(["--server", people::SERVER, "--rate-limit", "off", "--sig-bind", "off"]);
                command.arg("--db").arg(db)
            }
            Self::SigServer(_) => {
                command.args(["--rate-limit", "off", "--chain-limits", "off"]);
                command.arg("--db").arg(db)
            }
            Self::Floor | Self::MessageFloor => command.arg("--db").arg(db),
            Self::Constant => &mut command,
            Self::Static(file) => command.arg("--file").arg(file),
        };
        Ok((command, name))
    }
}

fn there(binary: &Path) -> Result<PathBuf, Error> {
    if binary.is_file() { Ok(binary.to_owned()) } else { Err(Error::NoServer(binary.to_owned())) }
}

fn itself(baseline: &str) -> Result<Command, Error> {
    let mut command = Command::new(std::env::current_exe().map_err(Error::io("find this program"))?);
    command.arg(baseline);
    Ok(command)
}

fn free_addr() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Whether `/v1/readyz` answers 200.
fn is_ready(addr: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /v1/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        io::Result::Ok(start == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// The body of an answer 200, on a connection of its own.
fn get(addr: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", people::SERVER).as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = AnswerHead::read(&answer)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let body = answer.split_off(head.bytes);
    match head.status {
        200 if body.len() == head.body_bytes => Ok(body),
        200 => Err(io::ErrorKind::UnexpectedEof.into()),
        status => Err(io::Error::other(format!("{status} instead of 200"))),
    }
}

/// Takes a stopped server's database out of the page cache, as after a restart of the machine.
pub(crate) fn drop_page_cache(db: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{suffix}", db.display()));
        let opened = match File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(Error::io("open a database"))?,
        };
        opened.sync_all().map_err(Error::io("sync a database"))?; // only clean pages are dropped
        fadvise(&opened, 0, None, Advice::DontNeed).map_err(Error::io("drop the page cache"))?;
    }
    Ok(())
}
