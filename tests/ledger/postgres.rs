//! The ledger in PostgreSQL, and tests of it alone.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use figment::Figment;
use rocket::futures::{FutureExt, future::BoxFuture};
use rocket_batch::{
    BatchInfo, BatchPool, BoxError, NewItemRow,
    domain::{Backoff, BatchFinished, BatchId, BatchStatus, Caller, JobId, RetryOptions, StatusTask},
    ledger::{
        AttemptResult, BatchCommand, ChunkInserted, Claimed, Closed, Finished, HookOutcome, LastChunk, Ledger,
        LedgerError, Records, Rules,
        postgres::{FinishHook, PostgresLedger, PostgresPool},
    },
    postgres::tokio_postgres::Transaction,
};
use rocket_db_pools::Pool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_postgres::{
    Client, Column, Row,
    types::{ToSql, Type},
};
use tokio_util::sync::CancellationToken;

use crate::{
    subject::*,
    support::{
        log::Log,
        postgres::{self, Server},
        seed,
        wait::until,
    },
};

/// Invariants of every job. A statement that violates one fails.
const CHECKS: &str = include_str!("checks.sql");

mod finish_hook;

mod in_a_server {
    every_ledger!(super::InAServer);
}

struct InAServer;

impl Harness for InAServer {
    async fn ledger_with_finish_hook(&self, hook: &ScriptedHook, backoff: Backoff) -> Subject {
        let schema = postgres::a_schema();
        let pool = pool_at(postgres::shared(), &schema).await;
        let session = session_in(postgres::shared(), &schema).await;
        session.batch_execute(&format!("{CHECKS}; CREATE TABLE ends {ENDS}")).await.unwrap();
        hook.uses_table(&format!("{schema}.ends"));
        let scripted = Scripted(hook.clone());
        let ledger = PostgresLedger::new(pool.clone(), RULES);
        let ledger = ledger.with_finish_hook(Arc::new(scripted), backoff, Duration::from_secs(5));
        Subject::new(Arc::new(ledger), BatchPool::Postgres(pool), ())
    }

    async fn ledger_with(&self, rules: Rules) -> Subject {
        let schema = postgres::a_schema();
        let pool = pool_at(postgres::shared(), &schema).await;
        session_in(postgres::shared(), &schema).await.batch_execute(CHECKS).await.unwrap();
        Subject::new(Arc::new(PostgresLedger::new(pool.clone(), rules)), BatchPool::Postgres(pool), ())
    }
}

struct Scripted(ScriptedHook);

impl FinishHook for Scripted {
    fn finish<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        end: &'a BatchFinished,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            transaction.execute(&self.0.insert(end), &[]).await?;
            self.0.outcome(end)
        }
        .boxed()
    }
}

/// A row as text. Numbers are `bigint`, as the guide says.
pub fn shown(row: &Row) -> Vec<String> {
    let shown = |(at, column): (usize, &Column)| match *column.type_() {
        Type::INT8 => row.get::<_, Option<i64>>(at).map(|number| number.to_string()),
        Type::TEXT => row.get(at),
        Type::TIMESTAMPTZ => {
            row.get::<_, Option<DateTime<Utc>>>(at).map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
        }
        ref other => panic!("{} is a {other}", column.name()),
    };
    row.columns().iter().enumerate().map(|column| shown(column).unwrap_or_else(|| "null".into())).collect()
}

fn figment(url: &str, schema: &str) -> Figment {
    Figment::new()
        .join(("url", url))
        .join(("schema", schema))
        .join(("connect_timeout", 5))
        .join(("statement_timeout", 2))
        .join(("max_connections", 5))
        .join(("max_jobs_per_batch", 100_000))
        // A host may have other keys in the section.
        .join(("idle_timeout", 60))
}

async fn pool_at(url: &str, schema: &str) -> PostgresPool {
    PostgresPool::init(&figment(url, schema)).await.unwrap()
}

async fn session_in(url: &str, schema: &str) -> Client {
    let client = postgres::client(url).await;
    client.batch_execute(&format!("SET search_path = {schema}")).await.unwrap();
    client
}

async fn refusal(figment: &Figment) -> String {
    PostgresPool::init(figment).await.err().unwrap().to_string()
}

/// A schema with a ledger, and steps that tests share.
struct Schema {
    name: String,
    pool: PostgresPool,
    ledger: Subject,
    /// Another session in the same schema.
    outsider: Client,
}

impl Schema {
    async fn new() -> Self {
        Self::at(postgres::shared()).await
    }

    async fn at(url: &str) -> Self {
        let name = postgres::a_schema();
        let pool = pool_at(url, &name).await;
        let ledger = PostgresLedger::new(pool.clone(), RULES);
        let ledger = Subject::new(Arc::new(ledger), BatchPool::Postgres(pool.clone()), ());
        let outsider = session_in(url, &name).await;
        outsider.batch_execute(CHECKS).await.unwrap();
        Self { name, pool, ledger, outsider }
    }

    async fn number(&self, sql: &str) -> i64 {
        self.outsider.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn version(&self, batch: BatchId) -> i64 {
        self.number(&format!("SELECT version FROM versions WHERE id = {batch}")).await
    }

    /// Waits until another session waits for a lock that the outsider's transaction holds.
    async fn a_session_waits_for_the_outsider(&self) {
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
        let what = "a session waits for the outsider";
        until(what, WAIT_TIMEOUT, || self.number(waiting), |waiting| *waiting > 0).await.unwrap();
    }

    /// Rejects items with this ordinal, as a constraint of the host would.
    async fn reject(&self, ordinal: u64) {
        let trigger = format!(
            "CREATE FUNCTION reject() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'item {ordinal} is not wanted'; END $$;
             CREATE TRIGGER reject BEFORE INSERT ON items FOR EACH ROW WHEN (new.ordinal = {ordinal})
                 EXECUTE FUNCTION reject()"
        );
        self.outsider.batch_execute(&trigger).await.unwrap();
    }
}

/// A clock may have been wrong and set right since.
#[tokio::test]
async fn a_batch_that_finished_in_the_future_keeps_its_history() -> TestResult {
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    let batch = ledger.failed_batch().await?.batch;
    let set = async |by: &str| {
        schema.outsider.batch_execute(&format!("UPDATE batches SET finished_at = finished_at {by}")).await
    };

    set("+ interval '1 day'").await?;
    assert_eq!(ledger.prune_history(Duration::ZERO, 10).await?.jobs, 0);
    assert_eq!(ledger.failed_jobs(batch, ALL).await?.len(), 1);
    set("- interval '1 day'").await?;
    assert_eq!(ledger.prune_history(Duration::ZERO, 10).await?.jobs, 1);
    Ok(())
}

/// Another session has locked the oldest batch; pruning does not wait for it.
#[tokio::test]
async fn pruning_skips_a_locked_batch() -> TestResult {
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    let [first, second] = [ledger.failed_batch().await?.batch, ledger.failed_batch().await?.batch];
    schema.outsider.batch_execute(&format!("BEGIN; SELECT FROM batches WHERE id = {first} FOR UPDATE")).await?;

    let began = Instant::now();
    let passed = ledger.prune_history(Duration::ZERO, 10).await?;

    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!((passed.batches, passed.jobs), (1, 1));
    assert!(ledger.batch(second).await?.history_removed && !ledger.batch(first).await?.history_removed);
    schema.outsider.batch_execute("ROLLBACK").await?;
    assert_eq!(ledger.prune_history(Duration::ZERO, 10).await?.jobs, 1);
    Ok(())
}

/// The history is removed while the hook is being given up. Its row would never be removed.
#[tokio::test]
async fn a_hook_given_up_while_its_batch_is_pruned_is_removed_too() -> TestResult {
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    let batch = ledger.failed_batch().await?.batch;
    let hooks = ledger.hooks_of(batch).await?;
    ledger.record_hook_outcome(hooks[1], 0, HookOutcome::Delivered).await?;
    schema.outsider.batch_execute("BEGIN; SELECT FROM hooks FOR UPDATE").await?;

    let (other, hook) = (ledger.share(), hooks[0]);
    let giving_up = tokio::spawn(async move {
        other.record_hook_outcome(hook, 0, HookOutcome::GivenUp { error: "no answer".into() }).await
    });
    schema.a_session_waits_for_the_outsider().await;
    ledger.prune_history(Duration::ZERO, 10).await?;
    schema.outsider.batch_execute("ROLLBACK").await?;
    giving_up.await??;
    ledger.prune_history(Duration::ZERO, 10).await?;

    assert_eq!(schema.number("SELECT count(*) FROM hooks").await, 0);
    assert!(ledger.batch(batch).await?.history_removed);
    Ok(())
}

#[tokio::test]
async fn pruned_batches_cost_nothing_to_skip() -> TestResult {
    let schema = Schema::new().await;
    schema.ledger.failed_batch().await?;
    let gone = "INSERT INTO batches (id, quantity, batch_size, key_fingerprint, status, jobs, estimated_ms, token,
                                     finished_at, completed, failed, cancelled, items_created, worked_ms, history)
                SELECT 1000 + n, 1, 1, '', 'cancelled', 1, 0, 0, now() - interval '1 year', 0, 0, 1, 0, 0, 'pruned'
                FROM generate_series(1, 20000) AS n";
    schema.outsider.batch_execute(gone).await?;
    schema.outsider.batch_execute("ANALYZE batches").await?;
    let query = include_str!("../../src/ledger/postgres/sql/prune_batch.sql").replace("$1", "0");

