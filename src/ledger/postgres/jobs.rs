//! jobs: lists the jobs of a batch.

use async_trait::async_trait;
use deadpool_postgres::Client;
use tokio_postgres::Row;

use super::{
    columns::{as_json, key, number, small_number, state},
    error::Result,
    pool::{Lane, Verb},
};
use crate::domain::{BatchId, JobId, JobRecord, JobState};
use crate::ledger::{
    decide::{JobWindow, PageBuilder},
    error::LedgerError,
    query::{PageRequest, Portion},
};

const BATCH: &str = "SELECT coalesce(jobs, 0) AS jobs, history <> 'complete' AS removed FROM batches WHERE id = $1";
const JOBS: &str = include_str!("sql/jobs.sql");

/// See [`Records::jobs`](crate::ledger::verbs::Records::jobs).
pub(super) struct Jobs {
    pub batch: BatchId,
    pub state: Option<JobState>,
    pub page: PageRequest,
}

#[async_trait]
impl Verb for Jobs {
    type Output = Portion<JobRecord>;
    const OPERATION: &'static str = "list jobs";
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
        let rows = conn.query(&statement, &[&batch, &first, &last, &state, &limit]).await?;
        let mut page = PageBuilder::new();
        for row in &rows {
            let job = read_job(row, self.batch)?;
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
        number(&row, "jobs")
    }
}

fn read_job(row: &Row, batch: BatchId) -> Result<JobRecord> {
    let (seq, first, quantity) = (number(row, "seq")?, number(row, "first")?, number(row, "quantity")?);
    Ok(JobRecord {
        job_id: JobId { batch, seq, generation: small_number(row, "generation")? }.to_string(),
        seq,
        first,
        last: first + quantity - 1,
        quantity,
        items_created: number(row, "created")?,
        state: state(row, "state")?,
        attempts: small_number(row, "attempts")?,
        crashes: small_number(row, "crashes")?,
        started_at: row.try_get("claimed_at")?,
        finished_at: row.try_get("finished_at")?,
        not_before: row.try_get("not_before")?,
        error: row.try_get("error")?,
    })
}
