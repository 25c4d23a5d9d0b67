//! `open_hooks`: counts the hooks of a batch that wait for a call.

use rusqlite::Connection;

use super::error::Result;
use crate::{domain::BatchId, ledger::columns::Columns};

const OPEN: &str = "SELECT count(*) AS hooks FROM rocket_batch_hooks WHERE batch = ?1 AND state = 'open'";

pub(super) fn open_hooks(conn: &Connection, batch: BatchId) -> Result<u64> {
    Ok(conn.prepare_cached(OPEN)?.query_row([batch.get()], |row| row.number("hooks"))?)
}