    let plan = schema.outsider.query(&format!("EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF) {query}"), &[]).await?;

    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("batches_with_history") && !plan.contains("Removed by Filter"), "{plan}");
    assert_eq!(schema.ledger.prune_history(Duration::ZERO, 10).await?.jobs, 1);
    Ok(())
}

/// At once if a verb changes the whole batch, and with the next count if a worker changes its jobs.
#[tokio::test]
async fn every_change_of_a_batch_raises_its_version() -> TestResult {
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    let bystander = ledger.one_job().await?.batch;
    let still = schema.version(bystander).await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let batch = jobs[0].batch;
    let counted = async || -> TestResult<_> {
        ledger.summarized(7, batch).await?;
        Ok(schema.version(batch).await)
    };
    let mut versions = vec![schema.version(batch).await];

    let claim = ledger.claim_job(jobs[0]).await?;
    versions.push(counted().await?);
    let other = ledger.claim_job(jobs[1]).await?;
    versions.push(counted().await?);
    ledger.insert_chunk(&claim, chunk(0..100)).await?;
    versions.push(counted().await?);
    ledger.finish_attempt(&claim, AttemptResult::Completed, WORKED).await?;
    versions.push(counted().await?);
    ledger.insert_chunk(&other, chunk(100..110)).await?;
    versions.push(counted().await?);
    for command in [BatchCommand::Pause, BatchCommand::Resume] {
        ledger.control(batch, command).await?;
        versions.push(schema.version(batch).await);
    }
    ledger.finish_attempt(&other, AttemptResult::Failed(because("no ink")), WORKED).await?;
    versions.push(counted().await?);
    ledger.closed(batch, 0).await?;
    versions.push(schema.version(batch).await);
    ledger.retry(batch).await?;
    versions.push(schema.version(batch).await);
    let again = ledger.claim_job(JobId { generation: 1, ..jobs[1] }).await?;
    versions.push(counted().await?);
    ledger.insert_chunk(&again, chunk(110..120)).await?;
    versions.push(counted().await?);
    ledger.control(batch, BatchCommand::Cancel).await?;
    versions.push(schema.version(batch).await);
    for how in [plan_input(a_batch()), too_many()] {
        let unplanned = ledger.requested(a_batch()).await?;
        let before = schema.version(unplanned).await;
        ledger.plan(unplanned, how).await?;
        assert_eq!(schema.version(unplanned).await, before + 1);
    }

    assert!(versions.is_sorted_by(|before, after| before < after), "{versions:?}");
    assert_eq!(schema.version(bystander).await, still);
    assert_eq!(ledger.batch(batch).await?.items_created, 120);
    Ok(())
}

/// The batch finishes between the count and the insert of the summary, which would never be
/// deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_that_finishes_while_it_is_counted_leaves_no_summary() -> TestResult {
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    let job = ledger.one_job().await?;
    let bystander = ledger.one_job().await?;
    ledger.summarized(7, bystander.batch).await?;
    ledger.complete(job).await?;
    // A second insert of the same row waits for this transaction.
    let row = format!("BEGIN; INSERT INTO summaries VALUES ({}, 7, 0, 1, 0, 0, 0, 0, 0, now())", job.batch);
    schema.outsider.batch_execute(&row).await?;

    let (one, other) = (ledger.share(), ledger.share());
    let counting = tokio::spawn(async move { one.summarize(7, vec![recent(job.batch)]).await });
    schema.a_session_waits_for_the_outsider().await;
    let closing = tokio::spawn(async move { other.close(job.batch, 0).await });
    let behind =
        "SELECT count(*) FROM pg_stat_activity waiting CROSS JOIN unnest(pg_blocking_pids(waiting.pid)) AS first
                  WHERE pg_backend_pid() = ANY (pg_blocking_pids(first))";
    let waits = async || closing.is_finished() || schema.number(behind).await > 0;
    until("the second one waits behind the first", WAIT_TIMEOUT, waits, |waits| *waits).await?;
    schema.outsider.batch_execute("ROLLBACK").await?;
    let (_counted, closed) = (counting.await??, closing.await??);

    assert!(matches!(closed, Closed::Now(_)), "{closed:?}");
    assert_eq!(schema.number(&format!("SELECT count(*) FROM summaries WHERE batch = {}", job.batch)).await, 0);
    assert_eq!(schema.number("SELECT count(*) FROM summaries").await, 1);
    Ok(())
}

/// Neither for a pause that waits for a chunk, nor for a session that deletes the same rows.
#[tokio::test]
async fn counting_waits_for_no_lock() -> TestResult {
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    let [held, free] = [ledger.one_job().await?.batch, ledger.one_job().await?.batch];
    ledger.summarized(6, free).await?;
    schema.outsider.execute("UPDATE summaries SET counted_at = now() - interval '2 minutes'", &[]).await?;
    let locks = format!(
        "BEGIN; SELECT FROM batches WHERE id = {held} FOR NO KEY UPDATE; SELECT FROM summaries WHERE process = 6 FOR UPDATE"
    );
    schema.outsider.batch_execute(&locks).await?;

    let began = Instant::now();
    let left = ledger.summarize(7, vec![recent(held), recent(free)]).await?;

    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(left, [held]);
    schema.outsider.batch_execute("ROLLBACK").await?;
    assert_eq!(ledger.summarize(7, vec![recent(held), recent(free)]).await?, []);
    assert_eq!(schema.number("SELECT count(*) FROM summaries WHERE process = 7").await, 2);
    Ok(())
}

