//! One job: begin it, make what is missing chunk by chunk, settle it.
//!
//! ```text
//!   begin ──▶ missing ordinals ──▶ chunk ──▶ chunk ──▶ … ──▶ verdict ──▶ settle ──▶ answer to the queue
//!                                   │
//!                                   └─ refused: tried again with backoff, then set aside; the others go on
//! ```
//!
//! Every write carries the hold that `claim` gave, so an attempt that was overtaken writes nothing.
//!
//! Mostly nothing is odd, and then the first chunk comes with the begin and the last one with the
//! end: a job of two chunks is two transactions. The ledger says when that can't be, and each step
//! is one of its own.

use std::{ops::Range, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use rocket::futures::FutureExt;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Context, failpoints, message, recipes::Recipe};
use crate::{
    domain::{
        Attempt, Backoff, BatchId, Delivery, FailedChunk, FailedChunks, Failure, Outcome, Task, Verdict, error_chain,
        verdict,
    },
    ledger::{AttemptResult, ChunkInserted, Claimed, Finished, FirstChunk, LastChunk, LedgerError, NewItem, Work},
    queue::{Disposition, Handler, ProgressSink, ProgressUpdate},
};

/// The handler of the queue `generate-product-batch-items`.
pub(crate) struct Generate(pub Arc<Context>);

#[async_trait]
impl Handler for Generate {
    async fn handle(&self, delivery: Delivery<Task>, progress: &dyn ProgressSink) -> Disposition {
        let (delivery, range) = match delivery {
            Delivery::Enqueued { task: Task::Generate { job, first, quantity }, acknowledged } => {
                (Delivery::Enqueued { task: job, acknowledged }, first..first.saturating_add(quantity))
            }
            Delivery::External { batch, seq } => (Delivery::External { batch, seq }, 0..0),
            Delivery::Enqueued { task: Task::Status(_), .. } => {
                return Disposition::Fail(format!("{delivery} is no job"));
            }
        };
        let Some(claimed) = self.claim(delivery, range).await else { return Disposition::Release };
        match claimed {
            Ok(Claimed::Work(work)) => self.attempt(work, progress).await,
            Ok(Claimed::NothingToDo) => {
                // Whoever ended it may have died before it looked whether it was the last one.
                self.0.ends.job_ended(delivery.batch_and_seq().0);
                Disposition::Ack
            }
            Ok(Claimed::Busy) => Disposition::Ack,
            Ok(Claimed::Failed(reason)) => Disposition::Fail(reason),
            Ok(Claimed::Paused) => paused(delivery),
            Ok(Claimed::Unknown) => unknown(delivery),
            Ok(Claimed::Poisoned(failure)) => self.poisoned(delivery, failure),
            Err(error) => broke(delivery, &error),
        }
    }
}

impl Generate {
    /// Begins the job, with its first chunk where it is known how its codes are made. `None` when
    /// the drain began.
    async fn claim(&self, delivery: Delivery, range: Range<u64>) -> Option<Result<Claimed, LedgerError>> {
        if let Some(recipe) = self.0.recipes.of(delivery.batch_and_seq().0)
            && recipe.key_fingerprint == self.0.codes.fingerprint()
        {
            match AssertUnwindSafe(self.claim_and_insert(delivery, &range, &recipe)).catch_unwind().await {
                // A chunk that was refused is tried again on its own, as often as the settings say.
                // After a panic nothing is begun yet that it could be counted for; the attempt that
                // follows meets it again.
                Err(_) | Ok(Some(Err(LedgerError::Refused { .. }))) => {}
                Ok(claimed) => return claimed,
            }
        }
        self.0.retry_until_drain(|| self.0.ledger.claim(delivery)).await
    }

    async fn claim_and_insert(
        &self,
        delivery: Delivery,
        range: &Range<u64>,
        recipe: &Recipe,
    ) -> Option<Result<Claimed, LedgerError>> {
        let chunk = range.start..range.end.min(range.start.saturating_add(self.0.config.chunk_size));
        let items = items(&self.0, delivery.batch_and_seq().0, recipe.prefix.as_deref(), chunk);
        let Recipe { prefix, key_fingerprint } = recipe.clone();
        let first_chunk = FirstChunk { range: range.clone(), prefix, key_fingerprint, items };
        failpoints::reach(failpoints::BEFORE_WRITE).await;
        let claimed =
            self.0.retry_until_drain(|| self.0.ledger.claim_and_insert(delivery, first_chunk.clone())).await?;
        failpoints::reach(failpoints::AFTER_FIRST_CHUNK).await;
        Some(claimed)
    }

