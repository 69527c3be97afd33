//! Logs: one line per event on stderr, chosen by `RUST_LOG`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What is logged when `RUST_LOG` is not set.
pub const DEFAULT_FILTER: &str = "info";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// `RUST_LOG` is no list of directives.
    #[error("RUST_LOG is not valid ({0}); write for example RUST_LOG=info or RUST_LOG=debug,hyper=info")]
    BadFilter(#[source] ParseError),
    /// `RUST_LOG` is not UTF-8.
    #[error("RUST_LOG is not UTF-8; write for example RUST_LOG=info or RUST_LOG=debug,hyper=info")]
    NotUtf8,
    /// Something in this process has set up logging before.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Starts logging for the whole process, panics included. Colours only when stderr is a terminal and `NO_COLOR` is
/// unset or empty.
pub fn init() -> Result<(), TelemetryError> {
    let filter = filter(std::env::var("RUST_LOG"))?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = std::io::stderr().is_terminal() && !plain;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .try_init()
        .map_err(|_| TelemetryError::AlreadySet)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// One event per panic, in place of the standard library's lines.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic.at = at, panic.message = panic.payload_as_str().unwrap_or_default(), "panicked");
}

fn filter(value: Result<String, std::env::VarError>) -> Result<EnvFilter, TelemetryError> {
    let directives = match value {
        Ok(value) if !value.trim().is_empty() => value,
        Ok(_) | Err(std::env::VarError::NotPresent) => DEFAULT_FILTER.to_owned(),
        Err(std::env::VarError::NotUnicode(_)) => return Err(TelemetryError::NotUtf8),
    };
    EnvFilter::try_new(directives).map_err(TelemetryError::BadFilter)
}

#[cfg(test)]
mod tests {
    use std::env::VarError;

    use super::*;

    #[test]
    fn unset_and_empty_mean_info() {
        assert_eq!(filter(Err(VarError::NotPresent)).unwrap().to_string(), "info");
        assert_eq!(filter(Ok(" ".into())).unwrap().to_string(), "info");
    }

    #[test]
    fn a_bad_filter_is_refused_with_the_fix() {
        let error = filter(Ok("kez=loud".into())).unwrap_err().to_string();
        assert!(error.contains("RUST_LOG=info"), "{error}");
    }
}
