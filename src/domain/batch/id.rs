//! The id of a batch.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::invalid::Invalid;

/// The id of a batch: 1 to 2^53 − 1, the integers that a JSON number represents exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "i64", into = "i64")]
#[schemars(extend("minimum" = 1, "maximum" = Self::MAX))]
pub struct BatchId(i64);

impl BatchId {
    /// The largest id.
    pub const MAX: i64 = (1 << 53) - 1;

    /// Checks that `id` is in range.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with field `batchId` when it is not.
    pub fn new(id: i64) -> Result<Self, Invalid> {
        Invalid::check_range("batchId", id, 1, Self::MAX).map(|()| Self(id))
    }

    /// Returns the id as a plain number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for BatchId {
    type Error = Invalid;

    fn try_from(id: i64) -> Result<Self, Invalid> {
        Self::new(id)
    }
}

impl From<BatchId> for i64 {
    fn from(id: BatchId) -> Self {
        id.0
    }
}

impl FromStr for BatchId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id =
            text.parse().map_err(|_| Invalid::new("batchId", format!("must be a whole number, but is {text:?}")))?;
        Self::new(id)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_id_in_range_and_rejects_other_text() {
        assert_eq!("7".parse(), BatchId::new(7));
        assert_eq!("0".parse::<BatchId>(), BatchId::new(0));
        let invalid = "seven".parse::<BatchId>().unwrap_err();
        assert_eq!(invalid.to_string(), "`batchId` must be a whole number, but is \"seven\"");
    }
}