/// A batch may be open for weeks, and each start of a process adds a row.
#[tokio::test]
async fn summaries_of_dead_processes_are_deleted_and_the_version_stays() -> TestResult {
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    let [batch, bystander] = [ledger.one_job().await?.batch, ledger.one_job().await?.batch];
    for process in 1..=3 {
        ledger.summarized(process, bystander).await?;
    }
    let still = schema.version(bystander).await;
    for (process, age) in [(1, "2 minutes"), (2, "30 seconds"), (3, "-2 minutes")] {
        ledger.summarized(process, batch).await?;
        let aged = format!("UPDATE summaries SET counted_at = now() - interval '{age}' WHERE process = {process}");
        schema.outsider.batch_execute(&aged).await?;
    }
    let before = schema.version(batch).await;

    ledger.summarized(4, batch).await?;

    let processes = format!("SELECT sum(10 ^ process)::bigint FROM summaries WHERE batch = {batch}");
    assert_eq!(schema.number(&processes).await, 10_100);
    assert_eq!(schema.version(batch).await, before + 1);
    assert_eq!(schema.version(bystander).await, still);
    assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_schema_can_be_created_by_many_at_once() -> TestResult {
    for _ in 0..5 {
        let schema = postgres::a_schema();
        let pools = [0; 4].map(|_| {
            let schema = schema.clone();
            tokio::spawn(async move { pool_at(postgres::shared(), &schema).await })
        });
        let mut ids = HashSet::new();
        for pool in pools {
            ids.insert(PostgresLedger::new(pool.await?, RULES).create(a_batch().build()).await?.batch);
        }
        assert_eq!(ids.len(), 4);
    }
    Ok(())
}

#[tokio::test]
async fn a_reopened_schema_keeps_its_rows() -> TestResult {
    let schema = Schema::new().await;
    let job = schema.ledger.completed_batch().await?;
    schema.ledger.shutdown().await;

    let again = PostgresLedger::new(pool_at(postgres::shared(), &schema.name).await, RULES);

    assert_eq!(again.items(job.batch, ALL).await?.len(), 100);
    assert_eq!(again.create(a_batch().build()).await?.batch, id(2));
    Ok(())
}

#[tokio::test]
async fn a_schema_of_a_later_version_is_rejected() -> TestResult {
    let schema = Schema::new().await;
    schema.outsider.execute("UPDATE settings SET value = '99' WHERE name = 'schema_version'", &[]).await?;

    let error = refusal(&figment(postgres::shared(), &schema.name)).await;

    assert!(error.contains("its tables have version 99"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_unusable_server_is_named_without_its_password() {
    let right = figment(postgres::shared(), "fine");
    let table = [
        (figment("postgres://me:secret@127.0.0.1:1/db", "fine"), "127.0.0.1:1"),
        (figment("postgres://me:sec@ret@here/db", "fine"), "escape special characters"),
        (figment("postgres://me:secret@here/db?sslmode=maybe", "fine"), "try disable, prefer, require"),
        (figment("sqlite://secret.db", "fine"), "try \"postgres://"),
        (right.clone().merge(("schema", "No Way")), "`databases.batch.schema`"),
        (right.merge(("url", format!("{}x", postgres::shared()))), "database \"postgresx\" does not exist"),
    ];

    for (figment, named) in table {
        let error = refusal(&figment).await;
        assert!(error.contains(named) && !error.contains("secret") && !error.contains("ret@"), "{error}");
    }
}

const IS_VALID: &str = "SELECT coalesce((SELECT indisvalid::int FROM pg_index WHERE indexrelid = to_regclass('items_by_code')), -1)::bigint";

async fn open_with_index(schema: &str, index_codes: bool) -> PostgresPool {
    let figment = figment(postgres::shared(), schema).merge(("index_codes", index_codes));
    PostgresPool::init(&figment).await.unwrap()
}

#[tokio::test]
async fn codes_are_indexed_if_configured() -> TestResult {
    let schema = Schema::new().await;
    let mut states = vec![schema.number(IS_VALID).await];

    for wanted in [true, true, false, false] {
        drop(open_with_index(&schema.name, wanted).await);
        states.push(schema.number(IS_VALID).await);
    }

    assert_eq!(states, [-1, 1, 1, -1, -1]);
    Ok(())
}

/// The build took a lock on the table, in the transaction of the launch: every chunk waited for it.
#[tokio::test]
async fn an_index_on_codes_is_built_while_items_are_inserted() -> TestResult {
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    let claim = ledger.claim_job(ledger.one_job().await?).await?;
    // The build waits for this transaction.
    schema.outsider.batch_execute("BEGIN; INSERT INTO items VALUES (9000, 1, 'x')").await?;

    let name = schema.name.clone();
    let building = tokio::spawn(async move { drop(open_with_index(&name, true).await) });
    schema.a_session_waits_for_the_outsider().await;
    let inserted = ledger.insert_chunk(&claim, chunk(0..50)).await?;
    schema.outsider.batch_execute("COMMIT").await?;
    building.await?;

    assert_eq!(inserted, ChunkInserted::New(50));
    assert_eq!(schema.number(IS_VALID).await, 1);
    Ok(())
}

/// A build that is interrupted leaves an invalid index, which no query uses.
#[tokio::test]
async fn an_interrupted_build_of_the_index_on_codes_is_repeated() -> TestResult {
    let schema = Schema::new().await;
    drop(open_with_index(&schema.name, true).await);
    let interrupt = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'items_by_code'::regclass";
    schema.outsider.batch_execute(interrupt).await?;

    drop(open_with_index(&schema.name, true).await);

    assert_eq!(schema.number(IS_VALID).await, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_index_on_codes_can_be_built_by_many_at_once() -> TestResult {
    let schema = Schema::new().await;
    let mut opening = JoinSet::new();
    for _ in 0..5 {
        let name = schema.name.clone();
        opening.spawn(async move { drop(open_with_index(&name, true).await) });
    }

    while let Some(opened) = opening.join_next().await {
        opened?;
    }

    assert_eq!(schema.number(IS_VALID).await, 1);
    Ok(())
}

/// PostgreSQL can't build such an index without stopping writers, but joins those that exist.
#[tokio::test]
async fn the_index_on_codes_of_a_partitioned_table_consists_of_the_indexes_of_its_partitions() -> TestResult {
    let schema = Schema::new().await;
    schema.outsider.batch_execute(PARTITION_ITEMS).await?;
    schema.outsider.batch_execute("CREATE INDEX CONCURRENTLY of_the_host ON first_items (code)").await?;

    drop(open_with_index(&schema.name, true).await);

    assert_eq!(schema.number(IS_VALID).await, 1);
    let parts = "SELECT count(*) FILTER (WHERE inhrelid = 'of_the_host'::regclass) * 10 + count(*) FROM pg_inherits
        WHERE inhparent = 'items_by_code'::regclass";
    assert_eq!(schema.number(parts).await, 11, "the index of the host is the only part");
    drop(open_with_index(&schema.name, false).await);
    assert_eq!(schema.number(IS_VALID).await, -1);
    Ok(())
}

#[tokio::test]
async fn the_progress_of_a_long_build_of_the_index_on_codes_is_logged() -> TestResult {
    let schema = Schema::new().await;
    // The build waits for this transaction.
    schema.outsider.batch_execute("BEGIN; INSERT INTO items VALUES (9000, 1, 'x')").await?;
    let (log, guard) = Log::of_this_thread();

    let name = schema.name.clone();
    let building = tokio::spawn(async move { drop(open_with_index(&name, true).await) });
    log.until("blocks_total").await?;
    assert!(!log.text().contains("finished building"), "{}", log.text());
    schema.outsider.batch_execute("COMMIT").await?;
    building.await?;
    drop(guard);

    let text = log.text();
    assert!(text.contains("building the index on codes phase=\"waiting for writers before build\""), "{text}");
    assert!(text.contains("finished building the index on codes"), "{text}");
    Ok(())
}

/// Partitions the table of items as a host may.
const PARTITION_ITEMS: &str = "ALTER TABLE items RENAME TO old_items;
    CREATE TABLE items (LIKE old_items INCLUDING DEFAULTS, PRIMARY KEY (batch, ordinal)) PARTITION BY RANGE (batch);
    CREATE TABLE first_items PARTITION OF items DEFAULT";

/// The error names the key of the partition, so the race was reported as a rejection.
#[tokio::test]
async fn a_race_in_a_partitioned_table_of_items_is_repeated() -> TestResult {
    let schema = Schema::new().await;
    schema.outsider.batch_execute(PARTITION_ITEMS).await?;
    let ledger = &schema.ledger;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;
    ledger.insert_chunk(&claim, chunk(50..100)).await?;

    // An earlier claim's chunk is committed while this one waits for the job.
    let earlier = format!(
        "BEGIN; UPDATE jobs SET created = created + 1 WHERE batch = {batch};
         INSERT INTO items VALUES ({batch}, 7, 'code-7')",
        batch = job.batch
    );
    schema.outsider.batch_execute(&earlier).await?;
    let (shared, waiting) = (ledger.share(), claim.clone());
    let inserting = tokio::spawn(async move { shared.insert_chunk(&waiting, chunk(0..50)).await });
    schema.a_session_waits_for_the_outsider().await;
    schema.outsider.batch_execute("COMMIT").await?;

    assert_eq!(inserting.await??, ChunkInserted::New(49));
    assert_eq!(ledger.items_of(job.batch).await?, (0..100).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn only_one_of_two_pools_of_a_schema_has_the_leadership() -> TestResult {
    let schema = Schema::new().await;
    let other = PostgresLedger::new(pool_at(postgres::shared(), &schema.name).await, RULES);
    let neighbour = Schema::new().await;

    let leadership = schema.ledger.try_acquire_leadership().await?;

    assert!(leadership.is_some());
    assert!(other.try_acquire_leadership().await?.is_none());
    assert!(neighbour.ledger.try_acquire_leadership().await?.is_some());
    drop(leadership);
    assert!(other.try_acquire_leadership().await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_leadership_is_acquired_again_after_its_connection_broke() -> TestResult {
    let mut server = Server::start();
    let schema = Schema::at(server.url()).await;
    let other = PostgresLedger::new(pool_at(server.url(), &schema.name).await, RULES);
    let _leadership = schema.ledger.try_acquire_leadership().await?.expect("no process is the leader");

    server.order("fast");

    // The connection is checked once a second, and the lock is tried ten times a second.
    sleep(Duration::from_secs(3)).await;
    assert!(other.try_acquire_leadership().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn waiting_for_a_lock_times_out() -> TestResult {
    let schema = Schema::new().await;
    let job = schema.ledger.one_job().await?;
    let claim = schema.ledger.claim_job(job).await?;

    schema.outsider.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").await?;
    let began = Instant::now();
    let locked = schema.ledger.insert_chunk(&claim, chunk(0..10)).await;
    let took = began.elapsed();
    schema.outsider.batch_execute("COMMIT").await?;

    assert!(matches!(locked, Err(LedgerError::Unavailable { .. })), "{locked:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(schema.ledger.insert_chunk(&claim, chunk(0..10)).await?, ChunkInserted::New(10));
    Ok(())
}

/// More endless readers than connections: workers, the feeder and probes are not affected.
#[tokio::test]
async fn slow_reads_block_neither_workers_nor_probes() -> TestResult {
    let schema = Schema::new().await;
    let jobs = schema.ledger.jobs_of(a_batch()).await?;
    schema.outsider.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").await?;
    let mut readers = JoinSet::new();
    for _ in 0..20 {
        let (ledger, batch) = (schema.ledger.share(), jobs[0].batch);
        readers.spawn(async move { ledger.items(batch, ALL).await });
    }
    sleep(Duration::from_millis(200)).await;

    let began = Instant::now();
    schema.ledger.ping().await?;
    assert_eq!(schema.ledger.every_open_job().await?.jobs.len(), 2);
    let took = began.elapsed();
    schema.outsider.batch_execute("ROLLBACK").await?;

    assert!(took < Duration::from_secs(1), "{took:?}");
    readers.join_all().await;
    Ok(())
}

#[tokio::test]
async fn a_chunk_with_one_refused_item_inserts_nothing() -> TestResult {
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    let bystander = ledger.bystander().await?;
    schema.reject(30).await;
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
    let schema = Schema::new().await;
    let ledger = &schema.ledger;
    schema.outsider.batch_execute("CREATE UNIQUE INDEX mine ON items (code)").await?;
    ledger.completed_batch().await?;
    let claim = ledger.claim_job(ledger.one_job().await?).await?;

    let clash = ledger.insert_chunk(&claim, chunk(0..10)).await;

    assert!(matches!(clash, Err(LedgerError::Rejected { .. })), "{clash:?}");
    Ok(())
}

/// The message of a panic may contain a NUL, which PostgreSQL can't store.
#[tokio::test]
async fn a_nul_in_a_reason_is_replaced() -> TestResult {
    let ledger = InAServer.ledger().await;
    let job = ledger.one_job().await?;

    ledger.end(job, AttemptResult::Failed(because("no\0ink"))).await?;

    assert_eq!(ledger.failed_jobs(job.batch, ALL).await?[0].error, "no\u{FFFD}ink");
    Ok(())
}

/// After a failover the old primary is read-only and may keep its clients.
#[tokio::test]
async fn a_read_only_server_is_unavailable_and_its_connection_is_dropped() -> TestResult {
    let server = Server::start();
    let schema = Schema::at(server.url()).await;
    let job = schema.ledger.one_job().await?;
    let turn = async |to: &str| {
        let sql = format!(
            "ALTER DATABASE postgres SET default_transaction_read_only = {to};
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rocket_batch'"
        );
        schema.outsider.batch_execute(&sql).await
    };

    turn("on").await?;
    let standby = schema.ledger.claim(job).await;
    schema.outsider.batch_execute("SET default_transaction_read_only = off").await?;
    schema.outsider.batch_execute("ALTER DATABASE postgres SET default_transaction_read_only = off").await?;

    assert!(matches!(standby, Err(LedgerError::Unavailable { .. })), "{standby:?}");
    assert_eq!(schema.ledger.claim_job(job).await?.epoch, 1, "on another connection");
    Ok(())
}

fn stock<'a>(
    transaction: &'a Transaction<'_>,
    items: &'a [NewItemRow<'a>],
    _: &'a BatchInfo,
) -> BoxFuture<'a, Result<(), BoxError>> {
    async move {
        if items.iter().any(|item| item.ordinal == 57) {
            return Err("out of labels at 57".into());
        }
        assert!(items.iter().all(|item| item.ordinal != 77), "no label has this number");
        let (batches, ordinals): (Vec<_>, Vec<_>) =
            items.iter().map(|item| (item.batch_id.get(), item.ordinal as i64)).unzip();
        let insert = "INSERT INTO products SELECT * FROM unnest($1::bigint[], $2::bigint[])";
        transaction.execute(insert, &[&batches, &ordinals]).await?;
        Ok(())
    }
    .boxed()
}

#[tokio::test]
async fn a_host_writes_its_rows_in_the_same_transaction() -> TestResult {
    let schema = Schema::new().await;
    schema.outsider.batch_execute("CREATE TABLE products (batch bigint, ordinal bigint UNIQUE)").await?;
    let ledger = PostgresLedger::new(schema.pool.clone(), RULES).with_item_writer(Arc::new(stock));
    let job = schema.ledger.one_job().await?;
    let claim = schema.ledger.claim_job(job).await?;
    let rows = "SELECT (SELECT count(*) FROM products) * 1000 + (SELECT count(*) FROM items)";

    // Existing items are not passed to the writer.
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..10)).await?, ChunkInserted::New(10));
    assert_eq!(ledger.insert_chunk(&claim, chunk(5..20)).await?, ChunkInserted::New(10));
    assert_eq!(ledger.insert_chunk(&claim, chunk(5..20)).await?, ChunkInserted::New(0));
    assert_eq!(schema.number(rows).await, 20 * 1000 + 20);
    let rejected = ledger.insert_chunk(&claim, chunk(50..60)).await;
    assert!(matches!(rejected, Err(LedgerError::Rejected { why }) if why == "out of labels at 57"));
    let panicked = ledger.insert_chunk(&claim, chunk(70..80)).await;
    assert!(
        matches!(panicked, Err(LedgerError::Failed { source, .. }) if source.to_string().contains("no label has this number"))
    );
    schema.outsider.execute("INSERT INTO products VALUES (0, 90)", &[]).await?;
    let clash = ledger.insert_chunk(&claim, chunk(90..95)).await;
    assert!(matches!(clash, Err(LedgerError::Rejected { why }) if why.contains("products_ordinal_key")));

    assert_eq!(schema.number(rows).await, 21 * 1000 + 20);
    assert_eq!(schema.ledger.batch(job.batch).await?.items_created, 20);
    Ok(())
}

#[tokio::test]
async fn a_host_client_is_reset_before_it_is_used_again() -> TestResult {
    let schema = Schema::at(&postgres::a_database()).await;
    let job = schema.ledger.completed_batch().await?;
    let mut host = schema.pool.get().await.unwrap();

    let count: i64 = host.query_one("SELECT count(*) FROM items WHERE batch = $1", &[&job.batch.get()]).await?.get(0);
    assert_eq!(count, 100);
    let transaction = host.transaction().await?;
    transaction.batch_execute("CREATE TABLE mine (x int); SET search_path = nowhere").await?;
    transaction.commit().await?;
    host.batch_execute("BEGIN").await?;
    drop(host);

    for _ in 0..10 {
        let host = schema.pool.get().await.unwrap();
        host.query("SELECT * FROM mine", &[]).await?;
        // Outside a transaction, two calls of now() differ.
        let now = "SELECT now() = $1::text::timestamptz";
        let then: String = host.query_one("SELECT now()::text", &[]).await?.get(0);
        sleep(Duration::from_millis(1)).await;
        assert!(!host.query_one(now, &[&then]).await?.get::<_, bool>(0));
    }
    Ok(())
}

/// Forwards to a server, and counts the bytes that it returns.
async fn counting_proxy(server: &str) -> TestResult<(String, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (before, port) = server.rsplit_once(':').expect("the URL has a port");
    let (port, database) = port.split_once('/').expect("the URL has a database");
    let url = format!("{before}:{}/{database}", listener.local_addr()?.port());
    let (server, counter) = (format!("127.0.0.1:{port}"), Arc::new(AtomicU64::new(0)));
    let counted = counter.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, counted) = (TcpStream::connect(&server).await.expect("it is there"), counted.clone());
            tokio::spawn(async move {
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                    counted.fetch_add(read as u64, Ordering::Relaxed);
                    to_client.write_all(&buffer[..read]).await.ok();
                }
            });
        }
    });
    Ok((url, counter))
}

/// Rows that do not fit into a page would fill the memory anyway.
#[tokio::test]
async fn a_page_of_failed_jobs_reads_about_its_own_size() -> TestResult {
    let (url, counter) = counting_proxy(postgres::shared()).await?;
    let schema = Schema::at(&url).await;
    let jobs = schema.ledger.jobs_of(a_batch().of(1_000).in_jobs_of(1)).await?;
    let long =
        "UPDATE jobs SET state = 'failed', error = 'no', error_group = 'none', finished_at = now(), failed_chunks =
        json_build_object('ranges', (
        SELECT json_agg(json_build_object('from', seq, 'to', seq, 'tries', n, 'error', repeat('x', 1000)))
        FROM generate_series(1, 20) AS n))";
    schema.outsider.execute(long, &[]).await?;
    let before = counter.load(Ordering::Relaxed);

    let portion = schema.ledger.share().failed_jobs(jobs[0].batch, None, ALL).await?;

    let read = counter.load(Ordering::Relaxed) - before;
    assert!(portion.truncated && portion.rows.len() < 50, "{}", portion.rows.len());
    assert!((900_000..2_500_000).contains(&read), "of 20 MB it read {read}");
    Ok(())
}

// Races

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_chunks_and_results_are_counted_once() -> TestResult {
    let schema = Schema::new().await;
    let jobs = schema.ledger.jobs_of(a_batch().of(2_000).in_jobs_of(100)).await?;
    let mut works = JoinSet::new();
    for job in &jobs {
        let (ledger, job) = (schema.ledger.share(), *job);
        works.spawn(async move {
            let Claimed::Work(work) = ledger.claim(job.into()).await? else { panic!("{job} waits") };
            for from in work.range.step_by(10) {
                let chunk = chunk(from..from + 10);
                let (one, two) = tokio::join!(
                    ledger.insert_chunk(&work.claim, chunk.clone()),
                    ledger.insert_chunk(&work.claim, chunk)
                );
                let (ChunkInserted::New(one), ChunkInserted::New(two)) = (one?, two?) else { panic!("{job} is held") };
                assert_eq!(one + two, 10);
            }
            ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await
        });
    }
    let (batch, mut seen) = (jobs[0].batch, 0);
    while !works.is_empty() {
        let batch = schema.ledger.batch(batch).await?;
        assert!(batch.items_created >= seen && batch.jobs.total() == 20, "{batch:?}");
        seen = batch.items_created;
        while let Some(finished) = works.try_join_next() {
            assert_eq!(finished??, RECORDED);
        }
    }

    assert_eq!(schema.ledger.tasks_to_close(batch).await?, close_of(batch, 0));
    let closed = schema.ledger.closed(batch, 0).await?;
    assert_eq!((closed.status, closed.items_created), (BatchStatus::Completed, 2_000));
    assert_eq!(schema.number("SELECT items_created FROM batches").await, 2_000);
    Ok(())
}

/// Cancels, pauses, retries, closings and workers on one batch: no deadlock, consistent counts, one
/// end per round.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_verbs_keep_the_counts_consistent() -> TestResult {
    let schema = Schema::new().await;
    let seed = seed();
    let mut stateful = fastrand::Rng::with_seed(seed);

    for round in 0..300 {
        let jobs = schema.ledger.jobs_of(a_batch().of(40).in_jobs_of(10)).await?;
        let batch = jobs[0].batch;
        let mut race = JoinSet::new();
        for job in jobs {
            race.spawn(work_and_fail(schema.ledger.share(), job, stateful.u64(0..4)));
        }
        for _ in 0..2 {
            race.spawn(close_and_retry(schema.ledger.share(), batch));
        }
        let commands = [BatchCommand::Pause, BatchCommand::Resume, BatchCommand::Cancel];
        for command in &commands[..[3, 2, 1][round % 3]] {
            let (ledger, command, pause) = (schema.ledger.share(), *command, stateful.u64(0..20));
            race.spawn(async move {
                sleep(Duration::from_millis(pause)).await;
                allowed(ledger.control(batch, command, &Caller::default()).await.map(drop))
            });
        }
        while let Some(ended) = race.join_next().await {
            ended??;
        }
        check_counts(&schema, batch).await?;
    }
    assert_eq!(schema.number(DEADLOCKS).await, 0);
    Ok(())
}

/// Finishing a job inserts rows with a foreign key to the batch, in a table of the ledger or of the
/// host, while others cancel and pause it. The key locks the batch after the job, and must not wait
/// for a session that waits for that job.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_foreign_key_to_the_batch_does_not_deadlock_with_a_cancel_or_a_pause() -> TestResult {
    let schema = Schema::new().await;
    schema
        .outsider
        .batch_execute("CREATE TABLE products (batch bigint REFERENCES batches (id), ordinal bigint)")
        .await?;
    let with_writer = PostgresLedger::new(schema.pool.clone(), RULES).with_item_writer(Arc::new(keep));
    let ledgers: [Arc<dyn Ledger>; 2] = [schema.ledger.share(), Arc::new(with_writer)];

    for round in 0..100 {
        let jobs = schema.ledger.jobs_of(a_batch().of(80).in_jobs_of(10)).await?;
        let batch = jobs[0].batch;
        let mut race = JoinSet::new();
        for job in jobs {
            race.spawn(claim_and_complete(ledgers[round % 2].clone(), job));
        }
        for command in [BatchCommand::Pause, BatchCommand::Resume, BatchCommand::Cancel] {
            let ledger = schema.ledger.share();
            race.spawn(async move {
                sleep(Duration::from_millis(fastrand::u64(0..15))).await;
                allowed(ledger.control(batch, command, &Caller::default()).await.map(drop))
            });
        }
        while let Some(ended) = race.join_next().await {
            ended??;
        }
    }

    assert_eq!(schema.number(DEADLOCKS).await, 0);
    Ok(())
}