    async fn attempt(&self, work: Work, progress: &dyn ProgressSink) -> Disposition {
        self.0.recipes.remember(work.claim.job.batch, Recipe::of(&work));
        self.0.summaries.changed(work.claim.job.batch);
        let attempt = Attempt { made: work.attempts_made, max: self.0.config.generate.attempts };
        let job = work.claim.job;
        let span = tracing::info_span!("attempt", batch = %job.batch, job = %job, attempt = attempt.number());
        Run { cx: &self.0, work, attempt, progress, began: Instant::now() }.run().instrument(span).await
    }

    fn poisoned(&self, delivery: Delivery, failure: Failure) -> Disposition {
        let (batch, _) = delivery.batch_and_seq();
        tracing::error!(%batch, job = %delivery, reason = failure.reason, "Job {delivery} failed for batch {batch}");
        self.0.job_ended(batch);
        Disposition::Fail(failure.reason)
    }
}

/// What the feeder offered it offers again when the batch is resumed; an order is nobody's to
/// repeat.
fn paused(delivery: Delivery) -> Disposition {
    match delivery {
        Delivery::External { batch, .. } => {
            Disposition::Fail(format!("batch {batch} is paused; its jobs go on when it is resumed"))
        }
        Delivery::Enqueued { .. } => Disposition::Discard,
    }
}

/// What an older ledger does not know any more, or somebody else made up.
fn unknown(delivery: Delivery) -> Disposition {
    let why = match delivery {
        Delivery::External { batch, seq } => format!("the ledger has no batch {batch} with a job {seq}"),
        Delivery::Enqueued { task: job, .. } => format!("the ledger has no job {job}"),
    };
    tracing::warn!(why, "a job that the ledger does not know failed in the queue");
    Disposition::Fail(why)
}

fn broke(delivery: Delivery, error: &LedgerError) -> Disposition {
    let (batch, _) = delivery.batch_and_seq();
    tracing::error!(%batch, job = %delivery, error = error as &dyn std::error::Error, "Job {delivery} could not be begun");
    Disposition::Retry(error_chain(error))
}

/// One attempt at one job.
struct Run<'a> {
    cx: &'a Context,
    work: Work,
    attempt: Attempt,
    /// For those who look at the queue with a tool.
    progress: &'a dyn ProgressSink,
    began: Instant,
}

/// What became of the missing items.
enum Made {
    /// All of them exist, and the ledger knows that the job is completed.
    Completed,
    /// The ledger is still to be told.
    Outcome(Outcome),
}

/// How a chunk ended.
enum Chunk {
    /// Its items exist.
    Inserted,
    /// Its items exist, and with them all of the job, which is completed.
    Completed,
    /// It stayed bad.
    Bad(FailedChunk),
    /// The whole attempt ends here.
    Stop(Outcome),
}

