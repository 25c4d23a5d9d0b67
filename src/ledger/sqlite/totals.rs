//! totals: counts the whole ledger.
#![cfg_attr(not(any(feature = "metrics", rocket_batch_internals)), allow(dead_code, reason = "gauges show it"))]

use rusqlite::Connection;

use super::error::Result;
use crate::ledger::{
    columns::{Columns, key},
    query::{MAX_COUNTED_BATCHES, TotalCounts},
    rows,
};

const TOTALS: &str = include_str!("sql/totals.sql");
const BY_STATUS: &str = "SELECT status, count(*) AS batches
    FROM rocket_batch_batches INDEXED BY rocket_batch_batches_by_status GROUP BY status";

pub(super) fn totals(conn: &Connection) -> Result<TotalCounts> {
    let mut query = conn.prepare_cached(BY_STATUS)?;
    let by_status = query.query_map([], |row| Ok((row.status("status")?, row.number("batches")?)))?;
    let batches = by_status.collect::<std::result::Result<_, _>>()?;
    let totals = conn.prepare_cached(TOTALS)?.query_row([key(MAX_COUNTED_BATCHES)], |row| rows::totals(row))?;
    Ok(TotalCounts { batches, ..totals })
}
