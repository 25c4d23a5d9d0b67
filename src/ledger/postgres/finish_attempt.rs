//! settle: how an attempt ended.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    columns::{as_json, key, small, state, text},
    error::Result,
    hooks,
    pool::Verb,
};
use crate::domain::JobState;
use crate::ledger::{AttemptResult, Claim, Finished, Rules, decide::After};

const SETTLE: &str = include_str!("sql/finish_attempt.sql");
const STATE: &str = "SELECT state FROM jobs WHERE batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4";

/// See [`Ledger::finish_attempt`](crate::ledger::Ledger::finish_attempt).
pub(super) struct FinishAttempt {
    pub rules: Rules,
    pub claim: Claim,
    pub how: AttemptResult,
    pub worked: Duration,
}

#[async_trait]
impl Verb for FinishAttempt {
    type Output = Finished;
    const OPERATION: &'static str = "settle a job";

    async fn run(&self, conn: &mut Client) -> Result<Finished> {
        let after = After::of(&self.how);
        if !hooks::wants_job(self.rules, after.state) {
            return self.finish_attempt(&*conn, &after).await;
        }
        let transaction = conn.transaction().await?;
        let finished = self.finish_attempt(&transaction, &after).await?;
        transaction.commit().await?;
        Ok(finished)
    }
}

impl FinishAttempt {
    async fn finish_attempt(&self, conn: &impl GenericClient, after: &After<'_>) -> Result<Finished> {
        if self.record(conn, after).await? {
            if hooks::wants_job(self.rules, after.state) {
                hooks::job_over(conn, self.rules, self.claim.job).await?;
            }
            return Ok(Finished::Done);
        }
        // The same call took effect before when the job stands where it would leave it.
        Ok(if stands_as(conn, &self.claim, after.state).await? { Finished::Done } else { Finished::Lost })
    }

    /// Whether the hold was good.
    async fn record(&self, conn: &impl GenericClient, after: &After<'_>) -> Result<bool> {
        let job = self.claim.job;
        let statement = conn.prepare_cached(SETTLE).await?;
        let error = after.failure.map(|failure| text(&failure.reason));
        let chunks = after.failure.map(|failure| as_json(&failure.chunks)).transpose()?;
        let (delay, worked) = (after.delay.map(millis), millis(self.worked));
        let (batch, seq, state) = (job.batch.get(), key(job.seq), after.state.as_str());
        let (generation, epoch, more) = (small(job.generation), small(self.claim.epoch), small(after.attempts_more));
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

/// Whether the job is in this state, and nobody began or recreated it since `claim`.
pub(super) async fn stands_as(conn: &impl GenericClient, claim: &Claim, expected: JobState) -> Result<bool> {
    let Claim { job, epoch } = claim;
    let query = conn.prepare_cached(STATE).await?;
    let row =
        conn.query_opt(&query, &[&job.batch.get(), &key(job.seq), &small(job.generation), &small(*epoch)]).await?;
    Ok(row.map(|row| state(&row, "state")).transpose()? == Some(expected))
}

/// A span in milliseconds.
pub(super) fn millis(span: Duration) -> i64 {
    u64::try_from(span.as_millis()).map_or(i64::MAX, key)
}
