//! The vocabulary of the tests.

use std::{
    future::Future,
    ops::Deref,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rocket_batch::{
    domain::{
        AuditEntry, Backoff, BatchFinished, BatchId, BatchRecord, BatchStatus, Caller, CreateRequest, Delivery,
        FailedChunk, FailedChunks, FailedJob, Failure, HookEvent, HookId, IdempotencyKey, Invalid, InvalidFields, Item,
        ItemOptions, JobId, Limits, Observation, Plan, Progress, QueueCapacity, RateLimit, RetryOptions, RetryReport,
        StatusTask, Throughput,
    },
    ledger::{
        AttemptResult, BatchCommand, BatchConnection, BatchPool, BoxError, ChunkInserted, Claim, Claimed, Closed,
        Created, Finished, FirstChunk, HookKinds, JobQuery, Ledger, LedgerError, NewBatch, NewItem, OpenJob, OpenJobs,
        PageRequest, PlanInput, RecentWork, Rules, TaskQuery, Unplanned, Work,
    },
};
use rocket_db_pools::Pool;

pub use crate::support::{
    TestResult,
    wait::{WAIT_TIMEOUT, try_until},
};

/// Creates ledgers of one database.
pub trait Harness {
    /// An empty ledger for one test.
    fn ledger_with(&self, rules: Rules) -> impl Future<Output = Subject>;

    /// An empty ledger whose host has a finish hook, which is called again after `backoff`.
    fn ledger_with_finish_hook(&self, hook: &ScriptedHook, backoff: Backoff) -> impl Future<Output = Subject>;

    /// An empty ledger with the usual rules: few crashes, every hook.
    fn ledger(&self) -> impl Future<Output = Subject> {
        self.ledger_with(RULES)
    }
}

/// A finish hook that inserts a row into the host's table `ends`, and then does as it is told.
#[derive(Clone, Default)]
pub struct ScriptedHook(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    failure: Option<HookFailure>,
    only_batch: Option<BatchId>,
    calls: u32,
    /// The name of the host's table.
    table: String,
}

#[derive(Clone, Copy)]
pub enum HookFailure {
    Error(&'static str),
    Panic(&'static str),
}

impl ScriptedHook {
    /// Fails from now on.
    pub fn fails_with(&self, failure: HookFailure) {
        self.0.lock().unwrap().failure = Some(failure);
    }

    /// Fails from now on, for one batch only.
    pub fn fails_for(&self, batch: BatchId) {
        self.0.lock().unwrap().only_batch = Some(batch);
    }

    /// Succeeds from now on.
    pub fn succeeds(&self) {
        self.0.lock().unwrap().failure = None;
    }

    /// The number of calls.
    pub fn calls(&self) -> u32 {
        self.0.lock().unwrap().calls
    }

    /// Names the host's table, which the harness created.
    pub fn uses_table(&self, name: &str) {
        name.clone_into(&mut self.0.lock().unwrap().table);
    }

    /// Counts a call, and returns the statement that inserts the host's row.
    pub fn insert(&self, end: &BatchFinished) -> String {
        let mut script = self.0.lock().unwrap();
        script.calls += 1;
        let (batch, round, status) = (end.batch_id, end.round, end.status);
        format!("INSERT INTO {} VALUES ({batch}, {round}, '{status}')", script.table)
    }

    /// Fails as it was told.
    pub fn outcome(&self, end: &BatchFinished) -> Result<(), BoxError> {
        let (failure, only_batch) = {
            let script = self.0.lock().unwrap();
            (script.failure, script.only_batch)
        };
        match failure.filter(|_| only_batch.is_none_or(|batch| batch == end.batch_id)) {
            None => Ok(()),
            Some(HookFailure::Error(why)) => Err(why.into()),
            Some(HookFailure::Panic(why)) => panic!("{why}"),
        }
    }

    /// The host's rows: batch, round and status.
    pub async fn ends(&self, ledger: &Subject) -> TestResult<Vec<(i64, i64, String)>> {
        let sql = format!("SELECT batch, round, status FROM {} ORDER BY batch, round", self.0.lock().unwrap().table);
        match ledger.pool.get().await? {
            #[cfg(feature = "sqlite")]
            BatchConnection::Sqlite(host) => {
                let read = move |conn: &mut rusqlite::Connection| {
                    let mut query = conn.prepare(&sql)?;
                    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
                };
                Ok(host.interact(read).await?)
            }
            #[cfg(feature = "postgres")]
            BatchConnection::Postgres(host) => {
                let rows = host.query(&sql, &[]).await?;
                Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
            }
            _ => Err("unknown kind of database".into()),
        }
    }
}

/// The host's table of finished batches.
pub const ENDS: &str = "(batch BIGINT, round BIGINT, status TEXT, PRIMARY KEY (batch, round))";

pub const RULES: Rules =
    Rules { max_crashes: 2, hooks: HookKinds { batch_finished: true, job_failed: true, job_completed: true } };

/// A queue with capacity for everything.
pub const UNBOUNDED: QueueCapacity = QueueCapacity { per_batch: 1_000_000, total: 1_000_000 };

/// The longest delay before a next attempt.
pub const MAX_BACKOFF: Duration = Duration::from_secs(7_200);

/// A query for the first jobs of `window` batches, none of which was offered yet.
pub fn first_jobs(window: u64, capacity: QueueCapacity) -> JobQuery {
    JobQuery { window, capacity, free: capacity.total, refill: true, max_backoff: MAX_BACKOFF, ..JobQuery::default() }
}

/// A query for all tasks.
pub const EVERY_TASK: TaskQuery = TaskQuery::All { close_after: None };

/// The result of finishing an attempt.
pub const RECORDED: Finished = Finished::Recorded;

/// The task that closes a batch that was closed `round` times before.
pub fn close_of(batch: BatchId, round: u32) -> Vec<StatusTask> {
    vec![StatusTask::Close { batch, round }]
}

/// All rows of a list.
pub const ALL: PageRequest = PageRequest { after: None, limit: 1_000_000 };

pub const fn page(after: Option<u64>, limit: u64) -> PageRequest {
    PageRequest { after, limit }
}

pub fn id(id: i64) -> BatchId {
    BatchId::new(id).expect("tests use ids that are in range")
}

/// A batch to create.
pub struct ABatch {
    id: Option<BatchId>,
    quantity: u64,
    pub options: ItemOptions,
    estimated: Duration,
    request: Option<CreateRequest>,
    caller: Caller,
}

/// One worker without a rate limit.
pub const UNLIMITED: Throughput = Throughput { concurrency: 1, rate_limit: None };

/// The progress of a batch that nothing keeps from running.
pub fn progress_of(batch: &BatchRecord) -> Progress {
    let now = chrono::Utc::now();
    Progress::of(batch, &Observation { throughput: &UNLIMITED, chunk_size: 50, now, waiting_for: None })
}

/// One job per second.
pub const ONE_A_SECOND: Throughput =
    Throughput { concurrency: 1, rate_limit: Some(RateLimit { jobs: 1, per: Duration::from_secs(1) }) };

/// The request of a caller, with the key `once`.
pub fn a_request(caller: &str, asked: &str) -> CreateRequest {
    let key = IdempotencyKey::new("once").expect("it is a key");
    CreateRequest::new(Some(caller), key, asked.as_bytes())
}

/// A batch of 200 items in jobs of 100.
pub fn a_batch() -> ABatch {
    ABatch {
        id: None,
        quantity: 200,
        options: ItemOptions::default(),
        estimated: Duration::from_secs(1),
        request: None,
        caller: Caller::default(),
    }
}

impl ABatch {
    pub fn of(self, quantity: u64) -> Self {
        Self { quantity, ..self }
    }

    pub fn in_jobs_of(mut self, batch_size: u64) -> Self {
        self.options.batch_size = batch_size;
        self.options.max_jobs_per_batch = Some(100_000);
        self
    }

    pub fn in_at_most(mut self, max_jobs: u64) -> Self {
        self.options.max_jobs_per_batch = Some(max_jobs);
        self
    }

    pub fn with_id(self, id: i64) -> Self {
        Self { id: Some(self::id(id)), ..self }
    }

    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.options.qr_code_prefix = Some(prefix.into());
        self
    }

    pub fn taking(self, seconds: u64) -> Self {
        Self { estimated: Duration::from_secs(seconds), ..self }
    }

    pub fn asked_by(self, request: CreateRequest) -> Self {
        Self { request: Some(request), ..self }
    }

    pub fn asked_for_by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    pub fn build(self) -> NewBatch {
        let max_jobs_per_batch = self.options.max_jobs_per_batch.unwrap_or(1_000);
        let limits = Limits { max_quantity: 10_000_000, max_jobs_per_batch, max_items_per_job: 10_000 };
        let plan = Plan::new(self.quantity, &self.options, &limits).expect("tests ask for what can be planned");
        NewBatch {
            id: self.id,
            plan,
            options: self.options,
            key_fingerprint: "f00d".into(),
            estimated: self.estimated,
            request: self.request,
            caller: self.caller,
        }
    }
}

/// The plan of an unplanned batch.
pub fn plan_input(batch: ABatch) -> Result<PlanInput, InvalidFields> {
    let NewBatch { plan, key_fingerprint, estimated, .. } = batch.build();
    Ok(PlanInput { plan, key_fingerprint, estimated })
}

/// The reason why a batch can't be planned.
pub fn too_many() -> Result<PlanInput, InvalidFields> {
    Err(Invalid::new("quantity", "must be 1 to 100, but is 200").into())
}

/// Items with these ordinals. The same ordinal always has the same code.
pub fn chunk(ordinals: Range<u64>) -> Arc<[NewItem]> {
    ordinals.map(|ordinal| NewItem { ordinal, code: format!("code-{ordinal}") }).collect()
}

/// Items as the first chunk of a job with the ordinals `range`.
pub fn first_chunk(range: Range<u64>, ordinals: Range<u64>) -> FirstChunk {
    FirstChunk { range, prefix: None, key_fingerprint: "f00d".into(), items: chunk(ordinals) }
}

pub fn because(reason: &str) -> Failure {
    Failure::because(reason)
}

/// A failure because of one chunk.
pub fn failed_chunk(ordinals: Range<u64>, error: &str) -> Failure {
    failed_chunks([(ordinals, error.to_owned())])
}

/// A failure because of these chunks.
pub fn failed_chunks(chunks: impl IntoIterator<Item = (Range<u64>, String)>) -> Failure {
    let chunk = |(ordinals, error): (Range<u64>, String)| FailedChunk::new(ordinals.start, ordinals.end - 1, 3, error);
    chunks.into_iter().map(chunk).collect::<FailedChunks>().into()
}

pub fn delayed(failure: Failure, by: Duration) -> AttemptResult {
    AttemptResult::Delayed { failure, delay: by }
}

/// A batch to count, without recent work.
pub fn recent(batch: BatchId) -> RecentWork {
    RecentWork { batch, items: 0, last_item_at: None }
}

/// The duration of attempts.
pub const WORKED: Duration = Duration::from_millis(30);

/// A ledger under test, with steps that many tests share.
pub struct Subject {
    ledger: Arc<dyn Ledger>,
    /// The host's access to the same tables.
    pool: BatchPool,
    /// Dropped together with the ledger.
    _owned: Box<dyn Send + Sync>,
}

impl Deref for Subject {
    type Target = dyn Ledger;

    fn deref(&self) -> &Self::Target {
        &*self.ledger
    }
}

impl Subject {
    pub fn new(ledger: Arc<dyn Ledger>, pool: BatchPool, owned: impl Send + Sync + 'static) -> Self {
        Self { ledger, pool, _owned: Box::new(owned) }
    }

    pub fn share(&self) -> Arc<dyn Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Creates a batch and returns its jobs.
    pub async fn jobs_of(&self, batch: ABatch) -> Result<Vec<JobId>, LedgerError> {
        let new = batch.build();
        let jobs = new.plan.jobs();
        let Created { batch, .. } = self.create(new).await?;
        Ok((0..jobs).map(|seq| JobId { batch, seq, generation: 0 }).collect())
    }

    /// Requests a batch in the database itself, as hosts with other drivers do. It is not planned
    /// yet.
    pub async fn requested(&self, batch: ABatch) -> TestResult<BatchId> {
        let ABatch { id: chosen, quantity, options, .. } = batch;
        let chosen = chosen.map(BatchId::get);
        let [quantity, batch_size] = [quantity, options.batch_size].map(|number| number as i64);
        let max_jobs = options.max_jobs_per_batch.map(|max| max as i64);
        let prefix = options.qr_code_prefix;
        let new_id = match self.pool.get().await? {
            #[cfg(feature = "sqlite")]
            BatchConnection::Sqlite(host) => {
                let row = (quantity, chosen, batch_size, prefix, max_jobs);
                host.interact_mut(move |conn| {
                    conn.execute("INSERT INTO batch_requests VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
                    let last = "SELECT value FROM rocket_batch_settings WHERE name = 'last_id'";
                    chosen.map_or_else(|| conn.query_row(last, [], |row| row.get(0)), Ok)
                })
                .await?
            }
            #[cfg(feature = "postgres")]
            BatchConnection::Postgres(host) => {
                let delivery = "SELECT create_product_items($1, $2, $3, $4, $5)";
                host.query_one(delivery, &[&quantity, &chosen, &batch_size, &prefix, &max_jobs])
                    .await
                    .map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string))?
                    .get(0)
            }
            _ => return Err("unknown kind of database".into()),
        };
        Ok(id(new_id))
    }

    /// The rows that a host reads, on its own connection. Times are shown in ISO 8601.
    pub async fn host_reads(&self, sql: &str) -> TestResult<Vec<Vec<String>>> {
        match self.pool.get().await? {
            #[cfg(feature = "sqlite")]
            BatchConnection::Sqlite(host) => {
                let sql = sql.to_owned();
                Ok(host.interact(move |conn| crate::sqlite::shown(conn, &sql)).await?)
            }
            #[cfg(feature = "postgres")]
            BatchConnection::Postgres(host) => {
                Ok(host.query(sql, &[]).await?.iter().map(crate::postgres::shown).collect())
            }
            _ => Err("unknown kind of database".into()),
        }
    }

    /// The name of a table of the ledger.
    pub async fn table(&self, name: &str) -> TestResult<String> {
        match self.pool.get().await? {
            #[cfg(feature = "sqlite")]
            BatchConnection::Sqlite(_) => Ok(format!("rocket_batch_{name}")),
            #[cfg(feature = "postgres")]
            BatchConnection::Postgres(_) => Ok(name.into()),
            _ => Err("unknown kind of database".into()),
        }
    }

    /// Executes a statement of a host that changes rows.
    pub async fn host_changes(&self, sql: &str) -> TestResult {
        match self.pool.get().await? {
            #[cfg(feature = "sqlite")]
            BatchConnection::Sqlite(host) => {
                let sql = sql.to_owned();
                let changed = host.interact_mut(move |conn| conn.execute_batch(&sql)).await;
                changed.map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)).into())
            }
            #[cfg(feature = "postgres")]
            BatchConnection::Postgres(host) => host
                .batch_execute(sql)
                .await
                .map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string).into()),
            _ => Err("unknown kind of database".into()),
        }
    }

    /// All jobs to put into the queue.
    pub async fn every_open_job(&self) -> Result<OpenJobs, LedgerError> {
        let mut open = self.open_jobs(first_jobs(1_000, UNBOUNDED)).await?;
        let due = std::mem::take(&mut open.due);
        open.jobs.extend(due);
        Ok(open)
    }

    /// The task that closes the batch, if none of its jobs is open.
    pub async fn tasks_to_close(&self, batch: BatchId) -> Result<Vec<StatusTask>, LedgerError> {
        self.batches_to_close(&[batch]).await
    }

    /// The batch as lists show it.
    pub async fn listed(&self, batch: BatchId) -> TestResult<BatchRecord> {
        let listed = self.batches(None, ALL).await?;
        Ok(listed.into_iter().find(|listed| listed.batch_id == batch).ok_or("it is not listed")?)
    }

    /// Counts a batch for a process, once no other process has just counted it.
    pub async fn summarized(&self, process: u64, batch: BatchId) -> TestResult {
        let skipped = || self.summarize(process, vec![recent(batch)]);
        try_until("the batch is counted", WAIT_TIMEOUT, skipped, Vec::is_empty).await.map(drop)
    }

    /// The batches to plan, as the feeder sees them.
    pub async fn unplanned(&self) -> Result<Vec<Unplanned>, LedgerError> {
        Ok(self.open_tasks(EVERY_TASK).await?.unplanned)
    }

    /// Creates a batch of one job.
    pub async fn one_job(&self) -> Result<JobId, LedgerError> {
        Ok(self.jobs_of(a_batch().of(100)).await?[0])
    }

    /// Claims a job, which is delivered for the first time or as `delivery` says.
    pub async fn claim(&self, delivery: impl Into<Delivery>) -> Result<Claimed, LedgerError> {
        self.ledger.claim(delivery.into()).await
    }

    /// Claims a job that can be claimed.
    pub async fn work(&self, delivery: impl Into<Delivery>) -> TestResult<Work> {
        let delivery = delivery.into();
        match self.claim(delivery).await? {
            Claimed::Work(work) => Ok(work),
            other => Err(format!("{delivery} was not claimed: {other:?}").into()),
        }
    }

    pub async fn claim_job(&self, job: JobId) -> TestResult<Claim> {
        Ok(self.work(job).await?.claim)
    }

    /// Claims a job and finishes the attempt.
    pub async fn end(&self, job: JobId, result: AttemptResult) -> TestResult<Finished> {
        let claim = self.claim_job(job).await?;
        Ok(self.finish_attempt(&claim, result, WORKED).await?)
    }

    /// Claims a job, inserts the missing items and completes it.
    pub async fn complete(&self, job: JobId) -> TestResult<Finished> {
        let work = self.work(job).await?;
        for range in work.missing {
            assert!(matches!(self.insert_chunk(&work.claim, chunk(range)).await?, ChunkInserted::New(_)));
        }
        Ok(self.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await?)
    }

    pub async fn fail(&self, job: JobId) -> TestResult<Finished> {
        self.end(job, AttemptResult::Failed(because("no ink"))).await
    }

    /// Claims a job and loses its worker.
    pub async fn lose(&self, job: JobId) -> TestResult {
        let _lost = self.claim_job(job).await?;
        Ok(())
    }

    /// A batch of one job that failed, closed.
    pub async fn failed_batch(&self) -> TestResult<JobId> {
        let job = self.one_job().await?;
        self.fail(job).await?;
        self.closed(job.batch, 0).await?;
        Ok(job)
    }

    /// A batch of one job that was completed, closed.
    pub async fn completed_batch(&self) -> TestResult<JobId> {
        let job = self.one_job().await?;
        self.complete(job).await?;
        self.closed(job.batch, 0).await?;
        Ok(job)
    }

    /// A batch with this status.
    pub async fn batch_with_status(&self, status: BatchStatus) -> TestResult<BatchId> {
        let job = match status {
            BatchStatus::Completed => self.completed_batch().await?,
            BatchStatus::Failed => self.failed_batch().await?,
            _ => self.one_job().await?,
        };
        match status {
            BatchStatus::Running => self.lose(job).await?,
            BatchStatus::Paused => drop(self.control(job.batch, BatchCommand::Pause).await?),
            BatchStatus::Cancelled => drop(self.control(job.batch, BatchCommand::Cancel).await?),
            BatchStatus::Pending | BatchStatus::Completed | BatchStatus::Failed => {}
        }
        assert_eq!(self.batch(job.batch).await?.status, status);
        Ok(job.batch)
    }

    /// Closes a batch that can be closed.
    pub async fn closed(&self, batch: BatchId, round: u32) -> TestResult<BatchRecord> {
        match self.close(batch, round).await? {
            Closed::Now(batch) => Ok(*batch),
            Closed::HookFailed(retry) => Err(format!("batch {batch} was not closed: {retry:?}").into()),
            Closed::NothingToDo => Err(format!("batch {batch} could not be closed").into()),
        }
    }

    pub async fn items_of(&self, batch: BatchId) -> Result<Vec<u64>, LedgerError> {
        Ok(self.items(batch, ALL).await?.into_iter().map(|item| item.ordinal).collect())
    }

    /// The rows of [`Ledger::failed_jobs`], which fit into a page unless a test makes them long.
    pub async fn failed_jobs(&self, batch: BatchId, page: PageRequest) -> Result<Vec<FailedJob>, LedgerError> {
        Ok(self.ledger.failed_jobs(batch, None, page).await?.rows)
    }

    /// Cancels, pauses or resumes a batch, for an unknown caller.
    pub async fn control(&self, batch: BatchId, command: BatchCommand) -> Result<BatchRecord, LedgerError> {
        self.ledger.control(batch, command, &Caller::default()).await
    }

    /// The entries of the audit of a batch, which fit into a page.
    pub async fn audit_of(&self, batch: BatchId) -> Result<Vec<AuditEntry>, LedgerError> {
        Ok(self.ledger.audit(batch, ALL).await?.rows)
    }

    /// Retries all failed jobs of a batch.
    pub async fn retry(&self, batch: BatchId) -> Result<RetryReport, LedgerError> {
        self.ledger.retry(batch, RetryOptions::default(), &Caller::default()).await
    }

    /// The open job, as the feeder sees it.
    pub async fn open_job(&self, job: JobId) -> Result<Option<OpenJob>, LedgerError> {
        Ok(self.every_open_job().await?.jobs.into_iter().find(|open| open.job == job))
    }

    pub async fn open_jobs_of(&self, batch: BatchId) -> Result<Vec<OpenJob>, LedgerError> {
        let jobs = self.every_open_job().await?.jobs;
        Ok(jobs.into_iter().filter(|open| open.job.batch == batch).collect())
    }

    /// The task that closes the batch, as the feeder sees it.
    pub async fn close_task(&self, batch: BatchId) -> Result<Option<StatusTask>, LedgerError> {
        let mut tasks = self.open_tasks(EVERY_TASK).await?.status.into_iter().map(|(task, _)| task);
        Ok(tasks.find(|task| matches!(task, StatusTask::Close { batch: of, .. } if *of == batch)))
    }

    /// The open hooks of a batch, the oldest first.
    pub async fn hooks_of(&self, batch: BatchId) -> Result<Vec<HookId>, LedgerError> {
        let tasks = self.open_tasks(EVERY_TASK).await?.status.into_iter();
        Ok(tasks.filter_map(|(task, _)| hook_about(task, batch)).collect())
    }

    pub async fn events_of(&self, batch: BatchId) -> Result<Vec<HookEvent>, LedgerError> {
        let mut events = Vec::new();
        for hook in self.hooks_of(batch).await? {
            events.extend(self.hook(hook).await?.map(|hook| hook.event));
        }
        Ok(events)
    }

    /// A batch with a job in every state, which must not change whatever happens to others.
    pub async fn bystander(&self) -> TestResult<Bystander> {
        let jobs = self.jobs_of(a_batch().of(500)).await?;
        self.complete(jobs[0]).await?;
        self.fail(jobs[1]).await?;
        self.end(jobs[2], delayed(because("later"), Duration::from_secs(3_600))).await?;
        self.lose(jobs[3]).await?;
        let claim = self.claim_job(jobs[3]).await?;
        self.insert_chunk(&claim, chunk(300..310)).await?;
        let seen = self.seen(jobs[0].batch).await?;
        Ok(Bystander { claim, seen })
    }

    async fn seen(&self, batch: BatchId) -> Result<Seen, LedgerError> {
        let open = self.open_jobs_of(batch).await?.into_iter();
        Ok(Seen {
            open: open.collect(),
            failed: self.failed_jobs(batch, ALL).await?,
            items: self.items(batch, ALL).await?,
            hooks: self.hooks_of(batch).await?,
            batch: self.batch(batch).await?,
        })
    }
}

