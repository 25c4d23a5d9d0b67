//! jobs: lists the jobs of a batch.

use deadpool_postgres::Client;

use super::{
    error::Result,
    pool::{Lane, Verb},
};
use crate::domain::{BatchId, JobRecord, JobState};
use crate::ledger::{
    columns::{Columns, as_json, key},
    decide::{JobWindow, PageBuilder},
    error::LedgerError,
    operation,
    query::{PageRequest, Portion},
    rows,
};

const BATCH: &str = "SELECT coalesce(jobs, 0) AS jobs, history <> 'complete' AS removed FROM batches WHERE id = $1";
const JOBS: &str = include_str!("sql/jobs.sql");

/// See [`Records::jobs`](crate::ledger::verbs::Records::jobs).
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
        let jobs = self.count(conn).await?;
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

    /// The number of jobs of a batch whose history is complete.
    async fn count(&self, conn: &Client) -> Result<u64> {
        let row = conn.query_opt(&conn.prepare_cached(BATCH).await?, &[&self.batch.get()]).await?;
        let row = row.ok_or(LedgerError::NoSuchBatch(self.batch))?;
        if row.try_get("removed")? {
            return Err(LedgerError::HistoryRemoved(self.batch).into());
        }
        row.number("jobs")
    }
}
