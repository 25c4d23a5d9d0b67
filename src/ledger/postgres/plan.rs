//! plan: inserts the jobs of a requested batch, or fails it if it can't be planned.

use deadpool_postgres::{Client, GenericClient};

use super::{close::record_end, create::columns, error::Result, pool::Verb};
use crate::domain::{BatchId, Invalid};
use crate::ledger::{
    columns::{Columns, millis},
    decide::BatchEnd,
    operation,
    types::{PlanInput, Planned, Rules},
};

const PLAN: &str = include_str!("sql/plan.sql");
const UNPLANNED: &str = "SELECT status FROM batches WHERE id = $1 AND jobs IS NULL FOR NO KEY UPDATE";

/// See [`Ledger::plan`](crate::ledger::Ledger::plan).
pub(super) struct Planning {
    pub rules: Rules,
    pub batch: BatchId,
    pub input: Result<PlanInput, Invalid>,
}

impl Verb for Planning {
    type Output = Planned;
    const OPERATION: &'static str = operation::PLAN;

    async fn run(&self, conn: &mut Client) -> Result<Planned> {
        match &self.input {
            Ok(input) => self.plan(conn, input).await,
            Err(invalid) => {
                let transaction = conn.transaction().await?;
                let planned = self.refuse(&transaction, invalid).await?;
                transaction.commit().await?;
                Ok(planned)
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

    async fn refuse(&self, conn: &impl GenericClient, invalid: &Invalid) -> Result<Planned> {
        let row = conn.query_opt(&conn.prepare_cached(UNPLANNED).await?, &[&self.batch.get()]).await?;
        let Some(row) = row else { return Ok(Planned::NothingToDo) };
        let end = BatchEnd::of_refusal(row.status("status")?, invalid)?;
        record_end(conn, self.rules, self.batch, end).await?;
        Ok(Planned::Now)
    }
}