fn keep<'a>(
    transaction: &'a Transaction<'_>,
    items: &'a [NewItemRow<'a>],
    _: &'a BatchInfo,
) -> BoxFuture<'a, Result<(), BoxError>> {
    async move {
        for item in items {
            let row: [&(dyn ToSql + Sync); 2] = [&item.batch_id.get(), &(item.ordinal as i64)];
            transaction.execute("INSERT INTO products VALUES ($1, $2)", &row).await?;
        }
        Ok(())
    }
    .boxed()
}

async fn claim_and_complete(ledger: Arc<dyn Ledger>, job: JobId) -> Result<(), LedgerError> {
    let first = job.seq * 10;
    let claimed = ledger.claim_and_insert(job.into(), first_chunk(first..first + 10, first..first + 5)).await?;
    let Claimed::Work(work) = claimed else { return Ok(()) };
    for missing in work.missing {
        if ledger.insert_and_complete(&work.claim, chunk(missing.clone()), WORKED).await? == LastChunk::Completed {
            return Ok(());
        }
        let ChunkInserted::New(_) = ledger.insert_chunk(&work.claim, chunk(missing)).await? else { return Ok(()) };
    }
    ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await.map(drop)
}

/// A query plan that searches a job number in all batches is cheap while there are few.
#[tokio::test]
async fn statements_of_workers_find_the_job_by_its_primary_key() -> TestResult {
    let schema = Schema::new().await;
    schema.ledger.jobs_of(a_batch().of(100_000)).await?;
    let statements = [
        (include_str!("../../src/ledger/postgres/sql/claim_next.sql"), "1, 5, 0, 0, 7, 6"),
        (include_str!("../../src/ledger/postgres/sql/claim.sql"), "1, 5, 0, 0, 'running', 'waiting', 0, 7, 0, 0"),
        (
            include_str!("../../src/ledger/postgres/sql/claim_and_insert.sql"),
            "1, 5, 0, 0, 7, 6, 500, 100, '{500}', '{a}', NULL, 'f00d'",
        ),
        (
            include_str!("../../src/ledger/postgres/sql/insert_and_complete.sql"),
            "1, 5, 0, 1, '{599}', '{a}', 599, 599, 3",
        ),
    ];

    schema.outsider.batch_execute("SET plan_cache_mode = force_generic_plan").await?;
    for (at, (statement, arguments)) in statements.into_iter().enumerate() {
        schema.outsider.batch_execute(&format!("PREPARE s{at} AS {statement}")).await?;
        let plan = schema.outsider.query(&format!("EXPLAIN EXECUTE s{at}({arguments})"), &[]).await?;
        let plan = plan.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n");
        let (_, of_the_job) = plan.split_once(" on jobs  (cost").ok_or("no job is looked for")?;
        let (_, scan) = of_the_job.split_once(" on jobs").ok_or("no job is found")?;
        let condition = scan.lines().find(|line| line.contains("Index Cond")).ok_or("no index is used")?;
        assert!(condition.contains("batch = $1") && condition.contains("seq = $2"), "{plan}");
    }
    Ok(())
}