impl Run<'_> {
    async fn run(self) -> Disposition {
        let (batch, range) = (self.work.claim.job.batch, &self.work.range);
        tracing::info!(
            first = range.start,
            last = range.end - 1,
            "Starting batch generation for batch {batch}, items {}-{}",
            range.start,
            range.end - 1,
        );
        let made = AssertUnwindSafe(self.make()).catch_unwind().await;
        let made = made.unwrap_or_else(|panic| Made::Outcome(Outcome::Panicked(message(panic))));
        let answer = match made {
            Made::Completed => self.ended(&AttemptResult::Completed, Disposition::Ack),
            Made::Outcome(outcome) => {
                failpoints::reach(failpoints::BEFORE_SETTLE).await;
                self.conclude(verdict(outcome, self.attempt)).await
            }
        };
        failpoints::reach(failpoints::BEFORE_ACKNOWLEDGE).await;
        answer
    }

    /// Makes the missing items, chunk by chunk.
    async fn make(&self) -> Made {
        if self.work.key_fingerprint != self.cx.codes.fingerprint() {
            return Made::Outcome(Outcome::Unworkable(format!(
                "the batch was made with another code key ({}, this is {}); set that `code_key` again, then retry",
                self.work.key_fingerprint,
                self.cx.codes.fingerprint(),
            )));
        }
        let mut bad = FailedChunks::default();
        let mut reporter = ProgressReporter::new(&self.work);
        if self.work.inserted > 0 {
            self.wrote(self.work.inserted, &mut reporter);
        }
        let mut chunks = chunks(&self.work.missing, self.cx.config.chunk_size).peekable();
        while let Some(ordinals) = chunks.next() {
            let items = ordinals.end - ordinals.start;
            let last = chunks.peek().is_none() && bad.is_empty();
            match self.chunk(ordinals, last).await {
                Chunk::Inserted => self.wrote(items, &mut reporter),
                Chunk::Bad(chunk) => bad.push(chunk),
                Chunk::Stop(outcome) => return Made::Outcome(outcome),
                Chunk::Completed => {
                    self.wrote(items, &mut reporter);
                    return Made::Completed;
                }
            }
        }
        Made::Outcome(if bad.is_empty() { Outcome::AllWritten } else { Outcome::ChunksFailed(bad) })
    }

    fn wrote(&self, items: u64, reporter: &mut ProgressReporter) {
        self.cx.summaries.wrote(self.work.claim.job.batch, items);
        reporter.written(items).into_iter().for_each(|note| self.progress.report(note));
    }

    /// Writes one chunk, trying again when its rows are refused. With the `last` one the job is
    /// completed, where that can be.
    async fn chunk(&self, ordinals: Range<u64>, last: bool) -> Chunk {
        let (batch, prefix) = (self.work.claim.job.batch, self.work.prefix.as_deref());
        let items = items(self.cx, batch, prefix, ordinals.clone());
        let backoff = Backoff { first: self.cx.config.chunk_backoff, max: Duration::from_secs(10) };
        for tries in 1.. {
            if self.cx.draining.is_cancelled() {
                return Chunk::Stop(Outcome::Interrupted);
            }
            failpoints::reach(failpoints::BEFORE_WRITE).await;
            let Some(written) = self.insert(&items, last).await else { return Chunk::Stop(Outcome::Interrupted) };
            match written {
                Ok(chunk) => return chunk,
                Err(why) if tries >= self.cx.config.chunk_tries => return Chunk::Bad(set_aside(&ordinals, tries, why)),
                Err(why) => {
                    tracing::warn!(
                        from = ordinals.start,
                        to = ordinals.end - 1,
                        tries,
                        why,
                        "a chunk was refused; it is tried again"
                    );
                    self.cx.sleep_unless_draining(backoff.jittered(tries, fastrand::f64())).await;
                }
            }
        }
        unreachable!("the last try returns")
    }

    /// How a try to write a chunk ended, or why its rows were refused. `None` when the drain began.
    async fn insert(&self, items: &Arc<[NewItem]>, last: bool) -> Option<Result<Chunk, String>> {
        let (ledger, claim) = (&self.cx.ledger, &self.work.claim);
        if last {
            let complete = || ledger.insert_and_complete(claim, items.clone(), self.began.elapsed());
            match self.cx.retry_until_drain(complete).await? {
                Ok(LastChunk::Completed) => return Some(Ok(Chunk::Completed)),
                Ok(LastChunk::Unchanged) => {}
                Err(error) => return Some(refusal(error)),
            }
        }
        let written = self.cx.retry_until_drain(|| ledger.insert_chunk(claim, items.clone())).await?;
        Some(end_of(written))
    }

    /// Puts the verdict down in the ledger, and answers the queue accordingly.
    async fn conclude(&self, verdict: Verdict) -> Disposition {
        let Some((result, answer)) = self.ending(verdict) else { return Disposition::Ack };
        let worked = self.began.elapsed();
        let finish_attempt = || self.cx.ledger.finish_attempt(&self.work.claim, result.clone(), worked);
        match self.cx.retry_forever(finish_attempt).await {
            Ok(Finished::Fenced) => Disposition::Ack,
            Ok(Finished::Recorded) => self.ended(&result, answer),
            Err(error) => broke(self.work.claim.job.into(), &error),
        }
    }

    /// Follows up on what is recorded in the ledger.
    fn ended(&self, result: &AttemptResult, answer: Disposition) -> Disposition {
        let batch = self.work.claim.job.batch;
        self.log_outcome(result);
        match result {
            AttemptResult::Completed | AttemptResult::Failed(_) => self.cx.job_ended(batch),
            AttemptResult::Delayed { .. } => self.cx.job_delayed(batch),
            AttemptResult::Released => self.cx.summaries.changed(batch),
        }
        answer
    }

    /// What the ledger is told, and the queue; `None` when another attempt says it.
    fn ending(&self, verdict: Verdict) -> Option<(AttemptResult, Disposition)> {
        Some(match verdict {
            Verdict::Completed => (AttemptResult::Completed, Disposition::Ack),
            Verdict::RetryLater(failure) => {
                let reason = failure.reason.clone();
                // Where too many are delayed already the ledger keeps this one, and the feeder
                // brings it back when it is due.
                let answer =
                    if self.cx.is_full_of_delayed() { Disposition::Discard } else { Disposition::Retry(reason) };
                (AttemptResult::Delayed { failure, delay: self.backoff() }, answer)
            }
            Verdict::Failed(failure) => {
                let reason = failure.reason.clone();
                (AttemptResult::Failed(failure), Disposition::Fail(reason))
            }
            Verdict::GivenBack => (AttemptResult::Released, Disposition::Release),
            Verdict::Parked => (AttemptResult::Released, Disposition::Discard),
            Verdict::Superseded => return None,
        })
    }

    fn backoff(&self) -> Duration {
        self.cx.config.generate.backoff().jittered(self.attempt.number(), fastrand::f64())
    }

    fn log_outcome(&self, result: &AttemptResult) {
        if let AttemptResult::Delayed { failure, .. } | AttemptResult::Failed(failure) = result {
            self.progress.report(account(self.attempt, failure));
        }
        let job = self.work.claim.job;
        let (batch, items) = (job.batch, self.work.range.end - self.work.range.start);
        match result {
            AttemptResult::Completed => {
                tracing::info!(items, "Successfully generated {items} product items for batch {batch}");
                tracing::info!("Job {job} completed successfully for batch {batch}");
            }
            AttemptResult::Delayed { failure, delay } => tracing::warn!(
                reason = failure.reason,
                ?delay,
                attempts = self.attempt.max,
                "Job {job} failed for batch {batch}; it will be tried again",
            ),
            AttemptResult::Failed(failure) => tracing::error!(
                reason = failure.reason,
                attempts = self.attempt.max,
                set_aside = failure.chunks.items(),
                "Job {job} failed for batch {batch}",
            ),
            AttemptResult::Released => tracing::info!("Job {job} was given back for batch {batch}"),
        }
    }
}

