//! `jobs_with_gaps`, repair: recreates completed jobs with missing items.

use rusqlite::{Connection, OptionalExtension};

use super::{audit, columns::now, error::Result, item_checks::checked_batch, read::batch, summarize::count_batch};
use crate::{
    domain::{BatchId, BatchStatus, Caller, Plan, RepairReport},
    ledger::{
        columns::{Columns, key},
        decide::{CheckedBatch, CountedJob, NewAuditEntry, add_recreated, repaired_status},
        item_checks::JobGaps,
    },
};

const COUNT: &str = "SELECT count(*) AS present FROM rocket_batch_items
    WHERE batch = ?1 AND ordinal >= ?2 AND ordinal < ?3";
const JOB: &str = "SELECT state, generation FROM rocket_batch_jobs WHERE batch = ?1 AND seq = ?2";
const REMAKE: &str = "INSERT INTO rocket_batch_jobs
        (batch, seq, first, quantity, state, generation, created, finished_at)
    VALUES (?1, ?2, ?3, ?4, 'completed', ?5, ?4, ?6)
    ON CONFLICT (batch, seq) DO NOTHING";
const RECREATE: &str = include_str!("sql/repair_job.sql");
const MARK: &str = "UPDATE rocket_batch_batches SET history = 'complete', repaired_round = round WHERE id = ?1";
const REOPEN: &str = include_str!("sql/retry_batch.sql");

pub(super) fn jobs_with_gaps(conn: &Connection, id: BatchId, from: u64) -> Result<JobGaps> {
    let batch = checked_batch(conn, id)?;
    let portion = batch.portion(from);
    let next = batch.after(&portion);
    let counted = count_items(conn, &batch, portion)?;
    let seqs = counted.iter().filter(|job| job.has_gap(batch.status)).map(|job| job.seq).collect();
    Ok(JobGaps { seqs, next })
}

pub(super) fn repair(conn: &Connection, id: BatchId, seqs: &[u64], caller: &Caller) -> Result<RepairReport> {
    let before = batch(conn, id)?;
    let status = repaired_status(&before)?;
    let checked = checked_batch(conn, id)?;
    let mut jobs = count_items(conn, &checked, seqs.iter().copied())?;
    jobs.retain(|job| job.has_gap(before.status));
    if jobs.is_empty() {
        return Ok(RepairReport::empty(id, before.status));
    }
    if before.history_removed {
        remake_jobs(conn, &checked)?;
    }
    let report = recreate_jobs(conn, &checked, &jobs, status)?;
    audit::record(conn, &NewAuditEntry::of_repair(&report, caller, before.status))?;
    Ok(report)
}

/// The changes of a repair.
fn recreate_jobs(
    conn: &Connection,
    batch: &CheckedBatch,
    jobs: &[CountedJob],
    status: BatchStatus,
) -> Result<RepairReport> {
    let id = batch.batch;
    let mut report = RepairReport::empty(id, status);
    for job in jobs {
        conn.prepare_cached(RECREATE)?.execute((id.get(), key(job.seq), key(job.present)))?;
        add_recreated(&mut report, job, batch.remade_generation());
    }
    conn.prepare_cached(MARK)?.execute([id.get()])?;
    conn.prepare_cached(REOPEN)?.execute((id.get(), status.as_str()))?;
    count_batch(conn, id)?;
    Ok(report)
}

/// Makes the removed job rows again, as completed ones.
fn remake_jobs(conn: &Connection, batch: &CheckedBatch) -> Result<()> {
    let mut insert = conn.prepare_cached(REMAKE)?;
    let (generation, now) = (batch.remade_generation(), now());
    for job in batch.plan.iter().flat_map(Plan::slices) {
        insert.execute((batch.batch.get(), key(job.seq), key(job.first), key(job.quantity), generation, now))?;
    }
    Ok(())
}

/// The jobs with these numbers, with their items counted.
fn count_items(
    conn: &Connection,
    batch: &CheckedBatch,
    seqs: impl IntoIterator<Item = u64>,
) -> Result<Vec<CountedJob>> {
    let Some(plan) = &batch.plan else { return Ok(Vec::new()) };
    let (mut count, mut read) = (conn.prepare_cached(COUNT)?, conn.prepare_cached(JOB)?);
    let id = batch.batch.get();
    let mut jobs = Vec::new();
    for slice in seqs.into_iter().flat_map(|seq| plan.slices_from(seq..seq + 1)) {
        let (first, end) = (key(slice.first), key(slice.first + slice.quantity));
        let present = count.query_row((id, first, end), |row| row.number("present"))?;
        let row = read.query_row((id, key(slice.seq)), |row| Ok((row.state("state")?, row.small("generation")?)));
        jobs.push(CountedJob { seq: slice.seq, quantity: slice.quantity, present, row: row.optional()? });
    }
    Ok(jobs)
}
