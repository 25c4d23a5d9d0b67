//! plan: inserts the jobs of a requested batch, or fails it if it can't be planned.

use rusqlite::{Connection, OptionalExtension};

use super::{
    close::BatchEnd,
    columns::{key, millis, status},
    create::insert_jobs,
    error::Result,
};
use crate::{
    domain::{BatchId, Change, Invalid, JobCounts, Measured},
    ledger::types::{PlanInput, Planned, Rules},
};

const PLAN: &str = include_str!("sql/plan.sql");
const UNPLANNED: &str = "SELECT status FROM rocket_batch_batches WHERE id = ?1 AND jobs IS NULL";

pub(super) fn plan(
    conn: &Connection,
    rules: Rules,
    id: BatchId,
    input: &std::result::Result<PlanInput, Invalid>,
) -> Result<Planned> {
    match input {
        Ok(input) => insert_plan(conn, id, input),
        Err(invalid) => refuse(conn, rules, id, invalid),
    }
}

fn insert_plan(conn: &Connection, id: BatchId, input: &PlanInput) -> Result<Planned> {
    let PlanInput { plan, key_fingerprint, estimated } = input;
    let row = (id.get(), key_fingerprint, key(plan.jobs()), millis(*estimated));
    if conn.prepare_cached(PLAN)?.execute(row)? == 0 {
        return Ok(Planned::NothingToDo);
    }
    insert_jobs(conn, id, plan)?;
    Ok(Planned::Now)
}

fn refuse(conn: &Connection, rules: Rules, id: BatchId, invalid: &Invalid) -> Result<Planned> {
    let status = conn.prepare_cached(UNPLANNED)?.query_row([id.get()], |row| status(row, "status")).optional()?;
    let Some(status) = status else { return Ok(Planned::NothingToDo) };
    let status = status.after(Change::Refuse)?;
    let (counts, measured) = (JobCounts::default(), Measured::default());
    BatchEnd { status, error: Some(&invalid.to_string()), counts, measured }.record(conn, rules, id)?;
    Ok(Planned::Now)
}
