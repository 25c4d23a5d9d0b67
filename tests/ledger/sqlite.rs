//! The ledger in SQLite, in a file and in memory, and tests of its pool alone.

#[cfg(unix)]
use std::{fs::Permissions, os::unix::fs::PermissionsExt};
use std::{
    future::{Future, poll_fn},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::Poll,
    time::Duration,
};

use figment::Figment;
use rocket_batch::{
    BatchPool,
    domain::{Backoff, BatchFinished, BatchId, JobId, StatusTask},
    ledger::{
        AttemptResult, BatchCommand, BatchInfo, BoxError, ChunkInserted, Claimed, HookOutcome, Ledger, LedgerError,
        NewItemRow, Records, Rules,
        sqlite::{ItemWriter, SqliteConnection, SqliteLedger, SqlitePool},
    },
};
use rocket_db_pools::Pool;
use rusqlite::{Connection, StatementStatus, params_from_iter, types::Value};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{subject::*, support::plugin};

mod finish_hook;

mod in_a_file {
    every_ledger!(super::InAFile);
}

mod in_memory {
    every_ledger!(super::InMemory);
}

struct InAFile;

impl Harness for InAFile {
    async fn ledger_with_finish_hook(&self, hook: &ScriptedHook, backoff: Backoff) -> Subject {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool_at(&folder.path().join("batch.db"), 5).await;
        with_finish_hook(pool, hook, backoff, folder).await
    }

    async fn ledger_with(&self, rules: Rules) -> Subject {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool_at(&folder.path().join("batch.db"), 5).await;
        Subject::new(Arc::new(SqliteLedger::new(pool.clone(), rules)), BatchPool::Sqlite(pool), folder)
    }
}

/// A ledger whose host has a finish hook and a table for it.
async fn with_finish_hook(
    pool: SqlitePool,
    hook: &ScriptedHook,
    backoff: Backoff,
    owned: impl Send + Sync + 'static,
) -> Subject {
    let create = format!("CREATE TABLE ends {ENDS}");
    pool.get().await.unwrap().interact_mut(move |conn| conn.execute_batch(&create)).await.unwrap();
    hook.uses_table("ends");
    let hook = hook.clone();
    let finish = move |conn: &Connection, end: &BatchFinished| {
        conn.execute(&hook.insert(end), [])?;
        hook.outcome(end)
    };
    let ledger = SqliteLedger::new(pool.clone(), RULES).with_finish_hook(Arc::new(finish), backoff);
    Subject::new(Arc::new(ledger), BatchPool::Sqlite(pool), owned)
}

struct InMemory;

impl Harness for InMemory {
    async fn ledger_with_finish_hook(&self, hook: &ScriptedHook, backoff: Backoff) -> Subject {
        let pool = SqlitePool::init(&figment("sqlite://:memory:", 5)).await.unwrap();
        with_finish_hook(pool, hook, backoff, ()).await
    }

    async fn ledger_with(&self, rules: Rules) -> Subject {
        let pool = SqlitePool::init(&figment("sqlite://:memory:", 5)).await.unwrap();
        Subject::new(Arc::new(SqliteLedger::new(pool.clone(), rules)), BatchPool::Sqlite(pool), ())
    }
}

