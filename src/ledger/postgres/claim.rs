//! begin: one attempt at a job, or why there is none.
//!
//! Mostly one statement does it, with the first chunk or without. Otherwise it reads, decides, and
//! then changes what was read only if it still is so; if not, it reads again.

use std::ops::Range;

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::{Row, types::ToSql};

use super::{
    columns::{key, number, small, small_number, state, status},
    control::lock,
    error::Result,
    hooks,
    insert_chunk::raced,
    pool::Verb,
    read::is_history_removed,
    redacted::Redacted,
    summarize::count_anew,
};
use crate::domain::{BatchStatus, Change, Delivery, JobId, JobState};
use crate::ledger::{
    Claim, Claimed, FirstChunk, Rules, Work,
    decide::{Entry, Found, missing, poisoned},
};

const CLAIM_NEXT: &str = include_str!("sql/claim_next.sql");
const CLAIM_AND_INSERT: &str = include_str!("sql/claim_and_insert.sql");
const JOB: &str = include_str!("sql/read_job.sql");
const BEGIN: &str = include_str!("sql/claim.sql");
const CLAIM_FIRST: &str = include_str!("sql/claim_first.sql");
const POISON: &str = include_str!("sql/fail_poisoned.sql");
const REVIVE: &str = include_str!("sql/revive.sql");
const REOPEN: &str = include_str!("sql/retry_batch.sql");
const ORDINALS: &str = "SELECT ordinal FROM items WHERE batch = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal";

/// See [`Ledger::claim`](crate::ledger::Ledger::claim).
pub(super) struct ClaimJob {
    pub rules: Rules,
    pub delivery: Delivery,
    /// Of this call alone: by it a repetition knows that the job is begun already, and counts no
    /// crash.
    pub token: i64,
    pub first_chunk: Option<FirstChunk>,
}

#[async_trait]
impl Verb for ClaimJob {
    type Output = Claimed;
    const OPERATION: &'static str = "begin a job";

    async fn run(&self, conn: &mut Client) -> Result<Claimed> {
        let claimed = match &self.first_chunk {
            Some(chunk) => self.claim_and_insert(&*conn, chunk).await?,
            None => self.claim_next(&*conn).await?,
        };
        if let Some(work) = claimed {
            return Ok(Claimed::Work(work));
        }
        loop {
            if let Some(claimed) = self.try_once(conn).await? {
                return Ok(claimed);
            }
        }
    }
}

impl ClaimJob {
    /// As it mostly goes: the job waits in a batch that runs, and nothing of it was ever written.
    async fn claim_next(&self, conn: &impl GenericClient) -> Result<Option<Work>> {
        let Delivery::Enqueued { task: job, acknowledged } = self.delivery else { return Ok(None) };
        let statement = conn.prepare_cached(CLAIM_NEXT).await?;
        let ((batch, seq), generation) = (self.place(), small(job.generation));
        let (acknowledged, too_many) = (i64::from(acknowledged), self.too_many_crashes());
        let parameters: [&(dyn ToSql + Sync); 6] = [&batch, &seq, &generation, &acknowledged, &self.token, &too_many];
        let claimed = conn.query_opt(&statement, &parameters).await?;
        claimed.map(|row| read_work(&row, job, 0)).transpose()
    }

    /// The same, with the first chunk.
    async fn claim_and_insert(&self, conn: &impl GenericClient, chunk: &FirstChunk) -> Result<Option<Work>> {
        let Delivery::Enqueued { task: job, acknowledged } = self.delivery else { return Ok(None) };
        let statement = conn.prepare_cached(CLAIM_AND_INSERT).await?;
        let ((batch, seq), generation) = (self.place(), small(job.generation));
        let (acknowledged, too_many) = (i64::from(acknowledged), self.too_many_crashes());
        let (first, quantity) = (key(chunk.range.start), key(chunk.range.end - chunk.range.start));
        let ordinals: Vec<i64> = chunk.items.iter().map(|item| key(item.ordinal)).collect();
        let codes: Redacted<Vec<&str>> = Redacted(chunk.items.iter().map(|item| item.code.as_str()).collect());
        let (prefix, key_fingerprint) = (&chunk.prefix, &chunk.key_fingerprint);
        let parameters: [&(dyn ToSql + Sync); 12] = [
            &batch,
            &seq,
            &generation,
            &acknowledged,
            &self.token,
            &too_many,
            &first,
            &quantity,
            &ordinals,
            &codes,
            prefix,
            key_fingerprint,
        ];
        let claimed = conn.query_opt(&statement, &parameters).await.map_err(raced)?;
        claimed.map(|row| read_work(&row, job, chunk.items.len() as u64)).transpose()
    }

