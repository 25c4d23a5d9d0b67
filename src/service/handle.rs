//! The handle of the plugin, and what it is made of.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    error::{BatchError, Result},
    reads::Reads,
    worker_check::WorkerCheck,
};
use crate::{
    config::Config,
    domain::{BatchId, Caller, CodeScheme, ItemOptions, Limits, Throughput, error_chain},
    ledger::{Estimator, HostTransactions, Ledger, LedgerError, Outage},
    live::Live,
    queue::Queue,
    trace::Traces,
};

/// The handle of the plugin: a request guard for your handlers. Elsewhere, get it with
/// [`BatchService::fetch`]. Cheap to clone.
///
/// ```
/// # use rocket::{post, serde::json::Json};
/// use rocket_batch::{BatchAccepted, BatchError, BatchService};
///
/// #[post("/product-batches/<id>/items")]
/// async fn fill(id: i64, batches: BatchService) -> Result<Json<BatchAccepted>, BatchError> {
///     Ok(Json(batches.create_product_items_async(id, 5_000, batches.default_options()).await?))
/// }
/// ```
///
/// Every method except `create_product_items_in` is cancel safe: once a change has started, it is
/// completed even if its future is dropped. Each call of the ledger is limited to 30 seconds, after
/// which the method returns [`BatchError::Unavailable`]. A method makes at most two such calls,
/// except [`until_finished`](Self::until_finished), which repeats reads until its `limit`, and
/// [`reconciliation`](Self::reconciliation) and [`repair`](Self::repair), which read portions.
///
/// A change is recorded in the audit with its caller: in a handler the one that
/// [`actor`](crate::BatchFairing::actor) names, elsewhere the one of
/// [`acting_as`](Self::acting_as).
#[derive(Clone)]
pub struct BatchService {
    parts: Arc<Parts>,
    caller: Caller,
}

/// The parts of the service, made by the fairing.
pub(crate) struct Parts {
    pub ledger: Arc<dyn Ledger>,
    pub reads: Reads,
    /// Creates batches in transactions of the host.
    pub host_transactions: HostTransactions,
    pub generate: Arc<dyn Queue>,
    pub codes: CodeScheme,
    pub config: Arc<Config>,
    /// Wakes the feeder, for one batch or for all work.
    pub wake: Box<dyn Fn(Option<BatchId>) + Send + Sync>,
    pub estimator: Arc<Estimator>,
    /// The OpenAPI document of the routes of this process.
    pub openapi: serde_json::Value,
    /// Cancelled at the start of a shutdown.
    pub draining: CancellationToken,
    pub outage: Arc<Outage>,
    /// The watched batches.
    pub live: Arc<Live>,
    /// Whether another process works on this ledger, and this one waits to take over.
    pub standby: Arc<AtomicBool>,
    /// Whether any process runs jobs, as last read.
    pub worker_check: WorkerCheck,
    /// Notified when a batch finishes in this process.
    pub finished: Arc<Notify>,
    /// Notified when a call of a hook ends in this process.
    pub hook_ended: Arc<Notify>,
    pub traces: Traces,
}

/// How long a call of the ledger may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

impl BatchService {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), caller: Caller::default() }
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Returns a handle whose changes are recorded in the audit as those of `actor`, for jobs of
    /// your own. Control characters are removed from the name, and it is cut to 255 characters.
    ///
    /// ```no_run
    /// # async fn import(batches: rocket_batch::BatchService) -> rocket_batch::Result<()> {
    /// let batches = batches.acting_as("nightly import");
    /// batches.create_product_items_async(None, 5_000, batches.default_options()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn acting_as(&self, actor: &str) -> Self {
        self.asked_by(Caller::named(Some(actor)))
    }

    /// Returns a handle whose changes are recorded as those of `caller`.
    pub(crate) fn asked_by(&self, caller: Caller) -> Self {
        Self { parts: self.parts.clone(), caller }
    }

    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(crate) fn records_addresses(&self) -> bool {
        self.parts.config.audit_addresses
    }

    pub(crate) fn traces(&self) -> &Traces {
        &self.parts.traces
    }

    /// Returns the configured options, for a request that sets none.
    #[must_use]
    pub fn default_options(&self) -> ItemOptions {
        ItemOptions { batch_size: self.parts.config.batch_size, ..ItemOptions::default() }
    }

    /// Bounds a call of the ledger. Dropping the future of a ledger is safe, see [`Ledger`].
    pub(super) async fn bounded<T>(
        &self,
        call: impl Future<Output = std::result::Result<T, LedgerError>>,
    ) -> Result<T> {
        logged(match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(result) => result.map_err(BatchError::from),
            Err(elapsed) => Err(BatchError::Unavailable(elapsed.into())),
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.parts.config.limits()
    }

    /// The OpenAPI document of the routes of this process.
    pub(crate) fn openapi(&self) -> &serde_json::Value {
        &self.parts.openapi
    }

    pub(super) fn throughput(&self) -> Throughput {
        self.parts.config.generate.throughput()
    }
}

/// Logs the errors whose sources no response contains.
pub(super) fn logged<T>(result: Result<T>) -> Result<T> {
    if let Err(BatchError::Unavailable(error) | BatchError::Internal(error)) = &result {
        tracing::error!(error = error_chain(&**error), "a ledger call failed");
    }
    result
}

/// Converts an id from a caller. An id out of range is reported as [`BatchError::NoSuchBatch`],
/// because no batch can have it.
pub(super) fn to_batch_id(batch_id: i64) -> Result<BatchId> {
    BatchId::new(batch_id).map_err(|_| BatchError::NoSuchBatch(batch_id))
}

impl fmt::Debug for BatchService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchService").field("queue", &self.parts.generate).finish_non_exhaustive()
    }
}