/// The rows of a query as text.
pub fn shown(conn: &Connection, sql: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut query = conn.prepare(sql)?;
    let columns = query.column_count();
    let text = |value: Value| match value {
        Value::Null => "null".into(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text,
        other => panic!("{other:?} is neither a number nor text"),
    };
    query.query_map([], |row| (0..columns).map(|at| row.get(at).map(text)).collect())?.collect()
}

fn figment(url: &str, connect_timeout: u64) -> Figment {
    Figment::new()
        .join(("url", url))
        .join(("connect_timeout", connect_timeout))
        .join(("max_jobs_per_batch", 100_000))
        // A host may have other keys in the section.
        .join(("idle_timeout", 60))
}

async fn pool_at(path: &Path, connect_timeout: u64) -> SqlitePool {
    SqlitePool::init(&figment(&format!("sqlite://{}", path.display()), connect_timeout)).await.unwrap()
}

/// A database file with a ledger, and steps that tests share.
struct Database {
    folder: TempDir,
    pool: SqlitePool,
    ledger: Subject,
}

impl Database {
    async fn new() -> Self {
        Self::of(|ledger| ledger).await
    }

    /// With a table `mine` of the host, which `writer` fills.
    async fn with_item_writer(writer: impl ItemWriter) -> Self {
        let database = Self::of(|ledger| ledger.with_item_writer(Arc::new(writer))).await;
        database.outsider().execute_batch("CREATE TABLE mine (batch, ordinal, code, UNIQUE (batch, ordinal))").unwrap();
        database
    }

    async fn of(ledger: impl FnOnce(SqliteLedger) -> SqliteLedger) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool_at(&folder.path().join("batch.db"), 1).await;
        let ledger = ledger(SqliteLedger::new(pool.clone(), RULES));
        let ledger = Subject::new(Arc::new(ledger), BatchPool::Sqlite(pool.clone()), ());
        Self { folder, pool, ledger }
    }

    /// The rows of a batch that the item writer wrote.
    async fn mine(&self, batch: BatchId) -> Vec<(u64, String)> {
        self.rows("SELECT ordinal, code FROM mine WHERE batch = ?1 ORDER BY ordinal", batch).await
    }

    /// The rows of the batch that the ledger wrote.
    async fn ours(&self, batch: BatchId) -> Vec<(u64, String)> {
        self.rows("SELECT ordinal, code FROM rocket_batch_items WHERE batch = ?1 ORDER BY ordinal", batch).await
    }

    async fn rows(&self, sql: &'static str, batch: BatchId) -> Vec<(u64, String)> {
        let host = self.host().await;
        let rows = host.interact(move |conn| {
            let mut query = conn.prepare(sql)?;
            query.query_map([batch.get()], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?.collect()
        });
        rows.await.unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("batch.db")
    }

    async fn host(&self) -> SqliteConnection {
        self.pool.get().await.unwrap()
    }

    /// A connection that SQLite treats as another process.
    fn outsider(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    async fn version(&self, batch: BatchId) -> i64 {
        let query = "SELECT version FROM rocket_batch_versions WHERE id = ?1";
        let id = batch.get();
        self.host().await.interact(move |conn| conn.query_row(query, [id], |row| row.get(0))).await.unwrap()
    }
}

/// The file contains the code key, and every user of the machine could read it.
#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_private_and_an_existing_one_keeps_its_mode() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink("behind.db", path("link.db"))?;
    std::fs::write(path("theirs.db"), "")?;
    std::fs::set_permissions(path("theirs.db"), Permissions::from_mode(0o664))?;

    for (name, behind, mode) in
        [("new.db", "new.db", 0o600), ("link.db", "behind.db", 0o600), ("theirs.db", "theirs.db", 0o664)]
    {
        let ledger = SqliteLedger::new(pool_at(&path(name), 1).await, RULES);
        ledger.create(a_batch().build()).await?;
        let _leadership = ledger.try_acquire_leadership().await?;
        for beside in ["", "-wal", "-shm"] {
            let file = path(&format!("{behind}{beside}"));
            assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, mode, "{file:?}");
        }
        let lock = std::fs::metadata(path(&format!("{behind}.lock")))?;
        assert_eq!(lock.permissions().mode() & 0o777, 0o600, "{name}");
    }
    Ok(())
}

/// A clock may have been wrong and set right since.
#[tokio::test]
async fn a_batch_that_finished_in_the_future_keeps_its_history() -> TestResult {
    let database = Database::new().await;
    let ledger = &database.ledger;
    let batch = ledger.failed_batch().await?.batch;
    let set = |by: &str| {
        database.outsider().execute_batch(&format!("UPDATE rocket_batch_batches SET finished_at = finished_at {by}"))
    };

    set("+ 86400000")?;
    assert_eq!(ledger.prune_history(Duration::ZERO, 10).await?.jobs, 0);
    assert_eq!(ledger.failed_jobs(batch, ALL).await?.len(), 1);
    set("- 86400000")?;
    assert_eq!(ledger.prune_history(Duration::ZERO, 10).await?.jobs, 1);
    Ok(())
}