/// Feeding scanned the delayed jobs of all batches, including paused ones.
#[tokio::test]
async fn feeding_does_not_scan_delayed_jobs() -> TestResult {
    let schema = Schema::new().await;
    schema.ledger.jobs_of(a_batch()).await?;
    schema.outsider.batch_execute(MANY_DELAYED).await?;
    schema.outsider.batch_execute("ANALYZE jobs; ANALYZE batches").await?;
    let queries = [
        (include_str!("../../src/ledger/postgres/sql/due_jobs.sql"), "500"),
        (include_str!("../../src/ledger/postgres/sql/next_due.sql"), ""),
        (include_str!("../../src/ledger/postgres/sql/cap_delays.sql"), "86400000"),
        (include_str!("../../src/ledger/postgres/sql/oldest_batches.sql"), "65, 32"),
        (include_str!("../../src/ledger/postgres/sql/smallest_batches.sql"), "65, 32"),
        (
            include_str!("../../src/ledger/postgres/sql/next_jobs.sql"),
            "'{1, 1001, 2000}', '{0, 0, 0}', '{100, 100, 100}'",
        ),
        (include_str!("../../src/ledger/postgres/sql/queued_jobs.sql"), "'{1, 1001, 2000}', '{9000, 9000, 9000}', 100"),
        (include_str!("../../src/ledger/postgres/sql/batches_to_close.sql"), "'{1, 1001, 2000}', 300000"),
    ];

    schema.outsider.batch_execute("SET plan_cache_mode = force_generic_plan").await?;
    for (at, (query, arguments)) in queries.into_iter().enumerate() {
        schema.outsider.batch_execute(&format!("PREPARE s{at} AS {query}")).await?;
        let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE s{at}{arguments}");
        let plan = schema.outsider.query(&explain, &[]).await?;
        let plan = plan.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n");
        let buffers = plan.lines().find_map(|line| line.trim().strip_prefix("Buffers: shared ")).unwrap_or("hit=0");
        let buffers: u64 = buffers.split([' ', '=']).filter_map(|word| word.parse::<u64>().ok()).sum();
        assert!(buffers < 400, "{buffers} buffers: {query}\n{plan}");
    }
    Ok(())
}

