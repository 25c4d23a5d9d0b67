//! Why a configuration is refused, and the checks that several tables share.

use std::time::Duration;

use figment::error::Kind;
use serde::Serialize;

use super::{spelling, values::KeepSetting};

/// A configuration that can't be used: the key or the variable, the reason, and how to correct it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject} {reason}")]
pub struct ConfigError {
    subject: String,
    reason: String,
}

impl ConfigError {
    pub(super) fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { subject: format!("`batch.{}`", key.into()), reason: reason.into() }
    }

    /// The error of a value that can't be read. `settings` are all settings.
    pub(super) fn of_value(error: figment::Error, settings: &impl Serialize) -> Self {
        let key = error.path.join(".").to_lowercase();
        Self::new(key, format!("{}{}", reason(&error.kind, settings), named(error.metadata.as_ref())))
    }

    /// The error of something other than a table at `path` in the host's figment.
    pub(super) fn no_table(path: &str, example: &str, source: Option<&figment::Metadata>) -> Self {
        Self { subject: format!("`{path}`"), reason: format!("must be a table, such as {example}{}", named(source)) }
    }

    /// The error of a variable in the environment.
    pub(super) fn of_variable(name: &str, reason: impl Into<String>) -> Self {
        Self { subject: format!("`{name}` in the environment"), reason: reason.into() }
    }
}

fn reason(kind: &Kind, settings: &impl Serialize) -> String {
    match kind {
        Kind::UnknownField(name, known) => {
            let meant = spelling::closest(name, known).map(str::to_owned);
            match meant.or_else(|| spelling::in_a_table(name, settings)) {
                Some(meant) => format!("is not a setting; did you mean `{meant}`?"),
                None => format!("is not a setting; these are {}", listed(known)),
            }
        }
        Kind::UnknownVariant(found, known) => format!("must be one of {}, but is `{found}`", listed(known)),
        other => other.to_string(),
    }
}

fn listed(names: &[&str]) -> String {
    format!("`{}`", names.join("`, `"))
}

/// The source of a value, for the end of a message.
fn named(source: Option<&figment::Metadata>) -> String {
    source.map(|source| format!(" (in {})", source.name)).unwrap_or_default()
}

pub(super) fn check_range(key: &str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(key, format!("must be {min} to {max}, but is {value}")))
}

/// Checks that `value` is `min` to 30 days. A longer one is most likely a mistake, and the limit
/// keeps sums of durations from overflowing.
pub(super) fn check_duration(key: &str, value: Duration, min: Duration) -> Result<(), ConfigError> {
    let max = Duration::from_secs(30 * 24 * 60 * 60);
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let [min, max, value] = [min, max, value].map(humantime::format_duration);
    Err(ConfigError::new(key, format!("must be {min} to {max}, but is {value}")))
}

/// Checks that `kept` is 1 second to 10 years, or for ever.
pub(super) fn check_kept(key: &str, kept: KeepSetting) -> Result<(), ConfigError> {
    let (min, max) = (Duration::from_secs(1), Duration::from_secs(10 * 366 * 24 * 60 * 60));
    match kept.0 {
        Some(age) if !(min..=max).contains(&age) => {
            Err(ConfigError::new(key, format!("must be 1s to 10 years, or \"forever\", but is {kept}")))
        }
        Some(_) | None => Ok(()),
    }
}
