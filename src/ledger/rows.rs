//! Rows of either database as the values that verbs return. A query names its columns as here.

use std::{ops::Range, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    columns::Columns,
    decide::{Candidate, CheckedBatch, EarlierRequest, FailedJobRow, JobSnapshot, rank},
    item_checks::StoredCheck,
    query::{BatchChange, OpenJob, TotalCounts},
    types::{BatchInfo, Created, Hook, Unplanned},
};
use crate::domain::{
    Activity, AuditEntry, BatchId, BatchRecord, Caller, ErrorGroup, FailedChunks, FailedJob, FailureExample,
    FailureGroup, HookId, Item, ItemOptions, JobCounts, JobFinished, JobId, JobRecord, JobState, Measured, Plan,
    ProcessId, StatusTask, TraceParent, WorkerRecord,
};

/// Reads the counts of the whole ledger, without those of batches by status.
#[cfg_attr(not(any(feature = "metrics", rocket_batch_internals)), allow(dead_code, reason = "gauges show it"))]
pub(super) fn totals<R: Columns>(row: &R) -> Result<TotalCounts, R::Error> {
    Ok(TotalCounts {
        batches: Vec::new(),
        waiting: row.number("waiting")?,
        active: row.number("active")?,
        delayed: row.number("delayed")?,
        oldest_open: row.optional_time("oldest_open")?,
        last_item_at: row.optional_time("last_item_at")?,
        hooks_given_up: row.number("hooks_given_up")?,
    })
}

/// Reads a batch with its counts.
pub(super) fn batch<R: Columns>(row: &R) -> Result<BatchRecord, R::Error> {
    Ok(BatchRecord {
        batch_id: row.batch_id("id")?,
        status: row.status("status")?,
        quantity: row.number("quantity")?,
        options: options(row)?,
        jobs: counts(row)?,
        items_created: row.number("items_created")?,
        round: row.small("round")?,
        created_at: row.time("created_at")?,
        started_at: row.optional_time("started_at")?,
        finished_at: row.optional_time("finished_at")?,
        error: row.optional_string("error")?,
        hook_error: row.optional_string("close_error")?,
        history_removed: row.flag("history_removed")?,
        repaired: row.flag("repaired")?,
        measured: measured(row)?,
        activity: Activity {
            recent_items: row.number("recent_items")?,
            last_item_at: row.optional_time("last_item_at")?,
        },
    })
}

/// Reads a process. Its id is an integer of 64 bits, which a database stores with a sign.
pub(super) fn worker<R: Columns>(row: &R) -> Result<WorkerRecord, R::Error> {
    Ok(WorkerRecord {
        id: ProcessId(row.integer("id")?.cast_unsigned()),
        host: row.string("host")?,
        role: row.string("role")?,
        version: row.string("version")?,
        started_at: row.time("started_at")?,
        reported_at: row.time("reported_at")?,
        last_fetch_at: row.optional_time("last_fetch_at")?,
        active_jobs: row.number("active_jobs")?,
        standby: row.flag("standby")?,
        memory_bytes: row.optional_number("memory_bytes")?,
    })
}

/// Reads a batch with its counts and its version.
pub(super) fn change<R: Columns>(row: &R) -> Result<BatchChange, R::Error> {
    Ok(BatchChange { version: row.number("version")?, record: batch(row)? })
}

fn options<R: Columns>(row: &R) -> Result<ItemOptions, R::Error> {
    Ok(ItemOptions {
        batch_size: row.number("batch_size")?,
        qr_code_prefix: row.optional_string("prefix")?,
        max_jobs_per_batch: row.optional_number("max_jobs")?,
    })
}

fn counts<R: Columns>(row: &R) -> Result<JobCounts, R::Error> {
    Ok(JobCounts {
        waiting: row.number("waiting")?,
        active: row.number("active")?,
        delayed: row.number("delayed")?,
        completed: row.number("completed")?,
        failed: row.number("failed")?,
        cancelled: row.number("cancelled")?,
    })
}

/// Reads the facts about `batch` that an item writer receives.
pub(super) fn batch_info<R: Columns>(row: &R, batch: BatchId) -> Result<BatchInfo, R::Error> {
    Ok(BatchInfo { batch_id: batch, quantity: row.number("quantity")?, options: options(row)? })
}

/// Reads the work done in a batch.
pub(super) fn measured<R: Columns>(row: &R) -> Result<Measured, R::Error> {
    Ok(Measured { items: row.number("items_created")?, worked: row.duration("worked_ms")? })
}

/// Reads an entry of the audit.
pub(super) fn audit_entry<R: Columns>(row: &R) -> Result<AuditEntry, R::Error> {
    Ok(AuditEntry {
        id: row.number("id")?,
        batch_id: row.batch_id("batch")?,
        at: row.time("at")?,
        action: row.word("action")?.parse().map_err(R::unreadable)?,
        actor: row.text("actor")?.unwrap_or(Caller::UNKNOWN).to_owned(),
        address: row.text("address")?.map(str::parse).transpose().map_err(R::unreadable)?,
        details: row.json("details")?,
    })
}

