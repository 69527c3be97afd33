//! What other servers said lately, bounded in time and number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kez_core::{Fqhn, Record};
use kez_serve::clock::Clock;

/// Names kept at most; the oldest goes first. With the longest record some 2 MiB.
const NAMES_MAX: usize = 1_024;
/// How long an answer is believed: as long as `Cache-Control` of our own WebFinger says.
const ANSWER_AGE_MAX: Duration = Duration::from_mins(5);
/// How long a server that failed is left alone.
const FAILURE_AGE_MAX: Duration = Duration::from_secs(30);

/// What asking for a name came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// The record, or that there is no such person.
    Answer(Option<Box<Record>>),
    /// No answer that can be used.
    Failure,
}

/// What is known by name, and since when.
#[derive(Debug)]
pub(super) struct Cache {
    clock: Arc<dyn Clock>,
    names: Mutex<HashMap<Fqhn, (Duration, Known)>>,
}

impl Known {
    /// An answer to be kept.
    pub(super) fn answer(record: Option<&Record>) -> Self {
        Self::Answer(record.cloned().map(Box::new))
    }

    fn age_max(&self) -> Duration {
        match self {
            Self::Answer(_) => ANSWER_AGE_MAX,
            Self::Failure => FAILURE_AGE_MAX,
        }
    }
}

impl Cache {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, names: Mutex::default() }
    }

    /// What asking for `name` came to lately.
    pub(super) fn find(&self, name: &Fqhn) -> Option<Known> {
        let now = self.clock.elapsed();
        self.lock().get(name).filter(|(at, known)| is_fresh(now, *at, known)).map(|(_, known)| known.clone())
    }

    pub(super) fn keep(&self, name: Fqhn, known: Known) {
        let now = self.clock.elapsed();
        let mut names = self.lock();
        if names.len() >= NAMES_MAX {
            names.retain(|_, (at, known)| is_fresh(now, *at, known));
        }
        if names.len() >= NAMES_MAX {
            let oldest = names.iter().min_by_key(|(_, (at, _))| *at).map(|(name, _)| name.clone());
            oldest.and_then(|name| names.remove(&name));
        }
        names.insert(name, (now, known));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Fqhn, (Duration, Known)>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(now: Duration, at: Duration, known: &Known) -> bool {
    now.saturating_sub(at) < known.age_max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kez_serve::clock::ManualClock;

    fn cache() -> (Cache, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        (Cache::new(Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn name(number: usize) -> Fqhn {
        format!("user{number}@example.org").parse().unwrap()
    }

    #[test]
    fn answers_are_believed_longer_than_failures() {
        let (cache, clock) = cache();
        cache.keep(name(0), Known::Answer(None));
        cache.keep(name(1), Known::Failure);
        clock.advance(FAILURE_AGE_MAX);
        assert_eq!((cache.find(&name(0)), cache.find(&name(1))), (Some(Known::Answer(None)), None));
        clock.advance(ANSWER_AGE_MAX);
        assert_eq!(cache.find(&name(0)), None);
    }

    #[test]
    fn the_oldest_of_too_many_goes() {
        let (cache, clock) = cache();
        for number in 0..=NAMES_MAX {
            clock.advance(Duration::from_millis(1));
            cache.keep(name(number), Known::Answer(None));
        }
        assert_eq!(cache.lock().len(), NAMES_MAX);
        assert_eq!((cache.find(&name(0)), cache.find(&name(1))), (None, Some(Known::Answer(None))));
    }
}
