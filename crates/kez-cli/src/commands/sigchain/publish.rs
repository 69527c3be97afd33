//! `kez sigchain publish`: hand in what is missing, take over what another computer added.
//!
//! Entries that nobody else can have seen are signed anew where other entries have taken their places; never one that
//! is published. [`LocalChain::replace`] checks that again.

use kez_client::{AppendError, ChainEnd, ChainReadError, ChainUrl, ClientError, SigServer, SigUrl};
use kez_core::sigchain::{Chain, Comparison, Event, Op, compare};
use kez_core::{Envelope, Seed, Verified};
use serde::Serialize;

use crate::chain_view::entries;
use crate::commands::{connect, connect_sig_server, open, remembered, require_reachable, retry};
use crate::error::{CliError, Stopped};
use crate::home::Home;
use crate::local_chain::LocalChain;
use crate::output::{Output, Page, Report};
use crate::seed_file::SeedFile;
use crate::{seen, system};

/// How often a race may be lost in one run. Whoever loses it twice has a computer that does nothing but publish.
const RACES_MAX: u32 = 1;

/// Publishes, and tells what came of it.
pub(super) async fn run(named: Option<SigUrl>, home: &Home, output: &Output) -> Result<(), CliError> {
    output.report(&publish(named, home, output).await?)
}

/// What came of publishing.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    sig_server: SigUrl,
    sigchain_url: ChainUrl,
    /// Entries of the chain.
    events: u64,
    #[serde(flatten)]
    tally: Tally,
}

/// What was done with entries.
#[derive(Debug, Default, Serialize)]
struct Tally {
    /// Handed in.
    handed_in: u64,
    /// Taken over from the sig-server.
    taken_over: u64,
    /// Own ones that were signed anew, behind those.
    signed_anew: u64,
    /// Own ones that were left out, because those say the same.
    left_out: u64,
}

/// Publishes the chain of this computer's identity.
pub(super) async fn publish(
    named: Option<SigUrl>,
    home: &Home,
    output: &Output,
) -> Result<Outcome, CliError> {
    let server = connect_sig_server(sig_url(named, home, output).await?, output)?;
    publish_stating(None, None, server, home, output).await
}

/// Makes `op` the next entry, unless the chain says so already, and publishes all of it. Where publishing fails, the
/// entry is kept on this computer with a warning.
pub(in crate::commands) async fn state(
    op: Op,
    seed: &Seed,
    home: &Home,
    output: &Output,
) -> Result<(), CliError> {
    let published = async {
        let server = connect_sig_server(sig_url(None, home, output).await?, output)?;
        publish_stating(Some(op.clone()), Some(seed.clone()), server, home, output).await
    };
    let Err(error) = published.await else { return Ok(()) };
    let (mut local, _lock) = LocalChain::open_to_change(home, home.identity()?.primary().into(), output)?;
    state_next(&mut local, op, seed)?;
    output.warn(
        "not_published",
        &format!("{error}; the entry is kept on this computer until you run: kez sigchain publish"),
    );
    Ok(())
}

/// `seed` is asked for where it is needed and not given.
async fn publish_stating(
    wish: Option<Op>,
    seed: Option<Seed>,
    server: SigServer,
    home: &Home,
    output: &Output,
) -> Result<Outcome, CliError> {
    let identity = home.identity()?;
    let (local, _lock) = LocalChain::open_to_change(home, identity.primary().into(), output)?;
    let mut run = Run { home, output, identity, server, local, wish, seed, tally: Tally::default() };
    run.until_published().await?;
    let Some(chain) = run.local.chain() else { return Err(CliError::EmptyChain) };
    if let Err(error) = seen::remember(home, chain, system::now()) {
        output.warn("not_remembered", &error.to_string());
    }
    let sig_server = run.server.url().clone();
    let sigchain_url = ChainUrl { server: sig_server.clone(), chain: chain.id() };
    Ok(Outcome { sig_server, sigchain_url, events: chain.head().seq + 1, tally: run.tally })
}

/// Where sigchains are published: what was named, else what the home server says.
async fn sig_url(named: Option<SigUrl>, home: &Home, output: &Output) -> Result<SigUrl, CliError> {
    if let Some(url) = named {
        return Ok(url);
    }
    let known = remembered(home)?.ok_or(CliError::NoSigServer)?;
    let home_server = connect(known.url, output)?;
    let url = home_server.server_info().await?.sig_server_url.ok_or(CliError::NoSigServer)?;
    require_reachable(&url, home_server.url().is_loopback(), &known.server)?;
    Ok(url)
}

struct Run<'a> {
    home: &'a Home,
    output: &'a Output,
    identity: SeedFile,
    server: SigServer,
    local: LocalChain,
    /// What is to be stated behind everything else.
    wish: Option<Op>,
    seed: Option<Seed>,
    tally: Tally,
}

