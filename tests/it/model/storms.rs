//! Many at once: whatever the order, it is one that could have happened one after the other.

use std::collections::BTreeSet;

use super::play::Play;
use super::state::By;
use super::verdicts::Request;

impl Play {
    /// Several devices commit to one conversation: exactly one ends the epoch.
    pub(super) async fn commit_storm(&mut self) -> bool {
        let Some((_, talk)) = self.member() else { return false };
        let head = self.model.talks[talk].epoch;
        let mut writes = Vec::new();
        for by in self.devices_of(talk) {
            writes.push((by, self.fitting(by, talk)));
        }
        self.storm(talk, writes).await;
        assert_eq!(self.model.talks[talk].epoch, head + 1, "one of them wins");
        true
    }

    /// Frames, some of them twice, beside a commit.
    pub(super) async fn mixed_storm(&mut self) -> bool {
        let Some((_, talk)) = self.member() else { return false };
        let cid = self.model.talks[talk].cid;
        let mut writes = Vec::new();
        for by in self.devices_of(talk) {
            let frame = self.frame(talk);
            let request = Request::Say { cid, frame };
            if self.chance.once_in(3) {
                writes.push((by, request.clone()));
            }
            writes.push((by, request));
        }
        let by = writes[self.chance.below(writes.len())].0;
        let at = self.chance.below(writes.len());
        writes.insert(at, (by, self.fitting(by, talk)));
        self.storm(talk, writes).await;
        true
    }

    /// Two people begin to talk with each other at the same moment.
    pub(super) async fn create_at_once(&mut self) -> bool {
        let (one, other) = (self.anybody(), self.anybody());
        if one.account == other.account {
            return false;
        }
        let both = BTreeSet::from([one.account, other.account]);
        let mut writes = Vec::new();
        for _ in 0..4 {
            let by = *self.chance.one_of(&[one, other]);
            writes.push((by, self.creation_of(by, "direct", &both)));
        }
        self.note(format_args!("{} with {}", one.account, other.account));
        let calls = writes.iter().map(|(by, request)| request.call(&self.actor(*by))).collect();
        let mut answers: Vec<_> = writes.into_iter().zip(self.net.together(calls).await).collect();
        // A bundle with a flaw is only looked at while there is no conversation yet.
        answers.sort_by_key(|(_, answer)| match answer.status() {
            400 => 0,
            201 => 1,
            _ => 2,
        });
        for ((by, request), answer) in answers {
            self.settle(by, request, &answer);
        }
        true
    }

    /// The active devices of all members.
    fn devices_of(&self, talk: usize) -> Vec<By> {
        let members = self.model.talks[talk].members();
        members.into_iter().flat_map(|account| self.model.active(account, self.now())).collect()
    }

    /// Makes writes to one conversation at once, and settles them in the order that the answers tell.
    async fn storm(&mut self, talk: usize, writes: Vec<(By, Request)>) {
        let since = self.model.talks[talk].head();
        self.note(format_args!("{} at once in {}", writes.len(), self.model.talks[talk].cid));
        let calls: Vec<_> = writes.iter().map(|(by, request)| request.call(&self.actor(*by))).collect();
        let at_once = calls.len();
        let mut answers: Vec<_> = writes.into_iter().zip(self.net.storm(calls, at_once).await).collect();
        // The accepted ones in their order, each before those that repeat it; then the refused ones.
        answers.sort_by_key(|(_, answer)| match answer.status() {
            status @ (200 | 201) => (0, answer.json()["seq"].as_u64(), status == 200),
            _ => (1, None, false),
        });
        for ((by, request), answer) in answers {
            if answer.status() < 300 {
                self.settle(by, request, &answer);
            } else {
                self.model.judge_overtaken(by, &request, &answer, since);
            }
        }
    }
}
