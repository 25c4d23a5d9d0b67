//! Creates batches, and checks their fields.

use std::time::Duration;

use tracing::Instrument as _;

use super::{
    accepted::{Answered, BatchAccepted},
    error::{BatchError, Result},
    handle::BatchService,
};
use crate::{
    domain::{BatchId, CreateRequest, InvalidFields, ItemOptions, Plan},
    ledger::{Created, NewBatch},
    trace::record_error,
};

impl BatchService {
    /// Creates a batch of `quantity` items, with the id `batch_id` or, for `None`, the next free
    /// id.
    ///
    /// Returns when the batch is stored in the ledger. Its items are generated in the background.
    ///
    /// # Errors
    ///
    /// [`BatchError::Invalid`](super::BatchError::Invalid) with every field outside its limits,
    /// and [`BatchError::IdInUse`](super::BatchError::IdInUse) if the id is in use. In both cases
    /// nothing is stored. After [`BatchError::Unavailable`](super::BatchError::Unavailable) the
    /// batch may or may not exist: choose the id to be able to repeat the call.
    pub async fn create_product_items_async(
        &self,
        batch_id: impl Into<Option<i64>>,
        quantity: u64,
        options: ItemOptions,
    ) -> Result<BatchAccepted> {
        let (accepted, _answered) = self.create(batch_id.into(), quantity, options, None).await?;
        Ok(accepted)
    }

    /// Creates a batch, unless `request` repeats an earlier request. Then returns the answer to the
    /// earlier one, and [`Answered::Again`].
    pub(crate) async fn create(
        &self,
        batch_id: Option<i64>,
        quantity: u64,
        options: ItemOptions,
        request: Option<CreateRequest>,
    ) -> Result<(BatchAccepted, Answered)> {
        let batch = NewBatch { request, ..self.new_batch(batch_id, quantity, options).await? };
        let plan = batch.plan;

        let created = self.insert(batch).await?;

        // Also for a repeated request: the process that created the batch may have died.
        (self.parts().wake)(Some(created.batch));
        if created.repeated {
            return Ok((BatchAccepted::of(created), Answered::Again));
        }
        self.parts().estimator.add_created(&plan);
        let (id, jobs) = (created.batch, created.jobs);
        tracing::info!(batch = %id, quantity, jobs, "Accepted batch {id} of {quantity} items in {jobs} jobs");
        Ok((BatchAccepted::of(created), Answered::First))
    }

    /// Inserts a batch within a span, which everything that is done for the batch later refers to.
    async fn insert(&self, batch: NewBatch) -> Result<Created> {
        let (traces, trace) = (self.traces(), self.caller().trace());
        let span = traces.create(self.parts().generate.name(), batch.plan.jobs(), trace);
        let trace = traces.position(&span).or_else(|| trace.cloned());
        let batch = NewBatch { caller: batch.caller.in_trace(trace), ..batch };
        let created = self.bounded(self.parts().ledger.create(batch)).instrument(span.clone()).await;
        match &created {
            Ok(created) => {
                span.record("batch", created.batch.get());
            }
            Err(BatchError::Unavailable(_) | BatchError::Internal(_)) => record_error(&span, "unavailable"),
            Err(_) => record_error(&span, "refused"),
        }
        created
    }

    /// Checks `quantity` and `options` as
    /// [`create_product_items_async`](Self::create_product_items_async) does, and creates nothing.
    /// After `Ok`, a batch can still be refused because its id is invalid or in use.
    /// [`preview`](Self::preview) checks the id too.
    ///
    /// # Errors
    ///
    /// [`BatchError::Invalid`](super::BatchError::Invalid) with every field outside its limits.
    pub fn check(&self, quantity: u64, options: &ItemOptions) -> Result<()> {
        Ok(Plan::new(quantity, options, &self.limits()).map(drop)?)
    }

    /// Checks and plans a batch, and estimates its duration.
    pub(super) async fn new_batch(
        &self,
        batch_id: Option<i64>,
        quantity: u64,
        options: ItemOptions,
    ) -> Result<NewBatch> {
        let batch = self.planned(batch_id, quantity, options)?;
        let estimated = self.bounded(self.parts().estimator.estimate(&batch.plan, &self.throughput())).await?;
        Ok(NewBatch { estimated, ..batch })
    }

    /// Checks and plans a batch. The caller sets its estimated duration.
    pub(super) fn planned(&self, batch_id: Option<i64>, quantity: u64, options: ItemOptions) -> Result<NewBatch> {
        let id = batch_id.map(BatchId::new).transpose();
        let (id, plan) = InvalidFields::both(id, Plan::new(quantity, &options, &self.limits()))?;
        let key_fingerprint = self.parts().codes.fingerprint().to_owned();
        let (estimated, caller) = (Duration::ZERO, self.caller().clone());
        Ok(NewBatch { id, plan, options, key_fingerprint, estimated, request: None, caller })
    }
}
