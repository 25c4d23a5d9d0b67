//! The truth about batches, jobs and items, as the rest of the crate may see it.
//!
//! A [`Ledger`] answers from committed rows only. Each verb is one method, is atomic, and has one
//! file of the same name per database: [`Ledger::claim`] is `sqlite/claim.rs` and
//! `postgres/claim.rs`.
//!
//! ```text
//!   create | plan ──▶ Waiting ──begin──▶ Active ──settle──▶ Completed | Failed
//!                        ▲                 │                              │
//!                        └── given back ───┘◀────── retry ────────────────┘
//! ```
//!
//! Every change is a compare-and-set on (state, epoch), so two who act on the same row can't both
//! succeed. Verbs that touch several rows take the batch first, then its jobs by number. Nothing
//! here knows that a queue exists, and no method returns a type of a database.

mod database;
mod decide;
mod estimate;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::domain::{
    BatchId, BatchRecord, BatchStatus, ChangeRefused, CodeKey, CreateRequest, Delivery, FailedJob, Failure, HookEvent,
    HookId, Invalid, Item, ItemOptions, JobId, Measured, Plan, QueueCapacity, RetryReport, StatusTask,
};

pub use self::{
    database::{BatchConnection, BatchDb, BatchPool, OpenError, OtherDatabase},
    estimate::Estimator,
};

/// What a verb answers.
pub type Result<T> = std::result::Result<T, LedgerError>;

/// A cause that is kept for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the ledger did not do what it was asked, by what can be done about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The database did not answer. Try again; no attempt is spent on this.
    #[error("the database did not answer while trying to {operation}")]
    Unavailable {
        /// What was tried, as a verb.
        operation: &'static str,
        /// What the database, or the way to it, said.
        #[source]
        source: BoxError,
    },

    /// The database, or the host's item writer, refused the rows themselves; the same rows may be
    /// refused again.
    #[error("the rows were refused: {why}")]
    Refused {
        /// In the words of the database, or of the host's item writer.
        why: String,
    },

    /// There is no such batch.
    #[error("there is no batch {0}")]
    NoSuchBatch(BatchId),

    /// The id is in use.
    #[error("batch {0} exists already")]
    Taken(BatchId),

    /// The key of the request belongs to another one.
    #[error("the `Idempotency-Key` belongs to another request, the one that made batch {0}")]
    KeyReused(BatchId),

    /// The batch stands in a status that does not allow it.
    #[error(transparent)]
    NotAllowed(#[from] ChangeRefused),

    /// The rows of its jobs were removed, since it has been over for long. There is no way back.
    #[error("the history of batch {0} was removed: its failed jobs can't be listed or retried any more")]
    HistoryRemoved(BatchId),

    /// The statement itself failed, which is a defect of ours or of the tables.
    #[error("could not {operation}")]
    Broken {
        /// What was tried, as a verb.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: BoxError,
    },
}

/// What the ledger is told once, when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A job that lost its worker more often than this, without one new item in between, is failed.
    pub max_crashes: u32,
    /// Which ends are written down for the host.
    pub hooks: HookKinds,
}

/// Which ends the host wants to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookKinds {
    /// Of batches.
    pub batch_finished: bool,
    /// Of jobs that were given up.
    pub job_failed: bool,
    /// Of jobs that were completed.
    pub job_completed: bool,
}

/// A batch that is to be.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// The id that the host chose; without one, the next free one.
    pub id: Option<BatchId>,
    /// How it is cut.
    pub plan: Plan,
    /// How its items are made.
    pub options: ItemOptions,
    /// Of the key that makes its codes.
    pub key_fingerprint: String,
    /// How long it will take, see [`Estimator`].
    pub estimated: Duration,
    /// The request that it is made for, if that may come again.
    pub request: Option<CreateRequest>,
}

