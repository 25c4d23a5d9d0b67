//! A batch: what was asked for, how it is cut into jobs, and which statuses may follow each other.
//!
//! ```text
//!   pending ──begin──▶ running ──close──▶ completed | failed
//!      │  ▲              │  ▲                           │
//!      │  └──resume──┐   │  └──────────retry────────────┘
//!      └──pause──▶ paused ──close──▶ completed | failed     (its last running jobs ended)
//!
//!   pending | running | paused ──cancel──▶ cancelled
//!   pending | paused ──refuse──▶ failed       (asked for where nothing is checked, and it can't be planned)
//! ```

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id of a batch: 1 to 2^53 − 1, so that a JSON number carries it exactly.
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
        Invalid::unless_within("batchId", id, 1, Self::MAX).map(|()| Self(id))
    }

    /// The id as a plain number.
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

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request that can't be taken, by the field that is wrong. The message names the field, the
/// limit and the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
pub struct Invalid {
    /// The field as the JSON of a request spells it.
    pub field: &'static str,
    /// What is wrong with it, with the limit.
    pub why: String,
}

impl Invalid {
    /// Names a field and what is wrong with it.
    pub fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }

    /// Refuses a `value` outside `min..=max`.
    ///
    /// # Errors
    ///
    /// The refusal, naming all three.
    pub fn unless_within<N>(field: &'static str, value: N, min: N, max: N) -> Result<(), Self>
    where
        N: PartialOrd + fmt::Display,
    {
        if value >= min && value <= max {
            return Ok(());
        }
        Err(Self::new(field, format!("must be {min} to {max}, but is {value}")))
    }
}

/// How the items of a batch are to be made.
///
/// ```
/// use rocket_batch::ItemOptions;
///
/// let options = ItemOptions { batch_size: 500, qr_code_prefix: Some("QR".into()), ..Default::default() };
/// assert_eq!(options.max_jobs_per_batch, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "How the items of a batch are made.")]
pub struct ItemOptions {
    /// Items a job, unless that makes too many jobs. Default: 100.
    #[schemars(range(min = 1))]
    pub batch_size: u64,

    /// Put before the code of every item, with a `-` between: 1 to 16 of `A-Z a-z 0-9 _ -`.
    /// Default: none.
    #[schemars(regex(pattern = Self::PREFIX_PATTERN))]
    pub qr_code_prefix: Option<String>,

    /// Most jobs the batch may be cut into; when there would be more, jobs grow. The setting of the
    /// same name is the default and the maximum.
    #[schemars(range(min = 1, max = Limits::MOST_JOBS))]
    pub max_jobs_per_batch: Option<u64>,
}

impl Default for ItemOptions {
    fn default() -> Self {
        Self { batch_size: 100, qr_code_prefix: None, max_jobs_per_batch: None }
    }
}

impl ItemOptions {
    /// The longest prefix, in characters.
    pub const MAX_PREFIX: usize = 16;

    /// What a prefix may be, for readers of a schema.
    pub(crate) const PREFIX_PATTERN: &str = "^[A-Za-z0-9_-]{1,16}$";

    fn check_prefix(&self) -> Result<(), Invalid> {
        let Some(prefix) = &self.qr_code_prefix else { return Ok(()) };
        let fits = (1..=Self::MAX_PREFIX).contains(&prefix.len());
        let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits && plain {
            return Ok(());
        }
        Err(Invalid::new("qrCodePrefix", format!("must be 1 to {} of A-Z a-z 0-9 _ -", Self::MAX_PREFIX)))
    }
}

/// The bounds within which a batch is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most items of one batch.
    pub max_quantity: u64,
    /// Most jobs of one batch. A request may ask for fewer, never for more.
    pub max_jobs_per_batch: u64,
    /// Most items of one job.
    pub max_items_per_job: u64,
}

impl Limits {
    /// More jobs than this are never made of one batch, whatever is set.
    pub const MOST_JOBS: u64 = 100_000;
}

/// How a batch is cut: every job has the same size, but for the last, which has the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    quantity: u64,
    items_per_job: u64,
}

/// The items of one job, counted from 0 within its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobSlice {
    /// The job's number within the batch, from 0.
    pub seq: u64,
    /// Its first ordinal.
    pub first: u64,
    /// How many items.
    pub quantity: u64,
}

