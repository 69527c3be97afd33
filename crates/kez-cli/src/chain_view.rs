//! A verified chain as it is shown: what the key holds now.

use kez_core::sigchain::{Chain, EventHash};
use kez_core::{DeviceId, Identifier, PrimaryKey, Timestamp};
use serde::Serialize;

use crate::output::Page;

/// What a chain says, once it was verified.
#[derive(Debug, Serialize)]
pub(crate) struct ChainView {
    /// The name of the chain: its first key.
    pub(crate) chain: PrimaryKey,
    /// Its key now.
    pub(crate) key: PrimaryKey,
    pub(crate) key_since: Timestamp,
    pub(crate) events: u64,
    pub(crate) head: EventHash,
    pub(crate) subjects: Vec<SubjectView>,
    pub(crate) devices: Vec<DeviceView>,
    pub(crate) former_keys: Vec<FormerKey>,
}

/// Something the key holds now.
#[derive(Debug, Serialize)]
pub(crate) struct SubjectView {
    pub(crate) subject: Identifier,
    pub(crate) since: Timestamp,
    pub(crate) seq: u64,
}

/// A device that was ever named.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceView {
    pub(crate) device_id: DeviceId,
    pub(crate) since: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// A key that the chain had.
#[derive(Debug, Serialize)]
pub(crate) struct FormerKey {
    pub(crate) key: PrimaryKey,
    pub(crate) until: Timestamp,
}

impl ChainView {
    pub(crate) fn of(chain: &Chain) -> Self {
        let subject = |(subject, held): (&Identifier, &kez_core::sigchain::Subject)| SubjectView {
            subject: subject.clone(),
            since: held.since,
            seq: held.seq,
        };
        let mut subjects: Vec<_> = chain.subjects().iter().map(subject).collect();
        subjects.sort_by_key(|subject| subject.seq);
        let devices = chain.devices().iter().map(|(id, device)| DeviceView {
            device_id: *id,
            since: device.since,
            revoked_at: device.revoked_at,
        });
        let former = chain.rotations().iter().map(|change| FormerKey { key: change.from, until: change.at });
        Self {
            chain: chain.id(),
            key: chain.primary(),
            key_since: chain.key_since(),
            events: chain.head().seq + 1,
            head: chain.head().hash,
            subjects,
            devices: devices.collect(),
            former_keys: former.collect(),
        }
    }

    /// What is held and which devices there are.
    pub(crate) fn print_holdings(&self, page: &mut Page) {
        let held = |of: &SubjectView| {
            format!("{}  {}", shown(&of.subject), page.dim(format_args!("since {}", day(of.since))))
        };
        let lines: Vec<String> = self.subjects.iter().map(held).collect();
        page.fields("holds", &lines);
        let mut devices: Vec<String> = Vec::new();
        for device in &self.devices {
            let when = match device.revoked_at {
                Some(at) => format!("revoked {}", day(at)),
                None => format!("since {}", day(device.since)),
            };
            devices.push(format!("{}  {}", device.device_id, page.dim(when)));
        }
        page.fields("devices", &devices);
        let former: Vec<String> = self
            .former_keys
            .iter()
            .map(|former| format!("{} until {}", former.key, day(former.until)))
            .collect();
        page.fields("former keys", &former);
    }
}

/// `2026-05-25`.
pub(crate) fn day(at: Timestamp) -> String {
    at.to_string().chars().take_while(|c| *c != 'T').collect()
}

/// `2026-05-25 03:00:00 UTC`.
pub(crate) fn moment(at: Timestamp) -> String {
    at.truncated().to_string().replace('T', " ").replace('Z', " UTC")
}

/// `1 entry`, `2 entries`.
pub(crate) fn entries(count: u64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

/// An identifier as it may reach a terminal: marks that hide or reorder text stand as their numbers.
pub(crate) fn shown(subject: &Identifier) -> String {
    let is_plain = |c: &char| c.is_alphanumeric() || c.is_ascii_graphic();
    subject
        .as_str()
        .chars()
        .map(|c| if is_plain(&c) { c.to_string() } else { c.escape_unicode().to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_cannot_reorder_the_line_it_is_shown_in() {
        let shown = |text: &str| shown(&text.parse().unwrap());
        assert_eq!(shown("github:jason"), "github:jason");
        assert_eq!(shown("web:https://bücher.example/a?b=c"), "web:https://bücher.example/a?b=c");
        assert_eq!(shown("x:a\u{202e}b\u{200b}"), "x:a\\u{202e}b\\u{200b}");
    }
}
