//! `prune_history`: removes the job rows of batches that finished long ago.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::{
    columns::{key, millis, now},
    error::Result,
};
use crate::ledger::{decide::Sweep, types::Pruned};

const NEXT: &str = include_str!("sql/prune_batch.sql");
const JOBS: &str = "DELETE FROM rocket_batch_jobs
    WHERE batch = ?1 AND seq IN (SELECT seq FROM rocket_batch_jobs WHERE batch = ?1 ORDER BY seq LIMIT ?2)";
const HOOKS: &str = "DELETE FROM rocket_batch_hooks WHERE id IN (
    SELECT id FROM rocket_batch_hooks INDEXED BY rocket_batch_hooks_given_up
    WHERE batch = ?1 AND state = 'given_up' LIMIT ?2)";
const MARK: &str = "UPDATE rocket_batch_batches SET history = ?2, version = version + 1 WHERE id = ?1";

pub(super) fn prune_history(conn: &Connection, age: Duration, max: u64) -> Result<Pruned> {
    let before = now().saturating_sub(millis(age));
    let mut sweep = Sweep::of(max);
    while sweep.has_capacity() {
        let next: Option<i64> = conn.prepare_cached(NEXT)?.query_row([before], |row| row.get(0)).optional()?;
        let Some(batch) = next else { return Ok(sweep.complete()) };
        let max = sweep.rows_left();
        let jobs = conn.prepare_cached(JOBS)?.execute((batch, key(max)))? as u64;
        let hooks = conn.prepare_cached(HOOKS)?.execute((batch, key(max - jobs)))? as u64;
        conn.prepare_cached(MARK)?.execute((batch, sweep.add(jobs, hooks)))?;
    }
    Ok(sweep.interrupted())
}
