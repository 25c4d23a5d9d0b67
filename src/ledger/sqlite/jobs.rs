//! jobs, `job_map`: the jobs of a batch.

use rusqlite::{Connection, OptionalExtension, Row};

use super::error::Result;
use crate::domain::{BatchId, JobMap, JobRecord, JobState};
use crate::ledger::{
    columns::{Columns, as_json, key},
    decide::{JobWindow, PageBuilder},
    error::LedgerError,
    query::{PageRequest, Portion},
    rows,
};

const BATCH: &str =
    "SELECT coalesce(jobs, 0) AS jobs, history <> 'complete' AS removed FROM rocket_batch_batches WHERE id = ?1";
const JOB_MAP: &str = include_str!("sql/job_map.sql");
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
    let mut found = query.query(parameters)?;
    let mut page = PageBuilder::new();
    while !page.is_full()
        && let Some(row) = found.next()?
    {
        let job = rows::job_record(row, id)?;
        let json = as_json(&job)?;
        page.push(job, &json);
    }
    Ok(window.finish(page.build(), jobs))
}

pub(super) fn job_map(conn: &Connection, id: BatchId) -> Result<JobMap> {
    let jobs = count(conn, id)?;
    let jobs_per_cell = JobMap::jobs_per_cell(jobs);
    let mut query = conn.prepare_cached(JOB_MAP)?;
    let cells = query.query_map((id.get(), key(jobs_per_cell)), |row| rows::cell(row))?;
    Ok(JobMap { jobs, jobs_per_cell, cells: cells.collect::<Result<_, _>>()? })
}

/// The number of jobs of a batch whose history is complete.
fn count(conn: &Connection, id: BatchId) -> Result<u64> {
    let read = |row: &Row<'_>| Ok((row.number("jobs")?, row.flag("removed")?));
    match conn.prepare_cached(BATCH)?.query_row([id.get()], read).optional()? {
        None => Err(LedgerError::NoSuchBatch(id).into()),
        Some((_, true)) => Err(LedgerError::HistoryRemoved(id).into()),
        Some((jobs, false)) => Ok(jobs),
    }
}
