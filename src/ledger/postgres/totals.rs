//! totals: counts the whole ledger.
#![cfg_attr(not(any(feature = "metrics", rocket_batch_internals)), allow(dead_code, reason = "gauges show it"))]

use deadpool_postgres::Client;

use super::{
    error::Result,
    pool::{Lane, Verb},
};
use crate::ledger::{
    columns::{Columns, key},
    operation,
    query::{MAX_COUNTED_BATCHES, TotalCounts},
    rows,
};

const TOTALS: &str = include_str!("sql/totals.sql");
const BY_STATUS: &str = "SELECT status, count(*) AS batches FROM batches GROUP BY status";

/// See [`Totals::totals`](crate::ledger::Totals::totals).
pub(super) struct CountTotals;

impl Verb for CountTotals {
    type Output = TotalCounts;
    const OPERATION: &'static str = operation::TOTALS;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<TotalCounts> {
        let by_status = conn.query(&conn.prepare_cached(BY_STATUS).await?, &[]).await?;
        let batches = by_status.iter().map(|row| Ok((row.status("status")?, row.number("batches")?)));
        let batches = batches.collect::<Result<_>>()?;
        let row = conn.query_one(&conn.prepare_cached(TOTALS).await?, &[&key(MAX_COUNTED_BATCHES)]).await?;
        Ok(TotalCounts { batches, ..rows::totals(&row)? })
    }
}