/// The end of a chunk, or why its rows were refused.
fn end_of(written: Result<ChunkInserted, LedgerError>) -> Result<Chunk, String> {
    match written {
        Ok(ChunkInserted::New(_)) => Ok(Chunk::Inserted),
        Ok(ChunkInserted::Fenced) => Ok(Chunk::Stop(Outcome::Fenced)),
        Ok(ChunkInserted::Cancelled) => Ok(Chunk::Stop(Outcome::Cancelled)),
        Ok(ChunkInserted::Paused) => Ok(Chunk::Stop(Outcome::Paused)),
        Err(error) => refusal(error),
    }
}

fn refusal(error: LedgerError) -> Result<Chunk, String> {
    match error {
        LedgerError::Refused { why } => Err(why),
        error => Ok(Chunk::Stop(Outcome::Broke(error_chain(&error)))),
    }
}

/// The items with these ordinals.
fn items(cx: &Context, batch: BatchId, prefix: Option<&str>, ordinals: Range<u64>) -> Arc<[NewItem]> {
    ordinals.map(|ordinal| NewItem { ordinal, code: cx.codes.encode(prefix, batch, ordinal) }).collect()
}

fn set_aside(ordinals: &Range<u64>, tries: u32, error: String) -> FailedChunk {
    tracing::warn!(from = ordinals.start, to = ordinals.end - 1, tries, error, "a chunk is set aside");
    FailedChunk { from: ordinals.start, to: ordinals.end - 1, tries, error }
}

