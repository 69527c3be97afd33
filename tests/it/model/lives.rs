//! Devices come and go, time passes, the server restarts.

use std::time::Duration;

use kez_testkit::DEADLINE;
use tokio::time::{sleep, timeout};

use super::play::Play;
use super::state::By;

/// The most active devices of an account.
const DEVICES_MAX: usize = 4;
const MINUTE_S: u64 = 60;
const DAY_S: u64 = 24 * 60 * MINUTE_S;
/// Between two looks at what the sweeper, which works beside everything, tells nobody.
const POLL: Duration = Duration::from_millis(5);

impl Play {
    pub(super) async fn revoke(&mut self) -> bool {
        let by = self.anybody();
        self.note(format_args!("{}/{}", by.account, by.device));
        let (actor, now) = (self.actor(by), self.now());
        actor.revoke().await.expect_status(200);
        self.model.device_mut(by).is_revoked = true;
        self.model.device_changed(by, "revoked", now);
        self.end_streams(|stream| stream == by).await;
        if self.chance.once_in(3) {
            actor.revoke().await.expect_status(200); // changes nothing
        }
        self.keep_one(by.account).await;
        true
    }

    /// Gives a device that was not revoked another end, a later or an earlier one.
    pub(super) async fn renew(&mut self) -> bool {
        let account = self.chance.below(self.model.accounts.len());
        let device = self.chance.below(self.model.accounts[account].devices.len());
        let by = By { account, device };
        self.note(format_args!("{account}/{device}"));
        let days = *self.chance.one_of(&[40, 365]);
        let draft = self.actor(by).draft().lasting(days * DAY_S.cast_signed());
        let answer = self.net.post("/v1/devices").json(draft.sign()).send().await;
        if self.model.device(by).is_revoked {
            answer.expect_problem(409, "device_revoked");
            return true;
        }
        answer.expect_status(200);
        self.model.device_mut(by).expires_at = draft.device.expires_at;
        self.model.device_changed(by, "renewed", self.now());
        true
    }

    pub(super) async fn enrol(&mut self) -> bool {
        let account = self.chance.below(self.model.accounts.len());
        if self.model.active(account, self.now()).len() >= DEVICES_MAX {
            return false;
        }
        self.note(account);
        self.take_in(account).await;
        true
    }

    async fn keep_one(&mut self, account: usize) {
        if self.model.active(account, self.now()).is_empty() {
            self.take_in(account).await;
        }
    }

    /// What everybody has acknowledged may go from now on, whenever the sweeper comes by.
    pub(super) fn minutes(&mut self) -> bool {
        self.net.advance_s(11 * MINUTE_S);
        true
    }

    /// Days pass, and the sweeper does all that it has to.
    pub(super) async fn days(&mut self) -> bool {
        let days = *self.chance.one_of(&[1, 1, 20, 31]);
        self.note(days);
        self.net.advance_s(days * DAY_S);
        self.model.let_go(self.now());
        // Before anybody who lost all devices takes in a new one: that one needs nothing of what is there.
        let events: Vec<_> = (0..self.model.accounts.len())
            .map(|account| self.model.due_events(account, self.now()))
            .collect();
        let frames: Vec<_> =
            (0..self.model.talks.len()).map(|talk| self.model.due_frames(talk, self.now())).collect();
        self.restart().await; // begins with a whole pass
        for account in 0..self.model.accounts.len() {
            self.keep_one(account).await;
        }
        timeout(DEADLINE, self.until_swept(&events, &frames)).await.expect("the sweeper drops what is due");
        true
    }

    /// Waits until the inboxes and the logs have lost what is due.
    async fn until_swept(&mut self, events: &[u64], frames: &[u64]) {
        for (account, due) in events.iter().enumerate() {
            let by = self.one_of(account);
            while self.model.accounts[account].dropped.surely < *due {
                self.read_inbox_after(by, Some(due - 1), 1).await;
                sleep(POLL).await;
            }
        }
        for (talk, due) in frames.iter().enumerate() {
            let readers = self.model.talks[talk].windows.clone();
            // Who came later, or is gone, is not told.
            let Some((reader, _)) =
                readers.iter().find(|(_, window)| window.until.is_none() && window.since < *due)
            else {
                continue;
            };
            let by = self.one_of(*reader);
            while self.model.talks[talk].dropped.surely < *due {
                self.show(by, talk).await;
                sleep(POLL).await;
            }
        }
    }

    pub(super) async fn restart(&mut self) -> bool {
        self.note("restart");
        self.net.restart().await;
        self.end_streams(|_| true).await;
        true
    }
}
