//! What the server has of what people say: nothing that opens.

use std::fs;
use std::path::Path;

use kez_testkit::process::{Program, ServerProcess};

use crate::kez::Computer;
use crate::server_binary::server_binary;

const PLANTED: &str = "the treasure is under the old oak";

fn computer(server: &ServerProcess, handle: &str) -> Computer {
    let computer = Computer::new();
    computer.kez("identity new").exits(0);
    computer.kez(&format!("register {handle} --server http://{}", server.addr())).exits(0);
    computer.kez("device enrol").exits(0);
    computer
}

/// Everything the server wrote and holds: its files, its log at trace level, its memory.
#[test]
fn the_server_never_holds_anything_that_opens_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let program =
        Program::new(server_binary(), dir.path()).flags(["--server", "kez.lat"]).env("RUST_LOG", "trace");
    let server = program.start().unwrap();
    let (alice, bob) = (computer(&server, "alice"), computer(&server, "bob"));
    kez_testkit::befriend_everybody(&dir.path().join("kez-chat.db"));
    fs::write(alice.path("oak.txt"), PLANTED.repeat(100)).unwrap();
    alice.says("bob", PLANTED);
    bob.says("alice", PLANTED);
    let path = alice.path("oak.txt");
    alice.chat(&["send", "bob", PLANTED, "--file", path.to_str().unwrap()]).exits(0);
    alice.chat(&["group", "create", "treasure-hunters", "bob"]).exits(0);
    assert_eq!(bob.reads("alice").len(), 2);

    let mut needles: Vec<Vec<u8>> =
        [PLANTED, "treasure", "oak.txt", "treasure-hunters"].map(Into::into).to_vec();
    for computer in [&alice, &bob] {
        needles.extend(secrets(computer));
    }
    assert!(needles.len() > 12, "no secrets were found to look for");
    let memory = memory_of(&server);
    let log = server.log().into_bytes();
    assert!(log.len() > 10_000 && finds(&log, b"/v1/conversations"), "the log says nothing: {}", log.len());
    assert_eq!(server.stop_term().code, Some(0));
    let mut places = vec![("log".to_owned(), log), ("memory".to_owned(), memory)];
    gather(dir.path(), &mut places);
    assert!(places.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 100_000);
    for (name, bytes) in &places {
        for needle in &needles {
            assert!(!finds(bytes, needle), "{name} holds {}", String::from_utf8_lossy(needle));
        }
    }
    // The search finds what is there.
    assert!(places.iter().any(|(name, bytes)| name.ends_with("kez-chat.db") && finds(bytes, b"alice")));
}

/// Every secret of a computer, as bytes and as it is written in files.
fn secrets(computer: &Computer) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (file, member) in [("seed.json", "entropy"), ("device/device.json", "secrets")] {
        let text = fs::read(computer.file(file)).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let hex = json[member].as_str().unwrap().as_bytes();
        for secret in hex.chunks(64) {
            all.push(secret.to_vec());
            all.push(data_encoding::HEXLOWER.decode(secret).unwrap());
        }
    }
    all
}

fn gather(dir: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, places);
        } else {
            places.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn finds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// The pages of the process that it may read and write.
fn memory_of(server: &ServerProcess) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    server.sigstop();
    let pid = server.id();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (from, rest) = line.split_once('-').unwrap();
        let to = rest.split(' ').next().unwrap();
        let at = |hex| u64::from_str_radix(hex, 16).unwrap();
        let mut bytes = vec![0; usize::try_from(at(to) - at(from)).unwrap()];
        if memory.read_exact_at(&mut bytes, at(from)).is_ok() {
            all.extend(bytes);
        }
    }
    server.sigcont();
    assert!(all.len() > 1_000_000, "{} bytes of memory", all.len());
    all
}