/// A batch that is, with what was said of it when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub batch: BatchId,
    /// Items.
    pub quantity: u64,
    /// Jobs that it was cut into.
    pub jobs: u64,
    /// How long it was to take, when it was made.
    pub estimated: Duration,
    /// Whether an earlier call with the same request made it.
    pub repeated: bool,
}

/// A batch that was asked for in the database itself, by somebody else's transaction: it has no
/// jobs yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplanned {
    /// Its id.
    pub batch: BatchId,
    /// Items.
    pub quantity: u64,
    /// How they are to be made.
    pub options: ItemOptions,
}

/// How an unplanned batch is cut.
#[derive(Debug, Clone)]
pub struct PlanInput {
    /// Into which jobs.
    pub plan: Plan,
    /// Of the key that makes its codes.
    pub key_fingerprint: String,
    /// How long it will take, see [`Estimator`].
    pub estimated: Duration,
}

/// What [`Ledger::plan`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// What it was told.
    Now,
    /// Nothing: the batch was planned, refused or cancelled meanwhile.
    Over,
}

/// The right to write for one job, until somebody else begins it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a dropped hold leaves the job active until somebody begins it again"]
pub struct Claim {
    /// The job.
    pub job: JobId,
    /// How often it was begun, this time included.
    pub epoch: u32,
}

/// What [`Ledger::claim`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Go ahead.
    Work(Work),
    /// The job was completed, cancelled or recreated meanwhile: acknowledge it and do nothing.
    NothingToDo,
    /// It failed before, for this reason, and nobody put it back.
    Failed(String),
    /// It was ordered while it is in somebody's hands, or waits for its next attempt: it goes on
    /// without the order.
    Busy,
    /// Its batch is paused: drop it; it is offered again when the batch is resumed.
    Paused,
    /// It lost its worker too often and was failed just now.
    Poisoned(Failure),
    /// There is no such job.
    Unknown,
}

/// One attempt at a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The right to write.
    pub claim: Claim,
    /// The ordinals of the job.
    pub range: Range<u64>,
    /// Those whose items do not exist yet, in order and apart.
    pub missing: Vec<Range<u64>>,
    /// Items that came with the claim: [`Ledger::claim_and_insert`] inserted them. A call that
    /// found its own claim committed, though the answer was lost, says 0.
    pub written: u64,
    /// Attempts that failed before.
    pub attempts_made: u32,
    /// The prefix of the codes.
    pub prefix: Option<String>,
    /// Of the key that made the other codes of the batch.
    pub key_fingerprint: String,
}

/// An item that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Its place in the batch.
    pub ordinal: u64,
    /// Its code.
    pub code: String,
}

/// The first items of a job, and what they were made for before the job was claimed.
#[derive(Debug, Clone)]
pub struct FirstChunk {
    /// The ordinals of the whole job.
    pub range: Range<u64>,
    /// The prefix of the batch's codes.
    pub prefix: Option<String>,
    /// Of the key that made the codes.
    pub key_fingerprint: String,
    /// The first items of the job, without a gap.
    pub items: Arc<[NewItem]>,
}

impl FirstChunk {
    /// Whether these are the first items of the job, so that they can be inserted unseen.
    fn begins_its_job(&self) -> bool {
        let ordinals = self.items.iter().map(|item| item.ordinal);
        !self.items.is_empty() && ordinals.eq(self.range.clone().take(self.items.len()))
    }
}

/// An item whose row was written just now, as an item writer of the host gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewItemRow<'a> {
    /// Its batch.
    pub batch_id: BatchId,
    /// Its place in the batch, from 0.
    pub ordinal: u64,
    /// Its code.
    pub code: &'a str,
}

/// What [`Ledger::insert_chunk`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkInserted {
    /// The rows are there; so many were not there before.
    New(u64),
    /// The job was begun again elsewhere: nothing was written.
    Fenced,
    /// The batch was cancelled: nothing was written.
    Cancelled,
    /// The batch is paused: nothing was written.
    Paused,
}

