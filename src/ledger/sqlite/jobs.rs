//! jobs: lists the jobs of a batch.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    columns::{as_json, key, number, state, time},
    error::Result,
};
use crate::domain::{BatchId, JobId, JobRecord, JobState};
use crate::ledger::{
    decide::{JobWindow, PageBuilder},
    error::LedgerError,
    query::{PageRequest, Portion},
};

const BATCH: &str = "SELECT coalesce(jobs, 0), history <> 'complete' FROM rocket_batch_batches WHERE id = ?1";
const JOBS: &str = include_str!("sql/jobs.sql");

pub(super) fn jobs(
    conn: &Connection,
    id: BatchId,
    only: Option<JobState>,
    page: PageRequest,
) -> Result<Portion<JobRecord>> {
    let jobs = count(conn, id)?;
    let window = JobWindow::of(page);
    let mut query = conn.prepare_cached(JOBS)?;
    let parameters = (id.get(), key(window.first), key(window.last), only.map(JobState::as_str), key(page.limit));
    let mut rows = query.query(parameters)?;
    let mut page = PageBuilder::new();
    while !page.is_full()
        && let Some(row) = rows.next()?
    {
        let job = read_job(row, id)?;
        let json = as_json(&job)?;
        page.push(job, &json);
    }
    Ok(window.finish(page.build(), jobs))
}

/// The number of jobs of a batch whose history is complete.
fn count(conn: &Connection, id: BatchId) -> Result<u64> {
    let read = |row: &Row<'_>| Ok((number(row, 0)?, row.get(1)?));
    match conn.prepare_cached(BATCH)?.query_row([id.get()], read).optional()? {
        None => Err(LedgerError::NoSuchBatch(id).into()),
        Some((_, true)) => Err(LedgerError::HistoryRemoved(id).into()),
        Some((jobs, false)) => Ok(jobs),
    }
}

fn read_job(row: &Row<'_>, batch: BatchId) -> rusqlite::Result<JobRecord> {
    let (seq, first, quantity) = (number(row, "seq")?, number(row, "first")?, number(row, "quantity")?);
    Ok(JobRecord {
        job_id: JobId { batch, seq, generation: row.get("generation")? }.to_string(),
        seq,
        first,
        last: first + quantity - 1,
        quantity,
        items_created: number(row, "created")?,
        state: state(row, "state")?,
        attempts: row.get("attempts")?,
        crashes: row.get("crashes")?,
        started_at: time(row, "claimed_at")?,
        finished_at: time(row, "finished_at")?,
        not_before: time(row, "not_before")?,
        error: row.get("error")?,
    })
}
