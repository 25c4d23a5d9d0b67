//! create: a batch and its jobs, all or nothing; or, for a request that came before, the answer of
//! then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::{Row, types::ToSql};

use super::{
    columns::{batch_id, key, number},
    error::{Result, unreadable},
    finish_attempt::millis,
    pool::{Lane, Verb},
    redacted::Redacted,
};
use crate::domain::{BatchId, CreateRequest, Plan};
use crate::ledger::{Created, LedgerError, NewBatch};

const EARLIER: &str = include_str!("sql/find_request.sql");
const FORGET: &str = "UPDATE batches SET idempotency_key = NULL, request_fingerprint = NULL WHERE id = $1";
const TOKEN: &str = "SELECT token FROM batches WHERE id = $1";

/// What a batch is made with. The statements name the ledger's schema, since they run on
/// connections of the host's as well.
pub(super) struct Statements {
    insert: String,
    next_id: String,
}

impl Statements {
    pub(super) fn of(schema: &str) -> Self {
        let named = |sql: &str| sql.replace("{schema}", schema);
        Self {
            insert: named(include_str!("sql/create_batch.sql")),
            next_id: named("SELECT nextval('{schema}.batch_ids')"),
        }
    }
}

/// Where a batch is made: on a connection of ours, which keeps its statements, or in a transaction
/// of the host's.
#[async_trait]
pub(super) trait Session: Sync {
    /// The first row of the answer.
    async fn first(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>>;

    /// The row of a statement that always answers one.
    async fn one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        self.first(sql, parameters).await?.ok_or_else(|| unreadable("there is no row"))
    }
}

#[async_trait]
impl<C: GenericClient> Session for C {
    async fn first(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        Ok(self.query_opt(&self.prepare_cached(sql).await?, parameters).await?)
    }
}

/// See [`Ledger::create`](crate::ledger::Ledger::create).
pub(super) struct Create {
    statements: Arc<Statements>,
    new: NewBatch,
    /// Of this call alone: by it a repetition knows the batch that it made itself.
    token: i64,
    /// The id that this call took from the sequence, so that a repetition takes no other one. 0
    /// when there is none.
    reserved: AtomicI64,
}

#[async_trait]
impl Verb for Create {
    type Output = Created;
    const OPERATION: &'static str = "create a batch";
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Created> {
        loop {
            if let Some(created) = self.try_once(conn).await? {
                return Ok(created);
            }
        }
    }
}

impl Create {
    pub(super) fn new(statements: Arc<Statements>, new: NewBatch, token: i64) -> Self {
        Self { statements, new, token, reserved: AtomicI64::new(0) }
    }

    /// Makes the batch in a transaction of somebody else's, where nobody repeats anything. An id in
    /// use leaves the transaction as it was.
    pub(super) async fn within(&self, session: &impl Session) -> Result<Created> {
        loop {
            let created = self.planned(session).await?;
            if self.insert(session, &created).await? {
                return Ok(created);
            }
            if let Some(id) = self.new.id {
                return Err(LedgerError::Taken(id).into());
            }
            self.reserved.store(0, Ordering::Relaxed);
        }
    }

    /// `None` when somebody else took the id or the key meanwhile.
    async fn try_once(&self, conn: &mut Client) -> Result<Option<Created>> {
        let pruned = match self.earlier(conn).await? {
            Earlier::Repeated(created) => return Ok(Some(created)),
            Earlier::Pruned(batch) => Some(batch),
            Earlier::None => None,
        };
        let created = self.planned(conn).await?;
        let transaction = conn.transaction().await?;
        if let Some(batch) = pruned {
            transaction.execute(&transaction.prepare_cached(FORGET).await?, &[&batch.get()]).await?;
        }
        if self.insert(&transaction, &created).await? {
            transaction.commit().await?;
            return Ok(Some(created));
        }
        transaction.rollback().await?;
        self.taken(conn, created).await
    }