/// Reads an item.
pub(super) fn item<R: Columns>(row: &R) -> Result<Item, R::Error> {
    Ok(Item {
        batch_id: row.batch_id("batch")?,
        ordinal: row.number("ordinal")?,
        code: row.string("code")?,
        created_at: row.time("created_at")?,
    })
}

/// Reads a failed job of `batch`, for a list.
pub(super) fn failed_job<R: Columns>(row: &R, batch: BatchId) -> Result<FailedJob, R::Error> {
    let (job, range) = (job_of(row, batch)?, range(row)?);
    let FailedChunks { ranges, unlisted_chunks, unlisted_items } = row.json("failed_chunks")?;
    Ok(FailedJob {
        job_id: job.to_string(),
        seq: job.seq,
        first: range.start,
        last: range.end - 1,
        items_created: row.number("created")?,
        attempts: row.small("attempts")?,
        crashes: row.small("crashes")?,
        error: row.string("error")?,
        failed_chunks: ranges,
        more_failed_chunks: unlisted_chunks,
        more_items: unlisted_items,
        started_at: row.optional_time("claimed_at")?,
        finished_at: row.optional_time("finished_at")?,
    })
}

/// Reads a group of failed jobs of `batch`. Its title is that of its example.
pub(super) fn failure_group<R: Columns>(row: &R, batch: BatchId) -> Result<FailureGroup, R::Error> {
    let error = row.string("error")?;
    Ok(FailureGroup {
        group: row.string("error_group")?,
        title: ErrorGroup::of(&error).title,
        jobs: row.number("jobs")?,
        items_missing: row.number("items_missing")?,
        first_seen: row.time("first_seen")?,
        last_seen: row.time("last_seen")?,
        example: FailureExample { job_id: job_of(row, batch)?.to_string(), error },
    })
}

/// Reads a cell of the map of jobs.
pub(super) fn cell<R: Columns>(row: &R) -> Result<JobState, R::Error> {
    let attention = row.number("attention")?;
    let state = JobState::BY_ATTENTION.get(attention as usize).copied();
    state.ok_or_else(|| R::unreadable(format!("{attention} is not the position of a state")))
}

/// Reads a job of `batch`, for a list.
pub(super) fn job_record<R: Columns>(row: &R, batch: BatchId) -> Result<JobRecord, R::Error> {
    let (job, range) = (job_of(row, batch)?, range(row)?);
    Ok(JobRecord {
        job_id: job.to_string(),
        seq: job.seq,
        first: range.start,
        last: range.end - 1,
        quantity: range.end - range.start,
        items_created: row.number("created")?,
        state: row.state("state")?,
        attempts: row.small("attempts")?,
        crashes: row.small("crashes")?,
        started_at: row.optional_time("claimed_at")?,
        finished_at: row.optional_time("finished_at")?,
        not_before: row.optional_time("not_before")?,
        error: row.optional_string("error")?,
    })
}

/// Reads a failed job of `batch`, for a retry.
pub(super) fn job_to_retry<R: Columns>(row: &R, batch: BatchId) -> Result<FailedJobRow, R::Error> {
    Ok(FailedJobRow {
        job: job_of(row, batch)?,
        has_all_items: row.flag("has_all_items")?,
        group: row.string("error_group")?,
    })
}

/// Reads a job of `batch` that a retry names.
pub(super) fn named_job<R: Columns>(row: &R, batch: BatchId) -> Result<(JobId, JobState), R::Error> {
    Ok((job_of(row, batch)?, row.state("state")?))
}

fn job_of<R: Columns>(row: &R, batch: BatchId) -> Result<JobId, R::Error> {
    Ok(JobId { batch, seq: row.number("seq")?, generation: row.small("generation")? })
}

/// Reads the ordinals of a job.
pub(super) fn range<R: Columns>(row: &R) -> Result<Range<u64>, R::Error> {
    let first = row.number("first")?;
    Ok(first..first + row.number("quantity")?)
}

/// Reads a job and its batch, for a claim.
pub(super) fn job_snapshot<R: Columns>(row: &R) -> Result<JobSnapshot, R::Error> {
    let acknowledged = row.optional_number("acknowledged")?;
    Ok(JobSnapshot {
        generation: row.small("generation")?,
        state: row.state("state")?,
        epoch: row.small("epoch")?,
        range: range(row)?,
        attempts: row.small("attempts")?,
        crashes: row.small("crashes")?,
        acknowledged: acknowledged.map(|ends| u32::try_from(ends).unwrap_or(u32::MAX)),
        error: row.optional_string("error")?,
        status: row.status("status")?,
        history_removed: row.flag("history_removed")?,
        jobs_in_batch: row.number("jobs_in_batch")?,
        prefix: row.optional_string("prefix")?,
        key_fingerprint: row.string("key_fingerprint")?,
        trace: trace(row)?,
    })
}

