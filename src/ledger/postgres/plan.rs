//! plan: the jobs of a batch that was only asked for, or its end when it can't have any.

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};

use super::{close::End, columns::status, create::columns, error::Result, finish_attempt::millis, pool::Verb};
use crate::domain::{BatchId, Change, Invalid, JobCounts, Measured};
use crate::ledger::{PlanInput, Planned, Rules};

const PLAN: &str = include_str!("sql/plan.sql");
const UNPLANNED: &str = "SELECT status FROM batches WHERE id = $1 AND jobs IS NULL FOR NO KEY UPDATE";

/// See [`Ledger::plan`](crate::ledger::Ledger::plan).
pub(super) struct Planning {
    pub rules: Rules,
    pub batch: BatchId,
    pub cut: Result<PlanInput, Invalid>,
}

#[async_trait]
impl Verb for Planning {
    type Output = Planned;
    const OPERATION: &'static str = "plan a batch";

    async fn run(&self, conn: &mut Client) -> Result<Planned> {
        match &self.cut {
            Ok(cut) => self.plan(conn, cut).await,
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
    async fn plan(&self, conn: &Client, cut: &PlanInput) -> Result<Planned> {
        let estimated = millis(cut.estimated);
        let [seqs, firsts, quantities] = columns(&cut.plan);
        let statement = conn.prepare_cached(PLAN).await?;
        let row = conn
            .query_one(&statement, &[&self.batch.get(), &cut.key_fingerprint, &estimated, &seqs, &firsts, &quantities])
            .await?;
        Ok(if row.try_get("planned")? { Planned::Now } else { Planned::Over })
    }

    async fn refuse(&self, conn: &impl GenericClient, invalid: &Invalid) -> Result<Planned> {
        let found = conn.query_opt(&conn.prepare_cached(UNPLANNED).await?, &[&self.batch.get()]).await?;
        let Some(row) = found else { return Ok(Planned::Over) };
        let status = status(&row, "status")?.after(Change::Refuse)?;
        let (error, counts, measured) = (Some(invalid.to_string()), JobCounts::default(), Measured::default());
        End { status, error, counts, measured }.record(conn, self.rules, self.batch).await?;
        Ok(Planned::Now)
    }
}
