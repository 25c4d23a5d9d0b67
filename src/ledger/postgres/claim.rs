//! claim: starts an attempt at a job, or returns why it can't.
//!
//! Usually one statement does it, with or without the first chunk. Otherwise this reads the job,
//! decides, and changes it only if it is still as it was read. If not, it reads it again.

use std::ops::Range;

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::{Row, types::ToSql};

use super::{
    audit, columns::small, control::lock, error::Result, hooks, insert_chunk::race_or_error, pool::Verb,
    read::is_history_removed, redacted::Redacted, summarize::count_batch,
};
use crate::{
    domain::{BatchId, BatchStatus, Caller, Change, Delivery, JobId, JobState},
    ledger::{
        columns::{Columns, key},
        decide::{ClaimDecision, JobSnapshot, NewAuditEntry, missing, missing_after, poisoned, without_row},
        operation, rows,
        types::{Claim, Claimed, FirstChunk, Rules, Work},
    },
};

const CLAIM_NEXT: &str = include_str!("sql/claim_next.sql");
const CLAIM_AND_INSERT: &str = include_str!("sql/claim_and_insert.sql");
const READ_JOB: &str = include_str!("sql/read_job.sql");
const CLAIM: &str = include_str!("sql/claim.sql");
const CLAIM_FIRST: &str = include_str!("sql/claim_first.sql");
const FAIL_POISONED: &str = include_str!("sql/fail_poisoned.sql");
const REVIVE: &str = include_str!("sql/revive.sql");
const REOPEN: &str = include_str!("sql/retry_batch.sql");
const ORDINALS: &str = "SELECT ordinal FROM items WHERE batch = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal";

/// See [`Ledger::claim`](crate::ledger::Ledger::claim).
pub(super) struct ClaimJob {
    pub rules: Rules,
    pub delivery: Delivery,
    /// Names this call. A repetition recognises its own claim by it and counts no crash.
    pub token: i64,
    pub first_chunk: Option<FirstChunk>,
}

impl Verb for ClaimJob {
    type Output = Claimed;
    const OPERATION: &'static str = operation::CLAIM;

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
    /// The usual case: the job is waiting, its batch is pending or running, and it has no items.
    async fn claim_next(&self, conn: &impl GenericClient) -> Result<Option<Work>> {
        let Delivery::Enqueued { task: job, acknowledged } = self.delivery else { return Ok(None) };
        let statement = conn.prepare_cached(CLAIM_NEXT).await?;
        let ((batch, seq), generation) = (self.job_key(), small(job.generation));
        let (acknowledged, too_many) = (i64::from(acknowledged), self.too_many_crashes());
        let parameters: [&(dyn ToSql + Sync); 6] = [&batch, &seq, &generation, &acknowledged, &self.token, &too_many];
        let claimed = conn.query_opt(&statement, &parameters).await?;
        claimed.map(|row| read_work(&row, job, 0)).transpose()
    }

    /// The same case, with the first chunk.
    async fn claim_and_insert(&self, conn: &impl GenericClient, chunk: &FirstChunk) -> Result<Option<Work>> {
        let Delivery::Enqueued { task: job, acknowledged } = self.delivery else { return Ok(None) };
        let statement = conn.prepare_cached(CLAIM_AND_INSERT).await?;
        let ((batch, seq), generation) = (self.job_key(), small(job.generation));
        let (acknowledged, too_many) = (i64::from(acknowledged), self.too_many_crashes());
        let (first, quantity) = (key(chunk.range.start), key(chunk.range.end - chunk.range.start));
        let ordinals: Vec<i64> = chunk.items.iter().map(|item| key(item.ordinal)).collect();
        let codes: Redacted<Vec<&str>> = Redacted(chunk.items.iter().map(|item| item.code.as_str()).collect());
        let (prefix, fingerprint) = (&chunk.prefix, &chunk.key_fingerprint);
        let job_parameters: [&(dyn ToSql + Sync); 6] =
            [&batch, &seq, &generation, &acknowledged, &self.token, &too_many];
        let chunk_parameters: [&(dyn ToSql + Sync); 6] = [&first, &quantity, &ordinals, &codes, prefix, fingerprint];
        let parameters = [job_parameters, chunk_parameters];
        let claimed = conn.query_opt(&statement, parameters.as_flattened()).await.map_err(race_or_error)?;
        claimed.map(|row| read_work(&row, job, chunk.items.len() as u64)).transpose()
    }

    fn too_many_crashes(&self) -> i32 {
        small(self.rules.max_crashes.saturating_add(1))
    }

    /// `None` if the job or its batch changed meanwhile.
    async fn try_once(&self, conn: &mut Client) -> Result<Option<Claimed>> {
        let Some(row) = self.read(&*conn).await? else {
            return Ok(Some(without_row(is_history_removed(conn, self.batch()).await?)));
        };
        let job = rows::job_snapshot(&row)?;
        if self.is_own_claim(&row, &job)? {
            return Ok(Some(Claimed::Work(self.work(conn, job, 0).await?)));
        }
        match job.decide(self.delivery, self.rules.max_crashes) {
            ClaimDecision::Refuse(claimed) => Ok(Some(claimed)),
            ClaimDecision::Revive(_) => self.revive(conn).await.map(|()| None),
            ClaimDecision::Poison { crashes } => self.poison(conn, &job, crashes).await,
            ClaimDecision::Start { crashes } => self.start(conn, job, crashes).await,
        }
    }

