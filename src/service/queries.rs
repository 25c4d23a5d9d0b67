//! Reads batches, jobs and items.

use std::sync::atomic::Ordering::Relaxed;

use chrono::Utc;

use super::{
    error::{BatchError, Result},
    handle::{BatchService, to_batch_id},
    page::{Page, PageQuery},
};
use crate::{
    domain::{
        BatchRecord, BatchStatus, FailedJob, FailureGroup, Item, JobMap, JobRecord, JobState, JobsWaitFor, Observation,
        Progress, WaitingFor, check_group,
    },
    ledger::{PageRequest, Portion},
    queue::QueueCondition,
};

impl BatchService {
    /// Returns the progress of a batch.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchBatch`].
    pub async fn get_batch_job_progress(&self, batch_id: i64) -> Result<Progress> {
        let batch = self.batch(batch_id).await?;
        let waiting_for = self.waiting_for(&batch).await;
        Ok(self.progress(&batch, waiting_for))
    }

    pub(super) fn progress(&self, batch: &BatchRecord, waiting_for: Option<WaitingFor>) -> Progress {
        let (throughput, chunk_size) = (self.throughput(), self.parts().config.chunk_size);
        Progress::of(batch, &Observation { throughput: &throughput, chunk_size, now: Utc::now(), waiting_for })
    }

    async fn waiting_for(&self, batch: &BatchRecord) -> Option<WaitingFor> {
        if self.parts().outage.is_on() {
            return Some(WaitingFor::Database);
        }
        if batch.has_open_jobs() { self.jobs_wait_for().await.of(batch) } else { None }
    }

    /// Why no job advances now, or why this process starts no waiting job.
    pub(super) async fn jobs_wait_for(&self) -> JobsWaitFor {
        JobsWaitFor { to_start: self.process_waits_for().await, is_nobody_left: self.is_nobody_left().await }
    }

    /// Why this process starts no waiting job now.
    async fn process_waits_for(&self) -> Option<WaitingFor> {
        if self.parts().standby.load(Relaxed) {
            return Some(WaitingFor::Leader);
        }
        match self.parts().generate.condition().await {
            QueueCondition::Open => None,
            QueueCondition::RateLimited => Some(WaitingFor::RateLimit),
            QueueCondition::Paused => Some(WaitingFor::Paused),
            QueueCondition::Unreachable => Some(WaitingFor::Queue),
        }
    }

    /// Returns one batch.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchBatch`].
    pub async fn batch(&self, batch_id: i64) -> Result<BatchRecord> {
        let id = to_batch_id(batch_id)?;
        let _permit = self.parts().reads.one().await?;
        self.bounded(self.parts().ledger.batch(id)).await
    }

    /// Returns a page of batches in descending order of ids, optionally only those of one `status`.
    ///
    /// # Errors
    ///
    /// [`BatchError::Invalid`] for a limit out of bounds, [`BatchError::BadCursor`] for a cursor of
    /// another list.
    pub async fn batches(&self, status: Option<BatchStatus>, page: PageQuery) -> Result<Page<BatchRecord>> {
        let list = format!("batches:{}", status.map_or("all", BatchStatus::as_str));
        let request = page.request(&list)?;
        let _permit = self.parts().reads.list().await?;
        let batches = self.bounded(self.parts().ledger.batches(status, request)).await?;
        Ok(Page::of(Portion::complete(batches), &list, request, |batch| batch.batch_id.get().unsigned_abs()))
    }

    /// Returns a page of the items of a batch, in ascending order of ordinals.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchBatch`], and as [`BatchService::batches`].
    pub async fn items(&self, batch_id: i64, page: PageQuery) -> Result<Page<Item>> {
        let (id, list) = (to_batch_id(batch_id)?, format!("items:{batch_id}"));
        let request = page.request(&list)?;
        let _permit = self.parts().reads.list().await?;
        let items = self.bounded(self.parts().ledger.items(id, request)).await?;
        Ok(Page::of(Portion::complete(items), &list, request, |item| item.ordinal))
    }

