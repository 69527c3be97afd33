//! Your sigchain on this computer. SPEC "Local sigchain".
//!
//! Two files per chain in `sigchains/` below [`Home`]: the events, one envelope a line, which are only ever added to;
//! and where they were published. Only events that no sig-server has been given may be replaced: [`LocalChain::replace`]
//! is the one place that does, and it checks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use kez_client::{ChainEnd, LINE_BYTES_MAX, SigUrl};
use kez_core::sigchain::{Chain, ChainError, Event, EventHash, Op};
use kez_core::{Envelope, PrimaryKey};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError, Lock};
use crate::home::Home;
use crate::output::Output;

/// The directory below the home.
const DIRECTORY: &str = "sigchains";

/// A chain, its events, and where they were published.
#[derive(Debug)]
pub(crate) struct LocalChain {
    id: PrimaryKey,
    path: PathBuf,
    published_path: PathBuf,
    events: Vec<Envelope>,
    chain: Option<Chain>,
    published: Published,
    tail: Tail,
}

/// What stands behind the last line end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Nothing, as it should be.
    Clean,
    /// A whole event.
    NoLineEnd,
    /// The beginning of a line: kez or the machine stopped while it was written, so nobody was told that it is there.
    Torn,
}

/// Where a chain was published.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Published {
    servers: BTreeMap<SigUrl, At>,
}

/// How much of a chain one sig-server has.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct At {
    /// The last event that was ever sent there, whatever became of it.
    offered: Option<u64>,
    /// The last event that it confirmed.
    confirmed: Option<ChainEnd>,
}

/// Why the local chain is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LocalChainError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A line is not the next event.
    #[error("{path} is damaged in line {line}: {fault}")]
    Damaged {
        /// The file of events.
        path: PathBuf,
        /// From 1.
        line: usize,
        #[source]
        fault: Box<ChainError>,
    },
    /// The record of publications cannot be understood.
    #[error("{path} is damaged")]
    PublishedDamaged {
        /// The file.
        path: PathBuf,
    },
    /// Events that were published are not here: the file is an older copy.
    #[error("your sigchain on this computer lacks entries that you have published")]
    Lacking,
    /// Something would replace events that others have seen.
    #[error("entry {seq} of your sigchain is published and cannot be replaced")]
    Fixed {
        /// The first event concerned.
        seq: u64,
    },
}

