//! write: a chunk of items, if the hold is good, and the host's rows with them.

use std::{ops::Range, time::Duration};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{key, now, status},
    error::Result,
    finish_attempt::{finish_attempt, state_under},
    item_writer::{ItemWriter, call},
};
use crate::domain::{BatchStatus, JobState};
use crate::ledger::{AttemptResult, ChunkInserted, Claim, LastChunk, LedgerError, NewItem, NewItemRow, Rules};

const HOLD: &str = include_str!("sql/claim_is_current.sql");
const INSERT: &str = include_str!("sql/insert_item.sql");
const COUNT_IN_JOB: &str = "UPDATE batch_jobs SET created = created + ?3, crashes = 0 WHERE batch = ?1 AND seq = ?2";
const ANY: &str = "SELECT EXISTS (SELECT 1 FROM batch_items WHERE batch = ?1 AND ordinal BETWEEN ?2 AND ?3)";

pub(super) fn insert_chunk(
    conn: &Connection,
    claim: &Claim,
    items: &[NewItem],
    item_writer: Option<&dyn ItemWriter>,
) -> Result<ChunkInserted> {
    let Some(chunk_context) = chunk_context(conn, claim)? else { return Ok(ChunkInserted::Fenced) };
    match chunk_context {
        ChunkContext { status: BatchStatus::Cancelled, .. } => Ok(ChunkInserted::Cancelled),
        ChunkContext { is_current: false, .. } => Ok(ChunkInserted::Fenced),
        ChunkContext { status: BatchStatus::Paused, .. } => Ok(ChunkInserted::Paused),
        ChunkContext { range, .. } => {
            within(&range, items)?;
            let new = insert(conn, claim, items)?;
            count(conn, claim, new.len() as u64)?;
            // Last, so that our books are whole whatever it does.
            match item_writer {
                Some(writer) if !new.is_empty() => call(writer, conn, &new)?,
                _ => {}
            }
            Ok(ChunkInserted::New(new.len() as u64))
        }
    }
}

/// The last items of a job and its end, when nothing is odd.
pub(super) fn insert_and_complete(
    conn: &Connection,
    rules: Rules,
    claim: &Claim,
    items: &[NewItem],
    worked: Duration,
) -> Result<LastChunk> {
    match chunk_context(conn, claim)? {
        Some(chunk_context) if chunk_context.lacks_only(conn, claim, items)? => {
            let new = insert(conn, claim, items)?.len() as u64;
            count(conn, claim, new)?;
            finish_attempt(conn, rules, claim, &AttemptResult::Completed, worked)?;
            Ok(LastChunk::Completed)
        }
        // Whoever completed it under this hold was this call, whose answer was lost.
        _ if state_under(conn, claim)? == Some(JobState::Completed) => Ok(LastChunk::Completed),
        _ => Ok(LastChunk::Unchanged),
    }
}

struct ChunkContext {
    is_current: bool,
    status: BatchStatus,
    range: Range<u64>,
    created: u64,
}

impl ChunkContext {
    /// Whether the job may be worked, and is whole with these items and no other.
    fn lacks_only(&self, conn: &Connection, claim: &Claim, items: &[NewItem]) -> Result<bool> {
        let (Some(first), Some(last)) = (items.first(), items.last()) else { return Ok(false) };
        let all = self.created + items.len() as u64 == self.range.end - self.range.start;
        if !all || !self.is_current || self.status != BatchStatus::Running || within(&self.range, items).is_err() {
            return Ok(false);
        }
        let row = (claim.job.batch.get(), key(first.ordinal), key(last.ordinal));
        Ok(!conn.prepare_cached(ANY)?.query_row(row, |row| row.get::<_, bool>(0))?)
    }
}

fn chunk_context(conn: &Connection, claim: &Claim) -> Result<Option<ChunkContext>> {
    let job = claim.job;
    let mut query = conn.prepare_cached(HOLD)?;
    let chunk_context = query.query_row((job.batch.get(), key(job.seq), job.generation, claim.epoch), |row| {
        let (first, quantity): (u64, u64) = (row.get("first")?, row.get("quantity")?);
        let range = first..first + quantity;
        Ok(ChunkContext { is_current: row.get("is_current")?, status: status(row, "status")?, range, created: row.get("created")? })
    });
    Ok(chunk_context.optional()?)
}

/// An item of another job would be counted for this one.
fn within(range: &Range<u64>, items: &[NewItem]) -> Result<(), LedgerError> {
    match items.iter().find(|item| !range.contains(&item.ordinal)) {
        None => Ok(()),
        Some(stray) => Err(LedgerError::Refused {
            why: format!("item {} is outside the job, which has {} to {}", stray.ordinal, range.start, range.end - 1),
        }),
    }
}

/// Inserts those that are not there, and answers which those were.
pub(super) fn insert<'a>(conn: &Connection, claim: &Claim, items: &'a [NewItem]) -> Result<Vec<NewItemRow<'a>>> {
    let batch_id = claim.job.batch;
    let mut insert = conn.prepare_cached(INSERT)?;
    // What is the same for all is bound once: a third of the time of a row.
    insert.raw_bind_parameter(1, batch_id.get())?;
    insert.raw_bind_parameter(4, now())?;
    let mut new = Vec::with_capacity(items.len());
    for item in items {
        insert.raw_bind_parameter(2, key(item.ordinal))?;
        insert.raw_bind_parameter(3, item.code.as_str())?;
        if insert.raw_execute()? == 1 {
            new.push(NewItemRow { batch_id, ordinal: item.ordinal, code: &item.code });
        }
    }
    Ok(new)
}

pub(super) fn count(conn: &Connection, claim: &Claim, new: u64) -> Result<()> {
    if new == 0 {
        return Ok(());
    }
    let batch = claim.job.batch.get();
    conn.prepare_cached(COUNT_IN_JOB)?.execute(params![batch, key(claim.job.seq), key(new)])?;
    Ok(())
}