impl Plan {
    /// Cuts `quantity` items into jobs, or says which field does not fit.
    ///
    /// # Errors
    ///
    /// [`Invalid`] for a field out of its limits, and for a quantity that would need jobs above
    /// `max_items_per_job`.
    pub fn new(quantity: u64, options: &ItemOptions, limits: &Limits) -> Result<Self, Invalid> {
        Invalid::unless_within("quantity", quantity, 1, limits.max_quantity)?;
        Invalid::unless_within("batchSize", options.batch_size, 1, limits.max_items_per_job)?;
        options.check_prefix()?;
        let max_jobs = options.max_jobs_per_batch.unwrap_or(limits.max_jobs_per_batch);
        Invalid::unless_within("maxJobsPerBatch", max_jobs, 1, limits.max_jobs_per_batch)?;

        let items_per_job = options.batch_size.max(quantity.div_ceil(max_jobs));
        if items_per_job > limits.max_items_per_job {
            return Err(too_large(quantity, max_jobs, limits.max_items_per_job));
        }
        Ok(Self { quantity, items_per_job })
    }

    /// How many jobs.
    #[must_use]
    pub const fn jobs(&self) -> u64 {
        self.quantity.div_ceil(self.items_per_job)
    }

    /// How many items in all.
    #[must_use]
    pub const fn quantity(&self) -> u64 {
        self.quantity
    }

    /// Every job in order.
    pub fn slices(&self) -> impl Iterator<Item = JobSlice> + use<> {
        let Self { quantity, items_per_job } = *self;
        (0..self.jobs()).map(move |seq| {
            let first = seq * items_per_job;
            JobSlice { seq, first, quantity: items_per_job.min(quantity - first) }
        })
    }
}

fn too_large(quantity: u64, max_jobs: u64, most_items: u64) -> Invalid {
    let limit = max_jobs.saturating_mul(most_items);
    Invalid::new(
        "quantity",
        format!("must be at most {limit} for {max_jobs} jobs of up to {most_items} items, but is {quantity}"),
    )
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchStatus {
    /// Accepted; none of its jobs was ever begun.
    Pending,
    /// At least one job was begun, and at least one is still to end.
    Running,
    /// Held by somebody's wish: no job begins until it is resumed.
    Paused,
    /// Over: every item exists.
    Completed,
    /// Over, with at least one failed job; the counts say how many items exist. A retry makes it
    /// run again. Or its request could not be planned: then it has no jobs, and nothing to retry.
    Failed,
    /// Over by somebody's wish. What was written stays.
    Cancelled,
}

/// What may happen to a batch as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One of its jobs is begun.
    Claim,
    /// What was asked for can't be planned.
    Refuse,
    /// Somebody wants it held.
    Pause,
    /// Somebody wants it to go on.
    Resume {
        /// Whether one of its jobs was ever begun.
        claimed: bool,
    },
    /// Somebody wants it to end.
    Cancel,
    /// Its last open job ended.
    Close {
        /// Whether one of its jobs failed.
        failed: bool,
    },
    /// Its failed jobs are recreated.
    Retry,
}

/// A change that the status of a batch does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch that is {status} can't be {}", change.participle())]
pub struct ChangeRefused {
    /// The status that forbids it.
    pub status: BatchStatus,
    /// What was asked.
    pub change: Change,
}

impl Change {
    const fn participle(self) -> &'static str {
        match self {
            Self::Claim => "begun",
            Self::Refuse => "refused",
            Self::Pause => "paused",
            Self::Resume { .. } => "resumed",
            Self::Cancel => "cancelled",
            Self::Close { .. } => "closed",
            Self::Retry => "retried",
        }
    }
}

impl BatchStatus {
    /// All of them, in the order of a batch's life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Paused, Self::Completed, Self::Failed, Self::Cancelled];

    /// The status after `change`, if this one allows it.
    ///
    /// # Errors
    ///
    /// [`ChangeRefused`] when it does not; nothing may be written then.
    pub const fn after(self, change: Change) -> Result<Self, ChangeRefused> {
        use BatchStatus::{Cancelled, Completed, Failed, Paused, Pending, Running};
        Ok(match (self, change) {
            (Pending | Running, Change::Claim) | (Running | Failed, Change::Retry) => Running,
            (Pending | Running, Change::Pause) | (Paused, Change::Retry) => Paused,
            (Paused, Change::Resume { claimed: true }) => Running,
            (Paused, Change::Resume { claimed: false }) => Pending,
            (Pending | Running | Paused, Change::Cancel) => Cancelled,
            (Running | Paused, Change::Close { failed: false }) => Completed,
            (Running | Paused, Change::Close { failed: true }) | (Pending | Paused, Change::Refuse) => Failed,
            (status, change) => return Err(ChangeRefused { status, change }),
        })
    }

    /// Whether nothing more happens to the batch by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The word that JSON and the ledger use for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status that [`BatchStatus::as_str`] calls `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

impl fmt::Display for BatchStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { max_quantity: 10_000_000, max_jobs_per_batch: 1_000, max_items_per_job: 10_000 };

    fn jobs_of(batch_size: u64) -> ItemOptions {
        ItemOptions { batch_size, ..ItemOptions::default() }
    }

