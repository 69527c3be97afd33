//! What may have been dropped by now, and what has to have been.

use kez_core::Timestamp;

use super::state::{Account, Model};

/// What is acknowledged by all stays for ten minutes.
const SETTLED_AFTER_S: i64 = 600;
/// What is not goes after 30 days.
const EXPIRED_AFTER_S: i64 = 30 * 24 * 60 * 60;

impl Model {
    /// Takes note of what the server may drop in the present state of things. To be called after each change and each
    /// move of the clock.
    pub(super) fn let_go(&mut self, now: Timestamp) {
        for account in &mut self.accounts {
            account.dropped.perhaps = account.due(account.dropped.perhaps, now);
        }
        let Self { accounts, talks, .. } = self;
        for talk in talks {
            let left = talk.log.iter().skip(usize::try_from(talk.dropped.perhaps).expect("a place"));
            let is_unneeded = |&(account, n): &(usize, u64)| n <= accounts[account].dropped.perhaps;
            let gone = left.take_while(|logged| logged.pointers.iter().all(is_unneeded)).count();
            talk.dropped.perhaps += gone as u64;
        }
    }

    /// Up to which event a whole pass of the sweeper at `now` has to have dropped an inbox.
    pub(super) fn due_events(&self, account: usize, now: Timestamp) -> u64 {
        let account = &self.accounts[account];
        account.due(account.dropped.surely, now)
    }

    /// Up to which frame a whole pass has to have dropped a log: old ones go for certain.
    pub(super) fn due_frames(&self, talk: usize, now: Timestamp) -> u64 {
        let is_old = |at: Timestamp| age_s(at, now) >= EXPIRED_AFTER_S;
        self.talks[talk].log.iter().take_while(|logged| is_old(logged.at)).count() as u64
    }
}

impl Account {
    /// The last event that may go when those up to `from` have gone.
    fn due(&self, from: u64, now: Timestamp) -> u64 {
        let active = self.devices.iter().filter(|device| device.is_active(now));
        let acked = active.map(|device| device.acked).min().unwrap_or(0);
        let left = self.inbox.iter().zip(1..).skip(usize::try_from(from).expect("a place"));
        let may_go = |at: Timestamp, n: u64| {
            age_s(at, now) >= EXPIRED_AFTER_S || (n <= acked && age_s(at, now) >= SETTLED_AFTER_S)
        };
        left.take_while(|(event, n)| may_go(event.at, *n)).last().map_or(from, |(_, n)| n)
    }
}

fn age_s(at: Timestamp, now: Timestamp) -> i64 {
    now.unix_seconds() - at.unix_seconds()
}
