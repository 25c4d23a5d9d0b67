//! A batch in a transaction of the host's, on whatever connection to the same database it has.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::{Row, Transaction, types::ToSql};

use super::{
    create::{Create, Session, Statements},
    error,
    pool::PostgresPool,
    token,
};
use crate::ledger::{Created, NewBatch, Result};

/// Makes batches in transactions that the host commits or rolls back.
#[derive(Clone)]
pub struct HostTransactions(Arc<Statements>);

impl HostTransactions {
    /// For the ledger in the database of `pool`.
    #[must_use]
    pub fn new(pool: &PostgresPool) -> Self {
        Self(Arc::new(Statements::of(pool.schema())))
    }

    /// Inserts a batch and its jobs into `transaction`. What it is said to be holds once that is
    /// committed.
    ///
    /// Leaves the session as it was: every statement names the ledger's schema.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Taken`](crate::ledger::LedgerError::Taken) when the id is in use; the
    /// transaction goes on then. After every other error it can only be rolled back.
    pub async fn create(&self, transaction: &Transaction<'_>, batch: NewBatch) -> Result<Created> {
        let create = Create::new(Arc::clone(&self.0), batch, token());
        let created = create.within(&Host(transaction)).await;
        created.map_err(|stop| stop.while_trying_to("create a batch in a transaction of the host's"))
    }
}

struct Host<'a>(&'a Transaction<'a>);

#[async_trait]
impl Session for Host<'_> {
    async fn first(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> error::Result<Option<Row>> {
        Ok(self.0.query_opt(sql, parameters).await?)
    }
}
