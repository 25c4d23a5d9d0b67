//! changes: the batches that changed since they were last read.

use deadpool_postgres::Client;

use super::{error::Result, pool::Verb};
use crate::ledger::{
    columns::{Columns, key},
    operation,
    query::{BatchChange, ChangeQuery, MAX_WATCHED_BATCHES},
    rows,
};

const OPEN: &str = include_str!("sql/open_batches.sql");
const CHANGED: &str = concat!(
    include_str!("sql/batches.sql"),
    "JOIN unnest($1::bigint[], $2::bigint[]) AS known (id, version) ON known.id = b.id
    WHERE known.version <> b.version + coalesce(a.version, 0)"
);

/// See [`Records::changes`](crate::ledger::Records::changes).
pub(super) struct Changes(pub ChangeQuery);

impl Verb for Changes {
    type Output = Vec<BatchChange>;
    const OPERATION: &'static str = operation::CHANGES;

    async fn run(&self, conn: &mut Client) -> Result<Vec<BatchChange>> {
        let mut open = Vec::new();
        if self.0.includes_open {
            let rows = conn.query(&conn.prepare_cached(OPEN).await?, &[&key(MAX_WATCHED_BATCHES)]).await?;
            open = rows.iter().map(|row| row.batch_id("id")).collect::<Result<_>>()?;
        }
        let (ids, versions): (Vec<i64>, Vec<i64>) =
            self.0.candidates(&open).map(|(batch, version)| (batch.get(), key(version))).unzip();
        let rows = conn.query(&conn.prepare_cached(CHANGED).await?, &[&ids, &versions]).await?;
        rows.iter().map(rows::change).collect()
    }
}
