//! plan: inserts the jobs of a requested batch, or fails it if it can't be planned.

use rusqlite::{Connection, OptionalExtension};

use super::{close::record_end, create::insert_jobs, error::Result, finish_hook::Finisher};
use crate::{
    domain::{BatchId, InvalidFields},
    ledger::{
        columns::{Columns, key, millis},
        decide::BatchEnd,
        types::{PlanInput, Planned},
    },
};

const PLAN: &str = include_str!("sql/plan.sql");
const UNPLANNED: &str = "SELECT status FROM rocket_batch_batches WHERE id = ?1 AND jobs IS NULL";

pub(super) fn plan(
    conn: &Connection,
    finisher: &Finisher,
    id: BatchId,
    input: &std::result::Result<PlanInput, InvalidFields>,
) -> Result<Planned> {
    match input {
        Ok(input) => insert_plan(conn, id, input),
        Err(invalid) => refuse(conn, finisher, id, invalid),
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

fn refuse(conn: &Connection, finisher: &Finisher, id: BatchId, invalid: &InvalidFields) -> Result<Planned> {
    let status = conn.prepare_cached(UNPLANNED)?.query_row([id.get()], |row| row.status("status")).optional()?;
    let Some(status) = status else { return Ok(Planned::NothingToDo) };
    record_end(conn, finisher, id, &BatchEnd::of_refusal(status, invalid)?)?;
    Ok(Planned::Now)
}
