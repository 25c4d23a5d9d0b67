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
};
use crate::{
    config::Config,
    domain::{BatchId, CodeScheme, ItemOptions, Limits, Throughput, error_chain},
    ledger::{Estimator, HostTransactions, Ledger, LedgerError, Outage},
    live::Live,
    queue::Queue,
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
#[derive(Clone)]
pub struct BatchService(Arc<Parts>);

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
    /// Notified when a batch finishes in this process.
    pub finished: Arc<Notify>,
    /// Notified when a call of a hook ends in this process.
    pub hook_ended: Arc<Notify>,
}

/// How long a call of the ledger may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

impl BatchService {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    /// Returns the configured options, for a request that sets none.
    #[must_use]
    pub fn default_options(&self) -> ItemOptions {
        ItemOptions { batch_size: self.0.config.batch_size, ..ItemOptions::default() }
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
        self.0.config.limits()
    }

    /// The OpenAPI document of the routes of this process.
    pub(crate) fn openapi(&self) -> &serde_json::Value {
        &self.0.openapi
    }

    pub(super) fn throughput(&self) -> Throughput {
        self.0.config.generate.throughput()
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
        f.debug_struct("BatchService").field("queue", &self.0.generate).finish_non_exhaustive()
    }
}
