//! Everything the crate does, without HTTP: what a host calls, and what the routes call.
//!
//! ```text
//!   host's handler ──┐                      ┌──▶ ledger   (the truth)
//!                    ├──▶ BatchService ─────┤
//!   our routes ──────┘                      └──▶ wake     (the feeder puts the work into the queue)
//! ```
//!
//! Nothing here waits for work: a batch is accepted once the ledger has it.

mod reads;

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "postgres")]
use crate::ledger::postgres::HostTransactions;
use crate::{
    config::Config,
    domain::{
        BatchId, BatchRecord, BatchStatus, ChangeRefused, CodeScheme, CreateRequest, FailedJob, Invalid, Item,
        ItemOptions, JobId, Limits, MAX_LISTED_JOBS, Plan, Progress, RetryReport, Throughput, WaitingFor, in_words,
    },
    ledger::{
        BatchCommand, BoxError, Created, Estimator, Ledger, LedgerError, NewBatch, OtherDatabase, Outage, PageRequest,
        Portion,
    },
    queue::Queue,
};

pub(crate) use self::reads::Reads;

/// Why the service did not do what it was asked. As a responder it is the same problem document
/// that our own routes answer with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A field is out of its limits. Nothing was done.
    #[error(transparent)]
    Invalid(#[from] Invalid),

    /// There is no such batch.
    #[error("there is no batch {0}")]
    NoSuchBatch(i64),

    /// No item has this code.
    #[error("there is no item with this code")]
    NoSuchItem,

    /// The id is in use; the batch that has it is untouched.
    #[error("batch {0} exists already")]
    Taken(BatchId),

    /// The `Idempotency-Key` belongs to another request, the one that made this batch. Nothing was
    /// done. Only our own route answers so.
    #[error("the `Idempotency-Key` belongs to another request, the one that made batch {0}")]
    KeyReused(BatchId),

    /// The status of the batch forbids it. Nothing was done.
    #[error(transparent)]
    NotAllowed(ChangeRefused),

    /// The batch has no failed jobs.
    #[error("batch {} has no failed jobs to retry", .0.batch_id)]
    NothingToRetry(Box<RetryReport>),

    /// The batch was not over in time; this is how far it is.
    #[error("batch {} is {} and not over yet", .0.batch_id, .0.status)]
    NotOver(Box<Progress>),

    /// The batch has been over for longer than `keep_history`, and the rows of its jobs were
    /// removed. There is no way back.
    #[error("the history of batch {0} was removed: its failed jobs can't be listed or retried any more")]
    HistoryRemoved(BatchId),

    /// The cursor is not one that this list gave.
    #[error("`cursor` is not one that this list gave")]
    BadCursor,

    /// The ledger is in another kind of database than the call is for. Nothing was done.
    #[error(transparent)]
    OtherDatabase(#[from] OtherDatabase),

    /// Too many read at once, and the wait for a turn was too long. Nothing was done; try again in
    /// a moment.
    #[error("too many requests read at once; try again in a moment")]
    Busy,

    /// The database did not answer in time. Whether a change took effect is unknown; asking again
    /// tells.
    #[error("the database does not answer; try again later")]
    Unavailable(#[source] BoxError),

    /// A defect; the log says more.
    #[error("something went wrong here")]
    Internal(#[source] BoxError),
}

impl From<LedgerError> for BatchError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NoSuchBatch(id) => Self::NoSuchBatch(id.get()),
            LedgerError::IdInUse(id) => Self::Taken(id),
            LedgerError::KeyReused(id) => Self::KeyReused(id),
            LedgerError::NotAllowed(refusal) => Self::NotAllowed(refusal),
            LedgerError::HistoryRemoved(id) => Self::HistoryRemoved(id),
            error @ LedgerError::Unavailable { .. } => Self::Unavailable(error.into()),
            error @ (LedgerError::Refused { .. } | LedgerError::Failed { .. }) => Self::Internal(error.into()),
        }
    }
}

/// What a call of the service answers.
pub type Result<T> = std::result::Result<T, BatchError>;

