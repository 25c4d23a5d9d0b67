//! settle: how an attempt ended, and whether it was the last of its batch.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::{
    columns::{as_json, key, number, small, small_number, state, text},
    error::Answer,
    hooks,
    pool::Verb,
};
use crate::domain::{BatchId, StatusTask};
use crate::ledger::{Hold, Rules, Settled, Settlement, decide::After};

const SETTLE: &str = include_str!("sql/settle.sql");
const STANDING: &str = include_str!("sql/standing.sql");

/// See [`Ledger::settle`](crate::ledger::Ledger::settle).
pub(super) struct Settle {
    pub rules: Rules,
    pub hold: Hold,
    pub how: Settlement,
    pub worked: Duration,
}

#[async_trait]
impl Verb for Settle {
    type Answer = Settled;
    const DOING: &'static str = "settle a job";

    async fn run(&self, conn: &mut Client) -> Answer<Settled> {
        let after = After::of(&self.how);
        if !hooks::wants_job(self.rules, after.state) {
            return self.settle(&*conn, &after).await;
        }
        let transaction = conn.transaction().await?;
        let settled = self.settle(&transaction, &after).await?;
        transaction.commit().await?;
        Ok(settled)
    }
}

impl Settle {
    async fn settle(&self, conn: &impl GenericClient, after: &After<'_>) -> Answer<Settled> {
        match self.put_down(conn, after).await? {
            Some(batch) => {
                if hooks::wants_job(self.rules, after.state) {
                    hooks::job_over(conn, self.rules, self.hold.job).await?;
                }
                Ok(Settled::Done { end: end_of(self.hold.job.batch, &batch)? })
            }
            None => self.settled_before(conn, after).await,
        }
    }

    /// What its batch says then, if the hold was good.
    async fn put_down(&self, conn: &impl GenericClient, after: &After<'_>) -> Answer<Option<Row>> {
        let job = self.hold.job;
        let statement = conn.prepare_cached(SETTLE).await?;
        let error = after.failure.map(|failure| text(&failure.reason));
        let chunks = after.failure.map(|failure| as_json(&failure.chunks)).transpose()?;
        let worked = u64::try_from(self.worked.as_millis()).map_or(i64::MAX, key);
        let (batch, seq, state) = (job.batch.get(), key(job.seq), after.state.as_str());
        let (generation, epoch, more) = (small(job.generation), small(self.hold.epoch), small(after.attempts_more));
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 11] = [
            &batch,
            &seq,
            &generation,
            &epoch,
            &state,
            &more,
            &after.not_before,
            &error.as_deref(),
            &chunks,
            &!after.state.is_open(),
            &worked,
        ];
        Ok(conn.query_opt(&statement, &parameters).await?)
    }

    /// The same call took effect before when the job stands where it would leave it, and nobody began or recreated it since.
    async fn settled_before(&self, conn: &impl GenericClient, after: &After<'_>) -> Answer<Settled> {
        let Hold { job, epoch } = &self.hold;
        let query = conn.prepare_cached(STANDING).await?;
        let row =
            conn.query_opt(&query, &[&job.batch.get(), &key(job.seq), &small(job.generation), &small(*epoch)]).await?;
        let Some(row) = row else { return Ok(Settled::Lost) };
        if state(&row, "state")? != after.state {
            return Ok(Settled::Lost);
        }
        let over: bool = row.try_get("over")?;
        Ok(Settled::Done { end: if over { None } else { end_of(job.batch, &row)? } })
    }
}

/// The task that closes the batch, when `row` of it says that nothing else is left to do.
pub(super) fn end_of(batch: BatchId, row: &Row) -> Answer<Option<StatusTask>> {
    let (open_jobs, round) = (number(row, "open_jobs")?, small_number(row, "round")?);
    Ok((open_jobs == 0).then_some(StatusTask::End { batch, round }))
}