    #[test]
    fn five_thousand_items_become_fifty_jobs() {
        let plan = Plan::new(5_000, &ItemOptions::default(), &LIMITS).unwrap();

        assert_eq!(plan.jobs(), 50);
        assert_eq!(plan.slices().last().unwrap(), JobSlice { seq: 49, first: 4_900, quantity: 100 });
    }

    #[test]
    fn jobs_grow_when_there_would_be_too_many() {
        let plan = Plan::new(5_000_000, &ItemOptions::default(), &LIMITS).unwrap();

        assert_eq!(plan.jobs(), 1_000);
        assert_eq!(plan.slices().next().unwrap().quantity, 5_000);
    }

    #[test]
    fn a_bad_field_is_named_with_its_limit() {
        let long = ItemOptions { qr_code_prefix: Some("seventeen-letters".into()), ..jobs_of(100) };
        let foreign = ItemOptions { qr_code_prefix: Some("ä".into()), ..jobs_of(100) };
        let many = ItemOptions { max_jobs_per_batch: Some(1_001), ..jobs_of(100) };
        let few = ItemOptions { max_jobs_per_batch: Some(1), ..jobs_of(100) };
        let table = [
            (0, jobs_of(100), "`quantity` must be 1 to 10000000, but is 0"),
            (10_000_001, jobs_of(100), "`quantity` must be 1 to 10000000, but is 10000001"),
            (1, jobs_of(0), "`batchSize` must be 1 to 10000, but is 0"),
            (1, jobs_of(10_001), "`batchSize` must be 1 to 10000, but is 10001"),
            (1, long, "`qrCodePrefix` must be 1 to 16 of A-Z a-z 0-9 _ -"),
            (1, foreign, "`qrCodePrefix` must be 1 to 16 of A-Z a-z 0-9 _ -"),
            (1, many, "`maxJobsPerBatch` must be 1 to 1000, but is 1001"),
            (10_001, few, "`quantity` must be at most 10000 for 1 jobs of up to 10000 items, but is 10001"),
        ];

        for (quantity, options, message) in table {
            let refusal = Plan::new(quantity, &options, &LIMITS).unwrap_err();
            assert_eq!(refusal.to_string(), message);
        }
    }

    #[test]
    fn only_the_drawn_transitions_are_allowed() {
        use BatchStatus::{Cancelled, Completed, Failed, Paused, Pending, Running};
        use Change::{Cancel, Claim, Close, Pause, Refuse, Resume, Retry};
        let drawn = [
            (Pending, Claim, Running),
            (Running, Claim, Running),
            (Pending, Refuse, Failed),
            (Paused, Refuse, Failed),
            (Pending, Pause, Paused),
            (Running, Pause, Paused),
            (Paused, Resume { claimed: true }, Running),
            (Paused, Resume { claimed: false }, Pending),
            (Pending, Cancel, Cancelled),
            (Running, Cancel, Cancelled),
            (Paused, Cancel, Cancelled),
            (Running, Close { failed: false }, Completed),
            (Running, Close { failed: true }, Failed),
            (Paused, Close { failed: false }, Completed),
            (Paused, Close { failed: true }, Failed),
            (Running, Retry, Running),
            (Paused, Retry, Paused),
            (Failed, Retry, Running),
        ];
        let changes = [
            Claim,
            Refuse,
            Pause,
            Resume { claimed: true },
            Resume { claimed: false },
            Cancel,
            Close { failed: true },
            Close { failed: false },
            Retry,
        ];

        for (status, change) in BatchStatus::ALL.into_iter().flat_map(|s| changes.into_iter().map(move |c| (s, c))) {
            let expected = drawn.iter().find(|(s, c, _)| (*s, *c) == (status, change)).map(|(_, _, to)| *to);
            assert_eq!(status.after(change).ok(), expected, "{status} {change:?}");
        }
    }

    proptest! {
        #[test]
        fn a_plan_covers_every_ordinal_once(
            quantity in 1_u64..=200_000, batch_size in 1_u64..=10_000, max_jobs in 1_u64..=1_000,
        ) {
            let options = ItemOptions { max_jobs_per_batch: Some(max_jobs), ..jobs_of(batch_size) };
            let Ok(plan) = Plan::new(quantity, &options, &LIMITS) else {
                prop_assert!(quantity > max_jobs * LIMITS.max_items_per_job);
                return Ok(());
            };

            let mut next = 0;
            for (seq, slice) in plan.slices().enumerate() {
                prop_assert_eq!((slice.seq, slice.first), (seq as u64, next));
                prop_assert!((1..=LIMITS.max_items_per_job).contains(&slice.quantity));
                next += slice.quantity;
            }
            prop_assert_eq!(next, quantity);
            prop_assert!(plan.jobs() <= max_jobs);
        }
    }
}