/// How an attempt is put down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// All items exist.
    Completed,
    /// To be tried again.
    Delayed {
        /// Why.
        failure: Failure,
        /// After this time, by the clock of the database.
        delay: Duration,
    },
    /// Given up.
    Failed(Failure),
    /// As if it had not been begun: no attempt and no crash is counted.
    GivenBack,
}

/// What [`Ledger::finish_attempt`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It is recorded, and this call, or an earlier one with the same hold, did it.
    Done,
    /// The hold was not good any more; nothing changed.
    Lost,
}

/// What [`Ledger::insert_and_complete`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastChunk {
    /// The rows exist and the job is completed; this call, or an earlier one with the same hold,
    /// did it.
    Completed,
    /// Nothing: it is not the ordinary case. [`Ledger::insert_chunk`] and
    /// [`Ledger::finish_attempt`] find out what it is.
    Unchanged,
}

/// What [`Ledger::close`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
pub enum Closed {
    /// The batch is over; this call did it.
    Now(BatchRecord),
    /// It was closed already, or has open jobs again: nothing to do.
    Over,
}

/// What somebody wants of a batch as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchCommand {
    /// End it now.
    Cancel,
    /// Hold it.
    Pause,
    /// Let it go on.
    Resume,
}

/// Which jobs [`Ledger::open_jobs`] is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Batches that are fed at a time: half of them those that came first, half those with the
    /// fewest open jobs. When they have few jobs, more batches come in.
    pub window: u64,
    /// Jobs that may be in the queue at once.
    pub capacity: QueueCapacity,
    /// How many more there is a place for now.
    pub free: u64,
    /// From which number on the jobs of a batch were not offered yet. Of a batch that is not named
    /// none was: all its first jobs are answered, active ones too.
    pub offered_to: HashMap<BatchId, u64>,
    /// Whether batches that are named get more jobs, as far as there is room. Otherwise only others
    /// are answered.
    pub refill: bool,
    /// No job waits longer than this for its next attempt, whatever the clock said when it was
    /// delayed.
    pub max_backoff: Duration,
}

/// What [`Ledger::open_jobs`] found: jobs that ought to be in the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenJobs {
    /// The batches of the window.
    pub window: Vec<BatchId>,
    /// Their first open jobs, batch by batch.
    pub jobs: Vec<OpenJob>,
    /// Delayed jobs of any batch whose time has come; not too many at a time.
    pub due: Vec<OpenJob>,
    /// Whether there are more open jobs, in the window or outside of it.
    pub left_out: bool,
    /// The time until the next delayed job is due; none at all when more are due than were
    /// answered.
    pub next_due: Option<Duration>,
}

/// Which tasks [`Ledger::open_tasks`] is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskQuery {
    /// Hooks alone.
    Hooks,
    /// All of them.
    All {
        /// Batches to close are looked for in a page of those behind this one, and from the first
        /// on without it.
        ends_after: Option<BatchId>,
    },
}

/// What [`Ledger::open_tasks`] found: what else is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenTasks {
    /// Batches to close and hooks to call, with the time until they are due.
    pub status: Vec<(StatusTask, Duration)>,
    /// Batches to plan, the oldest first, and not too many at a time.
    pub unplanned: Vec<Unplanned>,
    /// Batches to [count](Records::summarize): some of their jobs were active when they were
    /// counted last, and that is so long ago that whoever worked them would have counted since, if
    /// it still lived.
    pub left_behind: Vec<BatchId>,
    /// Where the next look for batches to close goes on; `None` when it begins anew.
    pub next: Option<BatchId>,
    /// Whether there were more hooks than one look answers.
    pub left_out: bool,
}

/// What the workers still have to do, and how fast they are: [`Records::backlog`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The open jobs of each batch that is to be worked, as they were counted last.
    pub open: Vec<u64>,
    /// What the workers did in the batch that finished last.
    pub measured: Measured,
}

