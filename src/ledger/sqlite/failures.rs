//! `failed_jobs`, `failure_groups`: why jobs failed. Each runs on one snapshot.

use rusqlite::{Connection, MappedRows, Row};
use serde::Serialize;

use super::{
    error::Result,
    read::{check_exists, is_history_removed},
};
use crate::domain::{BatchId, FailedJob, FailureGroup};
use crate::ledger::{
    columns::{as_json, key},
    decide::PageBuilder,
    error::LedgerError,
    query::{PageRequest, Portion},
    rows,
};

const FAILED_JOBS: &str = include_str!("sql/failed_jobs.sql");
const FAILURE_GROUPS: &str = include_str!("sql/failure_groups.sql");

pub(super) fn failed_jobs(
    conn: &Connection,
    id: BatchId,
    group: Option<&str>,
    page: PageRequest,
) -> Result<Portion<FailedJob>> {
    check_has_history(conn, id)?;
    let mut query = conn.prepare_cached(FAILED_JOBS)?;
    let parameters = (id.get(), page.after.map_or(-1, key), key(page.limit), group);
    first_that_fit(query.query_map(parameters, |row| rows::failed_job(row, id))?)
}

pub(super) fn failure_groups(conn: &Connection, id: BatchId, page: PageRequest) -> Result<Portion<FailureGroup>> {
    check_has_history(conn, id)?;
    let mut query = conn.prepare_cached(FAILURE_GROUPS)?;
    let parameters = (id.get(), key(page.after.unwrap_or(0)), key(page.limit));
    first_that_fit(query.query_map(parameters, |row| rows::failure_group(row, id))?)
}

fn check_has_history(conn: &Connection, id: BatchId) -> Result<()> {
    check_exists(conn, id)?;
    if is_history_removed(conn, id)? { Err(LedgerError::HistoryRemoved(id).into()) } else { Ok(()) }
}

/// Reads no more rows than fit into a page.
fn first_that_fit<T, F>(mut found: MappedRows<'_, F>) -> Result<Portion<T>>
where
    T: Serialize,
    F: FnMut(&Row<'_>) -> rusqlite::Result<T>,
{
    let mut page = PageBuilder::new();
    while !page.is_full()
        && let Some(entry) = found.next()
    {
        let entry = entry?;
        let json = as_json(&entry)?;
        page.push(entry, &json);
    }
    Ok(page.build())
}
