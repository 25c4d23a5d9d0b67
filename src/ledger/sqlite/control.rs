//! control: cancels, pauses or resumes a batch.

use rusqlite::Connection;

use super::{
    audit, close::record_end, columns::now, error::Result, finish_hook::Finisher, read::batch, summarize::count_batch,
};
use crate::{
    domain::{BatchId, BatchRecord, BatchStatus, Caller},
    ledger::{
        decide::{BatchEnd, NewAuditEntry, requested_change},
        types::BatchCommand,
    },
};

const CANCEL_JOBS: &str = include_str!("sql/cancel_jobs.sql");
const SET_STATUS: &str = "UPDATE rocket_batch_batches SET status = ?2, version = version + 1 WHERE id = ?1";

pub(super) fn control(
    conn: &Connection,
    finisher: &Finisher,
    id: BatchId,
    command: BatchCommand,
    caller: &Caller,
) -> Result<BatchRecord> {
    let before = batch(conn, id)?;
    let status = before.status.after(requested_change(command, before.started_at.is_some()))?;
    let after = match command {
        BatchCommand::Cancel => cancel(conn, finisher, id, status)?,
        BatchCommand::Pause | BatchCommand::Resume => set_status(conn, id, status)?,
    };
    let entry = NewAuditEntry::of_command(id, command, caller, before.status, after.items_created);
    audit::record(conn, &entry)?;
    Ok(after)
}

fn cancel(conn: &Connection, finisher: &Finisher, id: BatchId, cancelled: BatchStatus) -> Result<BatchRecord> {
    conn.prepare_cached(CANCEL_JOBS)?.execute((id.get(), now()))?;
    record_end(conn, finisher, id, &BatchEnd::of(&batch(conn, id)?, cancelled))
}

fn set_status(conn: &Connection, id: BatchId, status: BatchStatus) -> Result<BatchRecord> {
    conn.prepare_cached(SET_STATUS)?.execute((id.get(), status.as_str()))?;
    count_batch(conn, id)?;
    batch(conn, id)
}
