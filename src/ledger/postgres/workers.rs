//! `report_worker`, `remove_worker`, workers, `has_workers`: the processes that use the ledger.

use std::time::Duration;

use deadpool_postgres::Client;
use tokio_postgres::types::ToSql;

use super::{
    columns::text,
    error::Result,
    pool::{Lane, Verb},
};
use crate::{
    domain::{ProcessId, WorkerRecord},
    ledger::{
        columns::{key, millis},
        operation, rows,
        verbs::{FORGOTTEN, FORGOTTEN_ROWS, LISTED, LISTED_WORKERS, WorkerReport},
    },
};

const REPORT: &str = include_str!("sql/report_worker.sql");
const REMOVE: &str = "DELETE FROM workers WHERE id = $1";
const WORKERS: &str = "SELECT id, host, role, version, started_at, reported_at, last_fetch_at, active_jobs, standby,
        memory_bytes
    FROM workers WHERE reported_at > now() - $1::bigint * interval '1 millisecond' ORDER BY started_at, id LIMIT $2";
const HAS_WORKERS: &str = include_str!("sql/has_workers.sql");

/// See [`WorkerRecords::report_worker`](crate::ledger::verbs::WorkerRecords).
pub(super) struct ReportWorker(pub WorkerReport);

impl Verb for ReportWorker {
    type Output = ();
    const OPERATION: &'static str = operation::REPORT_WORKER;

    async fn run(&self, conn: &mut Client) -> Result<()> {
        let WorkerReport { process, host, role, version, uptime, since_last_fetch, .. } = &self.0;
        let parameters: [&(dyn ToSql + Sync); 11] = [
            &process.0.cast_signed(),
            &text(host),
            role,
            version,
            &millis(*uptime),
            &since_last_fetch.map(millis),
            &key(self.0.active_jobs),
            &self.0.standby,
            &self.0.memory_bytes.map(key),
            &millis(FORGOTTEN),
            &key(FORGOTTEN_ROWS),
        ];
        conn.execute(&conn.prepare_cached(REPORT).await?, &parameters).await?;
        Ok(())
    }
}

/// See [`WorkerRecords::remove_worker`](crate::ledger::verbs::WorkerRecords).
pub(super) struct RemoveWorker(pub ProcessId);

impl Verb for RemoveWorker {
    type Output = ();
    const OPERATION: &'static str = operation::REMOVE_WORKER;

    async fn run(&self, conn: &mut Client) -> Result<()> {
        conn.execute(REMOVE, &[&self.0.0.cast_signed()]).await?;
        Ok(())
    }
}

/// See [`WorkerRecords::workers`](crate::ledger::verbs::WorkerRecords).
pub(super) struct Workers;

impl Verb for Workers {
    type Output = Vec<WorkerRecord>;
    const OPERATION: &'static str = operation::WORKERS;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Vec<WorkerRecord>> {
        let statement = conn.prepare_cached(WORKERS).await?;
        let rows = conn.query(&statement, &[&millis(LISTED), &key(LISTED_WORKERS)]).await?;
        rows.iter().map(rows::worker).collect()
    }
}

/// See [`WorkerRecords::has_workers`](crate::ledger::verbs::WorkerRecords).
pub(super) struct HasWorkers(pub Duration);

impl Verb for HasWorkers {
    type Output = bool;
    const OPERATION: &'static str = operation::HAS_WORKERS;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<bool> {
        let statement = conn.prepare_cached(HAS_WORKERS).await?;
        Ok(conn.query_one(&statement, &[&millis(self.0)]).await?.try_get(0)?)
    }
}
