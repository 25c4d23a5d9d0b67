//! settle: how an attempt ended.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    columns::{as_json, key, small, state, text},
    error::Answer,
    hooks,
    pool::Verb,
};
use crate::domain::JobState;
use crate::ledger::{Hold, Rules, Settled, Settlement, decide::After};

const SETTLE: &str = include_str!("sql/settle.sql");
const STATE: &str = "SELECT state FROM jobs WHERE batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4";

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
        if self.record(conn, after).await? {
            if hooks::wants_job(self.rules, after.state) {
                hooks::job_over(conn, self.rules, self.hold.job).await?;
            }
            return Ok(Settled::Done);
        }
        // The same call took effect before when the job stands where it would leave it.
        Ok(if stands_as(conn, &self.hold, after.state).await? { Settled::Done } else { Settled::Lost })
    }

    /// Whether the hold was good.
    async fn record(&self, conn: &impl GenericClient, after: &After<'_>) -> Answer<bool> {
        let job = self.hold.job;
        let statement = conn.prepare_cached(SETTLE).await?;
        let error = after.failure.map(|failure| text(&failure.reason));
        let chunks = after.failure.map(|failure| as_json(&failure.chunks)).transpose()?;
        let (delay, worked) = (after.delay.map(millis), millis(self.worked));
        let (batch, seq, state) = (job.batch.get(), key(job.seq), after.state.as_str());
        let (generation, epoch, more) = (small(job.generation), small(self.hold.epoch), small(after.attempts_more));
        let parameters: [&(dyn ToSql + Sync); 11] = [
            &batch,
            &seq,
            &generation,
            &epoch,
            &state,
            &more,
            &delay,
            &error.as_deref(),
            &chunks,
            &!after.state.is_open(),
            &worked,
        ];
        Ok(conn.execute(&statement, &parameters).await? > 0)
    }
}

/// Whether the job is in this state, and nobody began or recreated it since `hold`.
pub(super) async fn stands_as(conn: &impl GenericClient, hold: &Hold, expected: JobState) -> Answer<bool> {
    let Hold { job, epoch } = hold;
    let query = conn.prepare_cached(STATE).await?;
    let row =
        conn.query_opt(&query, &[&job.batch.get(), &key(job.seq), &small(job.generation), &small(*epoch)]).await?;
    Ok(row.map(|row| state(&row, "state")).transpose()? == Some(expected))
}

/// A span in milliseconds.
pub(super) fn millis(span: Duration) -> i64 {
    u64::try_from(span.as_millis()).map_or(i64::MAX, key)
}
