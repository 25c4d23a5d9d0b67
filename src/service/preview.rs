//! Previews batches: what creation would do, without doing it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    error::{BatchError, Result},
    handle::BatchService,
};
use crate::domain::{BatchId, CodeScheme, Invalid, InvalidFields, ItemOptions, Plan, Throughput, in_words};

/// What creating a batch would do now. Nothing was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "What creating this batch would do now. Nothing was created.")]
#[non_exhaustive]
pub struct BatchPreview {
    /// Number of items.
    pub quantity: u64,
    /// Number of jobs.
    pub jobs: u64,
    /// Number of items of each job. The last job may have fewer.
    pub items_per_job: u64,
    /// Number of chunks of all jobs. Each chunk is one transaction.
    pub chunks: u64,
    /// Maximum number of items of a chunk.
    pub items_per_chunk: u64,
    /// The estimated duration in seconds, including the wait for the open batches. A batch that is
    /// created now gets the same estimate.
    pub estimated_seconds: u64,
    /// The estimated duration in words: `90 seconds`, `100 minutes`.
    pub estimated_duration: String,
    /// The estimated duration in seconds, without the setting `generate.rate_limit`.
    pub estimated_seconds_without_rate_limit: u64,
    /// The form of the codes.
    pub code: CodeForm,
}

/// The form of the codes of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "The form of the codes of a batch.")]
#[non_exhaustive]
pub struct CodeForm {
    /// A code of this form, of random characters. Only an example: no item has it or ever gets it.
    pub example: String,
    /// Number of characters of each code.
    pub length: u64,
    /// A regular expression that each code matches.
    pub pattern: String,
}

impl CodeForm {
    fn new(codes: &CodeScheme, prefix: Option<&str>) -> Self {
        let example = codes.example(prefix, || fastrand::u128(..));
        Self { length: example.len() as u64, example, pattern: CodeScheme::pattern(prefix) }
    }
}

impl BatchService {
    /// Returns what [`create_product_items_async`](Self::create_product_items_async) with the same
    /// arguments would do now: jobs, chunks, the estimated duration and the form of the codes.
    ///
    /// Creates nothing, and reserves nothing: a later batch may wait longer or find its id in use.
    ///
    /// # Errors
    ///
    /// [`BatchError::Invalid`] with every wrong field: fields outside their limits, and `batchId`
    /// if the id is in use.
    pub async fn preview(
        &self,
        batch_id: impl Into<Option<i64>>,
        quantity: u64,
        options: ItemOptions,
    ) -> Result<BatchPreview> {
        let id = self.unused_id(batch_id.into()).await?;
        let ((), plan) = InvalidFields::both(id, Plan::new(quantity, &options, &self.limits()))?;
        let limited = self.throughput();
        let unlimited = Throughput { rate_limit: None, ..limited };
        let estimating = self.parts().estimator.estimate_each(&plan, [&limited, &unlimited]);
        let [estimated, without_rate_limit] = self.bounded(estimating).await?;
        let chunk_size = self.parts().config.chunk_size;
        Ok(BatchPreview {
            quantity,
            jobs: plan.jobs(),
            items_per_job: plan.items_per_job(),
            chunks: plan.chunks(chunk_size),
            items_per_chunk: chunk_size.min(plan.items_per_job()),
            estimated_seconds: estimated.as_secs(),
            estimated_duration: in_words(estimated),
            estimated_seconds_without_rate_limit: without_rate_limit.as_secs(),
            code: CodeForm::new(&self.parts().codes, options.qr_code_prefix.as_deref()),
        })
    }

    /// Checks that no batch has the id, if one is given.
    async fn unused_id(&self, batch_id: Option<i64>) -> Result<std::result::Result<(), Invalid>> {
        let Some(id) = batch_id else { return Ok(Ok(())) };
        if let Err(invalid) = BatchId::new(id) {
            return Ok(Err(invalid));
        }
        match self.batch(id).await {
            Err(BatchError::NoSuchBatch(_)) => Ok(Ok(())),
            Ok(_) => Ok(Err(Invalid::new("batchId", format!("is in use: batch {id} already exists")))),
            Err(error) => Err(error),
        }
    }
}
