//! One job: begin it, make what is missing chunk by chunk, settle it.
//!
//! ```text
//!   begin ──▶ missing ordinals ──▶ chunk ──▶ chunk ──▶ … ──▶ verdict ──▶ settle ──▶ answer to the queue
//!                                   │
//!                                   └─ refused: tried again with backoff, then set aside; the others go on
//! ```
//!
//! Every write carries the hold that `begin` gave, so an attempt that was overtaken writes nothing.
//!
//! Mostly nothing is odd, and then the first chunk comes with the begin and the last one with the end: a job of two chunks is two
//! transactions. The ledger says when that can't be, and each step is one of its own.

use std::{ops::Range, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use rocket::futures::FutureExt;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Context, message, points, recipes::Recipe};
use crate::{
    domain::{
        Attempt, Backoff, BatchId, Call, FailedChunks, Failure, Outcome, SetAside, Task, Verdict, verdict, with_causes,
    },
    ledger::{Begun, FirstChunk, LastChunk, LedgerError, NewItem, Settled, Settlement, Work, Written},
    queue::{Answer, Handed, Handler, Note, Notes},
};

/// The handler of the queue `generate-product-batch-items`.
pub(crate) struct Generate(pub Arc<Context>);

#[async_trait]
impl Handler for Generate {
    async fn handle(&self, handed: Handed, notes: &dyn Notes) -> Answer {
        let (call, range) = match handed {
            Handed::Offered { task: Task::Generate { job, first, quantity }, acknowledged } => {
                (Call::Offered { job, acknowledged }, first..first.saturating_add(quantity))
            }
            Handed::Ordered { batch, seq } => (Call::Ordered { batch, seq }, 0..0),
            Handed::Offered { task: Task::Status(_), .. } => return Answer::Fail(format!("{handed} is no job")),
        };
        let Some(begun) = self.begin(call, range).await else { return Answer::GiveBack };
        match begun {
            Ok(Begun::Held(work)) => self.attempt(work, notes).await,
            Ok(Begun::Over) => {
                // Whoever ended it may have died before it looked whether it was the last one.
                self.0.ends.job_ended(call.place().0);
                Answer::Done
            }
            Ok(Begun::Busy) => Answer::Done,
            Ok(Begun::Failed(reason)) => Answer::Fail(reason),
            Ok(Begun::Paused) => paused(call),
            Ok(Begun::Unknown) => unknown(call),
            Ok(Begun::Poisoned(failure)) => self.poisoned(call, failure),
            Err(error) => broke(call, &error),
        }
    }
}

impl Generate {
    /// Begins the job, with its first chunk where it is known how its codes are made. `None` when the drain began.
    async fn begin(&self, call: Call, range: Range<u64>) -> Option<Result<Begun, LedgerError>> {
        if let Some(recipe) = self.0.recipes.of(call.place().0)
            && recipe.key_fingerprint == self.0.codes.fingerprint()
        {
            match AssertUnwindSafe(self.claim_and_insert(call, &range, &recipe)).catch_unwind().await {
                // A chunk that was refused is tried again on its own, as often as the settings say. After a panic nothing is begun yet that it
                // could be counted for; the attempt that follows meets it again.
                Err(_) | Ok(Some(Err(LedgerError::Refused { .. }))) => {}
                Ok(begun) => return begun,
            }
        }
        self.0.patiently(|| self.0.ledger.begin(call)).await
    }

    async fn claim_and_insert(
        &self,
        call: Call,
        range: &Range<u64>,
        recipe: &Recipe,
    ) -> Option<Result<Begun, LedgerError>> {
        let chunk = range.start..range.end.min(range.start.saturating_add(self.0.config.chunk_size));
        let items = items(&self.0, call.place().0, recipe.prefix.as_deref(), chunk);
        let Recipe { prefix, key_fingerprint } = recipe.clone();
        let first_chunk = FirstChunk { range: range.clone(), prefix, key_fingerprint, items };
        points::reach(points::BEFORE_WRITE).await;
        let begun = self.0.patiently(|| self.0.ledger.claim_and_insert(call, first_chunk.clone())).await?;
        points::reach(points::AFTER_FIRST_CHUNK).await;
        Some(begun)
    }