/// The answer to a new batch: it is in the ledger, and its items will be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchAccepted {
    /// Always true; what was not accepted is an error.
    pub success: bool,
    /// The id of the batch.
    pub batch_id: BatchId,
    /// Items that will be made.
    pub total_quantity: u64,
    /// Jobs that will make them.
    pub jobs_created: u64,
    /// The ids of the jobs in order, at most 1,000.
    pub job_ids: Vec<String>,
    /// Whether there are more jobs than are listed.
    pub job_ids_truncated: bool,
    /// How long that will take, in words: `90 seconds`, `100 minutes`.
    pub estimated_duration: String,
    /// The same in seconds.
    pub estimated_seconds: u64,
}

impl From<Created> for BatchAccepted {
    fn from(Created { batch, quantity, jobs, estimated, .. }: Created) -> Self {
        let listed = jobs.min(MAX_LISTED_JOBS as u64);
        Self {
            success: true,
            batch_id: batch,
            total_quantity: quantity,
            jobs_created: jobs,
            job_ids: (0..listed).map(|seq| JobId { batch, seq, generation: 0 }.to_string()).collect(),
            job_ids_truncated: listed < jobs,
            estimated_duration: in_words(estimated),
            estimated_seconds: estimated.as_secs(),
        }
    }
}

/// Whether a request was answered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It made the batch.
    First,
    /// It came again, and is answered as it was then.
    Again,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Asks for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// Which page of a list: `limit` entries (1 to 1,000, default 100) from `cursor` on.
///
/// ```
/// use rocket_batch::PageQuery;
///
/// let first = PageQuery { limit: Some(1_000), ..Default::default() };
/// assert_eq!(first.cursor, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// The `next_cursor` of the page before; none for the first page.
    pub cursor: Option<String>,
    /// Entries a page.
    pub limit: Option<u64>,
}

impl PageQuery {
    /// Most entries a page.
    pub const MOST: u64 = 1_000;
    pub(crate) const USUAL: u64 = 100;
    /// What a cursor is written in, for readers of a schema.
    pub(crate) const CURSOR_PATTERN: &str = "^[A-Za-z0-9_-]+$";

    /// The slice that holds the page and one entry more, which tells whether another page follows.
    fn slice(&self, list: &str) -> Result<PageRequest> {
        let limit = self.limit.unwrap_or(Self::USUAL);
        Invalid::unless_within("limit", limit, 1, Self::MOST)?;
        let after = self.cursor.as_deref().map(|cursor| read_cursor(list, cursor)).transpose()?;
        Ok(PageRequest { after, limit: limit + 1 })
    }
}

impl<T> Page<T> {
    fn of(found: impl Into<Portion<T>>, list: &str, slice: PageRequest, key: impl Fn(&T) -> u64) -> Self {
        let Portion { rows: mut entries, left_out } = found.into();
        let more = left_out || entries.len() as u64 >= slice.limit;
        entries.truncate(slice.limit as usize - 1);
        let last = entries.last().filter(|_| more);
        let next_cursor = last.map(|last| write_cursor(list, key(last)));
        Self { items: entries, next_cursor }
    }
}

/// A cursor names the list it belongs to, so that a foreign one is noticed.
fn write_cursor(list: &str, after: u64) -> String {
    data_encoding::BASE64URL_NOPAD.encode(format!("{list}:{after}").as_bytes())
}

fn read_cursor(list: &str, cursor: &str) -> Result<u64> {
    let text = data_encoding::BASE64URL_NOPAD.decode(cursor.as_bytes()).map_err(|_| BatchError::BadCursor)?;
    let text = String::from_utf8(text).map_err(|_| BatchError::BadCursor)?;
    let after = text.strip_prefix(list).and_then(|rest| rest.strip_prefix(':'));
    let after = after.and_then(|after| after.parse().ok()).filter(|after| *after <= BatchId::MAX as u64);
    after.ok_or(BatchError::BadCursor)
}

