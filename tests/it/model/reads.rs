//! What devices read, and what they acknowledge.

use serde_json::{Value, json};

use kez_testkit::Answer;

use super::play::Play;
use super::state::{By, Dropped, Model, Said};

impl Play {
    pub(super) async fn read_inbox(&mut self) -> bool {
        let by = self.anybody();
        let account = &self.model.accounts[by.account];
        let (surely, head) = (account.dropped.surely, account.head());
        let after = match self.chance.below(6) {
            0 => Some(head + 1),
            1 => None,
            _ => {
                Some(surely + self.chance.below(usize::try_from(head - surely).expect("a place") + 1) as u64)
            }
        };
        let limit = 1 + self.chance.below(40) as u64;
        self.note(format_args!("{}/{} after {after:?}", by.account, by.device));
        self.read_inbox_after(by, after, limit).await;
        true
    }

    /// Reads a page after a number, or after what the device acknowledged.
    pub(super) async fn read_inbox_after(&mut self, by: By, after: Option<u64>, limit: u64) {
        let query = after.map_or_else(String::new, |after| format!("after={after}&"));
        let answer = self.get(by, &format!("/v1/inbox?{query}limit={limit}")).await;
        let after = after.unwrap_or(self.model.device(by).acked);
        self.model.expect_inbox(by.account, after, limit, &answer);
    }

    pub(super) async fn acknowledge(&mut self) -> bool {
        let by = self.anybody();
        let (head, acked) = (self.model.accounts[by.account].head(), self.model.device(by).acked);
        let n = match self.chance.below(10) {
            0 => head + 1,
            1 => self.chance.below(usize::try_from(head).expect("a place") + 1) as u64,
            2..6 => head,
            _ => acked + self.chance.below(usize::try_from(head - acked).expect("a place") + 1) as u64,
        };
        self.note(format_args!("{}/{} {n}", by.account, by.device));
        let actor = self.actor(by);
        let call = actor.signed(self.net.post("/v1/inbox/ack").json(json!({"n": n}).to_string()));
        let answer = call.send().await;
        if n > head {
            answer.expect_problem(400, "bad_cursor");
            return true;
        }
        assert_eq!(answer.expect_status(200).json(), json!({"acked": n.max(acked)}));
        self.model.device_mut(by).acked = n.max(acked);
        true
    }

    pub(super) async fn read_log(&mut self) -> bool {
        if self.model.talks.is_empty() {
            return false;
        }
        let (by, talk) = (self.anybody(), self.chance.below(self.model.talks.len()));
        let head = usize::try_from(self.model.talks[talk].head()).expect("a place");
        let (after, limit) = (self.chance.below(head + 2) as u64, 1 + self.chance.below(40) as u64);
        self.note(format_args!("{}/{} {} after {after}", by.account, by.device, self.model.talks[talk].cid));
        self.read_log_after(by, talk, after, limit).await;
        true
    }

    async fn read_log_after(&mut self, by: By, talk: usize, after: u64, limit: u64) {
        let cid = self.model.talks[talk].cid;
        let target = format!("/v1/conversations/{cid}/frames?after={after}&limit={limit}");
        let answer = self.get(by, &target).await;
        self.model.expect_log(by.account, talk, after, limit, &answer);
    }

    /// The list of somebody's conversations in pages, and one of them.
    pub(super) async fn read_list(&mut self) -> bool {
        let by = self.anybody();
        self.note(format_args!("{}/{}", by.account, by.device));
        self.list(by).await;
        if !self.model.talks.is_empty() {
            let talk = self.chance.below(self.model.talks.len());
            self.show(by, talk).await;
        }
        true
    }

    async fn list(&mut self, by: By) {
        let own = self.model.talks.iter().filter(|talk| talk.has(by.account));
        let own: Vec<Value> = own
            .map(|talk| json!({"cid": talk.cid, "kind": talk.kind, "state": "open", "epoch": talk.epoch, "seq": talk.head()}))
            .collect();
        let limit = 1 + self.chance.below(9);
        let mut after = String::new();
        for (page, left) in own.chunks(limit).zip((0..own.len()).step_by(limit)) {
            let answer = self.get(by, &format!("/v1/conversations?limit={limit}{after}")).await;
            let mut wanted = json!({"conversations": page});
            if left + limit < own.len() {
                wanted["next"] = page[page.len() - 1]["cid"].clone();
            }
            assert_eq!(answer.expect_status(200).json(), wanted);
            after = format!("&after={}", page[page.len() - 1]["cid"].as_str().expect("a cid"));
        }
    }

    pub(super) async fn show(&mut self, by: By, talk: usize) {
        let answer = self.get(by, &format!("/v1/conversations/{}", self.model.talks[talk].cid)).await;
        self.model.expect_shown(by.account, talk, &answer);
    }

    async fn get(&self, by: By, target: &str) -> Answer {
        self.actor(by).signed(self.net.call("GET", target)).send().await
    }

    /// Reads all inboxes, each log as somebody sees it, and has the oracles verify what is stored.
    pub(super) async fn look_at_everything(&mut self) {
        for account in 0..self.model.accounts.len() {
            let by = self.one_of(account);
            let mut after = self.model.accounts[account].dropped.surely;
            while after < self.model.accounts[account].head() {
                self.read_inbox_after(by, Some(after), 500).await;
                after = self.model.accounts[account].dropped.surely.max(after + 500);
            }
            self.list(by).await;
        }
        for talk in 0..self.model.talks.len() {
            let by = self.anybody();
            self.read_log_after(by, talk, self.model.talks[talk].dropped.surely, 500).await;
            self.show(by, talk).await;
        }
        self.verify().await;
    }