/// A failed attempt as it is read beside its job: the reason, and the first of what was set aside.
fn account(attempt: Attempt, failure: &Failure) -> ProgressUpdate {
    const SHOWN: usize = 10;
    let mut line = format!("Attempt {} of {} failed: {}", attempt.number(), attempt.max, failure.reason);
    let ranges = failure.chunks.ranges.iter().map(|chunk| format!("{} to {}", chunk.from, chunk.to));
    let shown: Vec<_> = ranges.take(SHOWN).collect();
    if !shown.is_empty() {
        line += &format!("; set aside: items {}", shown.join(", "));
    }
    let more = failure.chunks.ranges.len().saturating_sub(SHOWN) as u64 + failure.chunks.more;
    if more > 0 {
        line += &format!(" and {more} more");
    }
    ProgressUpdate { percent: None, line }
}

/// Cuts ranges into pieces of at most `size`.
fn chunks(ranges: &[Range<u64>], size: u64) -> impl Iterator<Item = Range<u64>> {
    ranges.iter().flat_map(move |range| {
        let end = range.end;
        range.clone().step_by(size as usize).map(move |start| start..end.min(start + size))
    })
}

/// Says how far a job is: after every chunk of a small one, at every tenth of a large one.
struct ProgressReporter {
    batch: BatchId,
    done: u64,
    total: u64,
}

impl ProgressReporter {
    /// The items that came with the claim are still to be counted.
    fn new(work: &Work) -> Self {
        let total = work.range.end - work.range.start;
        let missing: u64 = work.missing.iter().map(|range| range.end - range.start).sum();
        Self { batch: work.claim.job.batch, done: (total - missing).saturating_sub(work.inserted), total }
    }

    /// Counts items that were written; when it is time to say so, the log is told, and those who
    /// look at the queue are to be.
    fn written(&mut self, items: u64) -> Option<ProgressUpdate> {
        let tenth = |done| done * 10 / self.total;
        let (before, now) = (tenth(self.done), tenth(self.done + items));
        self.done += items;
        if now == before {
            return None;
        }
        let Self { batch, done, total } = *self;
        tracing::info!(done, total, "Processed {done}/{total} items for batch {batch}");
        let percent = u8::try_from(done * 100 / total).ok();
        Some(ProgressUpdate { percent, line: format!("Processed {done}/{total} items for batch {batch}") })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks_stop_at_the_gaps() {
        let missing = [0..120, 150..151, 160..260];

        let cut: Vec<_> = chunks(&missing, 50).collect();

        assert_eq!(cut, [0..50, 50..100, 100..120, 150..151, 160..210, 210..260]);
    }

    #[test]
    fn a_failed_attempt_is_told_in_a_line() {
        let attempt = Attempt { made: 1, max: 3 };
        let set_aside =
            |chunk: u64| FailedChunk { from: chunk * 100, to: chunk * 100 + 49, tries: 3, error: "no".into() };
        let failed =
            |chunks: Range<u64>| account(attempt, &chunks.map(set_aside).collect::<FailedChunks>().into()).line;

        assert_eq!(account(attempt, &Failure::because("gone")).line, "Attempt 2 of 3 failed: gone");
        assert_eq!(
            failed(0..2),
            "Attempt 2 of 3 failed: 100 items could not be written: no; set aside: items 0 to 49, 100 to 149"
        );
        assert!(failed(0..12).ends_with("900 to 949 and 2 more"));
        assert!(failed(0..30).ends_with("900 to 949 and 20 more"));
    }

    proptest! {
        #[test]
        fn chunks_cover_what_is_missing_in_order(
            gaps in prop::collection::vec((1_u64..40, 1_u64..90), 0..20), size in 1_u64..60,
        ) {
            let mut at = 0;
            let missing: Vec<_> = gaps.into_iter().map(|(gap, length)| {
                let start = at + gap;
                at = start + length;
                start..at
            }).collect();

            let cut: Vec<_> = chunks(&missing, size).collect();

            prop_assert!(cut.iter().all(|chunk| (1..=size).contains(&(chunk.end - chunk.start))));
            let all: Vec<_> = missing.into_iter().flatten().collect();
            prop_assert_eq!(cut.into_iter().flatten().collect::<Vec<_>>(), all);
        }
    }
}
