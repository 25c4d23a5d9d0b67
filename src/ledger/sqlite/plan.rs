//! plan: the jobs of a batch that was only asked for, or its end when it can't have any.

use rusqlite::{Connection, OptionalExtension};

use super::{
    close::End,
    columns::{key, millis, status},
    create::insert_jobs,
    error::Result,
};
use crate::domain::{BatchId, Change, Invalid, JobCounts, Measured};
use crate::ledger::{PlanInput, Planned, Rules};

const PLAN: &str = include_str!("sql/plan.sql");
const UNPLANNED: &str = "SELECT status FROM batch_batches WHERE id = ?1 AND jobs IS NULL";

pub(super) fn plan(
    conn: &Connection,
    rules: Rules,
    id: BatchId,
    cut: &std::result::Result<PlanInput, Invalid>,
) -> Result<Planned> {
    match cut {
        Ok(cut) => give_jobs(conn, id, cut),
        Err(invalid) => refuse(conn, rules, id, invalid),
    }
}

fn give_jobs(
    conn: &Connection,
    id: BatchId,
    PlanInput { plan, key_fingerprint, estimated }: &PlanInput,
) -> Result<Planned> {
    let row = (id.get(), key_fingerprint, key(plan.jobs()), millis(*estimated));
    if conn.prepare_cached(PLAN)?.execute(row)? == 0 {
        return Ok(Planned::Over);
    }
    insert_jobs(conn, id, plan)?;
    Ok(Planned::Now)
}

fn refuse(conn: &Connection, rules: Rules, id: BatchId, invalid: &Invalid) -> Result<Planned> {
    let found = conn.prepare_cached(UNPLANNED)?.query_row([id.get()], |row| status(row, "status")).optional()?;
    let Some(status) = found else { return Ok(Planned::Over) };
    let status = status.after(Change::Refuse)?;
    let (counts, measured) = (JobCounts::default(), Measured::default());
    End { status, error: Some(&invalid.to_string()), counts, measured }.record(conn, rules, id)?;
    Ok(Planned::Now)
}