/// A paused batch with 100,000 due jobs, and twenty running ones with 5,000 delayed jobs each.
const MANY_DELAYED: &str = "
    INSERT INTO batches (id, quantity, batch_size, key_fingerprint, status, jobs, estimated_ms, started_at)
    SELECT id, 100000, 1, '', 'running', 5000, 0, now()
    FROM generate_series(1001, 1020) AS id UNION ALL SELECT 2000, 100000, 1, '', 'paused', 100000, 0, now();
    INSERT INTO jobs (batch, seq, first, quantity, state, not_before)
    SELECT id, seq, seq, 1, 'delayed', now() + interval '1 hour' FROM batches, generate_series(0, jobs - 1) seq WHERE status = 'running';
    INSERT INTO jobs (batch, seq, first, quantity, state, not_before)
    SELECT id, seq, seq, 1, 'delayed', now() - interval '1 hour' FROM batches, generate_series(0, jobs - 1) seq WHERE status = 'paused'";

/// No index is updated, and the new version of the row stays on its page.
#[tokio::test]
async fn claims_and_chunks_are_heap_only_updates() -> TestResult {
    let mut schema = Schema::new().await;
    let job = schema.ledger.jobs_of(a_batch().of(300)).await?[1];
    let _running = schema.ledger.claim_job(job).await?;
    let (batch, seq) = (job.batch, job.seq + 1);
    let chunk = include_str!("../../src/ledger/postgres/sql/insert_next_chunk.sql");
    schema.outsider.batch_execute(&format!("{CLAIM}; PREPARE chunk AS {chunk}")).await?;

    let transaction = schema.outsider.transaction().await?;
    transaction.batch_execute(&format!("EXECUTE claim ({batch}, {seq}, 0, 0, 7, 6)")).await?;
    transaction.batch_execute(&format!("EXECUTE chunk ({batch}, {seq}, 0, 1, '{{200}}', '{{a}}', 200, 200)")).await?;
    let updates = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables
        WHERE schemaname = current_schema() AND relname = 'jobs'";
    let updates = transaction.query_one(updates, &[]).await?;

    assert_eq!((updates.get::<_, i64>(0), updates.get::<_, i64>(1)), (2, 2));
    Ok(())
}

