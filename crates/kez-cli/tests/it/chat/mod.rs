//! `kez chat` from several computers, through a real server.

mod crashes;
mod devices;
mod groups;
mod secrecy;
mod several;
mod talk;

use kez_testkit::Net;
use serde_json::Value;

use crate::kez::{Computer, Ran};
use crate::town::{computer_of, server_with};

/// A computer of the person by that name, enrolled as a device.
pub(crate) fn enrolled(net: &Net, name: &str) -> Computer {
    let computer = computer_of(net, name);
    computer.register(name, net).exits(0);
    computer.kez("device enrol").exits(0);
    net.befriend_everybody(); // what strangers may do is the server's to test
    computer
}

/// A server, and a computer of each of these people.
pub(crate) async fn people<const N: usize>(names: [&str; N]) -> (Net, [Computer; N]) {
    let net = server_with(|_| {}).await;
    let computers = names.map(|name| enrolled(&net, name));
    (net, computers)
}

impl Computer {
    /// `kez --json chat …` with arguments that may have spaces.
    pub(crate) fn chat(&self, args: &[&str]) -> Ran {
        self.kez_args(&[&["--json", "chat"], args].concat(), "")
    }

    /// Says something, and is told that the server has it.
    #[track_caller]
    pub(crate) fn says(&self, to: &str, text: &str) -> Value {
        let sent = self.chat(&["send", to, text]).json();
        assert_eq!(sent["sent"], true, "{sent}");
        sent
    }

    /// What was said in a conversation, as far as this computer has it: `who: text`.
    #[track_caller]
    pub(crate) fn reads(&self, with: &str) -> Vec<String> {
        let read = self.chat(&["read", with, "--last", "10000"]).json();
        texts(&read["conversations"][0])
    }

    /// Takes in what is new, also what others do because of it.
    #[track_caller]
    pub(crate) fn catches_up(&self) {
        self.chat(&["list"]).json();
    }
}

/// `who: text` of every text of a conversation.
pub(crate) fn texts(conversation: &Value) -> Vec<String> {
    let entries = conversation["entries"].as_array().unwrap();
    let said = entries.iter().filter(|entry| entry["type"] == "text");
    said.map(|entry| {
        let address = entry["from"]["address"].as_str().unwrap_or("?");
        format!("{}: {}", address.split('@').next().unwrap(), entry["text"].as_str().unwrap())
    })
    .collect()
}

/// What happened beside what was said.
pub(crate) fn notices(conversation: &Value) -> Vec<&str> {
    let entries = conversation["entries"].as_array().unwrap();
    let notices = entries.iter().filter(|entry| entry["type"] == "notice");
    notices.map(|entry| entry["notice"]["what"].as_str().unwrap()).collect()
}
