//! jobs, `job_map`: the jobs of a batch.

use deadpool_postgres::Client;

use super::{
    error::Result,
    pool::{Lane, Verb},
};
use crate::domain::{BatchId, JobMap, JobRecord, JobState};
use crate::ledger::{
    columns::{Columns, as_json, key},
    decide::{JobWindow, PageBuilder},
    error::LedgerError,
    operation,
    query::{PageRequest, Portion},
    rows,
};

const BATCH: &str = "SELECT coalesce(jobs, 0) AS jobs, history <> 'complete' AS removed FROM batches WHERE id = $1";
const JOB_MAP: &str = include_str!("sql/job_map.sql");
const JOBS: &str = include_str!("sql/jobs.sql");

/// See [`JobRecords::jobs`](crate::ledger::verbs::JobRecords::jobs).
pub(super) struct Jobs {
    pub batch: BatchId,
    pub state: Option<JobState>,
    pub page: PageRequest,
}

impl Verb for Jobs {
    type Output = Portion<JobRecord>;
    const OPERATION: &'static str = operation::JOBS;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Portion<JobRecord>> {
        let window = JobWindow::of(self.page);
        let portion = self.read(conn, window).await?;
        // Checked last: the batch is marked together with the first removal of a row.
        let jobs = count(conn, self.batch).await?;
        Ok(window.finish(portion, jobs))
    }
}

impl Jobs {
    async fn read(&self, conn: &Client, window: JobWindow) -> Result<Portion<JobRecord>> {
        let statement = conn.prepare_cached(JOBS).await?;
        let (batch, first, last) = (self.batch.get(), key(window.first), key(window.last));
        let (state, limit) = (self.state.map(JobState::as_str), key(self.page.limit));
        let found = conn.query(&statement, &[&batch, &first, &last, &state, &limit]).await?;
        let mut page = PageBuilder::new();
        for row in &found {
            let job = rows::job_record(row, self.batch)?;
            let json = as_json(&job)?;
            page.push(job, &json);
            if page.is_full() {
                break;
            }
        }
        Ok(page.build())
    }
}

/// See [`JobRecords::job_map`](crate::ledger::verbs::JobRecords::job_map).
pub(super) struct Map(pub BatchId);

impl Verb for Map {
    type Output = JobMap;
    const OPERATION: &'static str = operation::JOB_MAP;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<JobMap> {
        let jobs = count(conn, self.0).await?;
        if jobs == 0 {
            // The batch may be planned at this moment, with any number of jobs.
            return Ok(JobMap { jobs, jobs_per_cell: 1, cells: Vec::new() });
        }
        let jobs_per_cell = JobMap::jobs_per_cell(jobs);
        let statement = conn.prepare_cached(JOB_MAP).await?;
        let cells = conn.query(&statement, &[&self.0.get(), &key(jobs_per_cell)]).await?;
        // Again, since rows may have been removed meanwhile.
        count(conn, self.0).await?;
        Ok(JobMap { jobs, jobs_per_cell, cells: cells.iter().map(rows::cell).collect::<Result<_>>()? })
    }
}

/// The number of jobs of a batch whose history is complete.
async fn count(conn: &Client, batch: BatchId) -> Result<u64> {
    let row = conn.query_opt(&conn.prepare_cached(BATCH).await?, &[&batch.get()]).await?;
    let row = row.ok_or(LedgerError::NoSuchBatch(batch))?;
    if row.try_get("removed")? {
        return Err(LedgerError::HistoryRemoved(batch).into());
    }
    row.number("jobs")
}