/// Reads where the request that created a batch stands in a distributed trace.
pub(super) fn trace<R: Columns>(row: &R) -> Result<Option<TraceParent>, R::Error> {
    Ok(row.optional_string("traceparent")?.and_then(|trace| trace.parse().ok()))
}

/// Reads an earlier request with the same idempotency key.
pub(super) fn request<R: Columns>(row: &R) -> Result<EarlierRequest, R::Error> {
    Ok(EarlierRequest {
        created: Created {
            batch: row.batch_id("id")?,
            quantity: row.number("quantity")?,
            jobs: row.number("jobs")?,
            estimated: row.duration("estimated_ms")?,
            repeated: true,
        },
        fingerprint: row.string("request_fingerprint")?,
        age: row.duration("age_ms")?,
    })
}

/// Reads a finished job, for its hook.
pub(super) fn finished_job<R: Columns>(row: &R, batch: BatchId) -> Result<JobFinished, R::Error> {
    let (job, range) = (job_of(row, batch)?, range(row)?);
    Ok(JobFinished {
        batch_id: batch,
        job_id: job.to_string(),
        seq: job.seq,
        first: range.start,
        quantity: range.end - range.start,
        items_created: row.number("created")?,
        attempts: row.small("attempts")?,
        error: row.optional_string("error")?,
    })
}

/// Reads an open hook.
pub(super) fn hook<R: Columns>(row: &R) -> Result<Hook, R::Error> {
    Ok(Hook { event: row.json("event")?, attempts: row.small("attempts")?, trace: trace(row)? })
}

/// Reads the task of an open hook, and the time from `now` until it is due.
pub(super) fn hook_task<R: Columns>(row: &R, now: DateTime<Utc>) -> Result<(StatusTask, Duration), R::Error> {
    let hook = HookId(row.integer("id")?);
    let not_before = row.optional_time("not_before")?;
    let delay = not_before.and_then(|not_before| (not_before - now).to_std().ok()).unwrap_or_default();
    Ok((StatusTask::Hook { batch: row.batch_id("batch")?, hook }, delay))
}

/// Reads the task that closes a batch.
pub(super) fn close_task<R: Columns>(row: &R) -> Result<StatusTask, R::Error> {
    Ok(StatusTask::Close { batch: row.batch_id("id")?, round: row.small("round")? })
}

/// Reads a batch that may be fed.
pub(super) fn candidate<R: Columns>(row: &R) -> Result<Candidate, R::Error> {
    Ok(Candidate { batch: row.batch_id("id")?, ready: row.number("ready")? })
}

/// Reads a job to put into the queue.
pub(super) fn open_job<R: Columns>(row: &R) -> Result<OpenJob, R::Error> {
    let (job, range) = (job_of(row, row.batch_id("batch")?)?, range(row)?);
    Ok(OpenJob {
        job,
        first: range.start,
        quantity: range.end - range.start,
        rank: rank(job.seq, row.number("head")?),
        attempts_made: row.small("attempts")?,
    })
}

/// Reads the batch `batch`, for a check of its items.
pub(super) fn checked_batch<R: Columns>(row: &R, batch: BatchId) -> Result<CheckedBatch, R::Error> {
    let (quantity, batch_size) = (row.number("quantity")?, row.number("batch_size")?);
    let jobs = row.optional_number("jobs")?.filter(|jobs| *jobs > 0);
    Ok(CheckedBatch {
        batch,
        status: row.status("status")?,
        quantity,
        plan: jobs.map(|jobs| Plan::of_stored(quantity, batch_size, jobs)),
        prefix: row.optional_string("prefix")?,
        key_fingerprint: row.optional_string("key_fingerprint")?,
        round: row.small("round")?,
    })
}

/// Reads a check of items.
pub(super) fn stored_check<R: Columns>(row: &R) -> Result<StoredCheck, R::Error> {
    Ok(StoredCheck {
        batch: row.batch_id("batch")?,
        codes: row.flag("codes")?,
        run: row.small("run")?,
        tally: row.json("tally")?,
        started_at: row.time("started_at")?,
        finished_at: row.optional_time("finished_at")?,
    })
}

/// Reads the task of an unfinished check.
pub(super) fn check_task<R: Columns>(row: &R) -> Result<StatusTask, R::Error> {
    Ok(StatusTask::Reconcile { batch: row.batch_id("batch")?, codes: row.flag("codes")?, run: row.small("run")? })
}

/// Reads a batch without jobs.
pub(super) fn unplanned<R: Columns>(row: &R) -> Result<Unplanned, R::Error> {
    Ok(Unplanned { batch: row.batch_id("id")?, quantity: row.number("quantity")?, options: options(row)? })
}
