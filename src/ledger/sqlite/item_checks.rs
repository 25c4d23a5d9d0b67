//! `item_page`, `start_check`, `stored_check`, `store_check`: compare items with the plan.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{columns::now, error::Result};
use crate::{
    domain::{BatchId, ItemPage, JobSpan, PAGE_ITEMS, StatusTask, Tally},
    ledger::{
        columns::{Columns, as_json, key, millis},
        decide::{CHECKS, CheckedBatch},
        error::LedgerError,
        item_checks::StoredCheck,
        rows,
    },
};

const BATCH: &str = "SELECT quantity, batch_size, jobs, status, prefix, key_fingerprint, round
    FROM rocket_batch_batches WHERE id = ?1";
const ORDINALS: &str = "SELECT ordinal, NULL AS code FROM rocket_batch_items
    WHERE batch = ?1 AND ordinal >= ?2 AND ordinal < ?3 ORDER BY ordinal LIMIT ?4";
const CODES: &str = "SELECT ordinal, code FROM rocket_batch_items
    WHERE batch = ?1 AND ordinal >= ?2 AND ordinal < ?3 ORDER BY ordinal LIMIT ?4";
const JOBS: &str = "SELECT seq, state FROM rocket_batch_jobs WHERE batch = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq";
const CHECK: &str = "SELECT batch, codes, run, tally, started_at, finished_at
    FROM rocket_batch_reconciliations WHERE batch = ?1 AND codes = ?2";
const START: &str = "INSERT INTO rocket_batch_reconciliations (batch, codes, run, position, tally, started_at)
    VALUES (?1, ?2, 1, 0, ?3, ?4)
    ON CONFLICT (batch, codes) DO UPDATE
    SET run = run + 1, position = 0, tally = excluded.tally, started_at = excluded.started_at, finished_at = NULL";
const STORE: &str = "UPDATE rocket_batch_reconciliations SET position = ?5, tally = ?6, finished_at = ?7
    WHERE batch = ?1 AND codes = ?2 AND run = ?3 AND position = ?4";
const OPEN: &str = "SELECT batch, codes, run
    FROM rocket_batch_reconciliations INDEXED BY rocket_batch_reconciliations_open
    WHERE finished_at IS NULL ORDER BY batch LIMIT ?1";

pub(super) fn checked_batch(conn: &Connection, id: BatchId) -> Result<CheckedBatch> {
    let row = conn.prepare_cached(BATCH)?.query_row([id.get()], |row| rows::checked_batch(row, id)).optional()?;
    Ok(row.ok_or(LedgerError::NoSuchBatch(id))?)
}

pub(super) fn item_page(conn: &Connection, id: BatchId, from: u64, codes: bool) -> Result<ItemPage> {
    let batch = checked_batch(conn, id)?;
    let window = batch.window(from);
    let mut query = conn.prepare_cached(if codes { CODES } else { ORDINALS })?;
    let items = query.query_map((id.get(), key(window.start), key(window.end), key(PAGE_ITEMS)), |row| {
        Ok((row.number("ordinal")?, row.optional_string("code")?))
    })?;
    let items = items.collect::<rusqlite::Result<_>>()?;
    let jobs = batch.seqs(&window);
    let mut page = batch.page(window, items);
    if let Some(seqs) = jobs {
        let mut query = conn.prepare_cached(JOBS)?;
        let jobs = query.query_map((id.get(), key(seqs.start), key(seqs.end)), |row| {
            Ok(JobSpan { seq: row.number("seq")?, state: row.state("state")? })
        })?;
        page.jobs = jobs.collect::<rusqlite::Result<_>>()?;
    }
    Ok(page)
}

pub(super) fn start_check(conn: &Connection, id: BatchId, codes: bool, max_age: Duration) -> Result<StoredCheck> {
    checked_batch(conn, id)?;
    let (now, stored) = (now(), stored_check(conn, id, codes)?);
    if let Some(stored) = stored {
        let finished = stored.finished_at.map(|at| at.timestamp_millis());
        if finished.is_none_or(|at| at > now.saturating_sub(millis(max_age))) {
            return Ok(stored);
        }
    }
    conn.prepare_cached(START)?.execute((id.get(), codes, as_json(&Tally::start())?, now))?;
    Ok(conn.prepare_cached(CHECK)?.query_row((id.get(), codes), |row| rows::stored_check(row))?)
}

pub(super) fn stored_check(conn: &Connection, id: BatchId, codes: bool) -> Result<Option<StoredCheck>> {
    Ok(conn.prepare_cached(CHECK)?.query_row((id.get(), codes), |row| rows::stored_check(row)).optional()?)
}

pub(super) fn store_check(conn: &Connection, check: &StoredCheck, from: u64) -> Result<bool> {
    let StoredCheck { batch, codes, run, tally, .. } = check;
    let finished = tally.is_finished().then(now);
    let (before, position, tally) = (key(from), tally.next.map(key), as_json(tally)?);
    let row = params![batch.get(), codes, run, before, position, tally, finished];
    Ok(conn.prepare_cached(STORE)?.execute(row)? > 0)
}

/// The tasks of unfinished checks.
pub(super) fn open_checks(conn: &Connection) -> Result<Vec<StatusTask>> {
    let mut query = conn.prepare_cached(OPEN)?;
    Ok(query.query_map([key(CHECKS)], |row| rows::check_task(row))?.collect::<rusqlite::Result<_>>()?)
}
