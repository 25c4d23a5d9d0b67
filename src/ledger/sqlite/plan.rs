//! plan: the jobs of a batch that was only asked for, or its end when it can't have any.

use rusqlite::{Connection, OptionalExtension};

use super::{
    close::conclude,
    columns::{key, status},
    create::{estimated, insert_jobs},
    error::Answer,
};
use crate::domain::{BatchId, Change, Invalid};
use crate::ledger::{Cut, Planned, Rules};

const PLAN: &str = include_str!("sql/plan.sql");
const UNPLANNED: &str = "SELECT status FROM batch_batches WHERE id = ?1 AND jobs IS NULL";

pub(super) fn plan(
    conn: &Connection,
    rules: Rules,
    id: BatchId,
    cut: &std::result::Result<Cut, Invalid>,
) -> Answer<Planned> {
    match cut {
        Ok(cut) => give_jobs(conn, id, cut),
        Err(invalid) => refuse(conn, rules, id, invalid),
    }
}

fn give_jobs(conn: &Connection, id: BatchId, Cut { plan, key_fingerprint, pace }: &Cut) -> Answer<Planned> {
    let estimated = key(estimated(conn, plan, pace)?.as_millis() as u64);
    let row = (id.get(), key_fingerprint, key(plan.jobs()), estimated);
    if conn.prepare_cached(PLAN)?.execute(row)? == 0 {
        return Ok(Planned::Over);
    }
    insert_jobs(conn, id, plan)?;
    Ok(Planned::Now)
}

fn refuse(conn: &Connection, rules: Rules, id: BatchId, invalid: &Invalid) -> Answer<Planned> {
    let found = conn.prepare_cached(UNPLANNED)?.query_row([id.get()], |row| status(row, "status")).optional()?;
    let Some(status) = found else { return Ok(Planned::Over) };
    conclude(conn, rules, id, status.after(Change::Refuse)?, Some(&invalid.to_string()))?;
    Ok(Planned::Now)
}