/// Whether this process can take requests, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Whether it can.
    pub ready: bool,
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// The plugin's handle: a request guard in the host's handlers, and [`BatchService::fetch`]ed
/// anywhere else. Cheap to clone.
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
/// Every method is cancel safe: a change that was begun takes place also when its future is
/// dropped. Whatever asks the ledger may answer [`BatchError::Unavailable`], after 30 seconds at
/// the latest.
#[derive(Clone)]
pub struct BatchService(Arc<Parts>);

/// What the fairing hands in.
pub(crate) struct Parts {
    pub ledger: Arc<dyn Ledger>,
    pub reads: Reads,
    /// For batches in transactions of the host's, if the ledger is where those are.
    #[cfg(feature = "postgres")]
    pub host_transactions: std::result::Result<HostTransactions, OtherDatabase>,
    pub generate: Arc<dyn Queue>,
    pub codes: CodeScheme,
    pub config: Arc<Config>,
    /// Tells the feeder that there is work in a batch, or somewhere.
    pub wake: Box<dyn Fn(Option<BatchId>) + Send + Sync>,
    pub estimator: Arc<Estimator>,
    /// Cancelled from the first moment of a shutdown.
    pub draining: CancellationToken,
    pub outage: Arc<Outage>,
    /// Rings whenever a batch ends in this process.
    pub ended: Arc<Notify>,
}

impl BatchService {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The options that the configuration says, for a request that says nothing.
    #[must_use]
    pub fn default_options(&self) -> ItemOptions {
        ItemOptions { batch_size: self.0.config.batch_size, ..ItemOptions::default() }
    }

    /// Accepts a batch of `quantity` items under an id of the host's choice, or with `None` under
    /// the next free one.
    ///
    /// Answers when the batch is in the ledger; its items are made in the background.
    ///
    /// # Errors
    ///
    /// [`BatchError::Invalid`] for a field out of its limits and [`BatchError::Taken`] for an id in
    /// use; nothing is done then.
    pub async fn create_product_items_async(
        &self,
        batch_id: impl Into<Option<i64>>,
        quantity: u64,
        options: ItemOptions,
    ) -> Result<BatchAccepted> {
        let (accepted, _new) = self.create(batch_id.into(), quantity, options, None).await?;
        Ok(accepted)
    }

    /// The same for a request that may come again, and whether it was answered before.
    pub(crate) async fn create(
        &self,
        batch_id: Option<i64>,
        quantity: u64,
        options: ItemOptions,
        request: Option<CreateRequest>,
    ) -> Result<(BatchAccepted, Answered)> {
        let batch = NewBatch { request, ..self.new_batch(batch_id, quantity, options).await? };
        let plan = batch.plan;

        let created = self.answer(self.0.ledger.create(batch)).await?;

        (self.0.wake)(Some(created.batch));
        if created.repeated {
            return Ok((created.into(), Answered::Again));
        }
        self.0.estimator.created(&plan).await;
        let (id, jobs) = (created.batch, created.jobs);
        tracing::info!(batch = %id, quantity, jobs, "Accepted batch {id} of {quantity} items in {jobs} jobs");
        Ok((created.into(), Answered::First))
    }

    async fn new_batch(&self, batch_id: Option<i64>, quantity: u64, options: ItemOptions) -> Result<NewBatch> {
        let id = batch_id.map(BatchId::new).transpose()?;
        let plan = Plan::new(quantity, &options, &self.limits())?;
        let key_fingerprint = self.0.codes.fingerprint().to_owned();
        let estimated = self.answer(self.0.estimator.estimate(&plan, &self.throughput())).await?;
        Ok(NewBatch { id, plan, options, key_fingerprint, estimated, request: None })
    }