    async fn attempt(&self, work: Work, notes: &dyn Notes) -> Answer {
        self.0.recipes.remember(work.hold.job.batch, Recipe::of(&work));
        self.0.summaries.changed(work.hold.job.batch);
        let attempt = Attempt { made: work.attempts_made, most: self.0.config.generate.attempts };
        let job = work.hold.job;
        let span = tracing::info_span!("attempt", batch = %job.batch, job = %job, attempt = attempt.number());
        Run { cx: &self.0, work, attempt, notes, began: Instant::now() }.run().instrument(span).await
    }

    fn poisoned(&self, call: Call, failure: Failure) -> Answer {
        let (batch, _) = call.place();
        tracing::error!(%batch, job = %call, reason = failure.reason, "Job {call} failed for batch {batch}");
        self.0.job_ended(batch);
        Answer::Fail(failure.reason)
    }
}

/// What the feeder offered it offers again when the batch is resumed; an order is nobody's to repeat.
fn paused(call: Call) -> Answer {
    match call {
        Call::Ordered { batch, .. } => {
            Answer::Fail(format!("batch {batch} is paused; its jobs go on when it is resumed"))
        }
        Call::Offered { .. } => Answer::Forget,
    }
}

/// What an older ledger does not know any more, or somebody else made up.
fn unknown(call: Call) -> Answer {
    let why = match call {
        Call::Ordered { batch, seq } => format!("the ledger has no batch {batch} with a job {seq}"),
        Call::Offered { job, .. } => format!("the ledger has no job {job}"),
    };
    tracing::warn!(why, "a job that the ledger does not know failed in the queue");
    Answer::Fail(why)
}

fn broke(call: Call, error: &LedgerError) -> Answer {
    let (batch, _) = call.place();
    tracing::error!(%batch, job = %call, error = error as &dyn std::error::Error, "Job {call} could not be begun");
    Answer::Retry(with_causes(error))
}

/// One attempt at one job.
struct Run<'a> {
    cx: &'a Context,
    work: Work,
    attempt: Attempt,
    /// For those who look at the queue with a tool.
    notes: &'a dyn Notes,
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
    Written,
    /// Its items exist, and with them all of the job, which is completed.
    Completed,
    /// It stayed bad.
    Bad(SetAside),
    /// The whole attempt ends here.
    Stop(Outcome),
}

