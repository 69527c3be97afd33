#![no_main]

#[path = "../../crates/kez-nats-auth/tests/support/targets.rs"]
#[expect(dead_code, reason = "one target of several")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::texts(data));
