//! `item_page`, `start_check`, `stored_check`, `store_check`: compare items with the plan.

use std::time::Duration;

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::IsolationLevel;

use super::{
    columns::small,
    error::Result,
    pool::{Lane, Verb},
};
use crate::{
    domain::{BatchId, ItemPage, JobSpan, PAGE_ITEMS, StatusTask, Tally},
    ledger::{
        columns::{Columns, as_json, key, millis},
        decide::{CHECKS, CheckedBatch},
        error::LedgerError,
        item_checks::StoredCheck,
        operation, rows,
    },
};

const BATCH: &str =
    "SELECT quantity, batch_size, jobs, status, prefix, key_fingerprint, round FROM batches WHERE id = $1";
const ORDINALS: &str = "SELECT ordinal, NULL::text AS code FROM items
    WHERE batch = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal LIMIT $4";
const CODES: &str = "SELECT ordinal, code FROM items
    WHERE batch = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal LIMIT $4";
const JOBS: &str = "SELECT seq, state FROM jobs WHERE batch = $1 AND seq >= $2 AND seq < $3 ORDER BY seq";
const CHECK: &str = "SELECT batch, codes, run, tally::text AS tally, started_at, finished_at
    FROM reconciliations WHERE batch = $1 AND codes = $2";
// Changes nothing while a check runs or its report is recent. Of concurrent calls, one starts.
const START: &str = "INSERT INTO reconciliations AS known (batch, codes, run, position, tally)
    VALUES ($1, $2, 1, 0, $3::text::json)
    ON CONFLICT (batch, codes) DO UPDATE
    SET run = known.run + 1, position = 0, tally = excluded.tally, started_at = now(), finished_at = NULL
    WHERE known.finished_at <= now() - $4::bigint * interval '1 millisecond'";
const STORE: &str = "UPDATE reconciliations
    SET position = $5, tally = $6::text::json, finished_at = CASE WHEN $5::bigint IS NULL THEN now() END
    WHERE batch = $1 AND codes = $2 AND run = $3 AND position = $4";
const OPEN: &str = "SELECT batch, codes, run FROM reconciliations WHERE finished_at IS NULL ORDER BY batch LIMIT $1";

pub(super) async fn checked_batch(conn: &impl GenericClient, id: BatchId) -> Result<CheckedBatch> {
    let row = conn.query_opt(&conn.prepare_cached(BATCH).await?, &[&id.get()]).await?;
    rows::checked_batch(&row.ok_or(LedgerError::NoSuchBatch(id))?, id)
}

/// See [`ItemChecks::item_page`](crate::ledger::item_checks::ItemChecks::item_page).
pub(super) struct Page {
    pub batch: BatchId,
    pub from: u64,
    pub codes: bool,
}

impl Verb for Page {
    type Output = ItemPage;
    const OPERATION: &'static str = operation::ITEM_PAGE;

    async fn run(&self, conn: &mut Client) -> Result<ItemPage> {
        let snapshot = conn.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let transaction = snapshot.start().await?;
        let page = self.read(&transaction).await?;
        transaction.commit().await?;
        Ok(page)
    }
}

impl Page {
    async fn read(&self, conn: &impl GenericClient) -> Result<ItemPage> {
        let batch = checked_batch(conn, self.batch).await?;
        let (id, window) = (self.batch.get(), batch.window(self.from));
        let statement = conn.prepare_cached(if self.codes { CODES } else { ORDINALS }).await?;
        let range = (key(window.start), key(window.end));
        let rows = conn.query(&statement, &[&id, &range.0, &range.1, &key(PAGE_ITEMS)]).await?;
        let item = |row: &tokio_postgres::Row| Ok((row.number("ordinal")?, row.optional_string("code")?));
        let items = rows.iter().map(item).collect::<Result<_>>()?;
        let seqs = batch.seqs(&window);
        let mut page = batch.page(window, items);
        if let Some(seqs) = seqs {
            let rows = conn.query(&conn.prepare_cached(JOBS).await?, &[&id, &key(seqs.start), &key(seqs.end)]).await?;
            let job = |row: &tokio_postgres::Row| Ok(JobSpan { seq: row.number("seq")?, state: row.state("state")? });
            page.jobs = rows.iter().map(job).collect::<Result<_>>()?;
        }
        Ok(page)
    }
}

/// See [`ItemChecks::start_check`](crate::ledger::item_checks::ItemChecks::start_check).
pub(super) struct Start {
    pub batch: BatchId,
    pub codes: bool,
    pub max_age: Duration,
}

impl Verb for Start {
    type Output = StoredCheck;
    const OPERATION: &'static str = operation::START_CHECK;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<StoredCheck> {
        checked_batch(conn, self.batch).await?;
        let (tally, age) = (as_json(&Tally::start())?, millis(self.max_age));
        let statement = conn.prepare_cached(START).await?;
        conn.execute(&statement, &[&self.batch.get(), &self.codes, &tally, &age]).await?;
        let statement = conn.prepare_cached(CHECK).await?;
        rows::stored_check(&conn.query_one(&statement, &[&self.batch.get(), &self.codes]).await?)
    }
}

/// See [`ItemChecks::stored_check`](crate::ledger::item_checks::ItemChecks::stored_check).
pub(super) struct Stored {
    pub batch: BatchId,
    pub codes: bool,
}

impl Verb for Stored {
    type Output = Option<StoredCheck>;
    const OPERATION: &'static str = operation::STORED_CHECK;

    async fn run(&self, conn: &mut Client) -> Result<Option<StoredCheck>> {
        let statement = conn.prepare_cached(CHECK).await?;
        let row = conn.query_opt(&statement, &[&self.batch.get(), &self.codes]).await?;
        row.as_ref().map(rows::stored_check).transpose()
    }
}

/// See [`ItemChecks::store_check`](crate::ledger::item_checks::ItemChecks::store_check).
pub(super) struct Store {
    pub check: StoredCheck,
    pub from: u64,
}

impl Verb for Store {
    type Output = bool;
    const OPERATION: &'static str = operation::STORE_CHECK;
    // A repetition would find its own position, as if another process had continued.
    const REPEATABLE: bool = false;

    async fn run(&self, conn: &mut Client) -> Result<bool> {
        let StoredCheck { batch, codes, run, tally, .. } = &self.check;
        let (before, position, tally) = (key(self.from), tally.next.map(key), as_json(tally)?);
        let statement = conn.prepare_cached(STORE).await?;
        let run = small(*run);
        Ok(conn.execute(&statement, &[&batch.get(), codes, &run, &before, &position, &tally]).await? > 0)
    }
}

/// The tasks of unfinished checks.
pub(super) async fn open_checks(conn: &impl GenericClient) -> Result<Vec<StatusTask>> {
    let rows = conn.query(&conn.prepare_cached(OPEN).await?, &[&key(CHECKS)]).await?;
    rows.iter().map(rows::check_task).collect()
}
