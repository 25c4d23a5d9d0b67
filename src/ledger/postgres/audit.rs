//! audit, `audit_log`, `prune_audit`: who changed which batch.

use std::time::Duration;

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::{
    error::Result,
    pool::{Lane, Verb},
    read::check_exists,
};
use crate::{
    domain::{AuditAction, AuditEntry, BatchId},
    ledger::{
        columns::{Columns, as_json, key, millis},
        decide::{AUDIT_WINDOW, NewAuditEntry, PageBuilder, SAME_TIME, continued},
        operation,
        query::{AuditFilter, PageRequest, Portion},
        rows,
    },
};

const RECORD: &str =
    "INSERT INTO audit (batch, action, actor, address, details) VALUES ($1, $2, $3, $4, $5::text::json)";
const OF_BATCH: &str = "SELECT id, batch, at, action, actor, address, details::text FROM audit
    WHERE batch = $1 AND id > $2 ORDER BY id LIMIT $3";
const FIRST_SINCE: &str = "SELECT min(id) AS id FROM (
    SELECT id FROM audit WHERE at >= $1 ORDER BY at, id LIMIT $2) AS earliest";
const LAST_TO_LOOK_AT: &str = "SELECT id FROM audit WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2";
const SEARCH: &str = include_str!("sql/audit_log.sql");
const PRUNE: &str = include_str!("sql/prune_audit.sql");
// For this transaction only. The trigger of the table looks for it.
const ALLOW_PRUNING: &str = "SELECT set_config('rocket_batch.pruning_audit', 'on', true)";

/// Inserts an entry, in the transaction of the change.
pub(super) async fn record(conn: &impl GenericClient, entry: &NewAuditEntry<'_>) -> Result<()> {
    let (batch, action) = (entry.batch.get(), entry.action.as_str());
    let statement = conn.prepare_cached(RECORD).await?;
    conn.execute(&statement, &[&batch, &action, &entry.actor, &entry.address, &entry.details()]).await?;
    Ok(())
}

/// See [`AuditRecords::audit`](crate::ledger::verbs::AuditRecords::audit).
pub(super) struct Audit {
    pub batch: BatchId,
    pub page: PageRequest,
}

impl Verb for Audit {
    type Output = Portion<AuditEntry>;
    const OPERATION: &'static str = operation::AUDIT;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Portion<AuditEntry>> {
        check_exists(conn, self.batch).await?;
        let (after, limit) = (self.page.after.map_or(0, key), key(self.page.limit));
        filled(&conn.query(&conn.prepare_cached(OF_BATCH).await?, &[&self.batch.get(), &after, &limit]).await?)
    }
}

/// See [`AuditRecords::audit_log`](crate::ledger::verbs::AuditRecords::audit_log).
pub(super) struct AuditLog {
    pub filter: AuditFilter,
    pub page: PageRequest,
}

impl Verb for AuditLog {
    type Output = Portion<AuditEntry>;
    const OPERATION: &'static str = operation::AUDIT_LOG;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Portion<AuditEntry>> {
        let Some(after) = self.start(conn).await? else { return Ok(Portion::complete(Vec::new())) };
        // Before the entries: an entry that is removed meanwhile must not move it.
        let statement = conn.prepare_cached(LAST_TO_LOOK_AT).await?;
        let last = conn.query_opt(&statement, &[&after, &key(AUDIT_WINDOW - 1)]).await?;
        let last = last.map(|row| row.number("id")).transpose()?;
        let (to, limit) = (last.map_or(i64::MAX, key), key(self.page.limit));
        let AuditFilter { since, actor, action } = &self.filter;
        let action = action.map(AuditAction::as_str);
        let statement = conn.prepare_cached(SEARCH).await?;
        let found = conn.query(&statement, &[&after, &to, since, actor, &action, &limit]).await?;
        Ok(continued(filled(&found)?, self.page, last))
    }
}

impl AuditLog {
    /// The id after which the page starts; `None` if there is no entry since that time.
    async fn start(&self, conn: &impl GenericClient) -> Result<Option<i64>> {
        match (self.page.after, self.filter.since) {
            (Some(after), _) => Ok(Some(key(after))),
            (None, None) => Ok(Some(0)),
            (None, Some(since)) => {
                let statement = conn.prepare_cached(FIRST_SINCE).await?;
                let first = conn.query_one(&statement, &[&since, &key(SAME_TIME)]).await?;
                Ok(first.optional_integer("id")?.map(|first| first - 1))
            }
        }
    }
}

fn filled(found: &[Row]) -> Result<Portion<AuditEntry>> {
    let mut page = PageBuilder::new();
    for row in found {
        let entry = rows::audit_entry(row)?;
        let json = as_json(&entry)?;
        page.push(entry, &json);
        if page.is_full() {
            break;
        }
    }
    Ok(page.build())
}

/// See [`AuditRecords::prune_audit`](crate::ledger::verbs::AuditRecords::prune_audit).
pub(super) struct PruneAudit {
    pub age: Duration,
    pub max: u64,
}

impl Verb for PruneAudit {
    type Output = u64;
    const OPERATION: &'static str = operation::PRUNE_AUDIT;

    async fn run(&self, conn: &mut Client) -> Result<u64> {
        let transaction = conn.transaction().await?;
        transaction.execute(&transaction.prepare_cached(ALLOW_PRUNING).await?, &[]).await?;
        let statement = transaction.prepare_cached(PRUNE).await?;
        let removed = transaction.execute(&statement, &[&millis(self.age), &key(self.max)]).await?;
        transaction.commit().await?;
        Ok(removed)
    }
}