    fn too_many_crashes(&self) -> i32 {
        small(self.rules.max_crashes.saturating_add(1))
    }

    /// `None` when somebody changed the job or its batch meanwhile.
    async fn try_once(&self, conn: &mut Client) -> Result<Option<Claimed>> {
        let Some(row) = self.read(&*conn).await? else {
            let pruned = is_history_removed(conn, self.delivery.batch_and_seq().0).await?;
            return Ok(Some(if pruned { Claimed::NothingToDo } else { Claimed::Unknown }));
        };
        let found = read_found(&row)?;
        if self.began(&row, &found)? {
            return Ok(Some(Claimed::Work(self.work(conn, found, 0).await?)));
        }
        match found.entry(self.delivery, self.rules.max_crashes) {
            Entry::Unknown => Ok(Some(Claimed::Unknown)),
            Entry::Over => Ok(Some(Claimed::NothingToDo)),
            Entry::Failed => Ok(Some(Claimed::Failed(found.reason()))),
            Entry::Busy => Ok(Some(Claimed::Busy)),
            Entry::Paused => Ok(Some(Claimed::Paused)),
            Entry::Revived(_) => self.revive(conn).await.map(|()| None),
            Entry::Poisoned { crashes } => self.poison(conn, &found, crashes).await,
            Entry::Free { crashes } => self.start(conn, found, crashes).await,
        }
    }

    async fn read(&self, conn: &impl GenericClient) -> Result<Option<Row>> {
        let (batch, seq) = self.place();
        let query = conn.prepare_cached(JOB).await?;
        Ok(conn.query_opt(&query, &[&batch, &seq]).await?)
    }

    /// The key of the job's row.
    fn place(&self) -> (i64, i64) {
        let (batch, seq) = self.delivery.batch_and_seq();
        (batch.get(), key(seq))
    }

    fn acknowledged(&self) -> Option<i64> {
        self.delivery.acknowledged().map(i64::from)
    }

    fn began(&self, row: &Row, found: &Found) -> Result<bool> {
        let token: Option<i64> = row.try_get("token")?;
        Ok(token == Some(self.token) && found.state == JobState::Active)
    }