fn hook_about(task: StatusTask, batch: BatchId) -> Option<HookId> {
    match task {
        StatusTask::Hook { batch: of, hook } if of == batch => Some(hook),
        StatusTask::Hook { .. } | StatusTask::Close { .. } | StatusTask::Reconcile { .. } => None,
    }
}

/// See [`Subject::bystander`].
pub struct Bystander {
    claim: Claim,
    seen: Seen,
}

#[derive(Debug, PartialEq)]
struct Seen {
    batch: BatchRecord,
    open: Vec<OpenJob>,
    failed: Vec<FailedJob>,
    items: Vec<Item>,
    hooks: Vec<HookId>,
}

impl Bystander {
    /// Checks that the batch is unchanged and its worker can still insert.
    pub async fn assert_unchanged(self, ledger: &Subject) -> TestResult {
        assert_eq!(ledger.seen(self.claim.job.batch).await?, self.seen);
        assert_eq!(ledger.insert_chunk(&self.claim, chunk(310..320)).await?, ChunkInserted::New(10));
        Ok(())
    }
}

/// Whether a time is less than a minute from now.
pub fn is_recent(time: Option<DateTime<Utc>>) -> bool {
    time.is_some_and(|time| (Utc::now() - time).abs() < chrono::TimeDelta::minutes(1))
}