    /// What the same request was answered before. A key that has outlived its request is free
    /// again.
    async fn earlier(&self, conn: &Client) -> Result<Earlier> {
        let Some(request) = &self.new.request else { return Ok(Earlier::None) };
        let query = conn.prepare_cached(EARLIER).await?;
        match conn.query_opt(&query, &[&request.caller, &Redacted(request.key.as_str())]).await? {
            Some(row) => self.read_earlier(&row, request),
            None => Ok(Earlier::None),
        }
    }

    fn read_earlier(&self, row: &Row, request: &CreateRequest) -> Result<Earlier> {
        let batch = batch_id(row, "id")?;
        // A clock that was set back makes it as if it were new.
        let age = u64::try_from(row.try_get::<_, i64>("age_ms")?).unwrap_or_default();
        if Duration::from_millis(age) >= request.remembered {
            return Ok(Earlier::Pruned(batch));
        }
        if row.try_get::<_, &str>("request_fingerprint")? != request.fingerprint {
            return Err(LedgerError::KeyReused(batch).into());
        }
        Ok(Earlier::Repeated(Created {
            batch,
            quantity: number(row, "quantity")?,
            jobs: number(row, "jobs")?,
            estimated: Duration::from_millis(number(row, "estimated_ms")?),
            repeated: row.try_get::<_, i64>("token")? != self.token,
        }))
    }

    async fn planned(&self, session: &impl Session) -> Result<Created> {
        let (quantity, jobs, estimated) = (self.new.plan.quantity(), self.new.plan.jobs(), self.new.estimated);
        Ok(Created { batch: self.id(session).await?, quantity, jobs, estimated, repeated: false })
    }

    async fn id(&self, session: &impl Session) -> Result<BatchId> {
        if let Some(id) = self.new.id {
            return Ok(id);
        }
        if self.reserved.load(Ordering::Relaxed) == 0 {
            let next = session.one(&self.statements.next_id, &[]).await?;
            self.reserved.store(next.try_get(0)?, Ordering::Relaxed);
        }
        BatchId::new(self.reserved.load(Ordering::Relaxed)).map_err(unreadable)
    }

    async fn insert(&self, session: &impl Session, created: &Created) -> Result<bool> {
        let (options, request) = (&self.new.options, self.new.request.as_ref());
        let [seqs, firsts, quantities] = columns(&self.new.plan);
        let (id, quantity, batch_size) = (created.batch.get(), key(created.quantity), key(options.batch_size));
        let (max_jobs, estimated) = (options.max_jobs_per_batch.map(key), millis(created.estimated));
        let caller = request.map_or("", |request| &request.caller);
        let (word, asked) =
            (Redacted(request.map(|request| request.key.as_str())), request.map(|request| &request.fingerprint));
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
        Ok(session.one(&self.statements.insert, &parameters).await?.try_get("created")?)
    }

    /// The id or the key is in use.
    async fn taken(&self, conn: &Client, created: Created) -> Result<Option<Created>> {
        let found = conn.query_opt(&conn.prepare_cached(TOKEN).await?, &[&created.batch.get()]).await?;
        let by: Option<i64> = found.map(|row| row.try_get("token")).transpose()?;
        if by == Some(self.token) {
            return Ok(Some(created));
        }
        if by.is_some() {
            self.reserved.store(0, Ordering::Relaxed);
        }
        match (self.earlier(conn).await?, self.new.id) {
            (Earlier::Repeated(created), _) => Ok(Some(created)),
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
    Pruned(BatchId),
    /// It was answered so.
    Repeated(Created),
}

/// The jobs of a plan: their numbers, their first ordinals, their quantities.
pub(super) fn columns(plan: &Plan) -> [Vec<i64>; 3] {
    let mut columns = [(); 3].map(|()| Vec::with_capacity(plan.jobs() as usize));
    for job in plan.slices() {
        for (column, value) in columns.iter_mut().zip([job.seq, job.first, job.quantity]) {
            column.push(key(value));
        }
    }
    columns
}
