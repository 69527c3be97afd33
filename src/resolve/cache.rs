//! What other servers said lately, bounded in time and number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kez_core::{Fqhn, Record};
use kez_serve::clock::Clock;

/// Answers kept at most; the oldest goes first.
const ANSWERS_MAX: usize = 1_024;
/// How long an answer is believed: as long as `Cache-Control` of our own WebFinger says.
const AGE_MAX: Duration = Duration::from_mins(5);

/// Answers by name, `None` for "there is no such person".
#[derive(Debug)]
pub(super) struct Cache {
    clock: Arc<dyn Clock>,
    answers: Mutex<HashMap<Fqhn, (Duration, Option<Record>)>>,
}

impl Cache {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, answers: Mutex::default() }
    }

    /// The answer of the last five minutes, if there was one.
    #[expect(
        clippy::option_option,
        reason = "outside: whether it is known; inside: whether there is such a person"
    )]
    pub(super) fn find(&self, name: &Fqhn) -> Option<Option<Record>> {
        let now = self.clock.elapsed();
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .get(name)
            .filter(|(at, _)| now.saturating_sub(*at) < AGE_MAX)
            .map(|(_, record)| record.clone())
    }

    pub(super) fn keep(&self, name: Fqhn, record: Option<Record>) {
        let now = self.clock.elapsed();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (at, _)| now.saturating_sub(*at) < AGE_MAX);
        }
        if answers.len() >= ANSWERS_MAX {
            let oldest = answers.iter().min_by_key(|(_, (at, _))| *at).map(|(name, _)| name.clone());
            oldest.and_then(|name| answers.remove(&name));
        }
        answers.insert(name, (now, record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kez_serve::clock::ManualClock;

    #[test]
    fn answers_age_and_their_number_is_bounded() {
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let cache = Cache::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let name = |n: usize| format!("user{n}@example.org").parse::<Fqhn>().unwrap();
        for n in 0..=ANSWERS_MAX {
            clock.advance(Duration::from_millis(1));
            cache.keep(name(n), None);
        }
        assert_eq!(cache.answers.lock().unwrap().len(), ANSWERS_MAX);
        assert_eq!(cache.find(&name(0)), None, "the oldest went");
        assert_eq!(cache.find(&name(1)), Some(None));
        clock.advance(AGE_MAX);
        assert_eq!(cache.find(&name(1)), None);
    }
}
