//! A request that is out of its limits.

use std::fmt;

/// A request that was rejected, by the field that is wrong. The message names the field, the limit
/// and the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
#[non_exhaustive]
pub struct Invalid {
    /// The field, spelled as in the JSON of a request.
    pub field: &'static str,
    /// What is wrong with it, with the limit.
    pub why: String,
}

impl Invalid {
    /// Names a field and what is wrong with it.
    pub fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }

    /// Checks that `value` is in `min..=max`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with the field, the limits and the value.
    pub fn check_range<N>(field: &'static str, value: N, min: N, max: N) -> Result<(), Self>
    where
        N: PartialOrd + fmt::Display,
    {
        if value >= min && value <= max {
            return Ok(());
        }
        Err(Self::new(field, format!("must be {min} to {max}, but is {value}")))
    }
}
