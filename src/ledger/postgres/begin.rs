//! begin: one attempt at a job, or why there is none.
//!
//! Mostly one statement does it, with the first chunk or without. Otherwise it reads, decides, and then changes what was read only if it still
//! is so; if not, it reads again.

use std::ops::Range;

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::{Row, types::ToSql};

use super::{
    columns::{key, number, small, small_number, state, status},
    error::Answer,
    hooks,
    pool::Verb,
    read::is_history_removed,
    redacted::Redacted,
    steer::lock,
    summarize::count_anew,
    write::raced,
};
use crate::domain::{BatchStatus, Call, Change, JobId, JobState};
use crate::ledger::{
    Begun, FirstChunk, Hold, Rules, Work,
    decide::{Entry, Found, missing, poisoned},
};

const BEGIN_NEXT: &str = include_str!("sql/begin_next.sql");
const CLAIM_AND_INSERT: &str = include_str!("sql/claim_and_insert.sql");
const JOB: &str = include_str!("sql/begin_job.sql");
const BEGIN: &str = include_str!("sql/begin.sql");
const BEGIN_FIRST: &str = include_str!("sql/begin_first.sql");
const POISON: &str = include_str!("sql/poison.sql");
const REVIVE: &str = include_str!("sql/revive.sql");
const REOPEN: &str = include_str!("sql/retry_batch.sql");
const ORDINALS: &str = "SELECT ordinal FROM items WHERE batch = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal";

/// See [`Ledger::begin`](crate::ledger::Ledger::begin).
pub(super) struct Begin {
    pub rules: Rules,
    pub call: Call,
    /// Of this call alone: by it a repetition knows that the job is begun already, and counts no crash.
    pub token: i64,
    pub first_chunk: Option<FirstChunk>,
}

#[async_trait]
impl Verb for Begin {
    type Answer = Begun;
    const DOING: &'static str = "begin a job";

    async fn run(&self, conn: &mut Client) -> Answer<Begun> {
        let begun = match &self.first_chunk {
            Some(chunk) => self.claim_and_insert(&*conn, chunk).await?,
            None => self.begin_next(&*conn).await?,
        };
        if let Some(work) = begun {
            return Ok(Begun::Held(work));
        }
        loop {
            if let Some(begun) = self.try_once(conn).await? {
                return Ok(begun);
            }
        }
    }
}

impl Begin {
    /// As it mostly goes: the job waits in a batch that runs, and nothing of it was ever written.
    async fn begin_next(&self, conn: &impl GenericClient) -> Answer<Option<Work>> {
        let Call::Offered { job, acknowledged } = self.call else { return Ok(None) };
        let statement = conn.prepare_cached(BEGIN_NEXT).await?;
        let ((batch, seq), generation) = (self.place(), small(job.generation));
        let (acknowledged, too_many) = (i64::from(acknowledged), self.too_many_crashes());
        let parameters: [&(dyn ToSql + Sync); 6] = [&batch, &seq, &generation, &acknowledged, &self.token, &too_many];
        let begun = conn.query_opt(&statement, &parameters).await?;
        begun.map(|row| read_work(&row, job, 0)).transpose()
    }

    /// The same, with the first chunk.
    async fn claim_and_insert(&self, conn: &impl GenericClient, chunk: &FirstChunk) -> Answer<Option<Work>> {
        let Call::Offered { job, acknowledged } = self.call else { return Ok(None) };
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
        let begun = conn.query_opt(&statement, &parameters).await.map_err(raced)?;
        begun.map(|row| read_work(&row, job, chunk.items.len() as u64)).transpose()
    }

    fn too_many_crashes(&self) -> i32 {
        small(self.rules.max_crashes.saturating_add(1))
    }

    /// `None` when somebody changed the job or its batch meanwhile.
    async fn try_once(&self, conn: &mut Client) -> Answer<Option<Begun>> {
        let Some(row) = self.read(&*conn).await? else {
            let forgotten = is_history_removed(conn, self.call.place().0).await?;
            return Ok(Some(if forgotten { Begun::Over } else { Begun::Unknown }));
        };
        let found = read_found(&row)?;
        if self.began(&row, &found)? {
            return Ok(Some(Begun::Held(self.work(conn, found, 0).await?)));
        }
        match found.entry(self.call, self.rules.max_crashes) {
            Entry::Unknown => Ok(Some(Begun::Unknown)),
            Entry::Over => Ok(Some(Begun::Over)),
            Entry::Failed => Ok(Some(Begun::Failed(found.reason()))),
            Entry::Busy => Ok(Some(Begun::Busy)),
            Entry::Paused => Ok(Some(Begun::Paused)),
            Entry::Revived(_) => self.revive(conn).await.map(|()| None),
            Entry::Poisoned { crashes } => self.poison(conn, &found, crashes).await,
            Entry::Free { crashes } => self.start(conn, found, crashes).await,
        }
    }

