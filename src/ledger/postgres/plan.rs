//! plan: inserts the jobs of a requested batch, or fails it if it can't be planned.

use std::time::Duration;

use deadpool_postgres::{Client, GenericClient as _, Transaction};

use super::{close::record_end, create::columns, error::Result, finish_hook::Finisher, pool::Verb};
use crate::domain::{BatchId, InvalidFields};
use crate::ledger::{
    columns::{Columns, millis},
    decide::BatchEnd,
    operation,
    types::{PlanInput, Planned},
};

const PLAN: &str = include_str!("sql/plan.sql");
const UNPLANNED: &str = "SELECT status FROM batches WHERE id = $1 AND jobs IS NULL FOR NO KEY UPDATE";

/// See [`Ledger::plan`](crate::ledger::Ledger::plan).
pub(super) struct Planning {
    pub finisher: Finisher,
    pub batch: BatchId,
    pub input: Result<PlanInput, InvalidFields>,
}

impl Verb for Planning {
    type Output = Planned;
    const OPERATION: &'static str = operation::PLAN;

    fn host_time(&self) -> Option<Duration> {
        if self.input.is_err() { self.finisher.host_time() } else { None }
    }

    async fn run(&self, conn: &mut Client) -> Result<Planned> {
        match &self.input {
            Ok(input) => self.plan(conn, input).await,
            Err(invalid) => {
                let transaction = conn.transaction().await?;
                let planned = self.refuse(&transaction, invalid).await;
                self.finisher.end(transaction, planned).await
            }
        }
    }
}

impl Planning {
    async fn plan(&self, conn: &Client, input: &PlanInput) -> Result<Planned> {
        let estimated = millis(input.estimated);
        let [seqs, firsts, quantities] = columns(&input.plan);
        let statement = conn.prepare_cached(PLAN).await?;
        let row = conn
            .query_one(
                &statement,
                &[&self.batch.get(), &input.key_fingerprint, &estimated, &seqs, &firsts, &quantities],
            )
            .await?;
        Ok(if row.try_get("planned")? { Planned::Now } else { Planned::NothingToDo })
    }

    async fn refuse(&self, conn: &Transaction<'_>, invalid: &InvalidFields) -> Result<Planned> {
        let row = conn.query_opt(&conn.prepare_cached(UNPLANNED).await?, &[&self.batch.get()]).await?;
        let Some(row) = row else { return Ok(Planned::NothingToDo) };
        let end = BatchEnd::of_refusal(row.status("status")?, invalid)?;
        record_end(conn, &self.finisher, self.batch, end).await?;
        Ok(Planned::Now)
    }
}