    /// Returns the item with `code`.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchItem`], also for a text that is not a code.
    pub async fn item_by_code(&self, code: &str) -> Result<Item> {
        let decoded = self.parts().codes.decode(code).ok_or(BatchError::NoSuchItem)?;
        let request = PageRequest { after: decoded.ordinal.checked_sub(1), limit: 1 };
        let _permit = self.parts().reads.one().await?;
        let items = match self.bounded(self.parts().ledger.items(decoded.batch, request)).await {
            Err(BatchError::NoSuchBatch(_)) => return Err(BatchError::NoSuchItem),
            items => items?,
        };
        // The page starts with the next item that exists, which may be another one.
        let matches = |item: &Item| item.ordinal == decoded.ordinal && item.code == decoded.canonical;
        items.into_iter().find(matches).ok_or(BatchError::NoSuchItem)
    }

    /// Returns a page of the jobs of a batch, in ascending order of their numbers, optionally only
    /// those in one `state`.
    ///
    /// A page looks at no more than 20,000 jobs and ends after 1 MB of JSON. It may then have fewer
    /// entries than `limit`, or none: follow `next_cursor`. A batch that is not planned yet has no
    /// jobs.
    ///
    /// # Errors
    ///
    /// As [`BatchService::failed_jobs`].
    pub async fn jobs(&self, batch_id: i64, state: Option<JobState>, page: PageQuery) -> Result<Page<JobRecord>> {
        let list = format!("jobs:{batch_id}:{}", state.map_or("all", JobState::as_str));
        let (id, request) = (to_batch_id(batch_id)?, page.request(&list)?);
        let _permit = self.parts().reads.list().await?;
        let jobs = self.bounded(self.parts().ledger.jobs(id, state, request)).await?;
        Ok(Page::of(jobs, &list, request, |job| job.seq))
    }

    /// Returns the states of the jobs of a batch at a glance, in at most 1,000 cells.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchBatch`], and [`BatchError::HistoryRemoved`] when the batch finished
    /// longer than `keep_history` ago.
    pub async fn job_map(&self, batch_id: i64) -> Result<JobMap> {
        let id = to_batch_id(batch_id)?;
        let _permit = self.parts().reads.list().await?;
        self.bounded(self.parts().ledger.job_map(id)).await
    }

    /// Returns a page of the groups of failed jobs of a batch, the group with the most jobs first.
    /// Errors that differ only in numbers, codes and quoted values are in one group.
    ///
    /// A page ends after 1 MB of JSON and may then have fewer entries than `limit`: follow
    /// `next_cursor`. If jobs fail or are retried between two pages, a group may appear twice or be
    /// missing.
    ///
    /// # Errors
    ///
    /// As [`BatchService::failed_jobs`].
    pub async fn failure_groups(&self, batch_id: i64, page: PageQuery) -> Result<Page<FailureGroup>> {
        let (id, list) = (to_batch_id(batch_id)?, format!("failure-groups:{batch_id}"));
        let request = page.request(&list)?;
        let _permit = self.parts().reads.list().await?;
        let groups = self.bounded(self.parts().ledger.failure_groups(id, request)).await?;
        Ok(Page::by_position(groups, &list, request))
    }

    /// Returns a page of the failed jobs of a batch, in ascending order of their numbers,
    /// optionally only those of one `group`, as [`BatchService::failure_groups`] names it.
    ///
    /// Each job has the first 20 ranges of failed chunks and the number of the others. A page ends
    /// after 1 MB of JSON and may then have fewer entries than `limit`: follow `next_cursor`.
    ///
    /// # Errors
    ///
    /// As [`BatchService::items`], [`BatchError::Invalid`] for a text that is not a group id, and
    /// [`BatchError::HistoryRemoved`] when the batch finished longer than `keep_history` ago.
    pub async fn failed_jobs(&self, batch_id: i64, group: Option<&str>, page: PageQuery) -> Result<Page<FailedJob>> {
        group.map_or(Ok(()), check_group)?;
        let (id, list) = (to_batch_id(batch_id)?, format!("failed-jobs:{batch_id}:{}", group.unwrap_or("all")));
        let request = page.request(&list)?;
        let _permit = self.parts().reads.list().await?;
        let jobs = self.bounded(self.parts().ledger.failed_jobs(id, group.map(str::to_owned), request)).await?;
        Ok(Page::of(jobs, &list, request, |job| job.seq))
    }
}