/// As many workers as connections on one batch: none waits for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_of_one_batch_never_deadlock() -> TestResult {
    let schema = Schema::new().await;
    let jobs = schema.ledger.jobs_of(a_batch().of(4_000).in_jobs_of(10)).await?;
    let batch = jobs[0].batch;
    let left = Arc::new(std::sync::Mutex::new(jobs));
    let mut workers = JoinSet::new();
    for _ in 0..5 {
        let (ledger, left) = (schema.ledger.share(), left.clone());
        workers.spawn(async move {
            let next = || left.lock().expect("no code panics while holding this lock").pop();
            while let Some(job) = next() {
                claim_and_complete(ledger.clone(), job).await?;
                ledger.batches_to_close(&[job.batch]).await?;
            }
            Ok::<_, LedgerError>(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }

    let closed = schema.ledger.closed(batch, 0).await?;
    assert_eq!((closed.status, closed.items_created), (BatchStatus::Completed, 4_000));
    assert_eq!(schema.number(DEADLOCKS).await, 0);
    Ok(())
}

/// Overlapping claims share the batch's row, so that it was always locked, and a pause waited for
/// ever. These claims hold it as long as a slow flush takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn overlapping_claims_do_not_delay_a_pause() -> TestResult {
    let schema = Schema::new().await;
    let jobs = schema.ledger.jobs_of(a_batch().of(100_000).in_jobs_of(10)).await?;
    let bystander = schema.ledger.jobs_of(a_batch()).await?[0].batch;
    let batch = jobs[0].batch;
    schema.ledger.claim(jobs[0]).await?;
    let (next, stop) = (Arc::new(AtomicU64::new(1)), CancellationToken::new());
    let mut workers = JoinSet::new();
    for _ in 0..16 {
        let worker = postgres::client(postgres::shared()).await;
        worker.batch_execute(&format!("SET search_path = {}; {CLAIM}", schema.name)).await?;
        let (next, stop) = (next.clone(), stop.clone());
        workers.spawn(async move {
            while !stop.is_cancelled() {
                let seq = next.fetch_add(1, Ordering::Relaxed);
                let flush = fastrand::u64(6..9);
                let claim = format!(
                    "BEGIN; EXECUTE claim ({batch}, {seq}, 0, 0, 7, 6); SELECT pg_sleep({flush} * 0.001); COMMIT"
                );
                worker.batch_execute(&claim).await?;
                sleep(Duration::from_millis(flush)).await;
            }
            Ok::<_, tokio_postgres::Error>(())
        });
    }

    let mut longest = Duration::ZERO;
    for command in [BatchCommand::Pause, BatchCommand::Resume].into_iter().cycle().take(20) {
        sleep(Duration::from_millis(50)).await;
        let asked = Instant::now();
        schema.ledger.control(batch, command).await?;
        longest = longest.max(asked.elapsed());
    }
    stop.cancel();
    while let Some(ended) = workers.join_next().await {
        ended??;
    }

    assert!(longest < Duration::from_millis(500), "a caller waited for {longest:?}");
    let worked = schema.ledger.batch(batch).await?;
    assert!(worked.jobs.active > 100 && worked.status == BatchStatus::Running, "{worked:?}");
    assert_eq!(schema.ledger.batch(bystander).await?.status, BatchStatus::Pending);
    assert_eq!(schema.number(DEADLOCKS).await, 0);
    Ok(())
}

const CLAIM: &str = concat!("PREPARE claim AS ", include_str!("../../src/ledger/postgres/sql/claim_next.sql"));

const DEADLOCKS: &str = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";

fn allowed<T: Default>(answer: Result<T, LedgerError>) -> Result<T, LedgerError> {
    match answer {
        Err(LedgerError::NotAllowed(_)) => Ok(T::default()),
        answer => answer,
    }
}

async fn work_and_fail(ledger: Arc<dyn Ledger>, job: JobId, chunks: u64) -> Result<(), LedgerError> {
    let Claimed::Work(work) = ledger.claim(job.into()).await? else { return Ok(()) };
    for from in (work.range.start..).step_by(3).take(chunks as usize) {
        ledger.insert_chunk(&work.claim, chunk(from..(from + 3).min(work.range.end))).await?;
    }
    let how = if chunks == 4 { AttemptResult::Completed } else { AttemptResult::Failed(because("random failure")) };
    ledger.finish_attempt(&work.claim, how, WORKED).await.map(drop)
}

async fn close_and_retry(ledger: Arc<dyn Ledger>, batch: BatchId) -> Result<(), LedgerError> {
    for round in 0..2 {
        for _ in 0..5 {
            if let Closed::Now(closed) = ledger.close(batch, round).await? {
                assert_eq!(closed.jobs.open(), 0);
                break;
            }
            sleep(Duration::from_millis(2)).await;
        }
        let again = allowed(
            ledger.retry(batch, RetryOptions::default(), &Caller::default()).await.map(|report| report.job_ids),
        )?;
        for job in again {
            work_and_fail(ledger.clone(), job.parse().expect("it is an id"), 2).await?;
        }
    }
    Ok(())
}

async fn check_counts(schema: &Schema, id: BatchId) -> TestResult {
    let batch = schema.ledger.batch(id).await?;
    let items = schema.ledger.items_of(id).await?.len() as u64;
    let ends =
        schema.number(&format!("SELECT count(*) FROM hooks WHERE batch = {id} AND kind = 'batch_finished'")).await;
    assert_eq!((batch.items_created, batch.jobs.total()), (items, 4), "{batch:?}");
    assert_eq!(u64::try_from(ends)?, u64::from(batch.round), "{batch:?}");
    let claimed = matches!(batch.status, BatchStatus::Running | BatchStatus::Paused);
    assert_eq!(schema.ledger.tasks_to_close(id).await?.is_empty(), !claimed || batch.jobs.open() > 0, "{batch:?}");
    assert_eq!(batch.finished_at.is_some(), batch.status.is_finished());
    let beside_a_pause = "SELECT count(*) FROM jobs j JOIN batches b ON b.id = j.batch
        WHERE b.status = 'paused' AND j.state = 'active' AND NOT j.paused";
    assert_eq!(schema.number(beside_a_pause).await, 0, "a job was claimed during a pause");
    Ok(())
}

// Faults

/// Inserts all items of a job, and checks the sum of the reported new ones.
async fn write_all(ledger: Arc<dyn Ledger>, job: JobId) -> Result<Finished, LedgerError> {
    let work = loop {
        match ledger.claim(job.into()).await {
            Ok(Claimed::Work(work)) => break work,
            Ok(other) => panic!("{job}: {other:?}"),
            Err(LedgerError::Unavailable { .. }) => sleep(Duration::from_millis(20)).await,
            Err(error) => return Err(error),
        }
    };
    for from in work.range.clone().step_by(20) {
        while let Err(error) = ledger.insert_chunk(&work.claim, chunk(from..from + 20)).await {
            let LedgerError::Unavailable { .. } = error else { return Err(error) };
            sleep(Duration::from_millis(20)).await;
        }
    }
    loop {
        match ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await {
            Err(LedgerError::Unavailable { .. }) => sleep(Duration::from_millis(20)).await,
            finished => return finished,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_survives_restarts_and_crashes_of_the_server() -> TestResult {
    let mut server = Server::start();
    let schema = Schema::at(server.url()).await;
    let jobs = schema.ledger.jobs_of(a_batch().of(400_000).in_jobs_of(4_000)).await?;
    let batch = jobs[0].batch;
    let faults = std::thread::spawn(move || {
        for fault in ["fast", "immediate", "crash", "fast", "immediate", "crash"] {
            std::thread::sleep(Duration::from_millis(700));
            server.order(fault);
        }
        server
    });

    let mut works = JoinSet::new();
    for lane in 0..4 {
        let (ledger, jobs) = (schema.ledger.share(), jobs.clone());
        works.spawn(async move {
            for job in jobs.into_iter().skip(lane).step_by(4) {
                assert!(write_all(ledger.clone(), job).await? == RECORDED, "{job}");
            }
            Ok::<_, LedgerError>(())
        });
    }
    while let Some(ended) = works.join_next().await {
        ended??;
    }
    let server = tokio::task::spawn_blocking(move || faults.join()).await?.expect("no order fails");

    let again = Schema { outsider: postgres::client(server.url()).await, ..schema };
    again.outsider.batch_execute(&format!("SET search_path = {}", again.name)).await?;
    assert_eq!(again.number("SELECT count(*) FROM items").await, 400_000);
    assert_eq!(again.number("SELECT sum(attempts) + sum(crashes) FROM jobs").await, 0);
    assert_eq!(again.ledger.close_task(batch).await?, Some(StatusTask::Close { batch, round: 0 }));
    assert_eq!(again.ledger.closed(batch, 0).await?.status, BatchStatus::Completed);
    Ok(())
}

/// A server that neither responds nor disconnects: every call times out, and the pool recovers when
/// the server is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_pool_recovers_from_an_unresponsive_server() -> TestResult {
    let mut server = Server::start();
    let schema = Schema::at(server.url()).await;
    let job = schema.ledger.one_job().await?;
    let pings = async || {
        let mut pings = JoinSet::new();
        for _ in 0..5 {
            let ledger = schema.ledger.share();
            pings.spawn(async move { ledger.ping().await });
        }
        pings.join_all().await
    };
    assert!(pings().await.iter().all(Result::is_ok));

    server.order("freeze");
    let began = Instant::now();
    let silent = pings().await;
    let took = began.elapsed();
    server.order("thaw");

    assert!(silent.iter().all(|ping| matches!(ping, Err(LedgerError::Unavailable { .. }))), "{silent:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    let began = Instant::now();
    while pings().await.iter().any(Result::is_err) {
        assert!(began.elapsed() < Duration::from_secs(15), "the pool does not heal");
    }
    schema.ledger.complete(job).await?;
    Ok(())
}

#[tokio::test]
async fn a_condition_on_a_view_uses_the_index_of_its_table() -> TestResult {
    let schema = postgres::a_schema();
    let _pool = open_with_index(&schema, true).await;
    let session = session_in(postgres::shared(), &schema).await;
    let fill = "INSERT INTO batches (id, quantity, batch_size, key_fingerprint, jobs, estimated_ms)
            SELECT n, 1, 1, '', 1, 0 FROM generate_series(1, 5000) AS n;
        INSERT INTO jobs (batch, seq, first, quantity) SELECT n, 0, 0, 1 FROM generate_series(1, 5000) AS n;
        INSERT INTO items (batch, ordinal, code) SELECT n, 0, n FROM generate_series(1, 5000) AS n;
        ANALYZE batches; ANALYZE jobs; ANALYZE items";
    session.batch_execute(fill).await?;

    for (query, expected) in [
        ("SELECT batch_id, status FROM batch_batches WHERE batch_id = 7", "Index Scan using batches_pkey on batches b"),
        ("SELECT * FROM batch_jobs WHERE batch_id = 7", "Index Scan using jobs_pkey on jobs j"),
        ("SELECT * FROM batch_items WHERE batch_id = 7 ORDER BY ordinal", "Index Scan using items_pkey on items i"),
        ("SELECT * FROM batch_items WHERE code = '7'", "Index Scan using items_by_code on items i"),
    ] {
        let plan = session.query(&format!("EXPLAIN (COSTS OFF) {query}"), &[]).await?;
        // Nothing but the search: the view adds no step.
        assert_eq!((plan.len(), plan[0].get(0)), (2, expected), "{query}: {plan:?}");
    }
    let counted = session.query("EXPLAIN (COSTS OFF) SELECT * FROM batch_batches WHERE batch_id = 7", &[]).await?;
    let counted: Vec<String> = counted.iter().map(|row| row.get(0)).collect();
    assert!(counted.iter().any(|step| step.contains("using jobs_pkey on jobs")), "{counted:?}");
    Ok(())
}

/// The views need no right on the tables.
#[tokio::test]
async fn another_role_reads_the_views_once_it_is_granted_to() -> TestResult {
    let schema = Schema::new().await;
    schema.ledger.completed_batch().await?;
    let name = &schema.name;
    let grant = format!(
        "CREATE ROLE r{name}; GRANT USAGE ON SCHEMA {name} TO r{name};
         GRANT SELECT ON {name}.batch_batches, {name}.batch_jobs, {name}.batch_items TO r{name}; SET ROLE r{name}"
    );
    schema.outsider.batch_execute(&grant).await?;

    let rows = "SELECT (SELECT count(*) FROM batch_items) + (SELECT sum(items_created)::bigint FROM batch_jobs)
                     + (SELECT sum(items_created)::bigint FROM batch_batches)";
    assert_eq!(schema.number(rows).await, 300);
    assert!(schema.outsider.query("SELECT FROM settings", &[]).await.is_err());
    schema.outsider.batch_execute(&format!("RESET ROLE; DROP OWNED BY r{name}; DROP ROLE r{name}")).await?;
    Ok(())
}

fn into_own_items<'a>(
    transaction: &'a Transaction<'_>,
    items: &'a [NewItemRow<'a>],
    _: &'a BatchInfo,
) -> BoxFuture<'a, Result<(), BoxError>> {
    async move {
        let codes: Vec<_> = items.iter().map(|item| item.code).collect();
        transaction.execute("INSERT INTO items (mine) SELECT unnest($1::text[])", &[&codes]).await?;
        Ok(())
    }
    .boxed()
}

/// `CREATE TABLE IF NOT EXISTS items` found the ledger's table and created none.
#[tokio::test]
async fn a_table_of_the_host_in_public_comes_before_the_ledgers_table() -> TestResult {
    let schema = Schema::at(&postgres::a_database()).await;
    let host = schema.pool.get().await?;
    host.batch_execute("CREATE TABLE IF NOT EXISTS items (mine text)").await?;
    let ledger = PostgresLedger::new(schema.pool.clone(), RULES).with_item_writer(Arc::new(into_own_items));
    let job = schema.ledger.one_job().await?;
    let claim = schema.ledger.claim_job(job).await?;

    // The second chunk has existing items, so it takes two statements of the ledger.
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..10)).await?, ChunkInserted::New(10));
    assert_eq!(ledger.insert_chunk(&claim, chunk(5..20)).await?, ChunkInserted::New(10));

    let rows = "SELECT count(mine) FROM items";
    assert_eq!(host.query_one(rows, &[]).await?.get::<_, i64>(0), 20);
    assert_eq!(host.query_one("SELECT count(*) FROM batch_items", &[]).await?.get::<_, i64>(0), 20);
    assert_eq!(schema.number("SELECT count(mine) FROM public.items").await, 20);
    assert_eq!(schema.number("SELECT count(ordinal) FROM items").await, 20, "the ledger's own");
    assert_eq!(schema.ledger.items_of(job.batch).await?, (0..20).collect::<Vec<_>>());
    Ok(())
}

