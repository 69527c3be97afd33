//! How much is run, and with which tools.

/// Whether the full counts are asked for (`cargo xtask test --full`).
pub(crate) fn is_full() -> bool {
    std::env::var_os("KEZ_FULL").is_some_and(|value| value == "1")
}

/// `short`, or `full` in the full form.
pub(crate) fn count(short: u32, full: u32) -> u32 {
    if is_full() { full } else { short }
}

/// Whether a case may go on that needs `tool`; says why when not, and fails when `KEZ_REQUIRE` names it.
#[track_caller]
pub(crate) fn may_go_on(tool: &str, is_there: bool) -> bool {
    if is_there {
        return true;
    }
    let required = std::env::var("KEZ_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == tool), "KEZ_REQUIRE names {tool}: it is missing");
    println!("skipped: no {tool}");
    false
}
