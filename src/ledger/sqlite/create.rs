//! create: a batch and its jobs, all or nothing.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{key, now},
    error::{Answer, Stop},
    read::{exists, read_measured},
};
use crate::domain::{BatchId, Measured, Plan};
use crate::ledger::{Created, LedgerError, NewBatch};

const INSERT_BATCH: &str = include_str!("sql/create_batch.sql");
const INSERT_JOB: &str = "INSERT INTO batch_jobs (batch, seq, first, quantity) VALUES (?1, ?2, ?3, ?4)";
const AHEAD: &str = include_str!("sql/ahead.sql");
const MEASURED: &str = include_str!("sql/measured.sql");
const LAST_ID: &str = "SELECT value FROM batch_settings WHERE name = 'last_id'";
const SET_LAST_ID: &str = "INSERT INTO batch_settings (name, value) VALUES ('last_id', ?1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

pub(super) fn create(conn: &Connection, new: &NewBatch) -> Answer<Created> {
    let batch = match new.id {
        Some(id) if exists(conn, id)? => return Err(LedgerError::Taken(id).into()),
        Some(id) => id,
        None => next_id(conn)?,
    };
    let created = Created { batch, ahead: ahead(conn, new.plan.jobs())?, measured: measured(conn)? };
    insert_batch(conn, batch, new)?;
    insert_jobs(conn, batch, &new.plan)?;
    Ok(created)
}

/// The sequence goes on from where it was, not from the largest id: a host that takes a huge one would use it up.
fn next_id(conn: &Connection) -> Answer<BatchId> {
    let last: Option<i64> = conn.prepare_cached(LAST_ID)?.query_row([], |row| row.get(0)).optional()?;
    let mut next = last.unwrap_or(0) + 1;
    let id = loop {
        let id = BatchId::new(next).map_err(used_up)?;
        if !exists(conn, id)? {
            break id;
        }
        next += 1;
    };
    conn.prepare_cached(SET_LAST_ID)?.execute([next])?;
    Ok(id)
}

fn used_up(invalid: crate::domain::Invalid) -> Stop {
    LedgerError::Broken { doing: "find a free id", source: invalid.into() }.into()
}

fn ahead(conn: &Connection, jobs: u64) -> Answer<u64> {
    Ok(conn.prepare_cached(AHEAD)?.query_row([key(jobs)], |row| row.get(0))?)
}

fn measured(conn: &Connection) -> Answer<Measured> {
    Ok(conn.prepare_cached(MEASURED)?.query_row([], read_measured).optional()?.unwrap_or_default())
}

fn insert_batch(conn: &Connection, batch: BatchId, new: &NewBatch) -> Answer<()> {
    let options = &new.options;
    conn.prepare_cached(INSERT_BATCH)?.execute(params![
        batch.get(),
        key(new.plan.quantity()),
        key(options.batch_size),
        options.qr_code_prefix,
        options.max_jobs_per_batch.map(key),
        new.key_fingerprint,
        key(new.plan.jobs()),
        now(),
    ])?;
    Ok(())
}

fn insert_jobs(conn: &Connection, batch: BatchId, plan: &Plan) -> Answer<()> {
    let mut insert = conn.prepare_cached(INSERT_JOB)?;
    for job in plan.slices() {
        insert.execute((batch.get(), key(job.seq), key(job.first), key(job.quantity)))?;
    }
    Ok(())
}
