//! Creates batches in transactions of the host, on its own connections to the same database.

use std::sync::Arc;

use tokio_postgres::{Row, Transaction, types::ToSql};

use super::{
    create::{Create, Session, Statements},
    error,
    pool::PostgresPool,
    token::token,
};
use crate::ledger::{
    error::Result,
    types::{Created, NewBatch},
};

/// Creates batches in transactions that the host commits or rolls back.
#[derive(Clone)]
pub struct HostTransactions(Arc<Statements>);

impl HostTransactions {
    /// Creates batches in the ledger of `pool`.
    #[must_use]
    pub fn new(pool: &PostgresPool) -> Self {
        Self(Arc::new(Statements::of(pool.schema())))
    }

    /// Inserts a batch and its jobs in `transaction`. The batch exists once that is committed.
    ///
    /// Does not change the session: every statement names the ledger's schema.
    ///
    /// # Errors
    ///
    /// [`LedgerError::IdInUse`](crate::ledger::LedgerError::IdInUse) if the id is in use;
    /// the transaction can continue. After any other error it can only be rolled back.
    pub async fn create(&self, transaction: &Transaction<'_>, batch: NewBatch) -> Result<Created> {
        let create = Create::new(Arc::clone(&self.0), batch, token());
        let created = create.create_in(&Host(transaction)).await;
        created.map_err(|error| error.into_ledger_error("create a batch in a transaction of the host"))
    }
}

struct Host<'a>(&'a Transaction<'a>);

impl Session for Host<'_> {
    async fn first(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> error::Result<Option<Row>> {
        Ok(self.0.query_opt(sql, parameters).await?)
    }
}