    /// The same in a transaction of the host's, on any connection to the ledger's database: the
    /// batch is there when that is committed, and nothing of it when it is rolled back, but for a
    /// number of the sequence. For a ledger in PostgreSQL.
    ///
    /// The session stays as it was, whatever its search path is. Its role needs the rights on the
    /// ledger's tables that the [guide](crate::guide::transactions) lists. Work on the batch begins
    /// within `feed_interval` of the commit; call [`BatchService::wake_feeder`] after it to begin
    /// at once.
    ///
    /// ```
    /// use rocket_batch::{BatchError, BatchService, postgres::tokio_postgres::Transaction};
    ///
    /// # type Error = Box<dyn std::error::Error>;
    /// async fn order(batches: &BatchService, transaction: Transaction<'_>, order: i64) -> Result<(), Error> {
    ///     transaction.execute("INSERT INTO shop.orders (id) VALUES ($1)", &[&order]).await?;
    ///     batches.create_product_items_in(&transaction, order, 5_000, batches.default_options()).await?;
    ///     transaction.commit().await?;
    ///     batches.wake_feeder();
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`BatchService::create_product_items_async`]; after [`BatchError::Invalid`] and
    /// [`BatchError::Taken`] the transaction goes on as if nothing had been asked, after another
    /// one from the database it can only be rolled back. [`BatchError::OtherDatabase`] when the
    /// ledger is in SQLite.
    #[cfg(feature = "postgres")]
    pub async fn create_product_items_in(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        batch_id: impl Into<Option<i64>>,
        quantity: u64,
        options: ItemOptions,
    ) -> Result<BatchAccepted> {
        let host_transactions = self.0.host_transactions.as_ref().map_err(|other| *other)?;
        let batch = self.new_batch(batch_id.into(), quantity, options).await?;
        let created = self.answer(host_transactions.create(transaction, batch)).await?;
        tracing::debug!(batch = %created.batch, quantity, "a batch waits for the commit of a transaction of the host's");
        Ok(created.into())
    }

    /// Has the feeder of this process look for work now, and not in `feed_interval` at the latest:
    /// after a commit that brought a batch, say.
    pub fn wake_feeder(&self) {
        (self.0.wake)(None);
    }

    /// How far a batch is.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchBatch`].
    pub async fn get_batch_job_progress(&self, batch_id: i64) -> Result<Progress> {
        let batch = self.batch(batch_id).await?;
        let waiting_for = self.0.outage.is_on().then_some(WaitingFor::Database);
        Ok(Progress::of(&batch, &self.throughput(), waiting_for))
    }

    /// Waits until a batch is over, at most `limit`, and as long as one look at a database that is
    /// slow to answer. It answers at once when this process ends the batch, and within a quarter of
    /// a second when another one does.
    ///
    /// # Errors
    ///
    /// [`BatchError::NotOver`] with the progress when `limit` comes first;
    /// [`BatchError::NoSuchBatch`].
    pub async fn until_over(&self, batch_id: i64, limit: Duration) -> Result<Progress> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let mut ended = pin!(self.0.ended.notified());
            // From here on no ring is missed, also not one during the look below.
            ended.as_mut().enable();
            let progress = match self.get_batch_job_progress(batch_id).await {
                // Its turn comes with one of the next looks.
                Err(BatchError::Busy) if tokio::time::Instant::now() < deadline => continue,
                progress => progress?,
            };
            if progress.status.is_over() {
                return Ok(progress);
            }
            let look_again = (tokio::time::Instant::now() + Self::LOOK_AGAIN).min(deadline);
            if tokio::time::timeout_at(look_again, ended).await.is_err() && look_again == deadline {
                return Err(BatchError::NotOver(Box::new(progress)));
            }
        }
    }

    /// One batch.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchBatch`].
    pub async fn batch(&self, batch_id: i64) -> Result<BatchRecord> {
        let id = existing(batch_id)?;
        let _turn = self.0.reads.one().await?;
        self.answer(self.0.ledger.batch(id)).await
    }

    /// A page of batches, the highest id first, those of one status when one is given.
    ///
    /// # Errors
    ///
    /// [`BatchError::Invalid`] for a limit out of bounds, [`BatchError::BadCursor`] for a cursor of
    /// another list.
    pub async fn batches(&self, status: Option<BatchStatus>, page: PageQuery) -> Result<Page<BatchRecord>> {
        let list = format!("batches:{}", status.map_or("all", BatchStatus::as_str));
        let slice = page.slice(&list)?;
        let _turn = self.0.reads.list().await?;
        let batches = self.answer(self.0.ledger.batches(status, slice)).await?;
        Ok(Page::of(batches, &list, slice, |batch| batch.batch_id.get().unsigned_abs()))
    }

    /// A page of the items of a batch, by ordinal.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchBatch`], and as [`BatchService::batches`].
    pub async fn items(&self, batch_id: i64, page: PageQuery) -> Result<Page<Item>> {
        let (id, list) = (existing(batch_id)?, format!("items:{batch_id}"));
        let slice = page.slice(&list)?;
        let _turn = self.0.reads.list().await?;
        let items = self.answer(self.0.ledger.items(id, slice)).await?;
        Ok(Page::of(items, &list, slice, |item| item.ordinal))
    }

    /// The item that carries `code`.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchItem`], also for what is no code at all.
    pub async fn item_by_code(&self, code: &str) -> Result<Item> {
        let decoded = self.0.codes.decode(code).ok_or(BatchError::NoSuchItem)?;
        let place = PageRequest { after: decoded.ordinal.checked_sub(1), limit: 1 };
        let _turn = self.0.reads.one().await?;
        let found = match self.answer(self.0.ledger.items(decoded.batch, place)).await {
            Err(BatchError::NoSuchBatch(_)) => return Err(BatchError::NoSuchItem),
            found => found?,
        };
        // The next one that exists, which need not be the one that was meant.
        let is_it = |item: &Item| item.ordinal == decoded.ordinal && item.code == decoded.canonical;
        found.into_iter().find(is_it).ok_or(BatchError::NoSuchItem)
    }

    /// A page of the failed jobs of a batch, by number, with what is known of each.
    ///
    /// Of each job it lists the first 20 ranges of items that stayed unwritten, and counts the
    /// others. A page ends after 1 MB of JSON, and then has fewer entries than its limit: follow
    /// `next_cursor`.
    ///
    /// # Errors
    ///
    /// As [`BatchService::items`], and [`BatchError::HistoryRemoved`] when it has been over for
    /// longer than `keep_history`.
    pub async fn failed_jobs(&self, batch_id: i64, page: PageQuery) -> Result<Page<FailedJob>> {
        let (id, list) = (existing(batch_id)?, format!("failed-jobs:{batch_id}"));
        let slice = page.slice(&list)?;
        let _turn = self.0.reads.list().await?;
        let jobs = self.answer(self.0.ledger.failed_jobs(id, slice)).await?;
        Ok(Page::of(jobs, &list, slice, |job| job.seq))
    }

    /// Recreates the failed jobs of a batch, with fresh attempts. Only what is missing is made.
    ///
    /// # Errors
    ///
    /// [`BatchError::NothingToRetry`] with the report, also for the later of two at once;
    /// [`BatchError::NotAllowed`] in a status other than running, paused and failed;
    /// [`BatchError::HistoryRemoved`] when it has been over for longer than `keep_history`;
    /// [`BatchError::NoSuchBatch`].
    pub async fn retry_failed_jobs(&self, batch_id: i64) -> Result<RetryReport> {
        let report = self.answer(self.0.ledger.retry(existing(batch_id)?)).await?;
        if report.found == 0 {
            return Err(BatchError::NothingToRetry(Box::new(report)));
        }
        let (found, recreated) = (report.found, report.recreated);
        tracing::info!(batch = batch_id, found, recreated, "Retrying {recreated} failed jobs of batch {batch_id}");
        (self.0.wake)(Some(report.batch_id));
        // A job whose items all existed is completed now, and may have been the last one.
        self.wake_feeder();
        Ok(report.truncated())
    }

    /// Ends a batch now. What is written stays; up to one chunk a running worker may land before
    /// the answer, none after.
    ///
    /// # Errors
    ///
    /// [`BatchError::NotAllowed`] when it is over, [`BatchError::NoSuchBatch`].
    pub async fn cancel(&self, batch_id: i64) -> Result<BatchRecord> {
        let batch = self.control(batch_id, BatchCommand::Cancel).await?;
        self.0.ended.notify_waiters();
        self.withdraw(batch.batch_id).await;
        Ok(batch)
    }

    /// Holds a batch: running jobs stop after their chunk, no other begins.
    ///
    /// # Errors
    ///
    /// [`BatchError::NotAllowed`] unless it is pending or running, [`BatchError::NoSuchBatch`].
    pub async fn pause(&self, batch_id: i64) -> Result<BatchRecord> {
        let batch = self.control(batch_id, BatchCommand::Pause).await?;
        self.withdraw(batch.batch_id).await;
        Ok(batch)
    }

    /// Lets a paused batch go on.
    ///
    /// # Errors
    ///
    /// [`BatchError::NotAllowed`] unless it is paused, [`BatchError::NoSuchBatch`].
    pub async fn resume(&self, batch_id: i64) -> Result<BatchRecord> {
        self.control(batch_id, BatchCommand::Resume).await
    }

    async fn control(&self, batch_id: i64, wish: BatchCommand) -> Result<BatchRecord> {
        let batch = self.answer(self.0.ledger.control(existing(batch_id)?, wish)).await?;
        let done = match wish {
            BatchCommand::Cancel => "cancelled",
            BatchCommand::Pause => "paused",
            BatchCommand::Resume => "resumed",
        };
        tracing::info!(batch = batch_id, status = %batch.status, items = batch.items_created, "Batch {batch_id} was {done}");
        (self.0.wake)(Some(batch.batch_id));
        if wish == BatchCommand::Cancel {
            // The host is to hear of the end.
            self.wake_feeder();
        }
        Ok(batch)
    }

    /// Best effort: a job that stays in the queue finds in the ledger that there is nothing to do.
    async fn withdraw(&self, batch: BatchId) {
        if let Err(error) = self.0.generate.withdraw(batch).await {
            tracing::warn!(%batch, %error, "could not take the jobs of a batch out of the queue");
        }
    }

    /// Whether this process takes part: false from the first moment of a shutdown.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.0.draining.is_cancelled()
    }

    /// Looks, with a round trip to each part, whether this process can take requests.
    pub async fn readiness(&self) -> Readiness {
        let mut problems = Vec::new();
        if !self.is_ready() {
            problems.push("the process is shutting down".to_owned());
        }
        let in_time = |part| tokio::time::timeout(Self::PROBE, part);
        if !matches!(in_time(self.0.ledger.ping()).await, Ok(Ok(()))) {
            problems.push("the database does not answer".to_owned());
        }
        if !matches!(tokio::time::timeout(Self::PROBE, self.0.generate.ping()).await, Ok(Ok(()))) {
            problems.push(format!("the queue {} does not answer", self.0.generate.name()));
        }
        Readiness { ready: problems.is_empty(), problems }
    }

    const ANSWER: Duration = Duration::from_secs(30);
    const PROBE: Duration = Duration::from_secs(2);
    const LOOK_AGAIN: Duration = Duration::from_millis(250);

    /// Bounds a call. Dropping a ledger's future does no harm, see [`Ledger`].
    async fn answer<T>(&self, call: impl Future<Output = std::result::Result<T, LedgerError>>) -> Result<T> {
        let answer = tokio::time::timeout(Self::ANSWER, call).await;
        let result = answer.map_err(|late| BatchError::Unavailable(late.into()))?.map_err(BatchError::from);
        if let Err(BatchError::Unavailable(error) | BatchError::Internal(error)) = &result {
            tracing::error!(%error, cause = error.source().map(tracing::field::display), "a call to the ledger failed");
        }
        result
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.config.limits()
    }

    fn throughput(&self) -> Throughput {
        self.0.config.generate.throughput()
    }
}

/// An id out of range names no batch.
fn existing(batch_id: i64) -> Result<BatchId> {
    BatchId::new(batch_id).map_err(|_| BatchError::NoSuchBatch(batch_id))
}

impl fmt::Debug for BatchService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchService").field("queue", &self.0.generate).finish_non_exhaustive()
    }
}
