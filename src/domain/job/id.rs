//! The id of a job.

use std::{fmt, str::FromStr};

use crate::domain::batch::BatchId;

/// The id of one job in one generation, in the ledger, the queue, logs and responses. Its text form
/// is `b123-j0-g0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The batch that the job belongs to.
    pub batch: BatchId,
    /// The number of the job within the batch, from 0.
    pub seq: u64,
    /// The number of retries that recreated the job.
    pub generation: u32,
}

/// The error for a text that is not a job id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, thiserror::Error)]
#[error("not a job id, such as b123-j0-g0")]
#[non_exhaustive]
pub struct NotAJobId;

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}-j{}-g{}", self.batch, self.seq, self.generation)
    }
}

impl FromStr for JobId {
    type Err = NotAJobId;

    fn from_str(text: &str) -> Result<Self, NotAJobId> {
        let mut parts = text.split('-');
        let mut next = |letter| parts.next().and_then(|part| part.strip_prefix::<char>(letter)).ok_or(NotAJobId);
        let batch = next('b')?.parse().map_err(|_| NotAJobId)?;
        let seq = next('j')?.parse().map_err(|_| NotAJobId)?;
        let generation = next('g')?.parse().map_err(|_| NotAJobId)?;
        let id = Self { batch, seq, generation };
        // Accepts only the spelling of `Display`, so that one job never has two ids.
        if id.to_string() == text { Ok(id) } else { Err(NotAJobId) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_back_every_id(batch in 1_i64..=BatchId::MAX, seq: u64, generation: u32) {
            let id = JobId { batch: BatchId::new(batch).unwrap(), seq, generation };

            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn rejects_every_other_spelling(text in "b?[0-9+]{0,3}-?j?0{0,2}[0-9]{0,2}-g?[0-9+]{0,2}(-x)?") {
            if let Ok(id) = text.parse::<JobId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
