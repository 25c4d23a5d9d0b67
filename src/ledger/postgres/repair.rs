//! `jobs_with_gaps`, repair: recreates completed jobs with missing items.

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::{
    audit,
    columns::small,
    control::lock,
    create::columns,
    error::Result,
    item_checks::checked_batch,
    pool::{Lane, Verb},
    read::batch,
    summarize::count_batch,
};
use crate::{
    domain::{BatchId, BatchStatus, Caller, RepairReport},
    ledger::{
        columns::{Columns, key},
        decide::{CheckedBatch, CountedJob, NewAuditEntry, add_recreated, repaired_status},
        item_checks::JobGaps,
        operation,
    },
};

const COUNT: &str = include_str!("sql/count_items.sql");
const REMAKE: &str = "INSERT INTO jobs
        (batch, seq, first, quantity, state, generation, created, written_to, finished_at)
    SELECT $1, job.seq, job.first, job.quantity, 'completed', $5, job.quantity, job.first + job.quantity, now()
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS job (seq, first, quantity)
    ON CONFLICT (batch, seq) DO NOTHING";
const RECREATE: &str = include_str!("sql/repair_jobs.sql");
const MARK: &str = "UPDATE batches SET history = 'complete', repaired_round = round WHERE id = $1";
const REOPEN: &str = include_str!("sql/retry_batch.sql");

/// See [`ItemChecks::jobs_with_gaps`](crate::ledger::item_checks::ItemChecks::jobs_with_gaps).
pub(super) struct JobsWithGaps {
    pub batch: BatchId,
    pub from: u64,
}

impl Verb for JobsWithGaps {
    type Output = JobGaps;
    const OPERATION: &'static str = operation::JOBS_WITH_GAPS;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<JobGaps> {
        let batch = checked_batch(conn, self.batch).await?;
        let portion = batch.portion(self.from);
        let next = batch.after(&portion);
        let seqs: Vec<u64> = portion.collect();
        let counted = count_items(conn, &batch, &seqs).await?;
        let seqs = counted.iter().filter(|job| job.has_gap(batch.status)).map(|job| job.seq).collect();
        Ok(JobGaps { seqs, next })
    }
}

/// See [`ItemChecks::repair`](crate::ledger::item_checks::ItemChecks::repair).
pub(super) struct Repair {
    pub batch: BatchId,
    pub seqs: Vec<u64>,
    pub caller: Caller,
}

impl Verb for Repair {
    type Output = RepairReport;
    const OPERATION: &'static str = operation::REPAIR;
    const LANE: Lane = Lane::Requests;
    // A repetition would find no gap.
    const REPEATABLE: bool = false;

    async fn run(&self, conn: &mut Client) -> Result<RepairReport> {
        let transaction = conn.transaction().await?;
        let report = self.repair(&transaction).await?;
        transaction.commit().await?;
        Ok(report)
    }
}

impl Repair {
    async fn repair(&self, conn: &impl GenericClient) -> Result<RepairReport> {
        lock(conn, self.batch).await?;
        let before = batch(conn, self.batch).await?;
        let status = repaired_status(&before)?;
        let checked = checked_batch(conn, self.batch).await?;
        let mut jobs = count_items(conn, &checked, &self.seqs).await?;
        jobs.retain(|job| job.has_gap(before.status));
        if jobs.is_empty() {
            return Ok(RepairReport::empty(self.batch, before.status));
        }
        if before.history_removed {
            remake_jobs(conn, &checked).await?;
        }
        let report = recreate_jobs(conn, &checked, &jobs, status).await?;
        audit::record(conn, &NewAuditEntry::of_repair(&report, &self.caller, before.status)).await?;
        Ok(report)
    }
}

/// The changes of a repair.
async fn recreate_jobs(
    conn: &impl GenericClient,
    batch: &CheckedBatch,
    jobs: &[CountedJob],
    status: BatchStatus,
) -> Result<RepairReport> {
    let id = batch.batch;
    let mut report = RepairReport::empty(id, status);
    jobs.iter().for_each(|job| add_recreated(&mut report, job, batch.remade_generation()));
    let (seqs, present): (Vec<i64>, Vec<i64>) = jobs.iter().map(|job| (key(job.seq), key(job.present))).unzip();
    conn.execute(&conn.prepare_cached(RECREATE).await?, &[&id.get(), &seqs, &present]).await?;
    conn.execute(&conn.prepare_cached(MARK).await?, &[&id.get()]).await?;
    conn.execute(&conn.prepare_cached(REOPEN).await?, &[&id.get(), &status.as_str()]).await?;
    count_batch(conn, id).await?;
    Ok(report)
}

/// Makes the removed job rows again, as completed ones.
async fn remake_jobs(conn: &impl GenericClient, batch: &CheckedBatch) -> Result<()> {
    let Some(plan) = &batch.plan else { return Ok(()) };
    let [seqs, firsts, quantities] = columns(plan);
    let statement = conn.prepare_cached(REMAKE).await?;
    let generation = small(batch.remade_generation());
    conn.execute(&statement, &[&batch.batch.get(), &seqs, &firsts, &quantities, &generation]).await?;
    Ok(())
}

/// The jobs with these numbers, with their items counted. Each statement counts a portion.
async fn count_items(conn: &impl GenericClient, batch: &CheckedBatch, seqs: &[u64]) -> Result<Vec<CountedJob>> {
    let Some(plan) = &batch.plan else { return Ok(Vec::new()) };
    let statement = conn.prepare_cached(COUNT).await?;
    let mut jobs = Vec::new();
    for portion in seqs.chunks(batch.jobs_per_portion() as usize) {
        let slices: Vec<_> = portion.iter().flat_map(|seq| plan.slices_from(*seq..*seq + 1)).collect();
        let [seqs, firsts, quantities]: [Vec<i64>; 3] = [
            slices.iter().map(|job| key(job.seq)).collect(),
            slices.iter().map(|job| key(job.first)).collect(),
            slices.iter().map(|job| key(job.quantity)).collect(),
        ];
        let rows = conn.query(&statement, &[&batch.batch.get(), &seqs, &firsts, &quantities]).await?;
        for row in &rows {
            jobs.push(counted_job(row)?);
        }
    }
    Ok(jobs)
}

fn counted_job(row: &Row) -> Result<CountedJob> {
    let row_of_job = match row.text("state")? {
        Some(_) => Some((row.state("state")?, row.small("generation")?)),
        None => None,
    };
    Ok(CountedJob {
        seq: row.number("seq")?,
        quantity: row.number("quantity")?,
        present: row.number("present")?,
        row: row_of_job,
    })
}
