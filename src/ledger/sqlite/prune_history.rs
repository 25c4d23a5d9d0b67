//! forget: removes the history of batches that have been over for long.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::{
    columns::{key, now},
    error::Result,
};
use crate::ledger::Pruned;

const NEXT: &str = include_str!("sql/prune_batch.sql");
const JOBS: &str = "DELETE FROM batch_jobs
    WHERE batch = ?1 AND seq IN (SELECT seq FROM batch_jobs WHERE batch = ?1 ORDER BY seq LIMIT ?2)";
const HOOKS: &str = "DELETE FROM batch_hooks WHERE id IN (
    SELECT id FROM batch_hooks INDEXED BY batch_hooks_given_up WHERE batch = ?1 AND state = 'given_up' LIMIT ?2)";
const MARK: &str = "UPDATE batch_batches SET history = ?2, version = version + 1 WHERE id = ?1";

pub(super) fn prune_history(conn: &Connection, kept: Duration, max: u64) -> Result<Pruned> {
    let kept = u64::try_from(kept.as_millis()).map_or(i64::MAX, key);
    let before = now().saturating_sub(kept);
    let (mut pruned, mut left) = (Pruned::default(), max);
    for _ in 0..max {
        let next: Option<i64> = conn.prepare_cached(NEXT)?.query_row([before], |row| row.get(0)).optional()?;
        let Some(batch) = next else { return Ok(pruned) };
        left -= prune_batch(conn, batch, left, &mut pruned)?;
        if left == 0 {
            break;
        }
    }
    Ok(Pruned { left_out: true, ..pruned })
}

/// Removes at most `max` rows of one batch; answers how many. What is less than that was all there
/// was.
fn prune_batch(conn: &Connection, batch: i64, max: u64, pruned: &mut Pruned) -> Result<u64> {
    let jobs = conn.prepare_cached(JOBS)?.execute((batch, key(max)))? as u64;
    let hooks = conn.prepare_cached(HOOKS)?.execute((batch, key(max - jobs)))? as u64;
    let gone = jobs + hooks < max;
    conn.prepare_cached(MARK)?.execute((batch, if gone { "pruned" } else { "pruning" }))?;
    pruned.batches += u64::from(gone);
    pruned.jobs += jobs;
    pruned.hooks += hooks;
    Ok(jobs + hooks)
}