impl Run<'_> {
    async fn run(self) -> Answer {
        let (batch, range) = (self.work.hold.job.batch, &self.work.range);
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
            Made::Completed => self.ended(&Settlement::Completed, Answer::Done),
            Made::Outcome(outcome) => {
                points::reach(points::BEFORE_SETTLE).await;
                self.conclude(verdict(outcome, self.attempt)).await
            }
        };
        points::reach(points::BEFORE_ACKNOWLEDGE).await;
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
        let mut said = Said::new(&self.work);
        if self.work.written > 0 {
            self.wrote(self.work.written, &mut said);
        }
        let mut chunks = chunks(&self.work.missing, self.cx.config.chunk_size).peekable();
        while let Some(ordinals) = chunks.next() {
            let items = ordinals.end - ordinals.start;
            let last = chunks.peek().is_none() && bad.is_empty();
            match self.chunk(ordinals, last).await {
                Chunk::Written => self.wrote(items, &mut said),
                Chunk::Bad(chunk) => bad.push(chunk),
                Chunk::Stop(outcome) => return Made::Outcome(outcome),
                Chunk::Completed => {
                    self.wrote(items, &mut said);
                    return Made::Completed;
                }
            }
        }
        Made::Outcome(if bad.is_empty() { Outcome::AllWritten } else { Outcome::SetAside(bad) })
    }

    fn wrote(&self, items: u64, said: &mut Said) {
        self.cx.summaries.wrote(self.work.hold.job.batch, items);
        said.written(items).into_iter().for_each(|note| self.notes.note(note));
    }

    /// Writes one chunk, trying again when its rows are refused. With the `last` one the job is completed, where that can be.
    async fn chunk(&self, ordinals: Range<u64>, last: bool) -> Chunk {
        let (batch, prefix) = (self.work.hold.job.batch, self.work.prefix.as_deref());
        let items = items(self.cx, batch, prefix, ordinals.clone());
        let backoff = Backoff { first: self.cx.config.chunk_backoff, most: Duration::from_secs(10) };
        for tries in 1.. {
            if self.cx.draining.is_cancelled() {
                return Chunk::Stop(Outcome::Interrupted);
            }
            points::reach(points::BEFORE_WRITE).await;
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
                    self.cx.nap(backoff.jittered(tries, fastrand::f64())).await;
                }
            }
        }
        unreachable!("the last try returns")
    }

    /// How a try to write a chunk ended, or why its rows were refused. `None` when the drain began.
    async fn insert(&self, items: &Arc<[NewItem]>, last: bool) -> Option<Result<Chunk, String>> {
        let (ledger, hold) = (&self.cx.ledger, &self.work.hold);
        if last {
            let complete = || ledger.insert_and_complete(hold, items.clone(), self.began.elapsed());
            match self.cx.patiently(complete).await? {
                Ok(LastChunk::Completed) => return Some(Ok(Chunk::Completed)),
                Ok(LastChunk::Unchanged) => {}
                Err(error) => return Some(refusal(error)),
            }
        }
        let written = self.cx.patiently(|| ledger.write(hold, items.clone())).await?;
        Some(end_of(written))
    }

    /// Puts the verdict down in the ledger, and answers the queue accordingly.
    async fn conclude(&self, verdict: Verdict) -> Answer {
        let Some((settlement, answer)) = self.ending(verdict) else { return Answer::Done };
        let worked = self.began.elapsed();
        let settle = || self.cx.ledger.settle(&self.work.hold, settlement.clone(), worked);
        match self.cx.stubbornly(settle).await {
            Ok(Settled::Lost) => Answer::Done,
            Ok(Settled::Done) => self.ended(&settlement, answer),
            Err(error) => broke(self.work.hold.job.into(), &error),
        }
    }

    /// Follows up on what is recorded in the ledger.
    fn ended(&self, settlement: &Settlement, answer: Answer) -> Answer {
        let batch = self.work.hold.job.batch;
        self.say(settlement);
        match settlement {
            Settlement::Completed | Settlement::Failed(_) => self.cx.job_ended(batch),
            Settlement::Delayed { .. } => self.cx.job_delayed(batch),
            Settlement::GivenBack => self.cx.summaries.changed(batch),
        }
        answer
    }

    /// What the ledger is told, and the queue; `None` when another attempt says it.
    fn ending(&self, verdict: Verdict) -> Option<(Settlement, Answer)> {
        Some(match verdict {
            Verdict::Completed => (Settlement::Completed, Answer::Done),
            Verdict::RetryLater(failure) => {
                let reason = failure.reason.clone();
                // Where too many are delayed already the ledger keeps this one, and the feeder brings it back when it is due.
                let answer = if self.cx.is_full_of_delayed() { Answer::Forget } else { Answer::Retry(reason) };
                (Settlement::Delayed { failure, delay: self.backoff() }, answer)
            }
            Verdict::Failed(failure) => {
                let reason = failure.reason.clone();
                (Settlement::Failed(failure), Answer::Fail(reason))
            }
            Verdict::GivenBack => (Settlement::GivenBack, Answer::GiveBack),
            Verdict::Parked => (Settlement::GivenBack, Answer::Forget),
            Verdict::Forgotten => return None,
        })
    }

    fn backoff(&self) -> Duration {
        self.cx.config.generate.backoff().jittered(self.attempt.number(), fastrand::f64())
    }

    fn say(&self, settlement: &Settlement) {
        if let Settlement::Delayed { failure, .. } | Settlement::Failed(failure) = settlement {
            self.notes.note(account(self.attempt, failure));
        }
        let job = self.work.hold.job;
        let (batch, items) = (job.batch, self.work.range.end - self.work.range.start);
        match settlement {
            Settlement::Completed => {
                tracing::info!(items, "Successfully generated {items} product items for batch {batch}");
                tracing::info!("Job {job} completed successfully for batch {batch}");
            }
            Settlement::Delayed { failure, delay } => tracing::warn!(
                reason = failure.reason,
                ?delay,
                attempts = self.attempt.most,
                "Job {job} failed for batch {batch}; it will be tried again",
            ),
            Settlement::Failed(failure) => tracing::error!(
                reason = failure.reason,
                attempts = self.attempt.most,
                set_aside = failure.chunks.items(),
                "Job {job} failed for batch {batch}",
            ),
            Settlement::GivenBack => tracing::info!("Job {job} was given back for batch {batch}"),
        }
    }
}

