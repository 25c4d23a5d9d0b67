//! How a batch is split into jobs.

use std::ops::Range;

use super::options::{ItemOptions, Limits};
use crate::domain::invalid::{Invalid, InvalidFields};

/// How a batch is split into jobs. All jobs have the same size, except the last one, which has the
/// remaining items.
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
    /// Number of items.
    pub quantity: u64,
}

impl Plan {
    /// Splits `quantity` items into jobs.
    ///
    /// # Errors
    ///
    /// [`InvalidFields`] with each field that is out of its limits, and with a quantity that would
    /// need jobs with more than `max_items_per_job` items.
    pub fn new(quantity: u64, options: &ItemOptions, limits: &Limits) -> Result<Self, InvalidFields> {
        let max_jobs = options.max_jobs_per_batch.unwrap_or(limits.max_jobs_per_batch);
        let jobs_checked = Invalid::check_range("maxJobsPerBatch", max_jobs, 1, limits.max_jobs_per_batch);
        let mut quantity_checked = Invalid::check_range("quantity", quantity, 1, limits.max_quantity);
        if quantity_checked.is_ok() && jobs_checked.is_ok() {
            quantity_checked = check_fits(quantity, max_jobs, limits.max_items_per_job);
        }
        InvalidFields::check([
            quantity_checked,
            Invalid::check_range("batchSize", options.batch_size, 1, limits.max_items_per_job),
            options.check_prefix(),
            jobs_checked,
        ])?;
        Ok(Self { quantity, items_per_job: options.batch_size.max(quantity.div_ceil(max_jobs)) })
    }

    /// Reads the plan of a batch back from its row: with `jobs` jobs, at least one.
    ///
    /// Jobs have `batch_size` items, or more if there would be too many jobs. In that case they
    /// have as few as `jobs` jobs allow.
    pub(crate) const fn of_stored(quantity: u64, batch_size: u64, jobs: u64) -> Self {
        let has_batch_size = quantity.div_ceil(batch_size) == jobs;
        let items_per_job = if has_batch_size { batch_size } else { quantity.div_ceil(jobs) };
        Self { quantity, items_per_job }
    }

    /// Returns the jobs of `ordinals`, which are not empty, in order.
    pub(crate) fn slices_within(&self, ordinals: &Range<u64>) -> impl Iterator<Item = JobSlice> + use<> {
        let seqs = ordinals.start / self.items_per_job..ordinals.end.div_ceil(self.items_per_job).min(self.jobs());
        self.slices_from(seqs)
    }

    /// Returns the jobs with these numbers.
    pub(crate) fn slices_from(&self, seqs: Range<u64>) -> impl Iterator<Item = JobSlice> + use<> {
        let Self { quantity, items_per_job } = *self;
        seqs.map(move |seq| {
            let first = seq * items_per_job;
            JobSlice { seq, first, quantity: items_per_job.min(quantity - first) }
        })
    }

    /// Returns the number of jobs.
    #[must_use]
    pub const fn jobs(&self) -> u64 {
        self.quantity.div_ceil(self.items_per_job)
    }

    /// Returns the number of items of each job. The last job may have fewer.
    #[must_use]
    pub fn items_per_job(&self) -> u64 {
        self.items_per_job.min(self.quantity)
    }

    /// Returns the number of chunks of all jobs, if a chunk has at most `chunk_size` items.
    #[must_use]
    pub const fn chunks(&self, chunk_size: u64) -> u64 {
        let full_jobs = self.quantity / self.items_per_job;
        let last_job = self.quantity % self.items_per_job;
        full_jobs * self.items_per_job.div_ceil(chunk_size) + last_job.div_ceil(chunk_size)
    }

    /// Returns the number of items of all jobs.
    #[must_use]
    pub const fn quantity(&self) -> u64 {
        self.quantity
    }

    /// Returns every job in order.
    pub fn slices(&self) -> impl Iterator<Item = JobSlice> + use<> {
        self.slices_from(0..self.jobs())
    }
}

