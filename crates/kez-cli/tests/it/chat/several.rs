//! Three people with two devices each: whatever goes away, comes back, and races, everybody has the same in the end.

use kez_testkit::process::Program;
use serde_json::{Value, json};

use crate::kez::{Computer, Running};
use crate::server_binary::server_binary;

/// Messages; ten thousand under `KEZ_FULL`.
fn messages() -> usize {
    if std::env::var_os("KEZ_FULL").is_some() { 10_000 } else { 60 }
}

/// A small generator (xorshift64): the same course in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

struct Device {
    computer: Computer,
    /// `None`: it is away.
    running: Option<Running>,
}

impl Device {
    fn wake(&mut self) {
        if self.running.is_none() {
            let running = self.computer.start("--json chat listen");
            running.until(|line| line["event"] == "caught_up");
            self.running = Some(running);
        }
    }
}

#[test]
fn three_people_with_two_devices_each_end_with_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bind = format!("127.0.0.1:{port}");
    let program = Program::new(server_binary(), dir.path()).bind(&bind).flags(["--server", "kez.lat"]);
    let mut server = Some(program.start().unwrap());
    let mut devices = Vec::new();
    for handle in ["alice", "bob", "carol"] {
        let phone = device(handle, &bind, None);
        let laptop = device(handle, &bind, Some(&phone));
        devices.extend([phone, laptop]);
    }
    kez_testkit::befriend_everybody(&dir.path().join("kez-chat.db"));
    let made = devices[0].computer.chat(&["group", "create", "club", "bob", "carol"]).json();
    let cid = made["conversation"].as_str().unwrap().to_owned();
    for device in &mut devices {
        device.wake();
    }
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let count = messages();
    for number in 0..count {
        match chance.below(20) {
            0 => {
                server.take().unwrap().kill_9();
                server = Some(program.start().unwrap());
            }
            1 => drop(devices[chance.below(6)].running.take()),
            2 => race(&mut devices),
            _ => {}
        }
        let device = &mut devices[chance.below(6)];
        device.wake();
        let running = device.running.as_mut().unwrap();
        let mark = number.to_string();
        running.say(&json!({ "send": { "to": cid, "text": mark }, "ref": mark }).to_string());
        // What was not answered yet may die with the program: it was promised to nobody.
        running.until(|line| line["event"] == "done" && line["ref"] == mark.as_str());
    }
    for device in &mut devices {
        device.wake();
        // Answered only after everything before it was taken and sent.
        let running = device.running.as_mut().unwrap();
        running.say(&json!({ "read": { "with": cid }, "ref": "end" }).to_string());
        running.until(|line| line["ref"] == "end");
    }
    for device in &mut devices {
        device.running = None;
    }
    for _ in 0..2 {
        for device in &devices {
            device.computer.catches_up();
        }
    }
    check(&devices, &cid, count);
}

/// Both devices of an admin change the group at once.
fn race(devices: &mut [Device]) {
    let (one, two) = devices.split_at_mut(1);
    let away: Vec<bool> = [&one[0], &two[0]].map(|device| device.running.is_none()).to_vec();
    one[0].running = None;
    two[0].running = None;
    std::thread::scope(|scope| {
        for computer in [&one[0].computer, &two[0].computer] {
            scope.spawn(|| computer.chat(&["renew"]).exits(0));
        }
    });
    for (device, is_away) in [&mut one[0], &mut two[0]].into_iter().zip(away) {
        if !is_away {
            device.wake();
        }
    }
}

fn check(devices: &[Device], cid: &str, count: usize) {
    let last = (count * 2).to_string();
    let histories: Vec<Value> = devices
        .iter()
        .map(|device| {
            device
                .computer
                .chat(&["read", &format!("group:{}", &cid[..8]), "--offline", "--last", &last])
                .json()
        })
        .collect();
    let said: Vec<Vec<(String, String)>> = histories.iter().map(history).collect();
    for (at, one) in said.iter().enumerate() {
        assert_eq!(one.len(), count, "device {at}");
        assert_eq!(one, &said[0], "device {at}");
    }
    let mut texts: Vec<usize> = said[0].iter().map(|(_, text)| text.parse().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts, (0..count).collect::<Vec<_>>(), "something is lost or came twice");
    let codes: Vec<Value> = devices
        .iter()
        .map(|device| device.computer.chat(&["group", "show", &cid[..8]]).json()["epoch_code"].clone())
        .collect();
    assert!(codes[0].is_string() && codes.iter().all(|code| *code == codes[0]), "{codes:?}");
}

fn history(read: &Value) -> Vec<(String, String)> {
    let entries = read["conversations"][0]["entries"].as_array().unwrap();
    let said = entries.iter().filter(|entry| entry["type"] == "text");
    said.map(|entry| (entry["id"].to_string(), entry["text"].as_str().unwrap().to_owned())).collect()
}

/// A device of the person, with the phrase of `first` where they have one already.
fn device(handle: &str, bind: &str, first: Option<&Device>) -> Device {
    let computer = Computer::new();
    match first {
        None => computer.kez("identity new").exits(0),
        Some(first) => {
            let shown = first.computer.kez("--json identity show --phrase").json();
            computer.kez_reading("identity restore", shown["phrase"].as_str().unwrap()).exits(0)
        }
    };
    computer.kez(&format!("register {handle} --server http://{bind}")).exits(0);
    computer.kez("device enrol").exits(0);
    Device { computer, running: None }
}
