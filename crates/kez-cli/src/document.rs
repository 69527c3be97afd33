//! Documents in files: found in any form, and checked for what they are.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kez_core::encoding::FindError;
use kez_core::json::{self, Malformed, Object};
use kez_core::sigchain::{Chain, ChainError, Event, RotationProof};
use kez_core::{
    Artifact, Claim, Document, Envelope, EnvelopeError, Identifier, PrimaryKey, Registration, Timestamp,
    Verified,
};

/// The most that is read, in bytes: twice the longest bundle in base64, with a page around it.
const TEXT_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// A document of a known kind, signed by the key it names.
#[derive(Debug)]
pub(crate) enum Checked {
    Claim(Verified<Claim>),
    Registration(Verified<Registration>),
    /// One event, apart from its chain.
    Event(Verified<Event>),
    /// The new key's part of a rotation.
    Rotation(Verified<RotationProof>),
    /// A whole chain; one of a single event is whole as well.
    Chain(Box<Chain>),
}

/// What a claim says, believed or not.
#[derive(Debug)]
pub(crate) struct ClaimText {
    pub(crate) claim: Claim,
    pub(crate) primary: PrimaryKey,
    pub(crate) created_at: Timestamp,
    /// Why it is not to be believed.
    pub(crate) fault: Option<EnvelopeError>,
}

/// Why a file gives nothing to believe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DocumentError {
    /// The file cannot be read.
    #[error("{} cannot be read", name(.path))]
    Io {
        /// The file, or `-`.
        path: PathBuf,
        source: io::Error,
    },
    /// The file is larger than any document.
    #[error("{} is larger than {} MiB", name(.path), TEXT_BYTES_MAX / (1024 * 1024))]
    TooLarge {
        /// The file, or `-`.
        path: PathBuf,
    },
    /// Nothing was found, or something damaged.
    #[error("{}: {fault}", name(.path))]
    Find {
        /// The file, or `-`.
        path: PathBuf,
        #[source]
        fault: FindError,
    },
    /// It is signed by nobody, by another key, or it was changed.
    #[error("this {what} is not to be believed: {fault}")]
    Untrusted {
        /// What it is.
        what: &'static str,
        #[source]
        fault: EnvelopeError,
    },
    /// A chain that does not verify.
    #[error("this sigchain is not to be believed: {fault}")]
    BrokenChain {
        /// The position of the event at fault.
        seq: u64,
        #[source]
        fault: Box<ChainError>,
    },
    /// A claim that has ended.
    #[error("this claim ended on {end}")]
    Expired {
        /// Its own end.
        end: Timestamp,
        /// What it was about.
        subject: Identifier,
    },
    /// Another kind of document than the one that was asked for.
    #[error("this is {found}, not a {wanted}")]
    OtherKind {
        /// `claim`, `sigchain`.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A kind that this program does not know.
    #[error("this is a KEZ document of a kind that this kez does not know")]
    UnknownKind,
}

/// `claim.json`, `standard input`.
pub(crate) fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".into() } else { path.display().to_string() }
}

/// Reads what is in a file, or on standard input when it is called `-`.
pub(crate) fn read(path: &Path) -> Result<Artifact, DocumentError> {
    let mut bytes = Vec::new();
    let most = TEXT_BYTES_MAX + 1;
    let read = if is_stdin(path) {
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|source| DocumentError::Io { path: path.to_owned(), source })?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(DocumentError::TooLarge { path: path.to_owned() });
    }
    // A page around a document may be in any encoding; within one, a replaced byte breaks the signature.
    let text = String::from_utf8_lossy(&bytes);
    Artifact::find(&text).map_err(|fault| DocumentError::Find { path: path.to_owned(), fault })
}