    async fn verify(&mut self) {
        self.net.check_key_packages();
        let devices = self.net.check_devices().await;
        let all = self.model.accounts.iter().flat_map(|account| &account.devices);
        let active = all.clone().filter(|device| device.is_active(self.now())).count();
        let revoked = all.filter(|device| device.is_revoked).count();
        assert_eq!((devices.active, devices.revoked), (active, revoked));
        let mut stored = self.net.check_conversations();
        for talk in &mut self.model.talks {
            let found = stored.remove(&talk.cid).expect("a conversation is kept");
            assert_eq!((found.epoch, found.seq), (talk.epoch, talk.head()), "{:?}", talk.cid);
            talk.dropped.saw(talk.head() - found.frames.len() as u64);
        }
        assert!(stored.is_empty(), "conversations that nobody created: {stored:?}");
    }
}

impl Model {
    /// Checks a page of an inbox: every event there is, once, in order.
    pub(super) fn expect_inbox(&mut self, account: usize, after: u64, limit: u64, answer: &Answer) {
        let account = &mut self.accounts[account];
        if after > account.head() {
            answer.clone().expect_problem(400, "bad_cursor");
            return;
        }
        if answer.status() == 410 {
            let oldest = answer.clone().expect_problem(410, "gone").json()["oldest"].as_u64();
            account.dropped.saw(oldest.expect("a number") - 1);
            assert!(after < account.dropped.surely, "gone, and it is not: {answer}");
            return;
        }
        assert!(account.dropped.surely <= after, "not gone, although it was before: {answer}");
        let page = answer.clone().expect_status(200).json();
        let wanted = account.inbox.iter().skip(place(after)).take(place(limit));
        let wanted: Vec<_> = wanted.map(|event| event.json.clone()).collect();
        expect_items(&page["events"], &wanted);
        assert_eq!(page["head"], account.head());
    }

    /// Checks a page of a log: what the account may read, without gaps.
    pub(super) fn expect_log(
        &mut self,
        account: usize,
        talk: usize,
        after: u64,
        limit: u64,
        answer: &Answer,
    ) {
        let talk = &mut self.talks[talk];
        let Some(window) = talk.windows.get(&account).copied() else {
            answer.clone().expect_problem(403, "not_a_member");
            return;
        };
        let (after, last) = (after.max(window.since), window.until.unwrap_or(talk.head()));
        // Whoever was removed is not told what happened to frames that came later.
        let end = last.max(window.since);
        let body = answer.json();
        let oldest = body["oldest"].as_u64().expect("a number");
        talk.dropped.saw_in(oldest - 1, window.since, end);
        if answer.status() == 410 {
            answer.clone().expect_problem(410, "gone");
            assert!(after < oldest - 1, "gone, and it is not: {answer}");
            return;
        }
        answer.clone().expect_status(200);
        assert!(after.min(end) >= talk.dropped.surely.min(end), "not gone, although it was before: {answer}");
        let wanted: Vec<_> = (after + 1..=last).take(place(limit)).map(|seq| talk.shown(seq)).collect();
        expect_items(&body["frames"], &wanted);
        assert_eq!(body["seq"], last);
    }

    /// Checks what a conversation shows of itself.
    pub(super) fn expect_shown(&mut self, account: usize, talk: usize, answer: &Answer) {
        if !self.talks[talk].has(account) {
            answer.clone().expect_problem(403, "not_a_member");
            return;
        }
        let members = self.model_members(talk);
        let talk = &mut self.talks[talk];
        let mut shown = answer.clone().expect_status(200).json();
        let oldest = shown.as_object_mut().expect("an object").remove("oldest");
        let oldest = oldest.and_then(|oldest| oldest.as_u64()).expect("a number");
        talk.dropped.saw_in(oldest - 1, talk.windows[&account].since, talk.log.len() as u64);
        let group_info = data_encoding::BASE64URL_NOPAD.encode(&talk.group_info);
        let wanted = json!({"cid": talk.cid, "kind": talk.kind, "state": "open", "members": members, "generation": 1,
            "epoch": talk.epoch, "seq": talk.head(), "group_info": group_info});
        assert_eq!(shown, wanted);
        let commits = talk.log.iter().filter(|logged| matches!(logged.said, Said::Bundle(_))).count();
        assert_eq!(talk.epoch, commits as u64);
    }

    fn model_members(&self, talk: usize) -> kez_core::Members {
        self.members(&self.talks[talk].members())
    }
}

impl Dropped {
    /// Takes in that this much is gone.
    pub(super) fn saw(&mut self, dropped: u64) {
        let may_be = self.surely..=self.perhaps;
        assert!(may_be.contains(&dropped), "{dropped} are gone, and only {may_be:?} can be");
        self.surely = dropped;
    }

    /// The same, as somebody sees it who may read only what comes after `since` and up to `end`.
    fn saw_in(&mut self, dropped: u64, since: u64, end: u64) {
        if since < dropped && dropped < end {
            self.saw(dropped);
            return;
        }
        let shown = |dropped: u64| dropped.clamp(since, end);
        let may_be = shown(self.surely)..=shown(self.perhaps);
        assert!(may_be.contains(&dropped), "{dropped} are gone, and only {may_be:?} can be");
        if dropped > since {
            self.surely = self.surely.max(dropped);
        }
    }
}

/// One by one, so that a failure shows the first that differs.
fn expect_items(found: &Value, wanted: &[Value]) {
    let found = found.as_array().expect("a list");
    for (found, wanted) in found.iter().zip(wanted) {
        assert_eq!(found, wanted);
    }
    assert_eq!(found.len(), wanted.len());
}

fn place(number: u64) -> usize {
    usize::try_from(number).expect("a place")
}
