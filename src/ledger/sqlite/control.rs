//! control: cancels, pauses or resumes a batch.

use rusqlite::Connection;

use super::{close::BatchEnd, columns::now, error::Result, read::batch, summarize::count_batch};
use crate::{
    domain::{BatchId, BatchRecord, BatchStatus},
    ledger::{
        decide::requested_change,
        types::{BatchCommand, Rules},
    },
};

const CANCEL_JOBS: &str = include_str!("sql/cancel_jobs.sql");
const SET_STATUS: &str = "UPDATE rocket_batch_batches SET status = ?2, version = version + 1 WHERE id = ?1";

pub(super) fn control(conn: &Connection, rules: Rules, id: BatchId, command: BatchCommand) -> Result<BatchRecord> {
    let before = batch(conn, id)?;
    let status = before.status.after(requested_change(command, before.started_at.is_some()))?;
    match command {
        BatchCommand::Cancel => cancel(conn, rules, id, status)?,
        BatchCommand::Pause | BatchCommand::Resume => set_status(conn, id, status)?,
    }
    batch(conn, id)
}

fn cancel(conn: &Connection, rules: Rules, id: BatchId, cancelled: BatchStatus) -> Result<()> {
    conn.prepare_cached(CANCEL_JOBS)?.execute((id.get(), now()))?;
    BatchEnd::of(&batch(conn, id)?, cancelled).record(conn, rules, id)
}

fn set_status(conn: &Connection, id: BatchId, status: BatchStatus) -> Result<()> {
    conn.prepare_cached(SET_STATUS)?.execute((id.get(), status.as_str()))?;
    count_batch(conn, id)
}
