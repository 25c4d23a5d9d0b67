//! create: inserts a batch and its jobs, or returns the result of an earlier request.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    audit,
    columns::now,
    error::{Result, VerbError},
    read::exists,
};
use crate::{
    domain::{BatchId, CreateRequest, Invalid, Plan, TraceParent},
    ledger::{
        columns::{key, millis},
        decide::{NewAuditEntry, Recall},
        error::{LedgerError, failed},
        rows,
        types::{Created, NewBatch},
    },
};

const FIND_REQUEST: &str = include_str!("sql/find_request.sql");
const RELEASE_KEY: &str = "UPDATE rocket_batch_batches SET idempotency_key = NULL, request_fingerprint = NULL
    WHERE id = ?1";
const INSERT_BATCH: &str = include_str!("sql/create_batch.sql");
const INSERT_JOB: &str = "INSERT INTO rocket_batch_jobs (batch, seq, first, quantity) VALUES (?1, ?2, ?3, ?4)";
const LAST_ID: &str = "SELECT value FROM rocket_batch_settings WHERE name = 'last_id'";
const SET_LAST_ID: &str = "INSERT INTO rocket_batch_settings (name, value) VALUES ('last_id', ?1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

pub(super) fn create(conn: &Connection, new: &NewBatch) -> Result<Created> {
    let earlier = new.request.as_ref().map(|request| recall(conn, request)).transpose()?.flatten();
    earlier.map_or_else(|| insert(conn, new), Ok)
}

/// Returns the result of the same request, if it came before. Releases its key if that has expired.
fn recall(conn: &Connection, request: &CreateRequest) -> Result<Option<Created>> {
    let key = (&request.caller, request.key.as_str(), now());
    let earlier = conn.prepare_cached(FIND_REQUEST)?.query_row(key, |row| rows::request(row)).optional()?;
    match earlier.map(|earlier| earlier.recall(request)).transpose()? {
        None => Ok(None),
        Some(Recall::Repeated(created)) => Ok(Some(created)),
        Some(Recall::Expired(batch)) => {
            conn.prepare_cached(RELEASE_KEY)?.execute([batch.get()])?;
            Ok(None)
        }
    }
}

fn insert(conn: &Connection, new: &NewBatch) -> Result<Created> {
    let batch = match new.id {
        Some(id) if exists(conn, id)? => return Err(LedgerError::IdInUse(id).into()),
        Some(id) => id,
        None => next_id(conn)?,
    };
    let (quantity, jobs) = (new.plan.quantity(), new.plan.jobs());
    let created = Created { batch, quantity, jobs, estimated: new.estimated, repeated: false };
    insert_batch(conn, &created, new)?;
    insert_jobs(conn, batch, &new.plan)?;
    audit::record(conn, &NewAuditEntry::of_creation(batch, new))?;
    Ok(created)
}

/// Takes the next free id of the sequence. It does not start from the largest id, which a host may
/// have chosen close to the maximum.
fn next_id(conn: &Connection) -> Result<BatchId> {
    let last: Option<i64> = conn.prepare_cached(LAST_ID)?.query_row([], |row| row.get(0)).optional()?;
    let mut next = last.unwrap_or(0) + 1;
    let id = loop {
        let id = BatchId::new(next).map_err(no_free_id)?;
        if !exists(conn, id)? {
            break id;
        }
        next += 1;
    };
    conn.prepare_cached(SET_LAST_ID)?.execute([next])?;
    Ok(id)
}

fn no_free_id(invalid: Invalid) -> VerbError {
    failed("find a free id", invalid).into()
}

fn insert_batch(conn: &Connection, created: &Created, new: &NewBatch) -> Result<()> {
    let (options, request) = (&new.options, new.request.as_ref());
    conn.prepare_cached(INSERT_BATCH)?.execute(params![
        created.batch.get(),
        key(created.quantity),
        key(options.batch_size),
        options.qr_code_prefix,
        options.max_jobs_per_batch.map(key),
        new.key_fingerprint,
        key(created.jobs),
        millis(created.estimated),
        now(),
        request.map_or("", |request| &request.caller),
        request.map(|request| request.key.as_str()),
        request.map(|request| &request.fingerprint),
        new.caller.trace().map(TraceParent::as_str),
    ])?;
    Ok(())
}

pub(super) fn insert_jobs(conn: &Connection, batch: BatchId, plan: &Plan) -> Result<()> {
    let mut insert = conn.prepare_cached(INSERT_JOB)?;
    for job in plan.slices() {
        insert.execute((batch.get(), key(job.seq), key(job.first), key(job.quantity)))?;
    }
    Ok(())
}
