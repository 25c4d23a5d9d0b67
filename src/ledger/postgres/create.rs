//! create: inserts a batch and its jobs, or returns the result of an earlier request.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::{Row, types::ToSql};

use super::{
    error::{Result, unreadable},
    pool::{Lane, Verb},
    redacted::Redacted,
};
use crate::{
    domain::{BatchId, Plan, TraceParent},
    ledger::{
        columns::{Columns, key, millis},
        decide::{NewAuditEntry, Recall},
        error::LedgerError,
        operation, rows,
        types::{Created, NewBatch},
    },
};

const FIND_REQUEST: &str = include_str!("sql/find_request.sql");
const RELEASE_KEY: &str = "UPDATE batches SET idempotency_key = NULL, request_fingerprint = NULL WHERE id = $1";
const TOKEN: &str = "SELECT token FROM batches WHERE id = $1";

/// The statements that create a batch. They name the ledger's schema, because they also run on
/// connections of the host.
pub(super) struct Statements {
    insert: String,
    next_id: String,
}

impl Statements {
    pub(super) fn of(schema: &str) -> Self {
        let qualified = |sql: &str| sql.replace("{schema}", schema);
        Self {
            insert: qualified(include_str!("sql/create_batch.sql")),
            next_id: qualified("SELECT nextval('{schema}.batch_ids')"),
        }
    }
}

/// Where a batch is created: on the ledger's own connection, which caches statements, or in a
/// transaction of the host.
pub(super) trait Session: Sync {
    /// Returns the first row, if any.
    fn first(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> impl Future<Output = Result<Option<Row>>> + Send;

    /// Returns the row of a statement that always returns one.
    fn one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> impl Future<Output = Result<Row>> + Send {
        async move { self.first(sql, parameters).await?.ok_or_else(|| unreadable("the statement returned no row")) }
    }
}

impl<C: GenericClient> Session for C {
    async fn first(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        Ok(self.query_opt(&self.prepare_cached(sql).await?, parameters).await?)
    }
}

/// See [`Ledger::create`](crate::ledger::Ledger::create).
pub(super) struct Create {
    statements: Arc<Statements>,
    new: NewBatch,
    /// Names this call. A repetition recognises its own batch by it.
    token: i64,
    /// The id that this call took from the sequence, for repetitions. 0 if none.
    reserved: AtomicI64,
}

impl Verb for Create {
    type Output = Created;
    const OPERATION: &'static str = operation::CREATE;
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

    /// Creates the batch in a transaction of the host, without repetitions. If the id is in use,
    /// the transaction is unchanged.
    pub(super) async fn create_in(&self, session: &impl Session) -> Result<Created> {
        loop {
            let created = self.next_created(session).await?;
            if self.insert(session, &created).await? {
                return Ok(created);
            }
            if let Some(id) = self.new.id {
                return Err(LedgerError::IdInUse(id).into());
            }
            self.reserved.store(0, Ordering::Relaxed);
        }
    }

    /// `None` if another session used the id or the key meanwhile.
    async fn try_once(&self, conn: &mut Client) -> Result<Option<Created>> {
        let expired = match self.recall(conn).await? {
            Some(Recall::Repeated(created)) => return Ok(Some(created)),
            Some(Recall::Expired(batch)) => Some(batch),
            None => None,
        };
        let created = self.next_created(conn).await?;
        let transaction = conn.transaction().await?;
        if let Some(batch) = expired {
            transaction.execute(&transaction.prepare_cached(RELEASE_KEY).await?, &[&batch.get()]).await?;
        }
        if self.insert(&transaction, &created).await? {
            transaction.commit().await?;
            return Ok(Some(created));
        }
        transaction.rollback().await?;
        self.resolve_conflict(conn, created).await
    }

    /// Looks up the result of the same request.
    async fn recall(&self, conn: &Client) -> Result<Option<Recall>> {
        let Some(request) = &self.new.request else { return Ok(None) };
        let query = conn.prepare_cached(FIND_REQUEST).await?;
        let row = conn.query_opt(&query, &[&request.caller, &Redacted(request.key.as_str())]).await?;
        let Some(row) = row else { return Ok(None) };
        let mut earlier = rows::request(&row)?;
        earlier.created.repeated = row.integer("token")? != self.token;
        Ok(Some(earlier.recall(request)?))
    }

    async fn next_created(&self, session: &impl Session) -> Result<Created> {
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
        let (id, quantity, batch_size) = (created.batch.get(), key(created.quantity), key(options.batch_size));
        let (max_jobs, estimated) = (options.max_jobs_per_batch.map(key), millis(created.estimated));
        let (prefix, fingerprint) = (&options.qr_code_prefix, &self.new.key_fingerprint);
        let caller = request.map_or("", |request| &request.caller);
        let request_key = Redacted(request.map(|request| request.key.as_str()));
        let request_fingerprint = request.map(|request| &request.fingerprint);
        let [seqs, firsts, quantities] = columns(&self.new.plan);
        let entry = NewAuditEntry::of_creation(created.batch, &self.new);
        let (actor, address, details) = (entry.actor, &entry.address, entry.details());
        let batch: [&(dyn ToSql + Sync); 8] =
            [&id, &quantity, &batch_size, prefix, &max_jobs, fingerprint, &self.token, &estimated];
        let trace = self.new.caller.trace().map(TraceParent::as_str);
        let rest: [&(dyn ToSql + Sync); 10] = [
            &caller,
            &request_key,
            &request_fingerprint,
            &seqs,
            &firsts,
            &quantities,
            &actor,
            address,
            &details,
            &trace,
        ];
        let row = session.one(&self.statements.insert, &[&batch[..], &rest[..]].concat()).await?;
        Ok(row.try_get("created")?)
    }

    /// Finds out why the insert was rejected: the id or the key is in use.
    async fn resolve_conflict(&self, conn: &Client, created: Created) -> Result<Option<Created>> {
        let row = conn.query_opt(&conn.prepare_cached(TOKEN).await?, &[&created.batch.get()]).await?;
        let token: Option<i64> = row.map(|row| row.try_get("token")).transpose()?;
        if token == Some(self.token) {
            return Ok(Some(created));
        }
        if token.is_some() {
            self.reserved.store(0, Ordering::Relaxed);
        }
        match (self.recall(conn).await?, self.new.id) {
            (Some(Recall::Repeated(created)), _) => Ok(Some(created)),
            (_, Some(id)) if token.is_some() => Err(LedgerError::IdInUse(id).into()),
            _ => Ok(None),
        }
    }
}

/// The jobs of a plan as columns: numbers, first ordinals and quantities.
pub(super) fn columns(plan: &Plan) -> [Vec<i64>; 3] {
    let mut columns = [(); 3].map(|()| Vec::with_capacity(plan.jobs() as usize));
    for job in plan.slices() {
        for (column, value) in columns.iter_mut().zip([job.seq, job.first, job.quantity]) {
            column.push(key(value));
        }
    }
    columns
}
