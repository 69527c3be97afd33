//! The sig-server over real HTTP.

mod append;
mod interface;
mod kill;
mod limits;
mod program;
mod read;
mod refusals;
mod storm;

/// `long` in the long form (`cargo xtask test --full`), otherwise `short`.
fn short_or_full(short: usize, long: usize) -> usize {
    if std::env::var_os("KEZ_FULL").is_some_and(|value| value == "1") { long } else { short }
}

/// A subject for the `n`th event.
fn subject(n: usize) -> String {
    format!("github:friend-{n}")
}