    async fn start(&self, conn: &Client, found: Found, crashes: u32) -> Result<Option<Claimed>> {
        let running = found.status.after(Change::Claim)?;
        let first = found.status != BatchStatus::Running;
        let statement = conn.prepare_cached(if first { CLAIM_FIRST } else { BEGIN }).await?;
        let ((batch, seq), acknowledged) = (self.place(), self.acknowledged());
        let (generation, epoch) = (small(found.generation), small(found.epoch));
        let (read, now) = (small(found.crashes), small(crashes));
        let (status, state, running) = (found.status.as_str(), found.state.as_str(), running.as_str());
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&batch, &seq, &generation, &epoch, &status, &state, &read, &self.token, &now, &acknowledged];
        parameters.extend(first.then_some(&running as &(dyn ToSql + Sync)));
        if conn.query_opt(&statement, &parameters).await?.is_none() {
            return Ok(None);
        }
        self.work(conn, found, 1).await.map(|work| Some(Claimed::Work(work)))
    }

    /// The attempt, `claimed` epochs after what was found.
    async fn work(&self, conn: &Client, found: Found, claimed: u32) -> Result<Work> {
        Ok(Work {
            claim: Claim { job: found.job(self.delivery), epoch: found.epoch + claimed },
            missing: self.missing_items(conn, &found.range).await?,
            written: 0,
            range: found.range,
            attempts_made: found.attempts,
            prefix: found.prefix,
            key_fingerprint: found.key_fingerprint,
        })
    }

    /// Looks at the rows themselves, after the epoch was raised: nobody writes any of them any
    /// more.
    async fn missing_items(&self, conn: &Client, range: &Range<u64>) -> Result<Vec<Range<u64>>> {
        let query = conn.prepare_cached(ORDINALS).await?;
        let there = conn.query(&query, &[&self.place().0, &key(range.start), &key(range.end)]).await?;
        missing(range, there.iter().map(|row| number(row, "ordinal")))
    }

    /// From here on it is a waiting job of a batch that runs, or is paused. Whoever came first did
    /// it already.
    async fn revive(&self, conn: &mut Client) -> Result<()> {
        let transaction = conn.transaction().await?;
        lock(&transaction, self.delivery.batch_and_seq().0).await?;
        let Some(row) = self.read(&transaction).await? else { return Ok(()) };
        let Entry::Revived(status) = read_found(&row)?.entry(self.delivery, self.rules.max_crashes) else {
            return Ok(());
        };
        let (batch, seq) = self.place();
        transaction.execute(&transaction.prepare_cached(REVIVE).await?, &[&batch, &seq]).await?;
        transaction.execute(&transaction.prepare_cached(REOPEN).await?, &[&batch, &status.as_str()]).await?;
        count_anew(&transaction, self.delivery.batch_and_seq().0).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn poison(&self, conn: &mut Client, found: &Found, crashes: u32) -> Result<Option<Claimed>> {
        let failure = poisoned(crashes);
        let transaction = conn.transaction().await?;
        let statement = transaction.prepare_cached(POISON).await?;
        let ((batch, seq), acknowledged) = (self.place(), self.acknowledged());
        let (generation, epoch) = (small(found.generation), small(found.epoch));
        let (state, read, now) = (found.state.as_str(), small(found.crashes), small(crashes));
        let parameters: [&(dyn ToSql + Sync); 9] =
            [&batch, &seq, &generation, &epoch, &state, &read, &now, &failure.reason, &acknowledged];
        if transaction.query_opt(&statement, &parameters).await?.is_none() {
            return Ok(None);
        }
        hooks::job_over(&transaction, self.rules, found.job(self.delivery)).await?;
        transaction.commit().await?;
        Ok(Some(Claimed::Poisoned(failure)))
    }
}

/// An attempt that one statement began, `written` of whose items that statement wrote.
fn read_work(row: &Row, job: JobId, written: u64) -> Result<Work> {
    let (first, quantity) = (number(row, "first")?, number(row, "quantity")?);
    let range = first..first + quantity;
    let missing = first + written..range.end;
    Ok(Work {
        claim: Claim { job, epoch: small_number(row, "epoch")? },
        missing: if missing.is_empty() { Vec::new() } else { vec![missing] },
        written,
        range,
        attempts_made: small_number(row, "attempts")?,
        prefix: row.try_get("prefix")?,
        key_fingerprint: row.try_get("key_fingerprint")?,
    })
}

fn read_found(row: &Row) -> Result<Found> {
    let (first, quantity) = (number(row, "first")?, number(row, "quantity")?);
    let acknowledged: Option<i64> = row.try_get("acknowledged")?;
    Ok(Found {
        generation: small_number(row, "generation")?,
        state: state(row, "state")?,
        epoch: small_number(row, "epoch")?,
        range: first..first + quantity,
        attempts: small_number(row, "attempts")?,
        crashes: small_number(row, "crashes")?,
        acknowledged: acknowledged.map(|ends| u32::try_from(ends).unwrap_or(u32::MAX)),
        error: row.try_get("error")?,
        status: status(row, "status")?,
        history_removed: row.try_get("history_removed")?,
        prefix: row.try_get("prefix")?,
        key_fingerprint: row.try_get("key_fingerprint")?,
    })
}