impl LocalChain {
    /// Reads and verifies the chain of `id`. One that is not there is empty.
    pub(crate) fn open(home: &Home, id: PrimaryKey) -> Result<Self, LocalChainError> {
        let file = |end| home.path(&format!("{DIRECTORY}/{}-{}{end}", id.system(), id.value()));
        let published_path = file(".published.json");
        let published = match disk::read(&published_path)? {
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|_| LocalChainError::PublishedDamaged { path: published_path.clone() })?,
            None => Published::default(),
        };
        let (events, chain, tail) = (Vec::new(), None, Tail::Clean);
        let mut local = Self { id, path: file(".jsonl"), published_path, events, chain, published, tail };
        local.load()?;
        Ok(local)
    }

    /// [`open`](Self::open) for changing it. Nobody else does as long as the lock lives.
    pub(crate) fn open_to_change(
        home: &Home,
        id: PrimaryKey,
        output: &Output,
    ) -> Result<(Self, Lock), LocalChainError> {
        let waiting = || output.warn("waiting", "another kez is changing your sigchain; waiting for it");
        let lock = disk::lock(&home.path(&format!("{DIRECTORY}/lock")), waiting)?;
        let local = Self::open(home, id)?;
        if local.tail == Tail::Torn {
            let warning = "the last line of your sigchain was not written to its end, and is left out: \
                kez or this computer stopped while it was added";
            output.warn("torn_line", warning);
        }
        Ok((local, lock))
    }

    /// The chain; `None` while it has no event.
    pub(crate) fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// The events, from event 0 on.
    pub(crate) fn events(&self) -> &[Envelope] {
        &self.events
    }

    /// The name of the chain.
    pub(crate) fn id(&self) -> PrimaryKey {
        self.id
    }

    /// Where the events are kept.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The hashes of all events.
    pub(crate) fn hashes(&self) -> &[EventHash] {
        self.chain.as_ref().map_or(&[], Chain::hashes)
    }

    /// How many events some sig-server has confirmed.
    pub(crate) fn published_count(&self) -> u64 {
        self.published.servers.values().filter_map(At::confirmed_count).max().unwrap_or(0)
    }

    /// The sig-servers, and how many events each has confirmed.
    pub(crate) fn publications(&self) -> impl Iterator<Item = (&SigUrl, u64)> {
        self.published.servers.iter().filter_map(|(url, at)| at.confirmed_count().map(|count| (url, count)))
    }

    /// How many events `server` has confirmed.
    pub(crate) fn confirmed_count(&self, server: &SigUrl) -> u64 {
        self.published.servers.get(server).and_then(At::confirmed_count).unwrap_or(0)
    }

    /// How many events from the first on may not change, whatever `server` shows: those that any sig-server has
    /// confirmed, and those that another one was sent, since its answer may have been lost. What was sent to `server`
    /// itself and is not in its chain may change.
    pub(crate) fn fixed_count(&self, server: &SigUrl) -> u64 {
        let of = |(url, at): (&SigUrl, &At)| {
            let offered = at.offered.filter(|_| url != server).map(|seq| seq + 1);
            offered.max(at.confirmed_count())
        };
        self.published.servers.iter().filter_map(of).max().unwrap_or(0)
    }

    /// Fails when events that were confirmed are not here: going on would fork the chain.
    pub(crate) fn require_whole(&self) -> Result<(), LocalChainError> {
        let has = |end: &ChainEnd| self.hash(end.seq) == Some(end.hash);
        let mut confirmed = self.published.servers.values().filter_map(|at| at.confirmed.as_ref());
        if confirmed.all(has) { Ok(()) } else { Err(LocalChainError::Lacking) }
    }

    /// The hash of the event at a position.
    pub(crate) fn hash(&self, seq: u64) -> Option<EventHash> {
        self.hashes().get(usize::try_from(seq).ok()?).copied()
    }

    /// The next event, to be signed.
    pub(crate) fn next(&self, op: Op) -> Event {
        match &self.chain {
            Some(chain) => chain.head().next(op),
            None => Event::first(op),
        }
    }

    /// Adds a signed event, durably.
    pub(crate) fn push(&mut self, envelope: Envelope) -> Result<(), LocalChainError> {
        let line = format!("{}\n", envelope.canonical());
        let at = self.events.len() + 1;
        self.feed(envelope).map_err(|fault| self.damaged(at, fault))?;
        if self.tail == Tail::Clean {
            disk::append(&self.path, line.as_bytes())?;
        } else {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Takes `events` over, whose chain is `chain`; `server` was seen to have them up to `end`. Refuses to change events
    /// that may not, see [`fixed_count`](Self::fixed_count).
    pub(crate) fn replace(
        &mut self,
        events: Vec<Envelope>,
        chain: Chain,
        server: &SigUrl,
        end: ChainEnd,
    ) -> Result<(), LocalChainError> {
        let fixed = usize::try_from(self.fixed_count(server)).unwrap_or(usize::MAX).min(self.hashes().len());
        let kept = self.hashes().iter().zip(chain.hashes()).take_while(|(old, new)| old == new).count();
        if kept < fixed {
            return Err(LocalChainError::Fixed { seq: kept as u64 });
        }
        (self.events, self.chain) = (events, Some(chain));
        self.rewrite()?;
        // What was sent there and is not in its chain never will be: its place is taken.
        self.published.servers.insert(server.clone(), At { offered: Some(end.seq), confirmed: Some(end) });
        self.write_published()
    }

    /// Notes that events up to `seq` are about to be sent to `server`: before they are.
    pub(crate) fn note_offer(&mut self, server: &SigUrl, seq: u64) -> Result<(), LocalChainError> {
        let at = self.published.servers.entry(server.clone()).or_default();
        at.offered = at.offered.max(Some(seq));
        self.write_published()
    }

    /// Notes the last event that `server` has confirmed. What it confirmed before stays confirmed, even where it has
    /// lost it since: others may have read it.
    pub(crate) fn note_confirmed(&mut self, server: &SigUrl, end: ChainEnd) -> Result<(), LocalChainError> {
        let at = self.published.servers.entry(server.clone()).or_default();
        if at.confirmed.is_some_and(|before| before.seq >= end.seq) {
            return Ok(());
        }
        (at.offered, at.confirmed) = (at.offered.max(Some(end.seq)), Some(end));
        self.write_published()
    }

    fn load(&mut self) -> Result<(), LocalChainError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(DiskError::read(&self.path, source).into()),
        };
        let mut reader = BufReader::new(file);
        while let Some(line) = read_line(&mut reader).map_err(|source| DiskError::read(&self.path, source))? {
            let number = self.events.len() + 1;
            let envelope = Envelope::parse(&line.bytes).map_err(|fault| ChainError::Envelope(fault.into()));
            match envelope.and_then(|envelope| self.feed(envelope)) {
                Ok(()) if line.has_end => {}
                Ok(()) => self.tail = Tail::NoLineEnd,
                Err(_) if line.is_torn() => self.tail = Tail::Torn,
                Err(fault) => return Err(self.damaged(number, fault)),
            }
        }
        Ok(())
    }

    fn feed(&mut self, envelope: Envelope) -> Result<(), ChainError> {
        match &mut self.chain {
            Some(chain) => {
                chain.extend(envelope.clone())?;
            }
            None => self.chain = Some(Chain::genesis(self.id, envelope.clone())?),
        }
        self.events.push(envelope);
        Ok(())
    }

    fn damaged(&self, line: usize, fault: ChainError) -> LocalChainError {
        LocalChainError::Damaged { path: self.path.clone(), line, fault: Box::new(fault) }
    }

    /// Writes the whole file anew, in one step.
    fn rewrite(&mut self) -> Result<(), LocalChainError> {
        disk::write(&self.path, jsonl(&self.events).as_bytes())?;
        self.tail = Tail::Clean;
        Ok(())
    }

    fn write_published(&self) -> Result<(), LocalChainError> {
        let path = &self.published_path;
        let mut text = serde_json::to_vec_pretty(&self.published)
            .map_err(|error| DiskError::written(path, error.into()))?;
        text.push(b'\n');
        Ok(disk::write(path, &text)?)
    }
}

impl At {
    fn confirmed_count(&self) -> Option<u64> {
        self.confirmed.map(|end| end.seq + 1)
    }
}

/// One envelope a line.
pub(crate) fn jsonl(events: &[Envelope]) -> String {
    events.iter().flat_map(|event| [event.canonical(), "\n"]).collect()
}

/// A line of the file.
struct FileLine {
    bytes: Vec<u8>,
    has_end: bool,
}

impl FileLine {
    /// Whether the file ends within the line.
    fn is_torn(&self) -> bool {
        !self.has_end && self.bytes.len() <= LINE_BYTES_MAX
    }
}

/// The next line, cut one byte above [`LINE_BYTES_MAX`]; `None` at the end.
fn read_line(reader: &mut impl BufRead) -> io::Result<Option<FileLine>> {
    let mut bytes = Vec::new();
    let most = LINE_BYTES_MAX as u64 + 1;
    if reader.by_ref().take(most).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let has_end = bytes.pop_if(|byte| *byte == b'\n').is_some();
    Ok(Some(FileLine { bytes, has_end }))
}