/// Totals are read every few seconds in every process.
#[tokio::test]
async fn totals_read_indexes_and_no_job_or_item() -> TestResult {
    let schema = Schema::new().await;
    let finished =
        "INSERT INTO batches (id, quantity, batch_size, jobs, key_fingerprint, estimated_ms, status, created_at,
            finished_at, completed, failed, cancelled, items_created, worked_ms)
        SELECT n, 1, 1, 1, 'f00d', 1, 'completed', now(), now() + n * interval '1 ms', 1, 0, 0, 1, 1
        FROM generate_series(1, 50000) n";
    schema.outsider.batch_execute(finished).await?;
    schema.outsider.batch_execute("ANALYZE batches").await?;
    // Whether the index is cheaper depends on which rows other sessions may still see, so the
    // question is whether there is one.
    schema.outsider.batch_execute("SET enable_seqscan = off").await?;
    let totals = include_str!("../../src/ledger/postgres/sql/totals.sql").replace("$1", "10000");

    for query in [&*totals, "SELECT status, count(*) AS batches FROM batches GROUP BY status"] {
        let plan = schema.outsider.query(&format!("EXPLAIN {query}"), &[]).await?;
        let plan = plan.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n");
        assert!(!plan.contains("Seq Scan on batches"), "{plan}");
        assert!(!plan.contains(" on jobs") && !plan.contains(" on items"), "{plan}");
    }
    Ok(())
}
