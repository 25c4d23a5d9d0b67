//! create: a batch and its jobs, all or nothing; or, for a request that came before, the answer of then.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::{Row, types::ToSql};

use super::{
    columns::{batch_id, key, number},
    error::{Answer, unreadable},
    pool::Verb,
    read::read_measured,
};
use crate::domain::{BatchId, CreateRequest, Measured, estimate};
use crate::ledger::{Created, LedgerError, NewBatch};

const EARLIER: &str = include_str!("sql/earlier.sql");
const FORGET: &str = "UPDATE batches SET idempotency_key = NULL, request_fingerprint = NULL WHERE id = $1";
const INSERT: &str = include_str!("sql/create_batch.sql");
const AHEAD: &str = include_str!("sql/ahead.sql");
const MEASURED: &str = include_str!("sql/measured.sql");
const NEXT_ID: &str = "SELECT nextval('batch_ids')";
const TOKEN: &str = "SELECT token FROM batches WHERE id = $1";

/// See [`Ledger::create`](crate::ledger::Ledger::create).
pub(super) struct Create {
    new: NewBatch,
    /// Of this call alone: by it a repetition knows the batch that it made itself.
    token: i64,
    /// The id that this call took from the sequence, so that a repetition takes no other one. 0 when there is none.
    reserved: AtomicI64,
}

#[async_trait]
impl Verb for Create {
    type Answer = Created;
    const DOING: &'static str = "create a batch";

    async fn run(&self, conn: &mut Client) -> Answer<Created> {
        loop {
            if let Some(created) = self.try_once(conn).await? {
                return Ok(created);
            }
        }
    }
}

impl Create {
    pub(super) fn new(new: NewBatch, token: i64) -> Self {
        Self { new, token, reserved: AtomicI64::new(0) }
    }

    /// `None` when somebody else took the id or the key meanwhile.
    async fn try_once(&self, conn: &mut Client) -> Answer<Option<Created>> {
        let forgotten = match self.earlier(conn).await? {
            Earlier::Answer(created) => return Ok(Some(created)),
            Earlier::Forgotten(batch) => Some(batch),
            Earlier::None => None,
        };
        let created = self.planned(conn).await?;
        let transaction = conn.transaction().await?;
        if let Some(batch) = forgotten {
            transaction.execute(&transaction.prepare_cached(FORGET).await?, &[&batch.get()]).await?;
        }
        if self.insert(&transaction, &created).await? {
            transaction.commit().await?;
            return Ok(Some(created));
        }
        transaction.rollback().await?;
        self.taken(conn, created).await
    }

    /// What the same request was answered before. A key that has outlived its request is free again.
    async fn earlier(&self, conn: &Client) -> Answer<Earlier> {
        let Some(request) = &self.new.request else { return Ok(Earlier::None) };
        let query = conn.prepare_cached(EARLIER).await?;
        match conn.query_opt(&query, &[&request.caller, &request.key.as_str()]).await? {
            Some(row) => self.read_earlier(&row, request),
            None => Ok(Earlier::None),
        }
    }

    fn read_earlier(&self, row: &Row, request: &CreateRequest) -> Answer<Earlier> {
        let batch = batch_id(row, "id")?;
        // A clock that was set back makes it as if it were new.
        let age = u64::try_from(row.try_get::<_, i64>("age_ms")?).unwrap_or_default();
        if Duration::from_millis(age) >= request.remembered {
            return Ok(Earlier::Forgotten(batch));
        }
        if row.try_get::<_, &str>("request_fingerprint")? != request.fingerprint {
            return Err(LedgerError::KeyReused(batch).into());
        }
        Ok(Earlier::Answer(Created {
            batch,
            quantity: number(row, "quantity")?,
            jobs: number(row, "jobs")?,
            estimated: Duration::from_millis(number(row, "estimated_ms")?),
            repeated: row.try_get::<_, i64>("token")? != self.token,
        }))
    }

    async fn planned(&self, conn: &Client) -> Answer<Created> {
        let (quantity, jobs) = (self.new.plan.quantity(), self.new.plan.jobs());
        let estimated = estimate(jobs, quantity, ahead(conn, jobs).await?, &self.new.pace, measured(conn).await?);
        Ok(Created { batch: self.id(conn).await?, quantity, jobs, estimated, repeated: false })
    }

    async fn id(&self, conn: &Client) -> Answer<BatchId> {
        if let Some(id) = self.new.id {
            return Ok(id);
        }
        if self.reserved.load(Ordering::Relaxed) == 0 {
            let next = conn.query_one(&conn.prepare_cached(NEXT_ID).await?, &[]).await?;
            self.reserved.store(next.try_get(0)?, Ordering::Relaxed);
        }
        BatchId::new(self.reserved.load(Ordering::Relaxed)).map_err(unreadable)
    }

    async fn insert(&self, conn: &impl GenericClient, created: &Created) -> Answer<bool> {
        let (options, request) = (&self.new.options, self.new.request.as_ref());
        let jobs: Vec<_> = self.new.plan.slices().collect();
        let [mut seqs, mut firsts, mut quantities] = [(); 3].map(|()| Vec::with_capacity(jobs.len()));
        for job in jobs {
            seqs.push(key(job.seq));
            firsts.push(key(job.first));
            quantities.push(key(job.quantity));
        }
        let (id, quantity, batch_size) = (created.batch.get(), key(created.quantity), key(options.batch_size));
        let (max_jobs, estimated) = (options.max_jobs_per_batch.map(key), key(created.estimated.as_millis() as u64));
        let caller = request.map_or("", |request| &request.caller);
        let (word, asked) = (request.map(|request| request.key.as_str()), request.map(|request| &request.fingerprint));
        let parameters: [&(dyn ToSql + Sync); 14] = [
            &id,
            &quantity,
            &batch_size,
            &options.qr_code_prefix,
            &max_jobs,
            &self.new.key_fingerprint,
            &self.token,
            &estimated,
            &caller,
            &word,
            &asked,
            &seqs,
            &firsts,
            &quantities,
        ];
        Ok(conn.query_one(&conn.prepare_cached(INSERT).await?, &parameters).await?.try_get("made")?)
    }

    /// The id or the key is in use.
    async fn taken(&self, conn: &Client, created: Created) -> Answer<Option<Created>> {
        let found = conn.query_opt(&conn.prepare_cached(TOKEN).await?, &[&created.batch.get()]).await?;
        let by: Option<i64> = found.map(|row| row.try_get("token")).transpose()?;
        if by == Some(self.token) {
            return Ok(Some(created));
        }
        if by.is_some() {
            self.reserved.store(0, Ordering::Relaxed);
        }
        match (self.earlier(conn).await?, self.new.id) {
            (Earlier::Answer(created), _) => Ok(Some(created)),
            (_, Some(id)) if by.is_some() => Err(LedgerError::Taken(id).into()),
            _ => Ok(None),
        }
    }
}

/// What is known of a request.
enum Earlier {
    /// Nothing.
    None,
    /// It made this batch, too long ago to count.
    Forgotten(BatchId),
    /// It was answered so.
    Answer(Created),
}

async fn ahead(conn: &Client, jobs: u64) -> Answer<u64> {
    number(&conn.query_one(&conn.prepare_cached(AHEAD).await?, &[&key(jobs)]).await?, "ahead")
}

async fn measured(conn: &Client) -> Answer<Measured> {
    let last = conn.query_opt(&conn.prepare_cached(MEASURED).await?, &[]).await?;
    last.as_ref().map_or(Ok(Measured::default()), read_measured)
}