/// More readers than connections: the feeder and workers have separate connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_reads_do_not_block_workers() -> TestResult {
    let database = Database::new().await;
    let job = database.ledger.one_job().await?;
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let host = database.host().await;
        readers.spawn(async move {
            host.interact(|_| {
                std::thread::sleep(Duration::from_millis(400));
                Ok::<_, rusqlite::Error>(())
            })
            .await
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;

    let began = tokio::time::Instant::now();
    assert_eq!(database.ledger.every_open_job().await?.jobs.len(), 1);
    assert_eq!(database.ledger.tasks_to_close(job.batch).await?, []);
    database.ledger.complete(job).await?;
    let took = began.elapsed();

    assert!(took < Duration::from_millis(400), "{took:?}");
    readers.join_all().await.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(())
}

/// A batch may be open for weeks, and each start of a process adds a row.
#[tokio::test]
async fn summaries_of_dead_processes_are_deleted_and_the_version_stays() -> TestResult {
    let database = Database::new().await;
    let ledger = &database.ledger;
    let [batch, bystander] = [ledger.one_job().await?.batch, ledger.one_job().await?.batch];
    for process in 1..=3 {
        ledger.summarized(process, bystander).await?;
    }
    let still = database.version(bystander).await;
    let outsider = database.outsider();
    for (process, seconds) in [(1, 120), (2, 30), (3, -120)] {
        ledger.summarized(process as u64, batch).await?;
        let aged = "UPDATE rocket_batch_summaries SET counted_at = counted_at - ?2 * 1000000 WHERE process = ?1";
        outsider.execute(aged, (process, seconds))?;
    }
    let before = database.version(batch).await;

    ledger.summarized(4, batch).await?;

    let processes: Vec<i64> = outsider
        .prepare("SELECT process FROM rocket_batch_summaries WHERE batch = ?1 ORDER BY process")?
        .query_map([batch.get()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    assert_eq!(processes, [2, 4]);
    assert_eq!(database.version(batch).await, before + 1);
    assert_eq!(database.version(bystander).await, still);
    assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?);
    Ok(())
}

/// At once if a verb changes the whole batch, and with the next count if a worker changes its jobs.
#[tokio::test]
async fn every_change_of_a_batch_raises_its_version() -> TestResult {
    let database = Database::new().await;
    let ledger = &database.ledger;
    let bystander = ledger.one_job().await?.batch;
    let still = database.version(bystander).await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let batch = jobs[0].batch;
    let counted = async || -> TestResult<_> {
        ledger.summarized(7, batch).await?;
        Ok(database.version(batch).await)
    };
    let mut versions = vec![database.version(batch).await];

    let claim = ledger.claim_job(jobs[0]).await?;
    versions.push(counted().await?);
    ledger.insert_chunk(&claim, chunk(0..100)).await?;
    versions.push(counted().await?);
    ledger.finish_attempt(&claim, AttemptResult::Completed, WORKED).await?;
    versions.push(counted().await?);
    for command in [BatchCommand::Pause, BatchCommand::Resume] {
        ledger.control(batch, command).await?;
        versions.push(database.version(batch).await);
    }
    ledger.fail(jobs[1]).await?;
    versions.push(counted().await?);
    ledger.closed(batch, 0).await?;
    versions.push(database.version(batch).await);
    ledger.retry(batch).await?;
    versions.push(database.version(batch).await);
    for _ in 0..4 {
        ledger.claim(JobId { generation: 1, ..jobs[1] }).await?;
        versions.push(counted().await?);
    }
    ledger.control(batch, BatchCommand::Cancel).await?;
    versions.push(database.version(batch).await);

    assert!(versions.is_sorted_by(|before, after| before < after), "{versions:?}");
    assert_eq!(database.version(bystander).await, still);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn open_tasks_returns_a_thousand_hooks_and_reports_more() -> TestResult {
    let database = Database::new().await;
    let jobs = database.ledger.jobs_of(a_batch().of(1_001).in_jobs_of(1)).await?;
    let mut ends = JoinSet::new();
    for job in &jobs {
        let (ledger, job) = (database.ledger.share(), *job);
        ends.spawn(async move {
            let Claimed::Work(work) = ledger.claim(job.into()).await? else { panic!("{job} waits") };
            ledger.finish_attempt(&work.claim, AttemptResult::Failed(because("no")), WORKED).await
        });
    }
    while let Some(end) = ends.join_next().await {
        end??;
    }
    database.ledger.closed(jobs[0].batch, 0).await?;

    let many = database.ledger.open_tasks(EVERY_TASK).await?;
    for (task, _) in &many.status {
        let StatusTask::Hook { hook, .. } = task else { panic!("{task:?}") };
        database.ledger.record_hook_outcome(*hook, 0, HookOutcome::Delivered).await?;
    }
    let rest = database.ledger.open_tasks(EVERY_TASK).await?;

    assert_eq!((many.status.len(), many.has_more), (1_000, true));
    assert_eq!((rest.status.len(), rest.has_more), (2, false));
    Ok(())
}

#[tokio::test]
async fn a_reopened_database_keeps_its_rows() -> TestResult {
    let database = Database::new().await;
    let job = database.ledger.completed_batch().await?;
    database.ledger.shutdown().await;

    let again = SqliteLedger::new(pool_at(&database.path(), 5).await, RULES);

    assert_eq!(again.items(job.batch, ALL).await?.len(), 100);
    assert_eq!(again.create(a_batch().build()).await?.batch, id(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_database_can_be_created_by_many_at_once() -> TestResult {
    for _ in 0..5 {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("batch.db");
        let pools = [0; 4].map(|_| {
            let path = path.clone();
            tokio::spawn(async move { pool_at(&path, 10).await })
        });
        for pool in pools {
            SqliteLedger::new(pool.await?, RULES).create(a_batch().build()).await?;
        }
        let count: i64 =
            Connection::open(path)?.query_row("SELECT count(*) FROM rocket_batch_batches", [], |row| row.get(0))?;
        assert_eq!(count, 4);
    }
    Ok(())
}

#[tokio::test]
async fn a_database_of_a_later_version_is_rejected() -> TestResult {
    let database = Database::new().await;
    database.ledger.shutdown().await;
    database.outsider().execute("UPDATE rocket_batch_settings SET value = 99 WHERE name = 'schema_version'", [])?;

    let error = SqlitePool::init(&figment(&format!("sqlite://{}", database.path().display()), 1)).await.err().unwrap();

    assert!(error.to_string().contains("its tables have version 99"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_unusable_database_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    std::fs::write(&text, "no database at all, but long enough to be looked at").unwrap();
    let table = [
        (format!("sqlite://{}/missing/batch.db", folder.path().display()), "missing/batch.db"),
        (format!("sqlite://{}", text.display()), "text.db"),
        ("postgres://me:secret@host/db".into(), "is not a SQLite URL"),
    ];

    for (url, named) in table {
        let error = SqlitePool::init(&figment(&url, 1)).await.err().unwrap().to_string();
        assert!(error.contains(named) && !error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn only_one_of_two_pools_of_a_file_has_the_leadership() -> TestResult {
    let database = Database::new().await;
    let link = database.folder.path().join("link.db");
    std::os::unix::fs::symlink(database.path(), &link)?;
    let others = [&database.path(), &link];

    let leadership = database.ledger.try_acquire_leadership().await?;

    assert!(leadership.is_some());
    for path in others {
        assert!(SqliteLedger::new(pool_at(path, 1).await, RULES).try_acquire_leadership().await?.is_none());
    }
    drop(leadership);
    let other = SqliteLedger::new(pool_at(&link, 1).await, RULES);
    let leadership = other.try_acquire_leadership().await?;
    assert!(leadership.is_some());
    assert!(database.ledger.try_acquire_leadership().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_lock_of_another_process_is_awaited_and_then_reported() -> TestResult {
    let database = Database::new().await;
    let job = database.ledger.one_job().await?;
    let outsider = database.outsider();

    outsider.execute_batch("BEGIN IMMEDIATE")?;
    let locked = database.ledger.claim(job).await;
    let pinged = database.ledger.ping().await;
    let read = database.ledger.batch(job.batch).await;
    outsider.execute_batch("COMMIT")?;

    assert!(matches!(locked, Err(LedgerError::Unavailable { .. })), "{locked:?}");
    assert!(matches!(pinged, Err(LedgerError::Unavailable { .. })), "{pinged:?}");
    assert!(read.is_ok(), "readers don't mind a writer");
    assert_eq!(database.ledger.claim_job(job).await?.epoch, 1);
    Ok(())
}

#[tokio::test]
async fn a_chunk_with_one_refused_item_inserts_nothing() -> TestResult {
    let database = Database::new().await;
    let ledger = &database.ledger;
    let bystander = ledger.bystander().await?;
    database.outsider().execute_batch(
        "CREATE TRIGGER picky BEFORE INSERT ON rocket_batch_items WHEN new.ordinal = 30
         BEGIN SELECT RAISE(ABORT, 'item 30 is not wanted'); END",
    )?;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;

    let rejected = ledger.insert_chunk(&claim, chunk(0..50)).await;
    let good = ledger.insert_chunk(&claim, chunk(50..100)).await?;

    assert!(matches!(rejected, Err(LedgerError::Rejected { why }) if why.contains("item 30 is not wanted")));
    assert_eq!(good, ChunkInserted::New(50));
    assert_eq!(ledger.items_of(job.batch).await?, (50..100).collect::<Vec<_>>());
    assert_eq!(ledger.batch(job.batch).await?.items_created, 50);
    bystander.assert_unchanged(ledger).await
}

/// An upsert without a target would skip the row, and the item would be missing for ever.
#[tokio::test]
async fn a_conflict_with_an_index_of_the_host_refuses_the_chunk() -> TestResult {
    let database = Database::new().await;
    let ledger = &database.ledger;
    database.outsider().execute_batch("CREATE UNIQUE INDEX mine ON rocket_batch_items (code)")?;
    ledger.completed_batch().await?;
    let claim = ledger.claim_job(ledger.one_job().await?).await?;

    let clash = ledger.insert_chunk(&claim, chunk(0..10)).await;

    assert!(matches!(clash, Err(LedgerError::Rejected { .. })), "{clash:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writes_succeed_or_fail_independently() -> TestResult {
    let database = Database::new().await;
    let ledger = &database.ledger;
    database.outsider().execute_batch(
        "CREATE TRIGGER picky BEFORE INSERT ON rocket_batch_items WHEN new.ordinal = 1005
         BEGIN SELECT RAISE(ABORT, 'no'); END",
    )?;
    let jobs = ledger.jobs_of(a_batch().of(2_000).in_jobs_of(10)).await?;
    let mut writes = Vec::new();
    for job in &jobs {
        let (ledger, job) = (ledger.share(), *job);
        writes.push(tokio::spawn(async move {
            let Claimed::Work(work) = ledger.claim(job.into()).await? else { panic!("{job} waits") };
            ledger.insert_chunk(&work.claim, chunk(work.range)).await
        }));
    }

    let mut rejected = 0;
    for write in writes {
        match write.await? {
            Ok(written) => assert_eq!(written, ChunkInserted::New(10)),
            Err(LedgerError::Rejected { .. }) => rejected += 1,
            Err(error) => return Err(error.into()),
        }
    }

    assert_eq!(rejected, 1);
    assert_eq!(ledger.batch(jobs[0].batch).await?.items_created, 1_990);
    assert_eq!(ledger.items_of(jobs[0].batch).await?.len(), 1_990);
    Ok(())
}

/// Feeding scanned the delayed jobs of all batches, including paused ones.
#[tokio::test]
async fn feeding_does_not_scan_delayed_jobs() -> TestResult {
    let database = Database::new().await;
    database.ledger.jobs_of(a_batch()).await?;
    let file = database.outsider();
    file.execute_batch(MANY_DELAYED)?;
    let queries = [
        (include_str!("../../src/ledger/sqlite/sql/due_jobs.sql"), vec![2_000_000_000_000_i64, 500]),
        (include_str!("../../src/ledger/sqlite/sql/oldest_batches.sql"), vec![65, 32]),
        (include_str!("../../src/ledger/sqlite/sql/smallest_batches.sql"), vec![65, 32]),
        (include_str!("../../src/ledger/sqlite/sql/next_jobs.sql"), vec![1001, 0, 100]),
        (include_str!("../../src/ledger/sqlite/sql/queued_jobs.sql"), vec![1001, 9_000, 100]),
        (
            include_str!("../../src/ledger/sqlite/sql/batches_to_close.sql"),
            vec![2000, 2_000_000_000_000, 2_000_000_300_000],
        ),
    ];

    for (query, arguments) in queries {
        let mut query = file.prepare(query)?;
        let rows = query.query_map(params_from_iter(arguments), |_| Ok(()))?.count();
        let steps = query.get_status(StatementStatus::VmStep);
        assert!(steps < 5_000, "{steps} steps for {rows} rows: {query:?}");
    }
    Ok(())
}

/// 20,000 paused batches, one with 100,000 due jobs, and twenty running ones with 5,000 delayed
/// jobs each.
const MANY_DELAYED: &str = "
    WITH RECURSIVE n (id) AS (SELECT 1001 UNION ALL SELECT id + 1 FROM n WHERE id < 21999)
    INSERT INTO rocket_batch_batches (id, quantity, batch_size, key_fingerprint, status, jobs, estimated_ms, created_at)
    SELECT id, 100000, 1, '', iif(id < 1021, 'running', 'paused'), iif(id < 1021, 5000, iif(id = 2000, 100000, 1)), 0, 0 FROM n;
    WITH RECURSIVE n (seq) AS (SELECT 0 UNION ALL SELECT seq + 1 FROM n WHERE seq < 99999)
    INSERT INTO rocket_batch_jobs (batch, seq, first, quantity, state, not_before)
    SELECT 1001 + seq % 20, seq / 20, seq / 20, 1, 'delayed', 3000000000000 FROM n
    UNION ALL SELECT 2000, seq, seq, 1, 'delayed', 1000000000000 FROM n";

/// `RAISE(ROLLBACK)` ends the transaction that several calls share.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_ends_the_shared_transaction_fails() -> TestResult {
    let database = Database::new().await;
    let ledger = &database.ledger;
    database.outsider().execute_batch(
        "CREATE TRIGGER rude BEFORE INSERT ON rocket_batch_items WHEN new.ordinal = 105
         BEGIN SELECT RAISE(ROLLBACK, 'everybody out'); END",
    )?;
    let jobs = ledger.jobs_of(a_batch().of(400).in_jobs_of(10)).await?;
    let mut holds = Vec::new();
    for job in &jobs {
        holds.push(ledger.claim_job(*job).await?);
    }

    let writes = holds.iter().map(|claim| {
        let (ledger, claim) = (ledger.share(), claim.clone());
        tokio::spawn(
            async move { ledger.insert_chunk(&claim, chunk(claim.job.seq * 10..claim.job.seq * 10 + 10)).await },
        )
    });
    let mut reported = 0;
    for write in writes.collect::<Vec<_>>() {
        match write.await? {
            Ok(ChunkInserted::New(new)) => reported += new,
            Ok(other) => panic!("{other:?}"),
            Err(LedgerError::Rejected { .. } | LedgerError::Unavailable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }

    assert_eq!(ledger.items_of(jobs[0].batch).await?.len() as u64, reported);
    assert_eq!(ledger.batch(jobs[0].batch).await?.items_created, reported);
    assert_eq!(ledger.insert_chunk(&holds[10], chunk(100..105)).await?, ChunkInserted::New(5));
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_reported_and_survived() -> TestResult {
    let database = Database::new().await;
    let ledger = &database.ledger;
    let job = ledger.jobs_of(a_batch().of(10_000).in_jobs_of(10_000)).await?[0];
    let claim = ledger.claim_job(job).await?;
    let limit = async |pages: u32| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        database.host().await.interact_mut(move |conn| conn.query_row(&sql, [], |_| Ok(()))).await
    };

    limit(1).await?;
    let full = ledger.insert_chunk(&claim, chunk(0..10_000)).await;
    limit(1_000_000).await?;

    assert!(matches!(full, Err(LedgerError::Unavailable { .. })), "{full:?}");
    assert!(ledger.items_of(job.batch).await?.is_empty());
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..10_000)).await?, ChunkInserted::New(10_000));
    Ok(())
}

/// Inserts every row into `mine`.
fn keep(transaction: &Connection, items: &[NewItemRow<'_>], _: &BatchInfo) -> Result<(), BoxError> {
    let mut insert = transaction.prepare_cached("INSERT INTO mine VALUES (?1, ?2, ?3)")?;
    for item in items {
        insert.execute((item.batch_id.get(), item.ordinal as i64, item.code))?;
    }
    Ok(())
}

#[tokio::test]
async fn an_item_writer_gets_exactly_the_new_rows() -> TestResult {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&calls);
    let database = Database::with_item_writer(move |conn: &Connection, items: &[NewItemRow<'_>], batch: &BatchInfo| {
        noted.lock().unwrap().push(items.iter().map(|item| item.ordinal).collect::<Vec<_>>());
        keep(conn, items, batch)
    })
    .await;
    let ledger = &database.ledger;
    let job = ledger.jobs_of(a_batch()).await?[1];
    let late = ledger.claim_job(job).await?;
    let claim = ledger.claim_job(job).await?;

    for ordinals in [110..113, 111..112, 110..113, 109..115] {
        ledger.insert_chunk(&claim, chunk(ordinals)).await?;
    }
    ledger.insert_chunk(&claim, chunk(120..120)).await?;
    assert_eq!(ledger.insert_chunk(&late, chunk(130..140)).await?, ChunkInserted::Fenced);

    assert_eq!(*calls.lock().unwrap(), [vec![110, 111, 112], vec![109, 113, 114]]);
    let mine = database.mine(job.batch).await;
    assert_eq!(mine, database.ours(job.batch).await);
    assert_eq!(mine[0], (109, "code-109".to_owned()));
    Ok(())
}

/// Writes the rows before ordinal 630, and then fails with `how`.
fn picky(how: fn() -> Result<(), BoxError>) -> impl ItemWriter {
    move |conn: &Connection, items: &[NewItemRow<'_>], batch: &BatchInfo| match items
        .iter()
        .position(|item| item.ordinal == 630)
    {
        Some(at) => keep(conn, &items[..at], batch).and_then(|()| how()),
        None => keep(conn, items, batch),
    }
}

fn disk_full() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None)
}

#[tokio::test]
async fn items_that_an_item_writer_refuses_are_in_neither_table() -> TestResult {
    type Way = fn() -> Result<(), BoxError>;
    type Is = fn(&LedgerError) -> bool;
    let table: [(Way, Is); 4] = [
        (
            || Err("no label for 630".into()),
            |e| matches!(e, LedgerError::Rejected { why } if why == "no label for 630"),
        ),
        (
            || Err(rusqlite::Error::InvalidColumnName("label".into()).into()),
            |e| matches!(e, LedgerError::Rejected { why } if why.contains("label")),
        ),
        (
            || panic!("dropped the labels"),
            |e| matches!(e, LedgerError::Failed { source, .. } if source.to_string() == "panicked: dropped the labels"),
        ),
        (|| Err(disk_full().into()), |e| matches!(e, LedgerError::Unavailable { .. })),
    ];

    for (way, expected) in table {
        let database = Database::with_item_writer(picky(way)).await;
        let ledger = &database.ledger;
        let bystander = ledger.bystander().await?;
        let job = ledger.jobs_of(a_batch().of(1_000).in_jobs_of(1_000)).await?[0];
        let claim = ledger.claim_job(job).await?;

        let error = ledger.insert_chunk(&claim, chunk(600..650)).await.expect_err("630 is among them");
        let good = ledger.insert_chunk(&claim, chunk(650..700)).await?;

        assert!(expected(&error), "{error:?}");
        assert_eq!(good, ChunkInserted::New(50));
        let mine = database.mine(job.batch).await;
        assert_eq!(mine.iter().map(|(ordinal, _)| *ordinal).collect::<Vec<_>>(), (650..700).collect::<Vec<_>>());
        assert_eq!(mine, database.ours(job.batch).await);
        assert_eq!(ledger.batch(job.batch).await?.items_created, 50);
        bystander.assert_unchanged(ledger).await?;
    }
    Ok(())
}

/// A defect of the host must not affect other calls, and the thread continues.
#[tokio::test]
async fn an_item_writer_that_ends_the_transaction_fails_only_its_chunk() -> TestResult {
    for end in ["COMMIT", "ROLLBACK"] {
        let rude = move |conn: &Connection, items: &[NewItemRow<'_>], batch: &BatchInfo| {
            keep(conn, items, batch)?;
            if items.iter().any(|item| item.ordinal == 30) { Ok(conn.execute_batch(end)?) } else { Ok(()) }
        };
        let database = Database::with_item_writer(rude).await;
        let ledger = &database.ledger;
        let job = ledger.one_job().await?;
        let claim = ledger.claim_job(job).await?;

        let ended = ledger.insert_chunk(&claim, chunk(0..50)).await;
        let good = ledger.insert_chunk(&claim, chunk(50..100)).await?;

        assert!(
            matches!(&ended, Err(LedgerError::Failed { source, .. })
            if source.to_string().contains("item writer ended the shared transaction")),
            "{ended:?}"
        );
        assert_eq!(good, ChunkInserted::New(50));
        let ours = database.ours(job.batch).await;
        assert_eq!(database.mine(job.batch).await, ours, "{end}");
        assert_eq!(ledger.batch(job.batch).await?.items_created, ours.len() as u64, "{end}");
    }
    Ok(())
}

#[tokio::test]
async fn a_host_writes_in_a_transaction() -> TestResult {
    let database = Database::new().await;
    let host = database.host().await;
    host.interact_mut(|conn| conn.execute_batch("CREATE TABLE mine (x UNIQUE)")).await?;
    let count = || host.interact(|conn| conn.query_row("SELECT count(*) FROM mine", [], |row| row.get::<_, i64>(0)));

    host.interact_mut(|conn| conn.execute("INSERT INTO mine VALUES (1)", [])).await?;
    let error = host.interact_mut(|conn| {
        conn.execute("INSERT INTO mine VALUES (2)", [])?;
        conn.execute("INSERT INTO mine VALUES (1)", [])
    });
    assert!(matches!(error.await, Err(LedgerError::Rejected { .. })));
    let panic = host.interact_mut(|conn| -> rusqlite::Result<()> {
        conn.execute("INSERT INTO mine VALUES (3)", [])?;
        panic!("on purpose")
    });
    assert!(
        matches!(panic.await, Err(LedgerError::Failed { source, .. }) if source.to_string().contains("on purpose"))
    );
    let commit = host.interact_mut(|conn| conn.execute_batch("COMMIT"));
    assert!(commit.await.is_err(), "a work that ends the transaction can't be taken for committed");

    assert_eq!(count().await?, 1);
    host.interact_mut(|conn| {
        let savepoint = conn.savepoint()?;
        savepoint.execute("INSERT INTO mine VALUES (4)", [])?;
        savepoint.commit()
    })
    .await?;
    assert_eq!(count().await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_reader_can_not_write() -> TestResult {
    for url in ["sqlite://:memory:", "a file"] {
        let database = Database::new().await;
        let pool = match url {
            "a file" => database.pool.clone(),
            url => SqlitePool::init(&figment(url, 1)).await.unwrap(),
        };
        let host = pool.get().await.unwrap();

        let written = host.interact(|conn| conn.execute_batch("CREATE TABLE mine (x)")).await;

        assert!(written.is_err(), "{url}");
        host.interact_mut(|conn| conn.execute_batch("CREATE TABLE mine (x)")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_panic_does_not_use_up_a_reader() -> TestResult {
    let database = Database::new().await;
    let host = database.host().await;

    for _ in 0..10 {
        let panic = host.interact(|_| -> rusqlite::Result<()> { panic!("on purpose") }).await;
        assert!(matches!(panic, Err(LedgerError::Failed { .. })));
    }

    host.interact(|conn| conn.query_row("SELECT 1", [], |_| Ok(()))).await?;
    Ok(())
}

#[tokio::test]
async fn waiting_for_a_reader_times_out() -> TestResult {
    let folder = tempfile::tempdir()?;
    let pool =
        SqlitePool::init(&figment(&plugin::sqlite_url(folder.path()), 0).join(("max_connections", 1))).await.unwrap();
    let host = pool.get().await.unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (started, start) = tokio::sync::oneshot::channel();
    let slow = tokio::spawn({
        let host = host.clone();
        async move {
            host.interact(move |_| {
                let _ = started.send(());
                Ok::<_, rusqlite::Error>(released.recv().is_ok())
            })
            .await
        }
    });
    start.await?;

    let busy = host.interact(|_| Ok::<_, rusqlite::Error>(())).await;
    release.send(())?;

    assert!(matches!(busy, Err(LedgerError::Unavailable { .. })), "{busy:?}");
    assert!(slow.await??);
    host.interact(|_| Ok::<_, rusqlite::Error>(())).await?;
    Ok(())
}

#[tokio::test]
async fn waiting_for_the_writer_times_out_and_queued_calls_run() -> TestResult {
    let database = Database::new().await;
    let (release, released) = mpsc::channel::<()>();
    let (started, start) = tokio::sync::oneshot::channel();
    let host = database.host().await;
    let slow = queued(host.interact_mut(move |_| {
        let _ = started.send(());
        Ok::<_, rusqlite::Error>(released.recv().is_ok())
    }))
    .await;
    // Otherwise some of the others would share its transaction, and leave capacity free.
    start.await?;
    let mut pings = JoinSet::new();

    // More calls than the capacity of the queue.
    for _ in 0..300 {
        let ledger = database.ledger.share();
        pings.spawn(async move { ledger.ping().await });
    }
    let first = pings.join_next().await.expect("there are 300")?;
    release.send(())?;
    let mut answered = 0;
    while let Some(ping) = pings.join_next().await {
        answered += usize::from(ping?.is_ok());
    }

    assert!(matches!(first, Err(LedgerError::Unavailable { .. })), "{first:?}");
    assert!(slow.await?);
    // The queued calls, and those that were queued when the first timed out.
    assert!((256..300).contains(&answered), "{answered}");
    Ok(())
}

/// Polls `future` once, so that it is queued.
async fn queued<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    let pending = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(pending, "it can't be done yet");
    future
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn closing_completes_queued_calls_and_leaves_one_sound_file() -> TestResult {
    let database = Database::new().await;
    let jobs = database.ledger.jobs_of(a_batch().of(20_000).in_jobs_of(100)).await?;
    let mut writes = Vec::new();
    for job in jobs {
        let claim = database.ledger.claim_job(job).await?;
        let ledger = database.ledger.share();
        writes.push(tokio::spawn(async move {
            ledger.insert_chunk(&claim, chunk(job.seq * 100..job.seq * 100 + 100)).await
        }));
    }

    database.ledger.shutdown().await;

    let mut reported = 0;
    for write in writes {
        match write.await? {
            Ok(ChunkInserted::New(new)) => reported += new,
            Err(LedgerError::Unavailable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(!database.folder.path().join("batch.db-wal").exists());
    let file = database.outsider();
    assert_eq!(file.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))?, "ok");
    assert_eq!(
        file.query_row("SELECT count(*) FROM rocket_batch_items", [], |row| row.get::<_, i64>(0))? as u64,
        reported
    );
    Ok(())
}

#[tokio::test]
async fn the_file_has_the_documented_durability() -> TestResult {
    let database = Database::new().await;
    let host = database.host().await;
    let setting = async |name: &'static str| {
        host.interact_mut(move |conn| {
            conn.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
        })
        .await
    };

    assert_eq!(setting("journal_mode").await?, rusqlite::types::Value::Text("wal".into()));
    assert_eq!(setting("synchronous").await?, rusqlite::types::Value::Integer(2));
    assert_eq!(setting("foreign_keys").await?, rusqlite::types::Value::Integer(1));
    Ok(())
}

/// How SQLite runs a query.
fn plan(conn: &Connection, sql: &str) -> rusqlite::Result<String> {
    let mut query = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let steps = query.query_map([], |row| row.get::<_, String>("detail"))?;
    Ok(steps.collect::<rusqlite::Result<Vec<_>>>()?.join("\n"))
}

#[tokio::test]
async fn a_condition_on_a_view_uses_the_index_of_its_table() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("batch.db");
    let figment = figment(&format!("sqlite://{}", path.display()), 1).join(("index_codes", true));
    let _pool = SqlitePool::init(&figment).await?;
    let file = Connection::open(path)?;

    for (query, expected) in [
        (
            "SELECT batch_id, status FROM batch_batches WHERE batch_id = 7",
            "SEARCH rocket_batch_batches USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            "SELECT batch_id FROM batch_batches WHERE status = 'failed'",
            "SEARCH rocket_batch_batches USING COVERING INDEX rocket_batch_batches_by_status (status=?)",
        ),
        ("SELECT * FROM batch_jobs WHERE batch_id = 7", "SEARCH rocket_batch_jobs USING PRIMARY KEY (batch=?)"),
        (
            "SELECT * FROM batch_items WHERE batch_id = 7 AND ordinal >= 100 ORDER BY ordinal",
            "SEARCH rocket_batch_items USING PRIMARY KEY (batch=? AND ordinal>?)",
        ),
        (
            "SELECT * FROM batch_items WHERE code = 'QR-1'",
            "SEARCH rocket_batch_items USING INDEX rocket_batch_items_by_code (code=?)",
        ),
    ] {
        assert_eq!(plan(&file, query)?, expected, "{query}");
    }
    let counted = plan(&file, "SELECT items_created FROM batch_batches WHERE batch_id = 7")?;
    assert!(counted.ends_with("SEARCH rocket_batch_jobs USING PRIMARY KEY (batch=?)"), "{counted}");
    Ok(())
}

/// SQLite computes times with floating-point numbers.
#[tokio::test]
async fn a_view_shows_the_exact_millisecond_of_a_time() -> TestResult {
    let database = Database::new().await;
    let file = database.outsider();
    let first = 1_795_996_799_000_i64;
    for ordinal in 0..1_000 {
        let row = (ordinal, first + ordinal);
        file.execute("INSERT INTO rocket_batch_items VALUES (1, ?1, 'x', ?2)", row)?;
    }

    let rows = database.ledger.host_reads("SELECT created_at FROM batch_items ORDER BY ordinal").await?;

    let expected: Vec<_> = (0..1_000).map(|millis| [format!("2026-11-29T23:59:59.{millis:03}Z")]).collect();
    assert_eq!(rows, expected);
    Ok(())
}

/// Totals are read every few seconds in every process.
#[tokio::test]
async fn totals_read_indexes_and_no_job_or_item() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("batch.db");
    let _pool = SqlitePool::init(&figment(&format!("sqlite://{}", path.display()), 1)).await?;
    let file = Connection::open(path)?;

    let plan = plan(&file, &include_str!("../../src/ledger/sqlite/sql/totals.sql").replace("?1", "10"))?;

    for step in plan.lines().filter(|step| step.starts_with("SCAN") || step.starts_with("SEARCH")) {
        let is_indexed = step.contains("INDEX") || step.contains("PRIMARY KEY") || step.contains("CONSTANT ROW");
        let is_result = ["counted", "started", "(subquery"]
            .iter()
            .any(|own| step.split(' ').nth(1).is_some_and(|of| of.starts_with(own)));
        assert!((is_indexed || is_result) && !step.contains("_jobs") && !step.contains("_items"), "{step} in:\n{plan}");
    }
    Ok(())
}