/// The end of a chunk, or why its rows were refused.
fn end_of(written: Result<Written, LedgerError>) -> Result<Chunk, String> {
    match written {
        Ok(Written::New(_)) => Ok(Chunk::Written),
        Ok(Written::Fenced) => Ok(Chunk::Stop(Outcome::Fenced)),
        Ok(Written::Cancelled) => Ok(Chunk::Stop(Outcome::Cancelled)),
        Ok(Written::Paused) => Ok(Chunk::Stop(Outcome::Paused)),
        Err(error) => refusal(error),
    }
}

fn refusal(error: LedgerError) -> Result<Chunk, String> {
    match error {
        LedgerError::Refused { why } => Err(why),
        error => Ok(Chunk::Stop(Outcome::Broke(with_causes(&error)))),
    }
}

/// The items with these ordinals.
fn items(cx: &Context, batch: BatchId, prefix: Option<&str>, ordinals: Range<u64>) -> Arc<[NewItem]> {
    ordinals.map(|ordinal| NewItem { ordinal, code: cx.codes.encode(prefix, batch, ordinal) }).collect()
}

fn set_aside(ordinals: &Range<u64>, tries: u32, error: String) -> SetAside {
    tracing::warn!(from = ordinals.start, to = ordinals.end - 1, tries, error, "a chunk is set aside");
    SetAside { from: ordinals.start, to: ordinals.end - 1, tries, error }
}

/// A failed attempt as it is read beside its job: the reason, and the first of what was set aside.
fn account(attempt: Attempt, failure: &Failure) -> Note {
    const SHOWN: usize = 10;
    let mut line = format!("Attempt {} of {} failed: {}", attempt.number(), attempt.most, failure.reason);
    let ranges = failure.chunks.ranges.iter().map(|chunk| format!("{} to {}", chunk.from, chunk.to));
    let shown: Vec<_> = ranges.take(SHOWN).collect();
    if !shown.is_empty() {
        line += &format!("; set aside: items {}", shown.join(", "));
    }
    let more = failure.chunks.ranges.len().saturating_sub(SHOWN) as u64 + failure.chunks.more;
    if more > 0 {
        line += &format!(" and {more} more");
    }
    Note { percent: None, line }
}

/// Cuts ranges into pieces of at most `size`.
fn chunks(ranges: &[Range<u64>], size: u64) -> impl Iterator<Item = Range<u64>> {
    ranges.iter().flat_map(move |range| {
        let end = range.end;
        range.clone().step_by(size as usize).map(move |start| start..end.min(start + size))
    })
}

/// Says how far a job is: after every chunk of a small one, at every tenth of a large one.
struct Said {
    batch: BatchId,
    done: u64,
    total: u64,
}

impl Said {
    /// The items that came with the claim are still to be counted.
    fn new(work: &Work) -> Self {
        let total = work.range.end - work.range.start;
        let missing: u64 = work.missing.iter().map(|range| range.end - range.start).sum();
        Self { batch: work.hold.job.batch, done: (total - missing).saturating_sub(work.written), total }
    }

    /// Counts items that were written; when it is time to say so, the log is told, and those who look at the queue are to be.
    fn written(&mut self, items: u64) -> Option<Note> {
        let tenth = |done| done * 10 / self.total;
        let (before, now) = (tenth(self.done), tenth(self.done + items));
        self.done += items;
        if now == before {
            return None;
        }
        let Self { batch, done, total } = *self;
        tracing::info!(done, total, "Processed {done}/{total} items for batch {batch}");
        let percent = u8::try_from(done * 100 / total).ok();
        Some(Note { percent, line: format!("Processed {done}/{total} items for batch {batch}") })
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
        let attempt = Attempt { made: 1, most: 3 };
        let set_aside = |chunk: u64| SetAside { from: chunk * 100, to: chunk * 100 + 49, tries: 3, error: "no".into() };
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
