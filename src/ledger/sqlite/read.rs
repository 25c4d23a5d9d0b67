//! batch, batches, items: reads. Each runs on one snapshot.

use rusqlite::{Connection, OptionalExtension};

use super::error::Result;
use crate::domain::{BatchId, BatchRecord, BatchStatus, Item, JobCounts, Measured};
use crate::ledger::{
    columns::{Columns, key},
    error::LedgerError,
    query::PageRequest,
    rows,
    types::BatchInfo,
};

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM rocket_batch_batches WHERE id = ?1)";
const HISTORY_REMOVED: &str = "SELECT history <> 'complete' FROM rocket_batch_batches WHERE id = ?1";
const BATCH: &str = concat!(include_str!("sql/batch.sql"), "WHERE b.id = ?1");
const BATCHES: &str = concat!(include_str!("sql/batch.sql"), "WHERE b.id < ?1 ORDER BY b.id DESC LIMIT ?2");
const BATCHES_BY_STATUS: &str =
    concat!(include_str!("sql/batch.sql"), "WHERE b.id < ?1 AND b.status = ?3 ORDER BY b.id DESC LIMIT ?2");
const INFO: &str = "SELECT quantity, batch_size, prefix, max_jobs FROM rocket_batch_batches WHERE id = ?1";
const COUNTS: &str = include_str!("sql/counts.sql");
const ITEMS: &str = "SELECT batch, ordinal, code, created_at FROM rocket_batch_items
    WHERE batch = ?1 AND ordinal > ?2 ORDER BY ordinal LIMIT ?3";

/// Whether the batch exists.
pub(super) fn exists(conn: &Connection, id: BatchId) -> Result<bool> {
    Ok(conn.prepare_cached(EXISTS)?.query_row([id.get()], |row| row.get(0))?)
}

pub(super) fn check_exists(conn: &Connection, id: BatchId) -> Result<()> {
    if exists(conn, id)? { Ok(()) } else { Err(LedgerError::NoSuchBatch(id).into()) }
}

/// Whether any job rows of the batch were pruned.
pub(super) fn is_history_removed(conn: &Connection, id: BatchId) -> Result<bool> {
    let removed = conn.prepare_cached(HISTORY_REMOVED)?.query_row([id.get()], |row| row.get(0)).optional()?;
    Ok(removed.unwrap_or(false))
}

/// Counts the jobs of a batch by state, and the work done in it.
pub(super) fn counts(conn: &Connection, id: BatchId) -> Result<(JobCounts, Measured)> {
    let mut query = conn.prepare_cached(COUNTS)?;
    let mut rows = query.query([id.get()])?;
    let (mut counts, mut measured) = (JobCounts::default(), Measured::default());
    while let Some(row) = rows.next()? {
        *counts.count_mut(row.state("state")?) = row.number("jobs")?;
        let Measured { items, worked } = rows::measured(row)?;
        measured.items += items;
        measured.worked += worked;
    }
    Ok((counts, measured))
}

/// Reads one batch. A finished batch has stored counts; the jobs of an open one are counted.
pub(super) fn batch(conn: &Connection, id: BatchId) -> Result<BatchRecord> {
    let batch = conn.prepare_cached(BATCH)?.query_row([id.get()], |row| rows::batch(row)).optional()?;
    let batch = batch.ok_or(LedgerError::NoSuchBatch(id))?;
    if batch.status.is_finished() {
        return Ok(batch);
    }
    let (jobs, measured) = counts(conn, id)?;
    Ok(BatchRecord { jobs, items_created: measured.items, measured, ..batch })
}

/// Reads the facts about a batch that an item writer receives.
pub(super) fn batch_info(conn: &Connection, id: BatchId) -> Result<BatchInfo> {
    Ok(conn.prepare_cached(INFO)?.query_row([id.get()], |row| rows::batch_info(row, id))?)
}

pub(super) fn batches(conn: &Connection, status: Option<BatchStatus>, page: PageRequest) -> Result<Vec<BatchRecord>> {
    let (before, limit) = (page.after.map_or(i64::MAX, key), key(page.limit));
    Ok(match status {
        None => conn
            .prepare_cached(BATCHES)?
            .query_map((before, limit), |row| rows::batch(row))?
            .collect::<Result<_, _>>()?,
        Some(status) => conn
            .prepare_cached(BATCHES_BY_STATUS)?
            .query_map((before, limit, status.as_str()), |row| rows::batch(row))?
            .collect::<Result<_, _>>()?,
    })
}

pub(super) fn items(conn: &Connection, id: BatchId, page: PageRequest) -> Result<Vec<Item>> {
    check_exists(conn, id)?;
    let mut query = conn.prepare_cached(ITEMS)?;
    let items = query.query_map((id.get(), page.after.map_or(-1, key), key(page.limit)), |row| rows::item(row))?;
    Ok(items.collect::<Result<_, _>>()?)
}