/// Between two counts of a batch, whoever counts.
pub const COUNT_INTERVAL: Duration = Duration::from_millis(250);

/// What this process did in a batch lately, for [`Records::summarize`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentWork {
    /// The batch.
    pub batch: BatchId,
    /// Items that it wrote in the last ten seconds.
    pub items: u64,
    /// When it wrote the last one.
    pub last_item_at: Option<DateTime<Utc>>,
}

/// A job that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenJob {
    /// Which.
    pub job: JobId,
    /// Its first ordinal.
    pub first: u64,
    /// How many items.
    pub quantity: u64,
    /// Its place, counted from the first job of its batch that waits or is active.
    pub rank: u64,
    /// Attempts that failed.
    pub attempts_made: u32,
}

/// What the host must be told, and how often that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What happened.
    pub event: HookEvent,
    /// Tries that failed.
    pub attempts: u32,
}

/// How a call of a hook went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookOutcome {
    /// The host knows.
    Delivered,
    /// It answered with an error; try again, not before.
    Again {
        /// What it said.
        error: String,
        /// Not before.
        not_before: DateTime<Utc>,
    },
    /// It answered with an error for the last time; the row stays, with it.
    GivenUp {
        /// What it said.
        error: String,
    },
}

/// What [`Ledger::prune_history`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Batches that have nothing left to remove.
    pub batches: u64,
    /// Rows of jobs.
    pub jobs: u64,
    /// Rows of hooks that were given up.
    pub hooks: u64,
    /// Whether there may be more to remove.
    pub left_out: bool,
}

impl Pruned {
    /// All of this, and then `more`.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self {
            batches: self.batches + more.batches,
            jobs: self.jobs + more.jobs,
            hooks: self.hooks + more.hooks,
            left_out: more.left_out,
        }
    }
}

/// Which rows of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Begin after this key; from the start without one.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: u64,
}

impl PageRequest {
    /// How many bytes a [`Portion`] takes at most as JSON, unless its first row takes more alone.
    pub const MAX_BYTES: usize = 1_000_000;
}

/// The first rows of a slice, as many as [`PageRequest::MAX_BYTES`] has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portion<T> {
    /// The rows; at least one, if the slice has any.
    pub rows: Vec<T>,
    /// Whether there was no room for all rows of the slice.
    pub left_out: bool,
}

impl<T> From<Vec<T>> for Portion<T> {
    fn from(rows: Vec<T>) -> Self {
        Self { rows, left_out: false }
    }
}

/// Being the only process that works this ledger with a queue of its own. Ends when it is dropped,
/// and when the process dies.
pub struct Leadership(#[expect(dead_code, reason = "held for its drop alone")] Box<dyn Send + Sync>);

impl Leadership {
    /// Holds `token` until it is dropped.
    pub fn new(token: impl Send + Sync + 'static) -> Self {
        Self(Box::new(token))
    }
}

impl std::fmt::Debug for Leadership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lead")
    }
}

/// Whether somebody in this process waits for the database to come back.
#[derive(Debug, Default)]
pub struct Outage(AtomicUsize);

/// Somebody waits, until it is dropped.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Outage);

impl Outage {
    /// Notes that somebody waits.
    pub fn wait(&self) -> Waiting<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// Whether anybody does.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What may be seen of batches, jobs and items, and the counts that make it cheap to see.
#[async_trait]
pub trait Records: Send + Sync {
    /// One batch.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`].
    async fn batch(&self, batch: BatchId) -> Result<BatchRecord>;

    /// Batches by id, the highest first, those of one status when one is given; the key of a slice
    /// is the id.
    ///
    /// The counts of an open batch are those of its [summary](Records::summarize), so a page costs
    /// the same however many jobs there are.
    async fn batches(&self, status: Option<BatchStatus>, slice: PageRequest) -> Result<Vec<BatchRecord>>;

