//! Values that settings write as text: rate limits, retention times, durations and secrets.

use std::{fmt, str::FromStr, time::Duration};

use figment::value::Value;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::domain::RateLimit;

/// A setting's text that can't be read, and one that can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}; try {example}")]
pub struct ParseSettingError {
    text: String,
    expected: &'static str,
    example: &'static str,
}

/// A rate limit as a setting writes it: `"5 per 10s"`, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitSetting(pub Option<RateLimit>);

impl FromStr for RateLimitSetting {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Self, ParseSettingError> {
        if text.trim() == "off" {
            return Ok(Self(None));
        }
        parse_rate_limit(text).map(|limit| Self(Some(limit))).ok_or_else(|| ParseSettingError {
            text: text.to_owned(),
            expected: "a rate limit",
            example: "\"5 per 10s\" or \"off\"",
        })
    }
}

fn parse_rate_limit(text: &str) -> Option<RateLimit> {
    let (jobs, per) = text.split_once(" per ")?;
    Some(RateLimit { jobs: jobs.trim().parse().ok()?, per: humantime::parse_duration(per.trim()).ok()? })
}

impl fmt::Display for RateLimitSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(RateLimit { jobs, per }) => write!(f, "{jobs} per {}", humantime::format_duration(per)),
            None => f.write_str("off"),
        }
    }
}

/// How long something is kept, as a setting writes it: `"90days"`, or `"forever"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepSetting(pub Option<Duration>);

impl FromStr for KeepSetting {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Self, ParseSettingError> {
        if text.trim() == "forever" {
            return Ok(Self(None));
        }
        parse_duration(text.trim(), "\"90days\" or \"forever\"").map(|kept| Self(Some(kept)))
    }
}

impl fmt::Display for KeepSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(kept) => humantime::format_duration(kept).fmt(f),
            None => f.write_str("forever"),
        }
    }
}

/// A text that logs, errors and `Debug` never show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Keep it out of logs and messages.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Goes through a `Value`, because serde's own message for a wrong type would contain it.
        let text = <Value as Deserialize>::deserialize(deserializer)?.into_string();
        text.map(Self).ok_or_else(|| D::Error::custom(NO_TEXT))
    }
}

/// Reads a text. A number or a truth value counts as one, so that the error for `drain = 10` can
/// say what to write.
fn read_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match <Value as Deserialize>::deserialize(deserializer)? {
        Value::String(_, text) => Ok(text),
        Value::Bool(_, value) => Ok(value.to_string()),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(number), _, _) => Ok(number.to_string()),
            (None, Some(number), _) => Ok(number.to_string()),
            (None, None, number) => Ok(number.unwrap_or_default().to_string()),
        },
        Value::Char(..) | Value::Empty(..) | Value::Dict(..) | Value::Array(..) => Err(D::Error::custom(NO_TEXT)),
    }
}

const NO_TEXT: &str = "must be a text in quotes";

fn parse_duration(text: &str, example: &'static str) -> Result<Duration, ParseSettingError> {
    humantime::parse_duration(text).map_err(|_| ParseSettingError {
        text: text.to_owned(),
        expected: "a duration",
        example,
    })
}

/// Serializes a value as the text that its `FromStr` reads.
pub(super) mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
        super::read_text(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Serializes a duration with its unit: `"10s"`, `"500ms"`, `"1h 30m"`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = super::read_text(deserializer)?;
        super::parse_duration(&text, "\"10s\" or \"500ms\"").map_err(D::Error::custom)
    }
}
