//! `insert_and_complete`: inserts the last chunk of a job and completes the job.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    error::Result,
    finish_attempt::is_in_state,
    hooks,
    insert_chunk::{ChunkParameters, race_or_error},
    pool::Verb,
};
use crate::{
    domain::JobState,
    ledger::{
        columns::millis,
        decide::wants_job_hook,
        operation,
        types::{Claim, LastChunk, NewItem, Rules},
    },
};

const INSERT_AND_COMPLETE: &str = include_str!("sql/insert_and_complete.sql");

/// See [`Ledger::insert_and_complete`](crate::ledger::Ledger::insert_and_complete).
pub(super) struct InsertAndComplete {
    pub rules: Rules,
    pub claim: Claim,
    pub items: Arc<[NewItem]>,
    pub worked: Duration,
}

impl Verb for InsertAndComplete {
    type Output = LastChunk;
    const OPERATION: &'static str = operation::INSERT_AND_COMPLETE;

    async fn run(&self, conn: &mut Client) -> Result<LastChunk> {
        if !wants_job_hook(self.rules.hooks, JobState::Completed) {
            return self.complete(&*conn).await;
        }
        let transaction = conn.transaction().await?;
        let result = self.complete(&transaction).await?;
        transaction.commit().await?;
        Ok(result)
    }
}

impl InsertAndComplete {
    async fn complete(&self, conn: &impl GenericClient) -> Result<LastChunk> {
        if self.insert(conn).await? {
            hooks::record_job_end(conn, self.rules, self.claim.job).await?;
            return Ok(LastChunk::Completed);
        }
        // Completed with this claim: by an earlier try of this call, whose response was lost.
        let completed = is_in_state(conn, &self.claim, JobState::Completed).await?;
        Ok(if completed { LastChunk::Completed } else { LastChunk::Unchanged })
    }

    async fn insert(&self, conn: &impl GenericClient) -> Result<bool> {
        let (parameters, worked) = (ChunkParameters::of(&self.claim, &self.items), millis(self.worked));
        let worked: &(dyn ToSql + Sync) = &worked;
        let parameters: Vec<_> = parameters.all().into_iter().chain([worked]).collect();
        let statement = conn.prepare_cached(INSERT_AND_COMPLETE).await?;
        Ok(conn.execute(&statement, &parameters).await.map_err(race_or_error)? > 0)
    }
}