/// Checks that jobs of at most `max_items` items are large enough.
fn check_fits(quantity: u64, max_jobs: u64, max_items: u64) -> Result<(), Invalid> {
    let limit = max_jobs.saturating_mul(max_items);
    if quantity <= limit {
        return Ok(());
    }
    Err(Invalid::new(
        "quantity",
        format!("must be at most {limit} (maxJobsPerBatch {max_jobs} × {max_items} items per job), but is {quantity}"),
    ))
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
    fn splits_5000_items_into_50_jobs() {
        let plan = Plan::new(5_000, &ItemOptions::default(), &LIMITS).unwrap();

        assert_eq!(plan.jobs(), 50);
        assert_eq!(plan.slices().last().unwrap(), JobSlice { seq: 49, first: 4_900, quantity: 100 });
    }

    #[test]
    fn makes_larger_jobs_when_there_would_be_too_many() {
        let plan = Plan::new(5_000_000, &ItemOptions::default(), &LIMITS).unwrap();

        assert_eq!(plan.jobs(), 1_000);
        assert_eq!(plan.slices().next().unwrap().quantity, 5_000);
    }

    #[test]
    fn rejects_a_field_out_of_its_limits_by_name() {
        let long = ItemOptions { qr_code_prefix: Some("seventeen-letters".into()), ..jobs_of(100) };
        let foreign = ItemOptions { qr_code_prefix: Some("ä".into()), ..jobs_of(100) };
        let many = ItemOptions { max_jobs_per_batch: Some(1_001), ..jobs_of(100) };
        let few = ItemOptions { max_jobs_per_batch: Some(1), ..jobs_of(100) };
        let table = [
            (0, jobs_of(100), "`quantity` must be 1 to 10000000, but is 0"),
            (10_000_001, jobs_of(100), "`quantity` must be 1 to 10000000, but is 10000001"),
            (1, jobs_of(0), "`batchSize` must be 1 to 10000, but is 0"),
            (1, jobs_of(10_001), "`batchSize` must be 1 to 10000, but is 10001"),
            (1, long, "`qrCodePrefix` must be 1 to 16 characters of A-Z, a-z, 0-9, `_` and `-`"),
            (1, foreign, "`qrCodePrefix` must be 1 to 16 characters of A-Z, a-z, 0-9, `_` and `-`"),
            (1, many, "`maxJobsPerBatch` must be 1 to 1000, but is 1001"),
            (10_001, few, "`quantity` must be at most 10000 (maxJobsPerBatch 1 × 10000 items per job), but is 10001"),
        ];

        for (quantity, options, message) in table {
            let invalid = Plan::new(quantity, &options, &LIMITS).unwrap_err();
            assert_eq!(invalid.to_string(), message);
        }
    }

    #[test]
    fn rejects_all_wrong_fields_at_once() {
        let wrong = ItemOptions { batch_size: 0, qr_code_prefix: Some(String::new()), max_jobs_per_batch: Some(0) };
        let few = ItemOptions { max_jobs_per_batch: Some(1), ..jobs_of(10_001) };
        let fields = |quantity, options| {
            let wrong = Plan::new(quantity, options, &LIMITS).unwrap_err();
            wrong.iter().map(|invalid| invalid.field).collect::<Vec<_>>()
        };

        assert_eq!(fields(0, &wrong), ["quantity", "batchSize", "qrCodePrefix", "maxJobsPerBatch"]);
        assert_eq!(fields(10_001, &few), ["quantity", "batchSize"], "a rule over two fields is one of them");
        assert_eq!(fields(10_001, &wrong), ["batchSize", "qrCodePrefix", "maxJobsPerBatch"]);
    }

    proptest! {
        #[test]
        fn a_plan_covers_every_ordinal_once(
            quantity in 1_u64..=200_000, batch_size in 1_u64..=10_000, max_jobs in 1_u64..=1_000,
            chunk_size in 1_u64..=10_000,
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
            prop_assert_eq!(Plan::of_stored(quantity, batch_size, plan.jobs()).items_per_job(), plan.items_per_job());
            prop_assert_eq!(next, quantity);
            prop_assert!(plan.jobs() <= max_jobs);
            prop_assert_eq!(plan.items_per_job(), plan.slices().next().unwrap().quantity);
            let chunks = |chunk_size| plan.slices().map(|job| job.quantity.div_ceil(chunk_size)).sum::<u64>();
            prop_assert_eq!(plan.chunks(chunk_size), chunks(chunk_size));
        }
    }
}
