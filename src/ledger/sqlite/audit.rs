//! audit, `audit_log`, `prune_audit`: who changed which batch.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{columns::now, error::Result, read::check_exists};
use crate::{
    domain::{AuditAction, AuditEntry, BatchId},
    ledger::{
        columns::{Columns, as_json, key, millis},
        decide::{AUDIT_WINDOW, NewAuditEntry, PageBuilder, SAME_TIME, continued},
        query::{AuditFilter, PageRequest, Portion},
        rows,
    },
};

const RECORD: &str = "INSERT INTO rocket_batch_audit (batch, at, action, actor, address, details)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const OF_BATCH: &str = "SELECT id, batch, at, action, actor, address, details
    FROM rocket_batch_audit INDEXED BY rocket_batch_audit_by_batch
    WHERE batch = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
const FIRST_SINCE: &str = "SELECT min(id) AS id FROM (
    SELECT id FROM rocket_batch_audit INDEXED BY rocket_batch_audit_by_time WHERE at >= ?1 ORDER BY at, id LIMIT ?2)";
const LAST_TO_LOOK_AT: &str = "SELECT id FROM rocket_batch_audit WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2";
const SEARCH: &str = include_str!("sql/audit_log.sql");
const PRUNE: &str = include_str!("sql/prune_audit.sql");
const ALLOW_PRUNING: &str = "INSERT INTO rocket_batch_settings (name, value) VALUES ('pruning_audit', 1)";
const END_PRUNING: &str = "DELETE FROM rocket_batch_settings WHERE name = 'pruning_audit'";

/// Inserts an entry, in the transaction of the change.
pub(super) fn record(conn: &Connection, entry: &NewAuditEntry<'_>) -> Result<()> {
    let parameters =
        params![entry.batch.get(), now(), entry.action.as_str(), entry.actor, entry.address, entry.details()];
    conn.prepare_cached(RECORD)?.execute(parameters)?;
    Ok(())
}

pub(super) fn audit(conn: &Connection, batch: BatchId, page: PageRequest) -> Result<Portion<AuditEntry>> {
    check_exists(conn, batch)?;
    let mut query = conn.prepare_cached(OF_BATCH)?;
    filled(query.query((batch.get(), page.after.map_or(0, key), key(page.limit)))?)
}

pub(super) fn audit_log(conn: &Connection, filter: &AuditFilter, page: PageRequest) -> Result<Portion<AuditEntry>> {
    let since = filter.since.map(|since| since.timestamp_millis());
    let Some(after) = start(conn, since, page)? else { return Ok(Portion::complete(Vec::new())) };
    let mut last = conn.prepare_cached(LAST_TO_LOOK_AT)?;
    let last = last.query_row((after, key(AUDIT_WINDOW - 1)), |row| row.number("id")).optional()?;
    let (to, action) = (last.map_or(i64::MAX, key), filter.action.map(AuditAction::as_str));
    let mut search = conn.prepare_cached(SEARCH)?;
    let found = filled(search.query((after, to, since, &filter.actor, action, key(page.limit)))?)?;
    Ok(continued(found, page, last))
}

/// The id after which a page starts; `None` if there is no entry since `since`.
fn start(conn: &Connection, since: Option<i64>, page: PageRequest) -> Result<Option<i64>> {
    match (page.after, since) {
        (Some(after), _) => Ok(Some(key(after))),
        (None, None) => Ok(Some(0)),
        (None, Some(since)) => {
            let mut query = conn.prepare_cached(FIRST_SINCE)?;
            let first = query.query_row((since, key(SAME_TIME)), |row| row.optional_integer("id"))?;
            Ok(first.map(|first| first - 1))
        }
    }
}

fn filled(mut found: rusqlite::Rows<'_>) -> Result<Portion<AuditEntry>> {
    let mut page = PageBuilder::new();
    while let Some(row) = found.next()? {
        let entry = rows::audit_entry(row)?;
        let json = as_json(&entry)?;
        page.push(entry, &json);
        if page.is_full() {
            break;
        }
    }
    Ok(page.build())
}

/// The setting that the trigger of the table looks for exists in this transaction only.
pub(super) fn prune_audit(conn: &Connection, age: Duration, max: u64) -> Result<u64> {
    conn.prepare_cached(ALLOW_PRUNING)?.execute([])?;
    let removed = conn.prepare_cached(PRUNE)?.execute((now().saturating_sub(millis(age)), key(max)))?;
    conn.prepare_cached(END_PRUNING)?.execute([])?;
    Ok(removed as u64)
}
