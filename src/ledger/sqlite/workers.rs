//! `report_worker`, `remove_worker`, workers, `has_workers`: the processes that use the ledger.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::{columns::now, error::Result};
use crate::{
    domain::{ProcessId, WorkerRecord},
    ledger::{
        columns::{key, millis},
        rows,
        verbs::{FORGOTTEN, FORGOTTEN_ROWS, LISTED, LISTED_WORKERS, WorkerReport},
    },
};

const REPORT: &str = include_str!("sql/report_worker.sql");
const FORGET: &str = "DELETE FROM rocket_batch_workers
    WHERE id IN (SELECT id FROM rocket_batch_workers WHERE reported_at < ?1 LIMIT ?2)";
const REMOVE: &str = "DELETE FROM rocket_batch_workers WHERE id = ?1";
const WORKERS: &str = "SELECT id, host, role, version, started_at, reported_at, last_fetch_at, active_jobs, standby,
        memory_bytes
    FROM rocket_batch_workers WHERE reported_at > ?1 ORDER BY started_at, id LIMIT ?2";
const HAS_WORKERS: &str = include_str!("sql/has_workers.sql");

pub(super) fn report_worker(conn: &Connection, report: &WorkerReport) -> Result<()> {
    let now = now();
    conn.prepare_cached(REPORT)?.execute(params![
        report.process.0.cast_signed(),
        report.host,
        report.role,
        report.version,
        now.saturating_sub(millis(report.uptime)),
        now,
        report.since_last_fetch.map(|age| now.saturating_sub(millis(age))),
        key(report.active_jobs),
        report.standby,
        report.memory_bytes.map(key),
    ])?;
    let before = now.saturating_sub(millis(FORGOTTEN));
    conn.prepare_cached(FORGET)?.execute((before, key(FORGOTTEN_ROWS)))?;
    Ok(())
}

pub(super) fn remove_worker(conn: &Connection, process: ProcessId) -> Result<()> {
    conn.prepare_cached(REMOVE)?.execute([process.0.cast_signed()])?;
    Ok(())
}

pub(super) fn workers(conn: &Connection) -> Result<Vec<WorkerRecord>> {
    let mut query = conn.prepare_cached(WORKERS)?;
    let since = now().saturating_sub(millis(LISTED));
    let workers = query.query_map((since, key(LISTED_WORKERS)), |row| rows::worker(row))?;
    Ok(workers.collect::<Result<_, _>>()?)
}

pub(super) fn has_workers(conn: &Connection, span: Duration) -> Result<bool> {
    let since = now().saturating_sub(millis(span));
    Ok(conn.prepare_cached(HAS_WORKERS)?.query_row((since, since.saturating_mul(1_000)), |row| row.get(0))?)
}