    /// Items of a batch by ordinal, which is the key of a slice.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`].
    async fn items(&self, batch: BatchId, slice: PageRequest) -> Result<Vec<Item>>;

    /// The failed jobs of a batch by number, which is the key of a slice. No more of them are read
    /// than there is room for.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`], and [`LedgerError::HistoryRemoved`] when its jobs are
    /// forgotten.
    async fn failed_jobs(&self, batch: BatchId, slice: PageRequest) -> Result<Portion<FailedJob>>;

    /// What the workers still have to do in at most `limit` batches, and how fast they were.
    async fn backlog(&self, limit: u64) -> Result<Backlog>;

    /// Counts the jobs of open batches for [`Records::batches`], which lists what was counted last,
    /// and notes what `process` did in them.
    ///
    /// Answers the batches that are still to be counted: another process counted them less than
    /// [`COUNT_INTERVAL`] ago, which is good enough for now, but may have been before the last
    /// change. Those that are over are neither counted nor answered.
    async fn summarize(&self, process: u64, work: Vec<RecentWork>) -> Result<Vec<BatchId>>;
}

/// The tables of batches, jobs, items and hooks, in verbs.
///
/// Cancel safe: a verb that was polled once runs to its end, also when its future is dropped; what
/// the caller then does not know, a second call finds out. Every verb may answer
/// [`LedgerError::Unavailable`]; whether it took effect is then unknown, and calling it again is
/// safe but for [`Ledger::create`] without an id and without a request.
#[async_trait]
pub trait Ledger: Records {
    /// Inserts a batch and its jobs, all or nothing.
    ///
    /// A request that is still remembered is answered as it was the first time, whatever changed
    /// since, and nothing is inserted; of twins at once one makes the batch. A request that is
    /// forgotten gives up its key in the same transaction.
    ///
    /// # Errors
    ///
    /// [`LedgerError::KeyReused`] when the key is remembered for another request; otherwise
    /// [`LedgerError::Taken`] when the id is in use.
    async fn create(&self, batch: NewBatch) -> Result<Created>;

    /// Gives an unplanned batch its jobs; or, when what was asked for can't be planned, ends it as
    /// failed, with the reason, and writes the hook row. A paused one stays paused with its jobs.
    async fn plan(&self, batch: BatchId, cut: std::result::Result<PlanInput, Invalid>) -> Result<Planned>;

    /// Starts one attempt at a job and fences every earlier one.
    ///
    /// Raises the job's epoch; from here on only writes that carry the returned [`Claim`] count. A
    /// hold before it that was neither settled nor given back counts as a crash. The first begin of
    /// a batch sets it running.
    ///
    /// A failed job that was [put back by hand](crate::domain::is_manual_retry) is revived, in its
    /// generation and with the attempts that it made, and its batch runs again as after a retry;
    /// not so one of a cancelled batch. An order begins a waiting job alone, so it fences nobody;
    /// overtaking it is no crash.
    async fn claim(&self, delivery: Delivery) -> Result<Claimed>;

    /// The same, and inserts the items of `chunk` in the same transaction, when nothing of the job
    /// was ever written, its batch runs, and both are what the chunk was made for. What is missing
    /// then does not include them. Otherwise, and with an item writer of the host, it is
    /// [`Ledger::claim`], and nothing is inserted: a writer that ends the process has to be counted
    /// as a crash.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Refused`] when the database refused the rows; the job was not begun then.
    async fn claim_and_insert(&self, delivery: Delivery, chunk: FirstChunk) -> Result<Claimed>;

    /// Inserts those of `items` that do not exist yet, if the hold is good, raises the counts, and
    /// calls the host's item writer with the rows that are new: one transaction.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Refused`] when the database or the item writer refused the rows; none of them
    /// was written then.
    async fn insert_chunk(&self, claim: &Claim, items: Arc<[NewItem]>) -> Result<ChunkInserted>;

