//! Random walks: people, devices, messages, changes, races and crashes, against a model of who has to have read what.

use super::*;

/// Numbers that are the same in every run: xorshift64*, as good as chance has to be here.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % sides
    }
}

/// What a commit does to who is in the conversation, once the log has it.
enum Plan {
    Nothing,
    Come(Vec<usize>),
    Go(Vec<usize>),
}

/// Three people with two devices each: device `n` is of person `n % 3`, and person 0 is the admin.
struct Walk {
    log: Log,
    dice: Dice,
    phones: Vec<Phone>,
    /// By the log: devices that are in it.
    inside: BTreeSet<usize>,
    plans: BTreeMap<MessageId, Plan>,
    bodies: BTreeMap<MessageId, String>,
    /// What each device has to have read.
    expected: Vec<Vec<String>>,
    counted: usize,
    key: GroupInfoKey,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut phones: Vec<Phone> = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]
            .map(|(who, device)| Phone::new(who, device))
            .into();
        let mut log = Log::default();
        let (first, others) = phones.split_at_mut(1);
        let mut others: Vec<&mut Phone> = others.iter_mut().take(2).collect();
        create(&mut log, ConversationKind::Group, &mut first[0], &mut others);
        let key = phones[0].engine.rooms().unwrap()[&CID].clone();
        Self {
            counted: log.frames.len(),
            log,
            dice: Dice(seed),
            inside: BTreeSet::from([0, 1, 2]),
            plans: BTreeMap::new(),
            bodies: BTreeMap::new(),
            expected: vec![Vec::new(); phones.len()],
            phones,
            key,
        }
    }

    fn step(&mut self) {
        let at = self.dice.roll(self.phones.len());
        match self.dice.roll(10) {
            0..=3 => self.say(at),
            4 => self.change(at, &Change::Renew, Plan::Nothing),
            5 => self.add_or_remove(at),
            6 => self.enter(at),
            7 => self.crash(at),
            _ => self.sync(at),
        }
        self.count();
    }

    fn standing(&self, at: usize) -> Option<Standing> {
        Some(self.phones[at].engine.conversation(CID).unwrap()?.standing)
    }

    fn say(&mut self, at: usize) {
        if self.standing(at) != Some(Standing::Active) {
            return;
        }
        let (mid, body) = (any_mid(), format!("message {}", self.bodies.len()));
        self.bodies.insert(mid, body.clone());
        let step = self.phones[at].engine.send(CID, mid, &text(&body)).unwrap();
        self.stored(at, step);
    }

    fn change(&mut self, at: usize, change: &Change, plan: Plan) {
        let id = any_mid();
        match self.phones[at].engine.change(CID, id, change, now()) {
            Ok(step) => {
                self.plans.insert(id, plan);
                self.stored(at, step);
            }
            // Not in it, or a change is under way, or this device does not know yet who is in it.
            Err(Fault::NotInConversation | Fault::ChangePending | Fault::NotAllowed(_)) => {}
            Err(fault) => panic!("{fault}"),
        }
    }

    /// The admin lets a person in with both devices, or out.
    fn add_or_remove(&mut self, at: usize) {
        let who = 1 + self.dice.roll(2);
        let devices = vec![who, who + 3];
        if !at.is_multiple_of(3) || self.standing(at) != Some(Standing::Active) {
            return;
        }
        let primary = self.phones[who].primary();
        let view = self.phones[at].engine.conversation(CID).unwrap().unwrap();
        if view.inside.is_some_and(|inside| inside.members.contains(&primary)) {
            self.change(at, &Change::Remove(primary), Plan::Go(devices));
        } else {
            let newcomers = devices.iter().map(|device| self.newcomer(*device)).collect();
            self.change(at, &Change::Add(newcomers), Plan::Come(devices));
        }
    }

    fn newcomer(&mut self, at: usize) -> Newcomer {
        let phone = &mut self.phones[at];
        if phone.packages.is_empty() {
            let step = phone.engine.key_packages(3, false, now()).unwrap();
            let effects = phone.take(step);
            let [Effect::UploadKeyPackages { one_time, .. }] = effects.as_slice() else { panic!() };
            phone.packages.clone_from(one_time);
        }
        phone.newcomer()
    }

    /// A device of somebody who is in it comes in by itself.
    fn enter(&mut self, at: usize) {
        let is_known = self.inside.iter().any(|other| other % 3 == at % 3);
        if !is_known || self.inside.contains(&at) || !matches!(self.standing(at), None | Some(Standing::Lost))
        {
            return;
        }
        let info = EntryInfo {
            epoch: self.log.epoch,
            members: &self.log.members.clone().unwrap(),
            group_info: &self.log.group_info.clone(),
            gi_key: &self.key.clone(),
        };
        let id = any_mid();
        let step = self.phones[at].engine.enter(CID, id, &info).unwrap();
        self.plans.insert(id, Plan::Come(vec![at]));
        self.stored(at, step);
    }

    /// A step is stored; then it is published, or the power goes.
    fn stored(&mut self, at: usize, step: Step) {
        if self.dice.roll(8) == 0 {
            drop(step);
            return self.phones[at].crash();
        }
        let effects = self.phones[at].take(step);
        if self.dice.roll(4) == 0 {
            return self.phones[at].crash();
        }
        self.publish(at, &effects);
    }

    fn publish(&mut self, at: usize, effects: &[Effect]) {
        for effect in effects {
            let answer = self.log.publish(effect);
            if answer == Answer::Stale && self.standing(at) == Some(Standing::Entering) {
                let step = self.phones[at].engine.entry_refused(CID).unwrap();
                self.phones[at].take(step);
            }
            self.count();
        }
    }

    fn crash(&mut self, at: usize) {
        self.phones[at].crash();
        let unsent = self.phones[at].engine.unsent().unwrap();
        self.publish(at, &unsent);
    }

    fn sync(&mut self, at: usize) {
        self.log.sync(&mut self.phones[at]);
    }

    /// Follows the log: who is in it, and so who reads what.
    fn count(&mut self) {
        for frame in &self.log.frames[self.counted..] {
            match frame.kind {
                FrameKind::App => {
                    for at in &self.inside {
                        self.expected[*at].push(self.bodies[&frame.mid].clone());
                    }
                }
                FrameKind::Commit => match &self.plans[&frame.mid] {
                    Plan::Nothing => {}
                    Plan::Come(devices) => self.inside.extend(devices),
                    Plan::Go(devices) => self.inside.retain(|at| !devices.contains(at)),
                },
            }
        }
        self.counted = self.log.frames.len();
    }

    fn end(mut self) -> usize {
        for _ in 0..3 {
            for at in 0..self.phones.len() {
                self.crash(at);
                self.sync(at);
                self.count();
            }
        }
        let inside: Vec<&Phone> = self.inside.iter().map(|at| &self.phones[*at]).collect();
        expect_same(&inside);
        for (at, phone) in self.phones.iter().enumerate() {
            let is_known = self.standing(at).is_some();
            assert_eq!(if is_known { phone.said() } else { Vec::new() }, self.expected[at], "device {at}");
            if !self.inside.contains(&at) {
                let of_the_group = prefix(CID);
                assert!(!phone.disk.keys().any(|key| key.starts_with(&of_the_group)), "keys of device {at}");
            }
        }
        self.log.frames.len()
    }
}

/// `KEZ_FULL=1` walks further.
#[test]
fn devices_that_walk_at_random_end_alike() {
    let (walks, steps) = if std::env::var_os("KEZ_FULL").is_some() { (20, 1_000) } else { (3, 120) };
    for seed in 1..=walks {
        let mut walk = Walk::new(seed * 0x9e37_79b9);
        for _ in 0..steps {
            walk.step();
        }
        assert!(walk.end() > 20, "a walk that went nowhere");
    }
}
