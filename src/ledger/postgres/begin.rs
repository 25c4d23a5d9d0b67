//! begin: one attempt at a job, or why there is none.
//!
//! Reads, decides, and then changes what was read only if it still is so; otherwise it reads again.

use std::ops::Range;

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::{
    columns::{key, number, small, small_number, state, status},
    error::Answer,
    hooks,
    pool::Verb,
    read::is_history_removed,
    settle::end_of,
};
use crate::domain::{BatchStatus, Change, JobId, JobState};
use crate::ledger::{
    Begun, Hold, Rules, Settled, Work,
    decide::{Entry, Found, missing, poisoned},
};

const JOB: &str = include_str!("sql/begin_job.sql");
const BEGIN: &str = include_str!("sql/begin.sql");
const BEGIN_FIRST: &str = include_str!("sql/begin_first.sql");
const POISON: &str = include_str!("sql/poison.sql");
const ORDINALS: &str = "SELECT ordinal FROM items WHERE batch = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal";

/// See [`Ledger::begin`](crate::ledger::Ledger::begin).
pub(super) struct Begin {
    pub rules: Rules,
    pub job: JobId,
    /// Of this call alone: by it a repetition knows that the job is begun already, and counts no crash.
    pub token: i64,
}

#[async_trait]
impl Verb for Begin {
    type Answer = Begun;
    const DOING: &'static str = "begin a job";

    async fn run(&self, conn: &mut Client) -> Answer<Begun> {
        loop {
            if let Some(begun) = self.try_once(conn).await? {
                return Ok(begun);
            }
        }
    }
}

impl Begin {
    /// `None` when somebody changed the job or its batch meanwhile.
    async fn try_once(&self, conn: &mut Client) -> Answer<Option<Begun>> {
        let query = conn.prepare_cached(JOB).await?;
        let Some(row) = conn.query_opt(&query, &[&self.job.batch.get(), &key(self.job.seq)]).await? else {
            let forgotten = is_history_removed(conn, self.job.batch).await?;
            return Ok(Some(if forgotten { Begun::Over } else { Begun::Unknown }));
        };
        let found = read_found(&row)?;
        if self.began(&row, &found)? {
            return Ok(Some(Begun::Held(self.work(conn, found, 0).await?)));
        }
        match found.entry(self.job.generation, self.rules.max_crashes) {
            Entry::Unknown => Ok(Some(Begun::Unknown)),
            Entry::Over => Ok(Some(Begun::Over)),
            Entry::Paused => Ok(Some(Begun::Paused)),
            Entry::Poisoned { crashes } => self.poison(conn, &found, crashes).await,
            Entry::Free { crashes } => self.start(conn, found, crashes).await,
        }
    }

    fn began(&self, row: &Row, found: &Found) -> Answer<bool> {
        let token: Option<i64> = row.try_get("token")?;
        Ok(token == Some(self.token) && found.state == JobState::Active)
    }

    async fn start(&self, conn: &Client, found: Found, crashes: u32) -> Answer<Option<Begun>> {
        let running = found.status.after(Change::Begin)?;
        let first = found.status != BatchStatus::Running;
        let statement = conn.prepare_cached(if first { BEGIN_FIRST } else { BEGIN }).await?;
        let (batch, seq) = (self.job.batch.get(), key(self.job.seq));
        let (generation, epoch) = (small(found.generation), small(found.epoch));
        let (read, now) = (small(found.crashes), small(crashes));
        let (status, state, running) = (found.status.as_str(), found.state.as_str(), running.as_str());
        let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
            vec![&batch, &seq, &generation, &epoch, &status, &state, &read, &self.token, &now];
        parameters.extend(first.then_some(&running as &(dyn tokio_postgres::types::ToSql + Sync)));
        if conn.query_opt(&statement, &parameters).await?.is_none() {
            return Ok(None);
        }
        self.work(conn, found, 1).await.map(|work| Some(Begun::Held(work)))
    }

    /// The attempt, `begun` epochs after what was found.
    async fn work(&self, conn: &Client, found: Found, begun: u32) -> Answer<Work> {
        Ok(Work {
            hold: Hold { job: self.job, epoch: found.epoch + begun },
            missing: self.missing_items(conn, &found.range).await?,
            range: found.range,
            attempts_made: found.attempts,
            prefix: found.prefix,
            key_fingerprint: found.key_fingerprint,
        })
    }

    /// Looks at the rows themselves, after the epoch was raised: nobody writes any of them any more.
    async fn missing_items(&self, conn: &Client, range: &Range<u64>) -> Answer<Vec<Range<u64>>> {
        let query = conn.prepare_cached(ORDINALS).await?;
        let there = conn.query(&query, &[&self.job.batch.get(), &key(range.start), &key(range.end)]).await?;
        missing(range, there.iter().map(|row| number(row, "ordinal")))
    }

    async fn poison(&self, conn: &mut Client, found: &Found, crashes: u32) -> Answer<Option<Begun>> {
        let failure = poisoned(crashes);
        let transaction = conn.transaction().await?;
        let statement = transaction.prepare_cached(POISON).await?;
        let (batch, seq) = (self.job.batch.get(), key(self.job.seq));
        let (generation, epoch) = (small(found.generation), small(found.epoch));
        let (state, read, now) = (found.state.as_str(), small(found.crashes), small(crashes));
        let row = transaction
            .query_opt(&statement, &[&batch, &seq, &generation, &epoch, &state, &read, &now, &failure.reason])
            .await?;
        let Some(row) = row else { return Ok(None) };
        hooks::job_over(&transaction, self.rules, self.job).await?;
        let end = end_of(self.job.batch, &row)?;
        transaction.commit().await?;
        Ok(Some(Begun::Poisoned(Settled::Done { end }, failure)))
    }
}

fn read_found(row: &Row) -> Answer<Found> {
    let (first, quantity) = (number(row, "first")?, number(row, "quantity")?);
    Ok(Found {
        generation: small_number(row, "generation")?,
        state: state(row, "state")?,
        epoch: small_number(row, "epoch")?,
        range: first..first + quantity,
        attempts: small_number(row, "attempts")?,
        crashes: small_number(row, "crashes")?,
        status: status(row, "status")?,
        prefix: row.try_get("prefix")?,
        key_fingerprint: row.try_get("key_fingerprint")?,
    })
}