    async fn read(&self, conn: &impl GenericClient) -> Answer<Option<Row>> {
        let (batch, seq) = self.place();
        let query = conn.prepare_cached(JOB).await?;
        Ok(conn.query_opt(&query, &[&batch, &seq]).await?)
    }

    /// The key of the job's row.
    fn place(&self) -> (i64, i64) {
        let (batch, seq) = self.call.place();
        (batch.get(), key(seq))
    }

    fn acknowledged(&self) -> Option<i64> {
        self.call.acknowledged().map(i64::from)
    }

    fn began(&self, row: &Row, found: &Found) -> Answer<bool> {
        let token: Option<i64> = row.try_get("token")?;
        Ok(token == Some(self.token) && found.state == JobState::Active)
    }

    async fn start(&self, conn: &Client, found: Found, crashes: u32) -> Answer<Option<Begun>> {
        let running = found.status.after(Change::Begin)?;
        let first = found.status != BatchStatus::Running;
        let statement = conn.prepare_cached(if first { BEGIN_FIRST } else { BEGIN }).await?;
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
        self.work(conn, found, 1).await.map(|work| Some(Begun::Held(work)))
    }

    /// The attempt, `begun` epochs after what was found.
    async fn work(&self, conn: &Client, found: Found, begun: u32) -> Answer<Work> {
        Ok(Work {
            hold: Hold { job: found.job(self.call), epoch: found.epoch + begun },
            missing: self.missing_items(conn, &found.range).await?,
            written: 0,
            range: found.range,
            attempts_made: found.attempts,
            prefix: found.prefix,
            key_fingerprint: found.key_fingerprint,
        })
    }

    /// Looks at the rows themselves, after the epoch was raised: nobody writes any of them any more.
    async fn missing_items(&self, conn: &Client, range: &Range<u64>) -> Answer<Vec<Range<u64>>> {
        let query = conn.prepare_cached(ORDINALS).await?;
        let there = conn.query(&query, &[&self.place().0, &key(range.start), &key(range.end)]).await?;
        missing(range, there.iter().map(|row| number(row, "ordinal")))
    }

    /// From here on it is a waiting job of a batch that runs, or is paused. Whoever came first did it already.
    async fn revive(&self, conn: &mut Client) -> Answer<()> {
        let transaction = conn.transaction().await?;
        lock(&transaction, self.call.place().0).await?;
        let Some(row) = self.read(&transaction).await? else { return Ok(()) };
        let Entry::Revived(status) = read_found(&row)?.entry(self.call, self.rules.max_crashes) else { return Ok(()) };
        let (batch, seq) = self.place();
        transaction.execute(&transaction.prepare_cached(REVIVE).await?, &[&batch, &seq]).await?;
        transaction.execute(&transaction.prepare_cached(REOPEN).await?, &[&batch, &status.as_str()]).await?;
        count_anew(&transaction, self.call.place().0).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn poison(&self, conn: &mut Client, found: &Found, crashes: u32) -> Answer<Option<Begun>> {
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
        hooks::job_over(&transaction, self.rules, found.job(self.call)).await?;
        transaction.commit().await?;
        Ok(Some(Begun::Poisoned(failure)))
    }
}

/// An attempt that one statement began, `written` of whose items that statement wrote.
fn read_work(row: &Row, job: JobId, written: u64) -> Answer<Work> {
    let (first, quantity) = (number(row, "first")?, number(row, "quantity")?);
    let range = first..first + quantity;
    let missing = first + written..range.end;
    Ok(Work {
        hold: Hold { job, epoch: small_number(row, "epoch")? },
        missing: if missing.is_empty() { Vec::new() } else { vec![missing] },
        written,
        range,
        attempts_made: small_number(row, "attempts")?,
        prefix: row.try_get("prefix")?,
        key_fingerprint: row.try_get("key_fingerprint")?,
    })
}

fn read_found(row: &Row) -> Answer<Found> {
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
