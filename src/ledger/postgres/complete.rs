//! `insert_and_complete`: the last chunk of a job and its end.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    error::Result,
    finish_attempt::{millis, stands_as},
    hooks,
    insert_chunk::{Given, raced},
    pool::Verb,
};
use crate::domain::JobState;
use crate::ledger::{Claim, LastChunk, NewItem, Rules};

const INSERT_AND_COMPLETE: &str = include_str!("sql/insert_and_complete.sql");

/// See [`Ledger::insert_and_complete`](crate::ledger::Ledger::insert_and_complete).
pub(super) struct InsertAndComplete {
    pub rules: Rules,
    pub claim: Claim,
    pub items: Arc<[NewItem]>,
    pub worked: Duration,
}

#[async_trait]
impl Verb for InsertAndComplete {
    type Output = LastChunk;
    const OPERATION: &'static str = "write the last items of a job";

    async fn run(&self, conn: &mut Client) -> Result<LastChunk> {
        if !hooks::wants_job(self.rules, JobState::Completed) {
            return self.complete(&*conn).await;
        }
        let transaction = conn.transaction().await?;
        let done = self.complete(&transaction).await?;
        transaction.commit().await?;
        Ok(done)
    }
}

impl InsertAndComplete {
    async fn complete(&self, conn: &impl GenericClient) -> Result<LastChunk> {
        if self.insert(conn).await? {
            hooks::job_over(conn, self.rules, self.claim.job).await?;
            return Ok(LastChunk::Completed);
        }
        // Whoever completed it under this hold was this call, whose answer was lost.
        let before = stands_as(conn, &self.claim, JobState::Completed).await?;
        Ok(if before { LastChunk::Completed } else { LastChunk::Unchanged })
    }

    async fn insert(&self, conn: &impl GenericClient) -> Result<bool> {
        let (given, worked) = (Given::of(&self.claim, &self.items), millis(self.worked));
        let worked: &(dyn ToSql + Sync) = &worked;
        let parameters: Vec<_> = given.parameters().into_iter().chain([worked]).collect();
        let statement = conn.prepare_cached(INSERT_AND_COMPLETE).await?;
        Ok(conn.execute(&statement, &parameters).await.map_err(raced)? > 0)
    }
}