    /// Inserts `items`, the last ones of a job, and completes it after `worked`, in one
    /// transaction, when the hold is good, all other items exist and none of these does. With an
    /// item writer of the host it does nothing.
    ///
    /// # Errors
    ///
    /// As [`Ledger::insert_chunk`].
    async fn insert_and_complete(&self, claim: &Claim, items: Arc<[NewItem]>, worked: Duration) -> Result<LastChunk>;

    /// Records how an attempt ended, after `worked`, if the hold is good. Calling it again with the
    /// same hold answers the same.
    ///
    /// Whoever ended a job asks [`Ledger::at_end`] afterwards, soon but not each time.
    async fn finish_attempt(&self, claim: &Claim, how: AttemptResult, worked: Duration) -> Result<Finished>;

    /// Which of `batches` were begun and have no open job any more: the tasks that close them. One
    /// that was closed is none of them.
    ///
    /// It sees every end that was recorded before it was asked, so of two who end the last jobs at
    /// once and then ask, one finds the batch.
    async fn at_end(&self, batches: &[BatchId]) -> Result<Vec<StatusTask>>;

    /// Closes a batch without open jobs, if it was closed `round` times before, and writes the hook
    /// row.
    async fn close(&self, batch: BatchId, round: u32) -> Result<Closed>;

    /// Cancels, pauses or resumes a batch; answers with the batch after it.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`], and [`LedgerError::NotAllowed`] when its status forbids it.
    async fn control(&self, batch: BatchId, wish: BatchCommand) -> Result<BatchRecord>;

    /// Recreates the failed jobs of a batch with fresh attempts and a new generation. A failed job
    /// all of whose items exist is completed instead and reported as skipped. Without failed jobs
    /// nothing changes.
    ///
    /// # Errors
    ///
    /// As [`Ledger::control`], and [`LedgerError::HistoryRemoved`] when its jobs are forgotten.
    async fn retry(&self, batch: BatchId) -> Result<RetryReport>;

    /// The jobs that ought to be in the queue: of each batch in the window its first open jobs, as
    /// many as its share of the room, and delayed jobs whose time has come.
    async fn open_jobs(&self, query: JobQuery) -> Result<OpenJobs>;

    /// The hooks that are to be called and, of `all` tasks, the batches that are to be planned or
    /// counted, and those that are to be closed.
    async fn open_tasks(&self, query: TaskQuery) -> Result<OpenTasks>;

    /// One hook that is still to be called; `None` when it was delivered or given up.
    async fn hook(&self, hook: HookId) -> Result<Option<Hook>>;

    /// Puts down how the call of a hook went that [`Ledger::hook`] returned with so many failed
    /// `attempts`.
    ///
    /// A failure counts only while the hook still has these `attempts`, so the same call can't
    /// count twice. A delivery always counts.
    async fn record_hook_outcome(&self, hook: HookId, attempts: u32, how: HookOutcome) -> Result<()>;

    /// Removes the history of batches that have been over for `kept`, the longest first: the rows
    /// of their jobs, and of hooks that were given up. Items stay, and so do hooks that are still
    /// to be called and what the batch itself says.
    ///
    /// At most `max` rows a call, of at most as many batches. From its first row on a batch says
    /// that its history is removed, so nobody takes what is left of it for the whole; of this and a
    /// retry at once one wins. Several calls at once share the work.
    async fn prune_history(&self, kept: Duration, max: u64) -> Result<Pruned>;

    /// The key that the ledger keeps; `candidate` becomes it when there is none.
    async fn code_key(&self, candidate: CodeKey) -> Result<CodeKey>;

    /// Takes the lead, if nobody has it.
    async fn try_acquire_leadership(&self) -> Result<Option<Leadership>>;

    /// A round trip to the database.
    async fn ping(&self) -> Result<()>;

    /// Ends what was begun and lets go of the database; every later verb is
    /// [`LedgerError::Unavailable`].
    async fn shutdown(&self);
}
