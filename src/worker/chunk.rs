//! Inserts one chunk of a job, and tries again when the database rejects its rows.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::Instrument as _;

use super::{context::Context, failpoints};
use crate::{
    domain::{Backoff, BatchId, FailedChunk, Outcome, error_chain},
    ledger::{ChunkInserted, Claim, LastChunk, LedgerError, NewItem},
    telemetry::events,
    trace::record_error,
};

/// The result of a chunk.
pub(super) enum ChunkResult {
    /// Its items exist.
    Inserted,
    /// Its items exist, and the job is completed in the same transaction.
    JobCompleted,
    /// It failed all its tries.
    Failed(FailedChunk),
    /// The attempt ends here.
    Stopped(Outcome),
}

/// The longest delay between two tries of a chunk.
const MAX_CHUNK_BACKOFF: Duration = Duration::from_secs(10);

/// Inserts the chunks of one attempt.
pub(super) struct ChunkWriter<'a> {
    pub cx: &'a Context,
    pub claim: &'a Claim,
    pub prefix: Option<&'a str>,
    /// When the attempt started.
    pub started: Instant,
}

impl ChunkWriter<'_> {
    /// Inserts one chunk. When it `is_last`, completes the job in the same transaction if possible.
    pub async fn write(&self, ordinals: Range<u64>, is_last: bool) -> ChunkResult {
        let span = self.cx.traces.chunk(ordinals.start, ordinals.end - ordinals.start);
        let result = self.write_with_retries(ordinals, is_last).instrument(span.clone()).await;
        if matches!(result, ChunkResult::Failed(_)) {
            record_error(&span, "rejected");
        }
        result
    }

    async fn write_with_retries(&self, ordinals: Range<u64>, is_last: bool) -> ChunkResult {
        let items = items(self.cx, self.claim.job.batch, self.prefix, ordinals.clone());
        for tries in 1.. {
            if self.cx.draining.is_cancelled() {
                break;
            }
            failpoints::reach(failpoints::BEFORE_INSERT).await;
            let Some(result) = self.insert(&items, is_last).await else { break };
            match result {
                Ok(result) => return result,
                Err(error) if tries >= self.cx.config.chunk_tries => return failed(&ordinals, tries, error),
                Err(error) => self.back_off(&ordinals, tries, error).await,
            }
        }
        ChunkResult::Stopped(Outcome::Interrupted)
    }

    async fn back_off(&self, ordinals: &Range<u64>, tries: u32, error: String) {
        let (from, to) = (ordinals.start, ordinals.end - 1);
        tracing::debug!(from, to, tries, error, "chunk rejected; it will be tried again");
        events::chunk_retried();
        let backoff = Backoff { first: self.cx.config.chunk_backoff, max: MAX_CHUNK_BACKOFF };
        self.cx.sleep_unless_draining(backoff.jittered(tries, fastrand::f64())).await;
    }

    /// Tries once to insert a chunk. Returns an error when the database rejected its rows, and
    /// `None` when the drain started.
    async fn insert(&self, items: &Arc<[NewItem]>, is_last: bool) -> Option<Result<ChunkResult, String>> {
        let (ledger, claim) = (&self.cx.ledger, self.claim);
        if is_last {
            let complete = || ledger.insert_and_complete(claim, items.clone(), self.started.elapsed());
            match self.cx.retry_until_drain(complete).await? {
                Ok(LastChunk::Completed) => return Some(Ok(ChunkResult::JobCompleted)),
                Ok(LastChunk::Unchanged) => {}
                Err(error) => return Some(stop_unless_rejected(error)),
            }
        }
        let inserted = self.cx.retry_until_drain(|| ledger.insert_chunk(claim, items.clone())).await?;
        Some(chunk_result(inserted))
    }
}

/// Makes the items with these ordinals.
pub(super) fn items(cx: &Context, batch: BatchId, prefix: Option<&str>, ordinals: Range<u64>) -> Arc<[NewItem]> {
    ordinals.map(|ordinal| NewItem { ordinal, code: cx.codes.encode(prefix, batch, ordinal) }).collect()
}

/// Splits ranges into chunks of at most `size` items.
pub(super) fn chunks(ranges: &[Range<u64>], size: u64) -> impl Iterator<Item = Range<u64>> {
    ranges.iter().flat_map(move |range| {
        let end = range.end;
        range.clone().step_by(size as usize).map(move |start| start..end.min(start + size))
    })
}

fn chunk_result(inserted: Result<ChunkInserted, LedgerError>) -> Result<ChunkResult, String> {
    match inserted {
        Ok(ChunkInserted::New(_)) => Ok(ChunkResult::Inserted),
        Ok(ChunkInserted::Fenced) => Ok(ChunkResult::Stopped(Outcome::Fenced)),
        Ok(ChunkInserted::Cancelled) => Ok(ChunkResult::Stopped(Outcome::Cancelled)),
        Ok(ChunkInserted::Paused) => Ok(ChunkResult::Stopped(Outcome::Paused)),
        Err(error) => stop_unless_rejected(error),
    }
}

/// Returns the reason when the rows were rejected. Any other error stops the attempt.
fn stop_unless_rejected(error: LedgerError) -> Result<ChunkResult, String> {
    match error {
        LedgerError::Rejected { why } => Err(why),
        error => Ok(ChunkResult::Stopped(Outcome::Errored(error_chain(&error)))),
    }
}

fn failed(ordinals: &Range<u64>, tries: u32, error: String) -> ChunkResult {
    let (from, to) = (ordinals.start, ordinals.end - 1);
    tracing::warn!(from, to, tries, error, "chunk failed");
    events::chunk_failed();
    ChunkResult::Failed(FailedChunk::new(from, to, tries, error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_at_every_gap() {
        let missing = [0..120, 150..151, 160..260];

        let split: Vec<_> = chunks(&missing, 50).collect();

        assert_eq!(split, [0..50, 50..100, 100..120, 150..151, 160..210, 210..260]);
    }

    proptest! {
        #[test]
        fn covers_all_missing_ordinals_in_ascending_order(
            gaps in prop::collection::vec((1_u64..40, 1_u64..90), 0..20), size in 1_u64..60,
        ) {
            let mut at = 0;
            let missing: Vec<_> = gaps.into_iter().map(|(gap, length)| {
                let start = at + gap;
                at = start + length;
                start..at
            }).collect();

            let split: Vec<_> = chunks(&missing, size).collect();

            prop_assert!(split.iter().all(|chunk| (1..=size).contains(&(chunk.end - chunk.start))));
            let all: Vec<_> = missing.into_iter().flatten().collect();
            prop_assert_eq!(split.into_iter().flatten().collect::<Vec<_>>(), all);
        }
    }
}
