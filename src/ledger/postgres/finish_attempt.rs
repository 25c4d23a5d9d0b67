//! `finish_attempt`: records how an attempt ended.

use std::time::Duration;

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    columns::{small, text},
    error::Result,
    hooks,
    pool::Verb,
};
use crate::{
    domain::{Failure, JobState},
    ledger::{
        columns::{Columns, as_json, key, millis},
        decide::{JobChange, wants_job_hook},
        operation,
        types::{AttemptResult, Claim, Finished, Rules},
    },
};

const FINISH_ATTEMPT: &str = include_str!("sql/finish_attempt.sql");
const STATE: &str = "SELECT state FROM jobs WHERE batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4";

/// See [`Ledger::finish_attempt`](crate::ledger::Ledger::finish_attempt).
pub(super) struct FinishAttempt {
    pub rules: Rules,
    pub claim: Claim,
    pub result: AttemptResult,
    pub worked: Duration,
}

impl Verb for FinishAttempt {
    type Output = Finished;
    const OPERATION: &'static str = operation::FINISH_ATTEMPT;

    async fn run(&self, conn: &mut Client) -> Result<Finished> {
        let change = JobChange::of(&self.result);
        if !wants_job_hook(self.rules.hooks, change.state) {
            return self.finish_attempt(&*conn, &change).await;
        }
        let transaction = conn.transaction().await?;
        let finished = self.finish_attempt(&transaction, &change).await?;
        transaction.commit().await?;
        Ok(finished)
    }
}

impl FinishAttempt {
    async fn finish_attempt(&self, conn: &impl GenericClient, change: &JobChange<'_>) -> Result<Finished> {
        if self.record(conn, change).await? {
            if wants_job_hook(self.rules.hooks, change.state) {
                hooks::record_job_end(conn, self.rules, self.claim.job).await?;
            }
            return Ok(Finished::Recorded);
        }
        // The job is in the state that this call sets: an earlier try took effect.
        Ok(if is_in_state(conn, &self.claim, change.state).await? { Finished::Recorded } else { Finished::Fenced })
    }

    /// Returns whether the claim was current.
    async fn record(&self, conn: &impl GenericClient, change: &JobChange<'_>) -> Result<bool> {
        let job = self.claim.job;
        let statement = conn.prepare_cached(FINISH_ATTEMPT).await?;
        let error = change.failure.map(|failure| text(&failure.reason));
        let (error, finished) = (error.as_deref(), !change.state.is_open());
        let group = change.failure.map(Failure::group);
        let chunks = change.failure.map(|failure| as_json(&failure.chunks)).transpose()?;
        let (delay, worked) = (change.delay.map(millis), millis(self.worked));
        let (batch, seq, state) = (job.batch.get(), key(job.seq), change.state.as_str());
        let (generation, epoch, more) = (small(job.generation), small(self.claim.epoch), small(change.attempts_more));
        let parameters: [&(dyn ToSql + Sync); 12] =
            [&batch, &seq, &generation, &epoch, &state, &more, &delay, &error, &chunks, &finished, &worked, &group];
        Ok(conn.execute(&statement, &parameters).await? > 0)
    }
}

/// Whether the job is in this state and was not claimed or recreated after `claim`.
pub(super) async fn is_in_state(conn: &impl GenericClient, claim: &Claim, expected: JobState) -> Result<bool> {
    let Claim { job, epoch } = claim;
    let query = conn.prepare_cached(STATE).await?;
    let row =
        conn.query_opt(&query, &[&job.batch.get(), &key(job.seq), &small(job.generation), &small(*epoch)]).await?;
    Ok(row.map(|row| row.state("state")).transpose()? == Some(expected))
}