/// Whether all entries were taken.
#[derive(PartialEq, Eq)]
enum HandedIn {
    All,
    /// Another computer was faster.
    LostRace,
}

impl Run<'_> {
    async fn until_published(&mut self) -> Result<(), CliError> {
        let mut races = 0;
        loop {
            let count = self.align().await?;
            self.require_seen()?;
            if let Some(op) = self.wish.clone() {
                let seed = self.seed()?;
                state_next(&mut self.local, op, &seed)?;
            }
            if self.hand_in(count).await? == HandedIn::All {
                return Ok(());
            }
            races += 1;
            if races > RACES_MAX {
                return Err(CliError::LostRace);
            }
            self.output.warn(
                "lost_race",
                "another computer of yours published at the same moment; trying once more",
            );
        }
    }

    /// Brings this computer's chain behind the sig-server's, and tells how many entries that one has.
    async fn align(&mut self) -> Result<u64, CliError> {
        let end = self.server.head(self.local.id()).await.map_err(ChainReadError::from)?;
        let count = end.map_or(0, |end| end.seq + 1);
        match end {
            Some(end) if self.local.hash(end.seq) != Some(end.hash) => return self.read_and_align().await,
            Some(end) => self.local.note_confirmed(self.server.url(), end)?,
            None => {}
        }
        let confirmed = self.local.confirmed_count(self.server.url());
        if confirmed > count {
            let warning = format!(
                "{} had {} of your sigchain and now has {count}: it has lost some. They are handed in again",
                self.server.url(),
                entries(confirmed)
            );
            self.output.warn("server_lost_entries", &warning);
        }
        Ok(count)
    }

    /// The same where the sig-server has entries that this computer does not know.
    async fn read_and_align(&mut self) -> Result<u64, CliError> {
        let mut events = Vec::new();
        let chain = self.server.chain_with(self.local.id(), |event| events.push(event)).await?;
        let Some(chain) = chain else { return Ok(0) };
        let end = ChainEnd { seq: chain.head().seq, hash: chain.head().hash };
        let known = self.local.hashes().len() as u64;
        match compare(self.local.hashes(), chain.hashes()) {
            Comparison::Same | Comparison::Shorter => self.local.note_confirmed(self.server.url(), end)?,
            Comparison::Longer => {
                self.tally.taken_over += end.seq + 1 - known;
                self.local.replace(events, chain, self.server.url(), end)?;
            }
            Comparison::Forked { seq } if seq < self.local.fixed_count(self.server.url()) => {
                return Err(CliError::OwnChainForked { server: self.server.url().to_string(), seq });
            }
            Comparison::Forked { seq } => {
                self.tally.taken_over += end.seq + 1 - seq;
                self.sign_anew(seq, chain, events, end)?;
            }
        }
        Ok(end.seq + 1)
    }

    /// Signs this computer's entries from `seq` on anew, behind the sig-server's chain.
    fn sign_anew(
        &mut self,
        seq: u64,
        mut chain: Chain,
        mut events: Vec<Envelope>,
        end: ChainEnd,
    ) -> Result<(), CliError> {
        if chain.primary() != self.local.id() {
            return Err(CliError::KeyReplaced { now: chain.primary() });
        }
        let seed = self.seed()?;
        let ours = self.local.events().get(usize::try_from(seq).unwrap_or(usize::MAX)..).unwrap_or_default();
        let (mut signed_anew, mut left_out) = (0, 0);
        for envelope in ours {
            let op = envelope.clone().verify::<Event>()?.document().op.clone();
            if says(&chain, &op) {
                left_out += 1;
                continue;
            }
            let envelope = sign_next(&chain, op, &seed)?;
            chain.extend(envelope.clone()).map_err(|_| CliError::NotAgain)?;
            events.push(envelope);
            signed_anew += 1;
        }
        self.local.replace(events, chain, self.server.url(), end)?;
        self.tally.signed_anew += signed_anew;
        self.tally.left_out += left_out;
        Ok(())
    }

    /// The seed, asked for once.
    fn seed(&mut self) -> Result<Seed, CliError> {
        if self.seed.is_none() {
            self.seed = Some(open(&self.identity, self.home)?.seed());
        }
        // invariant: it was put there.
        Ok(self.seed.clone().expect("a seed"))
    }

    /// Going on from less than what this computer has seen of the chain would fork it.
    fn require_seen(&self) -> Result<(), CliError> {
        let Some(seen) = seen::recall(self.home, self.local.id())? else { return Ok(()) };
        let head = seen.head();
        let shown = self.local.chain().map_or(Comparison::Shorter, |chain| chain.compare_to_head(&head));
        let server = self.server.url().to_string();
        match shown {
            Comparison::Same | Comparison::Longer => Ok(()),
            Comparison::Shorter => {
                let shown = self.local.chain().map(|chain| chain.head().seq);
                Err(ChainReadError::Shorter { server, shown, seen: head.seq }.into())
            }
            Comparison::Forked { seq } => Err(ChainReadError::Forked { server, seq }.into()),
        }
    }

    /// Hands in the entries from position `from` on.
    async fn hand_in(&mut self, from: u64) -> Result<HandedIn, CliError> {
        let count = self.local.events().len() as u64;
        if from >= count {
            return Ok(HandedIn::All);
        }
        self.local.note_offer(self.server.url(), count - 1)?;
        let mut confirmed = None;
        let mut result = Ok(HandedIn::All);
        for event in self.events_from(from)? {
            match self.append(&event).await {
                Ok(end) => confirmed = Some(end),
                Err(AppendError::Behind { .. }) => result = Ok(HandedIn::LostRace),
                Err(AppendError::Client(source)) => {
                    let done = confirmed.map_or(0, |end| end.seq + 1 - from);
                    let stopped = Stopped { done, left: count - from - done, source };
                    result = Err(CliError::Stopped(Box::new(stopped)));
                }
                Err(_) => result = Err(CliError::LostRace),
            }
            if !matches!(result, Ok(HandedIn::All)) {
                break;
            }
            self.tally.handed_in += 1;
        }
        if let Some(end) = confirmed {
            self.local.note_confirmed(self.server.url(), end)?;
        }
        result
    }

    fn events_from(&self, from: u64) -> Result<Vec<Verified<Event>>, CliError> {
        let events =
            self.local.events().get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default();
        Ok(events.iter().map(|event| event.clone().verify()).collect::<Result<_, _>>()?)
    }

    /// Sends the same bytes until an answer comes. The server takes them once, so a lost answer does no harm.
    async fn append(&self, event: &Verified<Event>) -> Result<ChainEnd, AppendError> {
        let mut attempt = 1;
        loop {
            match self.server.append(self.local.id(), event).await {
                Err(AppendError::Client(error)) if error.is_transient() && attempt < retry::ATTEMPTS_MAX => {
                    self.wait(attempt, &error).await;
                    attempt += 1;
                }
                answer => return answer.map(|done| ChainEnd { seq: done.seq, hash: done.hash }),
            }
        }
    }

    async fn wait(&self, attempt: u32, error: &ClientError) {
        self.output.warn("retry", &format!("{error}; trying again"));
        retry::pause(attempt).await;
    }
}

