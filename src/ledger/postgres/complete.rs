//! insert_and_complete: the last chunk of a job and its end.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    error::Answer,
    hooks,
    pool::Verb,
    settle::{millis, stands_as},
    write::{Given, raced},
};
use crate::domain::JobState;
use crate::ledger::{Hold, LastChunk, NewItem, Rules};

const INSERT_AND_COMPLETE: &str = include_str!("sql/insert_and_complete.sql");

/// See [`Ledger::insert_and_complete`](crate::ledger::Ledger::insert_and_complete).
pub(super) struct InsertAndComplete {
    pub rules: Rules,
    pub hold: Hold,
    pub items: Arc<[NewItem]>,
    pub worked: Duration,
}

#[async_trait]
impl Verb for InsertAndComplete {
    type Answer = LastChunk;
    const DOING: &'static str = "write the last items of a job";

    async fn run(&self, conn: &mut Client) -> Answer<LastChunk> {
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
    async fn complete(&self, conn: &impl GenericClient) -> Answer<LastChunk> {
        if self.insert(conn).await? {
            hooks::job_over(conn, self.rules, self.hold.job).await?;
            return Ok(LastChunk::Completed);
        }
        // Whoever completed it under this hold was this call, whose answer was lost.
        let before = stands_as(conn, &self.hold, JobState::Completed).await?;
        Ok(if before { LastChunk::Completed } else { LastChunk::Unchanged })
    }

    async fn insert(&self, conn: &impl GenericClient) -> Answer<bool> {
        let (given, worked) = (Given::of(&self.hold, &self.items), millis(self.worked));
        let worked: &(dyn ToSql + Sync) = &worked;
        let parameters: Vec<_> = given.parameters().into_iter().chain([worked]).collect();
        let statement = conn.prepare_cached(INSERT_AND_COMPLETE).await?;
        Ok(conn.execute(&statement, &parameters).await.map_err(raced)? > 0)
    }
}