    async fn read(&self, conn: &impl GenericClient) -> Result<Option<Row>> {
        let (batch, seq) = self.job_key();
        let query = conn.prepare_cached(READ_JOB).await?;
        Ok(conn.query_opt(&query, &[&batch, &seq]).await?)
    }

    fn batch(&self) -> BatchId {
        self.delivery.batch_and_seq().0
    }

    /// The primary key of the job.
    fn job_key(&self) -> (i64, i64) {
        let (batch, seq) = self.delivery.batch_and_seq();
        (batch.get(), key(seq))
    }

    fn acknowledged(&self) -> Option<i64> {
        self.delivery.acknowledged().map(i64::from)
    }

    fn is_own_claim(&self, row: &Row, job: &JobSnapshot) -> Result<bool> {
        let token: Option<i64> = row.try_get("token")?;
        Ok(token == Some(self.token) && job.state == JobState::Active)
    }

    async fn start(&self, conn: &Client, job: JobSnapshot, crashes: u32) -> Result<Option<Claimed>> {
        let running = job.status.after(Change::Claim)?;
        let first = job.status != BatchStatus::Running;
        let statement = conn.prepare_cached(if first { CLAIM_FIRST } else { CLAIM }).await?;
        let ((batch, seq), acknowledged) = (self.job_key(), self.acknowledged());
        let (generation, epoch) = (small(job.generation), small(job.epoch));
        let (read, now) = (small(job.crashes), small(crashes));
        let (status, state, running) = (job.status.as_str(), job.state.as_str(), running.as_str());
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&batch, &seq, &generation, &epoch, &status, &state, &read, &self.token, &now, &acknowledged];
        parameters.extend(first.then_some(&running as &(dyn ToSql + Sync)));
        if conn.query_opt(&statement, &parameters).await?.is_none() {
            return Ok(None);
        }
        self.work(conn, job, 1).await.map(|work| Some(Claimed::Work(work)))
    }

    /// The attempt, `claimed` epochs after the snapshot.
    async fn work(&self, conn: &Client, job: JobSnapshot, claimed: u32) -> Result<Work> {
        let missing = self.missing_items(conn, &job.range).await?;
        Ok(job.into_work(self.delivery, claimed, missing))
    }

    /// Looks at the rows themselves, so no count can be wrong.
    async fn missing_items(&self, conn: &Client, range: &Range<u64>) -> Result<Vec<Range<u64>>> {
        let query = conn.prepare_cached(ORDINALS).await?;
        let existing = conn.query(&query, &[&self.job_key().0, &key(range.start), &key(range.end)]).await?;
        missing(range, existing.iter().map(|row| row.number("ordinal")))
    }

    /// Sets the job waiting and its batch running or paused, unless another session did so before.
    async fn revive(&self, conn: &mut Client) -> Result<()> {
        let transaction = conn.transaction().await?;
        lock(&transaction, self.batch()).await?;
        let Some(row) = self.read(&transaction).await? else { return Ok(()) };
        let job = rows::job_snapshot(&row)?;
        let decision = job.decide(self.delivery, self.rules.max_crashes);
        let ClaimDecision::Revive(status) = decision else { return Ok(()) };
        let (batch, seq) = self.job_key();
        transaction.execute(&transaction.prepare_cached(REVIVE).await?, &[&batch, &seq]).await?;
        transaction.execute(&transaction.prepare_cached(REOPEN).await?, &[&batch, &status.as_str()]).await?;
        let nobody = Caller::default();
        let entry = NewAuditEntry::of_manual_retry(job.job(self.delivery), &nobody, job.status);
        audit::record(&transaction, &entry).await?;
        count_batch(&transaction, self.batch()).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn poison(&self, conn: &mut Client, job: &JobSnapshot, crashes: u32) -> Result<Option<Claimed>> {
        let failure = poisoned(crashes);
        let transaction = conn.transaction().await?;
        let statement = transaction.prepare_cached(FAIL_POISONED).await?;
        let ((batch, seq), acknowledged) = (self.job_key(), self.acknowledged());
        let (generation, epoch) = (small(job.generation), small(job.epoch));
        let (state, read, now) = (job.state.as_str(), small(job.crashes), small(crashes));
        let group = failure.group();
        let parameters: [&(dyn ToSql + Sync); 10] =
            [&batch, &seq, &generation, &epoch, &state, &read, &now, &failure.reason, &acknowledged, &group];
        if transaction.query_opt(&statement, &parameters).await?.is_none() {
            return Ok(None);
        }
        hooks::record_job_end(&transaction, self.rules, job.job(self.delivery)).await?;
        transaction.commit().await?;
        Ok(Some(Claimed::Poisoned(failure)))
    }
}

/// Reads the attempt that a single statement started, with `inserted` items.
fn read_work(row: &Row, job: JobId, inserted: u64) -> Result<Work> {
    let range = rows::range(row)?;
    Ok(Work {
        claim: Claim { job, epoch: row.small("epoch")? },
        missing: missing_after(&range, inserted),
        inserted,
        crashed: false,
        range,
        attempts_made: row.small("attempts")?,
        jobs_in_batch: row.number("jobs_in_batch")?,
        prefix: row.try_get("prefix")?,
        key_fingerprint: row.try_get("key_fingerprint")?,
        trace: rows::trace(row)?,
    })
}
