//! forget: removes the history of batches that have been over for long.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::{
    columns::{key, now},
    error::Answer,
};
use crate::ledger::Forgotten;

const NEXT: &str = include_str!("sql/forget_batch.sql");
const JOBS: &str = "DELETE FROM batch_jobs
    WHERE batch = ?1 AND seq IN (SELECT seq FROM batch_jobs WHERE batch = ?1 ORDER BY seq LIMIT ?2)";
const HOOKS: &str = "DELETE FROM batch_hooks WHERE id IN (
    SELECT id FROM batch_hooks INDEXED BY batch_hooks_given_up WHERE batch = ?1 AND state = 'given_up' LIMIT ?2)";
const MARK: &str = "UPDATE batch_batches SET history = ?2, version = version + 1 WHERE id = ?1";

pub(super) fn forget(conn: &Connection, kept: Duration, most: u64) -> Answer<Forgotten> {
    let kept = u64::try_from(kept.as_millis()).map_or(i64::MAX, key);
    let before = now().saturating_sub(kept);
    let (mut forgotten, mut left) = (Forgotten::default(), most);
    for _ in 0..most {
        let next: Option<i64> = conn.prepare_cached(NEXT)?.query_row([before], |row| row.get(0)).optional()?;
        let Some(batch) = next else { return Ok(forgotten) };
        left -= forget_batch(conn, batch, left, &mut forgotten)?;
        if left == 0 {
            break;
        }
    }
    Ok(Forgotten { left_out: true, ..forgotten })
}

/// Removes at most `most` rows of one batch; answers how many. What is less than that was all there was.
fn forget_batch(conn: &Connection, batch: i64, most: u64, forgotten: &mut Forgotten) -> Answer<u64> {
    let jobs = conn.prepare_cached(JOBS)?.execute((batch, key(most)))? as u64;
    let hooks = conn.prepare_cached(HOOKS)?.execute((batch, key(most - jobs)))? as u64;
    let gone = jobs + hooks < most;
    conn.prepare_cached(MARK)?.execute((batch, if gone { "gone" } else { "leaving" }))?;
    forgotten.batches += u64::from(gone);
    forgotten.jobs += jobs;
    forgotten.hooks += hooks;
    Ok(jobs + hooks)
}
