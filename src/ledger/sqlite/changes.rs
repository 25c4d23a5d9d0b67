//! changes: the batches that changed since they were last read.

use chrono::{TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension as _};

use super::error::Result;
use crate::{
    domain::BatchId,
    ledger::{
        columns::{Columns, key},
        query::{BatchChange, ChangeQuery, MAX_WATCHED_BATCHES},
        rows,
    },
};

/// How long a finished batch is found among the open ones.
const JUST_FINISHED: TimeDelta = TimeDelta::seconds(10);

const OPEN: &str = include_str!("sql/open_batches.sql");
const CHANGED: &str = concat!(
    include_str!("sql/batch.sql"),
    "WHERE b.id = ?1 AND ?2 <> (SELECT version FROM rocket_batch_versions WHERE id = b.id)"
);

pub(super) fn changes(conn: &Connection, query: &ChangeQuery) -> Result<Vec<BatchChange>> {
    let open = if query.includes_open { open_batches(conn)? } else { Vec::new() };
    let mut changed = conn.prepare_cached(CHANGED)?;
    let mut changes = Vec::new();
    for (batch, version) in query.candidates(&open) {
        changes.extend(changed.query_row((batch.get(), key(version)), |row| rows::change(row)).optional()?);
    }
    Ok(changes)
}

fn open_batches(conn: &Connection) -> Result<Vec<BatchId>> {
    let since = (Utc::now() - JUST_FINISHED).timestamp_millis();
    let mut query = conn.prepare_cached(OPEN)?;
    let open = query.query_map((key(MAX_WATCHED_BATCHES), since), |row| row.batch_id("id"))?;
    Ok(open.collect::<Result<_, _>>()?)
}