/// Checks a document of whatever kind.
pub(crate) fn check(artifact: Artifact) -> Result<Checked, DocumentError> {
    let envelope = match artifact {
        Artifact::Chain(events) => return chain(events).map(Box::new).map(Checked::Chain),
        artifact => artifact.into_envelopes().pop().ok_or(DocumentError::UnknownKind)?,
    };
    match envelope.tag() {
        Claim::TAG => verify(envelope, "claim").map(Checked::Claim),
        Registration::TAG => verify(envelope, "registration").map(Checked::Registration),
        RotationProof::TAG => verify(envelope, "consent to a new key").map(Checked::Rotation),
        Event::TAG => {
            let event: Verified<Event> = verify(envelope.clone(), "entry of a sigchain")?;
            if event.document().seq > 0 {
                return Ok(Checked::Event(event));
            }
            chain(vec![envelope]).map(Box::new).map(Checked::Chain)
        }
        _ => Err(DocumentError::UnknownKind),
    }
}

/// A chain, named by the key of its first event.
pub(crate) fn chain(events: Vec<Envelope>) -> Result<Chain, DocumentError> {
    let broken = |seq, fault| DocumentError::BrokenChain { seq, fault: Box::new(fault) };
    let mut events = events.into_iter();
    let first = events.next().ok_or(DocumentError::UnknownKind)?;
    let mut chain = Chain::begin(first).map_err(|fault| broken(0, fault))?;
    for event in events {
        let seq = chain.head().seq + 1;
        chain.extend(event).map_err(|fault| broken(seq, fault))?;
    }
    Ok(chain)
}

/// A claim that was signed by its key and has not ended.
pub(crate) fn valid_claim(artifact: Artifact, now: Timestamp) -> Result<Verified<Claim>, DocumentError> {
    match check(artifact)? {
        Checked::Claim(claim) => {
            require_current(&claim, now)?;
            Ok(claim)
        }
        other => Err(DocumentError::OtherKind { wanted: "claim", found: other.kind() }),
    }
}

/// Fails when a claim has ended.
pub(crate) fn require_current(claim: &Verified<Claim>, now: Timestamp) -> Result<(), DocumentError> {
    let Claim { subject, expires_at } = claim.document();
    match expires_at {
        Some(end) if claim.document().is_expired(now) => {
            Err(DocumentError::Expired { end: *end, subject: subject.clone() })
        }
        _ => Ok(()),
    }
}

/// What a claim says, whether it is to be believed or not.
pub(crate) fn claim_text(artifact: Artifact) -> Result<ClaimText, DocumentError> {
    let other = |found| DocumentError::OtherKind { wanted: "claim", found };
    let envelope = match artifact {
        Artifact::Chain(_) => return Err(other("a sigchain")),
        artifact => artifact.into_envelopes().pop().ok_or(DocumentError::UnknownKind)?,
    };
    if envelope.tag() != Claim::TAG {
        return Err(other("a KEZ document of another kind"));
    }
    let said =
        said(&envelope).map_err(|fault| DocumentError::Untrusted { what: "claim", fault: fault.into() })?;
    Ok(ClaimText { fault: envelope.verify::<Claim>().err(), ..said })
}

/// The members of a claim, unchecked but of the right form.
fn said(envelope: &Envelope) -> Result<ClaimText, Malformed> {
    let payload = json::parse(envelope.canonical().as_bytes())?.into_object();
    let payload =
        payload.and_then(|mut members| members.remove("payload")?.into_object()).unwrap_or_default();
    let claim = Claim::from_payload(&payload)?;
    let primary = text(&payload, "primary").and_then(|text| text.parse().ok());
    let created_at = text(&payload, "created_at").and_then(|text| text.parse().ok());
    Ok(ClaimText {
        claim,
        primary: primary.ok_or(Malformed::Shape("payload.primary is not a key"))?,
        created_at: created_at.ok_or(Malformed::Shape("payload.created_at is not a time"))?,
        fault: None,
    })
}

fn text<'a>(members: &'a Object, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

fn verify<D: Document>(envelope: Envelope, what: &'static str) -> Result<Verified<D>, DocumentError> {
    envelope.verify().map_err(|fault| DocumentError::Untrusted { what, fault })
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Checked {
    /// `a claim`, `a whole sigchain`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Claim(_) => "a claim",
            Self::Registration(_) => "a registration",
            Self::Event(_) => "an entry of a sigchain",
            Self::Rotation(_) => "a consent to a new key",
            Self::Chain(_) => "a sigchain",
        }
    }
}