/// Whether a chain says already what an operation would say.
fn says(chain: &Chain, op: &Op) -> bool {
    match op {
        Op::Add { subject } => chain.subjects().contains_key(subject),
        Op::Revoke { subject } => !chain.subjects().contains_key(subject),
        Op::AddDevice { device_id, certificate_sha256 } => {
            chain.devices().get(device_id).is_some_and(|device| {
                device.revoked_at.is_some() || device.certificate_sha256 == *certificate_sha256
            })
        }
        Op::RevokeDevice { device_id, .. } => {
            chain.devices().get(device_id).is_some_and(|device| device.revoked_at.is_some())
        }
        _ => false,
    }
}

/// Signs the next entry and keeps it, unless the chain says so already.
fn state_next(local: &mut LocalChain, op: Op, seed: &Seed) -> Result<(), CliError> {
    super::require_own_key(local)?;
    if local.chain().is_some_and(|chain| says(chain, &op)) {
        return Ok(());
    }
    let envelope = Envelope::sign(&local.next(op), seed, system::now());
    Ok(local.push(envelope.map_err(|fault| CliError::Signing(fault.into()))?)?)
}

fn sign_next(chain: &Chain, op: Op, seed: &Seed) -> Result<Envelope, CliError> {
    let signed = Envelope::sign(&chain.head().next(op), seed, system::now());
    signed.map_err(|fault| CliError::Signing(fault.into()))
}

impl Report for Outcome {
    fn print(&self, page: &mut Page) {
        let Tally { handed_in, taken_over, signed_anew, left_out } = self.tally;
        match (handed_in, taken_over) {
            (0, 0) => page.line("All of your sigchain is published already."),
            (0, _) => page.line("There was nothing to publish from this computer."),
            _ => page.line(format_args!("Published {}.", entries(handed_in))),
        }
        if taken_over > 0 {
            page.line(format_args!(
                "Took over {} that you had published from another computer.",
                entries(taken_over)
            ));
        }
        if signed_anew > 0 {
            page.line(format_args!(
                "What this computer had not published yet stands behind that now: {} signed anew.",
                entries(signed_anew)
            ));
        }
        if left_out > 0 {
            page.line(format_args!("Left out {}: the other computer had said the same.", entries(left_out)));
        }
        let who = if self.sig_server.is_loopback() { "Programs on this computer" } else { "Everybody" };
        page.line(format_args!(
            "\n{who} can read your sigchain, {} in all, at\n  {}",
            entries(self.events),
            self.sigchain_url
        ));
    }
}
