//! batch, batches, items, `failed_jobs`: reads. Each runs on one snapshot.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    columns::{as_json, batch_id, duration, json, key, number, optional_number, set_time, state, status, time},
    error::Result,
};
use crate::domain::{
    BatchId, BatchRecord, BatchStatus, FailedChunks, FailedJob, Item, ItemOptions, JobCounts, JobId, Measured,
};
use crate::ledger::{
    decide::PageBuilder,
    error::LedgerError,
    query::{PageRequest, Portion},
};

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM rocket_batch_batches WHERE id = ?1)";
const HISTORY_REMOVED: &str = "SELECT history <> 'complete' FROM rocket_batch_batches WHERE id = ?1";
const BATCH: &str = concat!(include_str!("sql/batch.sql"), "WHERE b.id = ?1");
const BATCHES: &str = concat!(include_str!("sql/batch.sql"), "WHERE b.id < ?1 ORDER BY b.id DESC LIMIT ?2");
const BATCHES_BY_STATUS: &str =
    concat!(include_str!("sql/batch.sql"), "WHERE b.id < ?1 AND b.status = ?3 ORDER BY b.id DESC LIMIT ?2");
const COUNTS: &str = include_str!("sql/counts.sql");
const ITEMS: &str = "SELECT batch, ordinal, code, created_at FROM rocket_batch_items
    WHERE batch = ?1 AND ordinal > ?2 ORDER BY ordinal LIMIT ?3";
const FAILED_JOBS: &str = include_str!("sql/failed_jobs.sql");

/// Whether the batch exists.
pub(super) fn exists(conn: &Connection, id: BatchId) -> Result<bool> {
    Ok(conn.prepare_cached(EXISTS)?.query_row([id.get()], |row| row.get(0))?)
}

fn check_exists(conn: &Connection, id: BatchId) -> Result<()> {
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
        *counts.count_mut(state(row, "state")?) = number(row, "jobs")?;
        let Measured { items, worked } = read_measured(row)?;
        measured.items += items;
        measured.worked += worked;
    }
    Ok((counts, measured))
}

/// Reads one batch. A finished batch has stored counts; the jobs of an open one are counted.
pub(super) fn batch(conn: &Connection, id: BatchId) -> Result<BatchRecord> {
    let batch = conn.prepare_cached(BATCH)?.query_row([id.get()], read_batch).optional()?;
    let batch = batch.ok_or(LedgerError::NoSuchBatch(id))?;
    if batch.status.is_finished() {
        return Ok(batch);
    }
    let (jobs, measured) = counts(conn, id)?;
    Ok(BatchRecord { jobs, items_created: measured.items, measured, ..batch })
}

pub(super) fn batches(conn: &Connection, status: Option<BatchStatus>, page: PageRequest) -> Result<Vec<BatchRecord>> {
    let (before, limit) = (page.after.map_or(i64::MAX, key), key(page.limit));
    Ok(match status {
        None => conn.prepare_cached(BATCHES)?.query_map((before, limit), read_batch)?.collect::<Result<_, _>>()?,
        Some(status) => conn
            .prepare_cached(BATCHES_BY_STATUS)?
            .query_map((before, limit, status.as_str()), read_batch)?
            .collect::<Result<_, _>>()?,
    })
}

fn read_batch(row: &Row<'_>) -> rusqlite::Result<BatchRecord> {
    Ok(BatchRecord {
        batch_id: batch_id(row, "id")?,
        status: status(row, "status")?,
        quantity: number(row, "quantity")?,
        options: read_options(row)?,
        jobs: JobCounts {
            waiting: number(row, "waiting")?,
            active: number(row, "active")?,
            delayed: number(row, "delayed")?,
            completed: number(row, "completed")?,
            failed: number(row, "failed")?,
            cancelled: number(row, "cancelled")?,
        },
        items_created: number(row, "items_created")?,
        round: row.get("round")?,
        created_at: set_time(row, "created_at")?,
        started_at: time(row, "started_at")?,
        finished_at: time(row, "finished_at")?,
        error: row.get("error")?,
        history_removed: row.get("history_removed")?,
        measured: read_measured(row)?,
    })
}

/// Reads the options of a batch's items.
pub(super) fn read_options(row: &Row<'_>) -> rusqlite::Result<ItemOptions> {
    Ok(ItemOptions {
        batch_size: number(row, "batch_size")?,
        qr_code_prefix: row.get("prefix")?,
        max_jobs_per_batch: optional_number(row, "max_jobs")?,
    })
}

/// Reads the work done in a batch.
pub(super) fn read_measured(row: &Row<'_>) -> rusqlite::Result<Measured> {
    Ok(Measured { items: number(row, "items_created")?, worked: duration(row, "worked_ms")? })
}

pub(super) fn items(conn: &Connection, id: BatchId, page: PageRequest) -> Result<Vec<Item>> {
    check_exists(conn, id)?;
    let mut query = conn.prepare_cached(ITEMS)?;
    let items = query.query_map((id.get(), page.after.map_or(-1, key), key(page.limit)), read_item)?;
    Ok(items.collect::<Result<_, _>>()?)
}

fn read_item(row: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item {
        batch_id: batch_id(row, "batch")?,
        ordinal: number(row, "ordinal")?,
        code: row.get("code")?,
        created_at: set_time(row, "created_at")?,
    })
}

pub(super) fn failed_jobs(conn: &Connection, id: BatchId, page: PageRequest) -> Result<Portion<FailedJob>> {
    check_exists(conn, id)?;
    if is_history_removed(conn, id)? {
        return Err(LedgerError::HistoryRemoved(id).into());
    }
    let mut query = conn.prepare_cached(FAILED_JOBS)?;
    let parameters = (id.get(), page.after.map_or(-1, key), key(page.limit));
    let mut failed = query.query_map(parameters, |row| read_failed_job(row, id))?;
    let mut page = PageBuilder::new();
    while !page.is_full()
        && let Some(job) = failed.next()
    {
        let job = job?;
        let json = as_json(&job)?;
        page.push(job, &json);
    }
    Ok(page.build())
}

fn read_failed_job(row: &Row<'_>, batch: BatchId) -> rusqlite::Result<FailedJob> {
    let (seq, first, quantity) = (number(row, "seq")?, number(row, "first")?, number(row, "quantity")?);
    let FailedChunks { ranges, unlisted_chunks, unlisted_items } = json(row, "failed_chunks")?;
    Ok(FailedJob {
        job_id: JobId { batch, seq, generation: row.get("generation")? }.to_string(),
        seq,
        first,
        last: first + quantity - 1,
        items_created: number(row, "created")?,
        attempts: row.get("attempts")?,
        crashes: row.get("crashes")?,
        error: row.get("error")?,
        failed_chunks: ranges,
        more_failed_chunks: unlisted_chunks,
        more_items: unlisted_items,
        started_at: time(row, "claimed_at")?,
        finished_at: time(row, "finished_at")?,
    })
}
