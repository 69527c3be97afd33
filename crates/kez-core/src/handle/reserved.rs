//! The reserved words and their look-alikes.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Handle;

/// Folded word → the reason of its group.
static REASONS: LazyLock<HashMap<String, &'static str>> =
    LazyLock::new(|| read(include_str!("reserved.txt")));

/// Why `handle` is reserved, if it is.
pub(super) fn reason(handle: &Handle) -> Option<&'static str> {
    REASONS.get(&fold(handle)).copied()
}

/// The skeleton, with `i` folded to `l` as well: nobody should pass for `admin` as `admln`.
fn fold(handle: &Handle) -> String {
    handle.skeleton().as_str().replace('i', "l")
}

fn read(file: &'static str) -> HashMap<String, &'static str> {
    let mut reason = "";
    let mut words = HashMap::new();
    for line in file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(group) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            reason = group;
        } else if let Ok(word) = line.parse() {
            words.entry(fold(&word)).or_insert(reason);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_reserved(handle: &str) -> bool {
        handle.parse::<Handle>().unwrap().reserved().is_some()
    }

    #[test]
    fn words_and_their_look_alikes_are_reserved() {
        for handle in
            ["admin", "adm1n", "ad-min", "admln", "adrnin", "r00t", "p0stmaster", "vvebmaster", "n-u-l-l"]
        {
            assert!(is_reserved(handle), "{handle}");
        }
        for handle in ["alice", "tudisco", "administration", "maria", "marla", "rooted"] {
            assert!(!is_reserved(handle), "{handle}");
        }
    }

    #[test]
    fn every_line_of_the_file_is_a_handle_with_a_reason() {
        for line in include_str!("reserved.txt").lines().filter(|line| !line.starts_with(['#', '['])) {
            let handle = line.parse::<Handle>();
            assert!(
                line.is_empty() || handle.is_ok_and(|handle| !handle.reserved().unwrap().is_empty()),
                "{line}"
            );
        }
    }
}
