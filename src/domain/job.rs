//! A job: its ids, its attempts, what becomes of it after one, and its place in the queue.
//!
//! ```text
//!   waiting ──begin──▶ active ──settle──▶ completed | failed
//!      ▲                 │ │                           │
//!      ├── given back ───┘ └─ retry later ─▶ delayed   │
//!      └───────────────────── retry by hand ───────────┘
//! ```
//!
//! The ledger stores these states and the queue carries these ids; neither decides anything:
//! [`verdict`] does.

use std::{fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BatchId;

/// Names one job in one generation, everywhere: in the ledger, in the queue, in logs and answers.
/// Reads `b123-j0-g0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The batch it is a slice of.
    pub batch: BatchId,
    /// Its number within the batch, from 0.
    pub seq: u64,
    /// How often it was recreated by a manual retry.
    pub generation: u32,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}-j{}-g{}", self.batch, self.seq, self.generation)
    }
}

impl FromStr for JobId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut next = |letter| parts.next().and_then(|part| part.strip_prefix::<char>(letter)).ok_or(());
        let batch = next('b')?.parse().ok().and_then(|id| BatchId::new(id).ok()).ok_or(())?;
        let seq = next('j')?.parse().map_err(drop)?;
        let generation = next('g')?.parse().map_err(drop)?;
        let id = Self { batch, seq, generation };
        // Only the spelling that `Display` gives, so that one job never has two ids.
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// A task as a worker receives it from the queue; in the ledger the task is a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery<T = JobId> {
    /// A task that the feeder enqueued.
    Enqueued {
        /// The task.
        task: T,
        /// Ended attempts at it, as far as the queue was notified and remembers. It grows when an
        /// end is acknowledged, and only then.
        acknowledged: u32,
    },
    /// A job of a batch that someone else put into the queue under an id of their own, in whatever
    /// generation it is.
    External {
        /// The batch.
        batch: BatchId,
        /// The number of the job in its batch.
        seq: u64,
    },
}

impl<T> Delivery<T> {
    /// Ended attempts that the queue was notified of; `None` for an external delivery.
    #[must_use]
    pub const fn acknowledged(&self) -> Option<u32> {
        match self {
            Self::Enqueued { acknowledged, .. } => Some(*acknowledged),
            Self::External { .. } => None,
        }
    }
}

impl Delivery<JobId> {
    /// The batch and the number of the job in it.
    #[must_use]
    pub const fn batch_and_seq(&self) -> (BatchId, u64) {
        match self {
            Self::Enqueued { task, .. } => (task.batch, task.seq),
            Self::External { batch, seq } => (*batch, *seq),
        }
    }
}

/// The id of an enqueued task, and the batch and number of an external job.
impl<T: fmt::Display> fmt::Display for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enqueued { task, .. } => task.fmt(f),
            Self::External { batch, seq } => write!(f, "b{batch}-j{seq}"),
        }
    }
}

/// The first delivery of a job that the feeder enqueued.
impl From<JobId> for Delivery<JobId> {
    fn from(job: JobId) -> Self {
        Self::Enqueued { task: job, acknowledged: 0 }
    }
}

/// The row of the ledger that says what the host must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(pub i64);

/// What the queues hand to workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Make the items of one job.
    Generate {
        /// Which job.
        job: JobId,
        /// Its first ordinal.
        first: u64,
        /// How many items.
        quantity: u64,
    },
    /// Follow up on what ended.
    Status(StatusTask),
}

/// What the status queue carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusTask {
    /// Close a batch, all of whose jobs ended, for the `round`-th time.
    End {
        /// Which batch.
        batch: BatchId,
        /// How often it was closed before.
        round: u32,
    },
    /// Tell the host what happened.
    Hook {
        /// The batch that it is about.
        batch: BatchId,
        /// The row that says what.
        hook: HookId,
    },
}

impl Task {
    /// The batch that it is about.
    #[must_use]
    pub const fn batch(&self) -> BatchId {
        match self {
            Self::Generate { job, .. } => job.batch,
            Self::Status(StatusTask::End { batch, .. } | StatusTask::Hook { batch, .. }) => *batch,
        }
    }
}

/// The id in the queue: offering the same task twice is offering the same id.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generate { job, .. } => job.fmt(f),
            Self::Status(StatusTask::End { batch, round }) => write!(f, "b{batch}-end-r{round}"),
            Self::Status(StatusTask::Hook { batch, hook }) => write!(f, "b{batch}-hook-h{}", hook.0),
        }
    }
}

/// Where a job stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Ready for a worker.
    Waiting,
    /// In a worker's hands, or lost with one.
    Active,
    /// To be tried again, not before a certain time.
    Delayed,
    /// All its items exist.
    Completed,
    /// Given up; a retry by hand recreates it.
    Failed,
    /// Ended with its batch.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Active, Self::Delayed, Self::Completed, Self::Failed, Self::Cancelled];

    /// Whether work is still to come.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Active | Self::Delayed)
    }

    /// The word that JSON and the ledger use for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Delayed => "delayed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state that [`JobState::as_str`] calls `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Items of a job that stayed unwritten, with the reason: one chunk, or several neighbours with the
/// same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedChunk {
    /// The first ordinal.
    pub from: u64,
    /// The last ordinal, included.
    pub to: u64,
    /// How often the chunk was tried.
    pub tries: u32,
    /// Why it did not succeed, cut to 1 KiB.
    pub error: String,
}

impl FailedChunk {
    const fn items(&self) -> u64 {
        self.to - self.from + 1
    }

    /// Whether `next` goes on where this one ends, for the same reason.
    fn is_continued_by(&self, next: &Self) -> bool {
        self.to + 1 == next.from && self.tries == next.tries && self.error == next.error
    }
}

/// The chunks that an attempt set aside: the first ranges, and how many chunks there were beyond
/// them.
///
/// It is bounded while it is collected, since a job may have thousands of chunks, each with a
/// reason of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailedChunks {
    /// The first ones in order, at most [`FailedChunks::MAX_RANGES`]; neighbours with the same
    /// reason are one.
    pub ranges: Vec<FailedChunk>,
    /// How many chunks are in none of the ranges.
    pub more: u64,
    /// How many items these have.
    pub more_items: u64,
}

impl FailedChunks {
    /// Most ranges that are kept of a job.
    pub const MAX_RANGES: usize = 20;

    /// Adds the next chunk. Chunks come in order.
    pub fn push(&mut self, chunk: FailedChunk) {
        let chunk = FailedChunk { error: cut(chunk.error), ..chunk };
        let full = self.ranges.len() >= Self::MAX_RANGES;
        match self.ranges.last_mut() {
            Some(last) if last.is_continued_by(&chunk) => last.to = chunk.to,
            _ if !full => self.ranges.push(chunk),
            _ => {
                self.more += 1;
                self.more_items += chunk.items();
            }
        }
    }

    /// Whether no chunk was set aside.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many items could not be written.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.ranges.iter().map(FailedChunk::items).sum::<u64>() + self.more_items
    }
}

impl Extend<FailedChunk> for FailedChunks {
    fn extend<T: IntoIterator<Item = FailedChunk>>(&mut self, chunks: T) {
        chunks.into_iter().for_each(|chunk| self.push(chunk));
    }
}

impl FromIterator<FailedChunk> for FailedChunks {
    fn from_iter<T: IntoIterator<Item = FailedChunk>>(chunks: T) -> Self {
        let mut collected = Self::default();
        collected.extend(chunks);
        collected
    }
}

/// Why an attempt did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In a sentence, cut to 1 KiB.
    pub reason: String,
    /// The chunks that were set aside.
    pub chunks: FailedChunks,
}

impl Failure {
    /// Longest reason that is kept, in bytes.
    pub const MAX_REASON: usize = 1024;

    /// A failure of the attempt as a whole.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: cut(reason.into()), chunks: FailedChunks::default() }
    }
}

impl From<FailedChunks> for Failure {
    fn from(chunks: FailedChunks) -> Self {
        let why = chunks.ranges.first().map_or("", |chunk| &chunk.error);
        Self { reason: cut(format!("{} items could not be written: {why}", chunks.items())), chunks }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > Failure::MAX_REASON {
        let end = (0..=Failure::MAX_REASON).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    text
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every item of the job exists.
    AllWritten,
    /// Some chunks stayed bad after their own tries.
    ChunksFailed(FailedChunks),
    /// The attempt panicked, with this message.
    Panicked(String),
    /// The attempt could not go on, and another one may.
    Broke(String),
    /// The job can't be worked at all until somebody mends something.
    Unworkable(String),
    /// Somebody else began the job meanwhile.
    Fenced,
    /// The batch was cancelled meanwhile.
    Cancelled,
    /// The batch was paused meanwhile.
    Paused,
    /// The process is draining.
    Interrupted,
}

/// Which attempt it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Attempts that failed before.
    pub made: u32,
    /// Attempts in all.
    pub max: u32,
}

impl Attempt {
    /// Its number, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.made + 1
    }

    /// Whether no other one follows a failure.
    #[must_use]
    pub const fn is_last(self) -> bool {
        self.number() >= self.max
    }
}

/// What becomes of a job after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Completed,
    /// It is tried again after a backoff.
    RetryLater(Failure),
    /// It is given up.
    Failed(Failure),
    /// It goes back as it was; the queue hands it out again.
    GivenBack,
    /// It goes back as it was and leaves the queue; resuming the batch offers it again.
    Parked,
    /// It is none of our business any more.
    Superseded,
}

/// Decides what becomes of a job after an attempt. Pure: same arguments, same answer.
#[must_use]
pub fn verdict(outcome: Outcome, attempt: Attempt) -> Verdict {
    let failure = match outcome {
        Outcome::AllWritten => return Verdict::Completed,
        Outcome::Fenced | Outcome::Cancelled => return Verdict::Superseded,
        Outcome::Paused => return Verdict::Parked,
        Outcome::Interrupted => return Verdict::GivenBack,
        Outcome::Unworkable(why) => return Verdict::Failed(Failure::because(why)),
        Outcome::ChunksFailed(chunks) => Failure::from(chunks),
        Outcome::Panicked(message) => Failure::because(format!("panicked: {message}")),
        Outcome::Broke(why) => Failure::because(why),
    };
    if attempt.is_last() { Verdict::Failed(failure) } else { Verdict::RetryLater(failure) }
}

/// Whether a failed job that the queue hands out was put back there by hand, as the retry button of
/// Bull Board does.
///
/// `then` is how many ends of attempts the queue had been told of when the attempt began that
/// failed, `now` how many it has been told of since. Were the failure never acknowledged, because
/// the worker died in between, both are equal, and the queue handed the job out again by itself. An
/// attempt that an order made tells nothing about the queue's own job.
#[must_use]
pub const fn is_manual_retry(then: Option<u32>, now: Option<u32>) -> bool {
    matches!((then, now), (Some(then), Some(now)) if now > then)
}

/// Exponential backoff: `first`, then twice as long each time, never more than `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// The ceiling.
    pub max: Duration,
}

impl Backoff {
    /// The wait after the `failures`-th failure, counted from 1.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }

    /// The same, shortened by up to a half: `chance` is a random number, 0 to 1. It keeps those who
    /// failed together from coming back together.
    #[must_use]
    pub fn jittered(&self, failures: u32, chance: f64) -> Duration {
        self.after(failures).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// At most `jobs` starts in each window of `per`; a window opens with its first start.
///
/// The windows are those of BullMQ's limiter, so that both queues keep the same pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Starts in a window.
    pub jobs: u32,
    /// The length of a window.
    pub per: Duration,
}

impl RateLimit {
    /// When the `nth` start, counted from 0, is possible at the earliest.
    #[must_use]
    pub fn start_of(&self, nth: u64) -> Duration {
        let windows = nth / u64::from(self.jobs.max(1));
        self.per.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX))
    }
}

/// How fast a queue may be worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throughput {
    /// Jobs at a time.
    pub concurrency: u32,
    /// Starts over time; `None` for no limit.
    pub rate_limit: Option<RateLimit>,
}

/// The lowest priority, that is the largest number, that BullMQ's score can carry.
pub(crate) const LOWEST_PRIORITY: u64 = 2_097_151;

/// The priority of a job that is added now: 1 is worked first.
///
/// Fair queueing. `virtual_time` is the priority of the job at the head of the queue, 0 when none
/// waits; `rank` counts the job from the first open one of its batch. So early jobs go first,
/// batches interleave from the moment they come, and as the head only moves on when all before it
/// are gone, nobody who waits is overtaken for ever.
#[must_use]
pub const fn fair_priority(virtual_time: u64, rank: u64) -> u64 {
    let priority = virtual_time.saturating_add(rank).saturating_add(1);
    if priority > LOWEST_PRIORITY { LOWEST_PRIORITY } else { priority }
}

/// How many jobs the queue may hold at once; the ledger keeps the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCapacity {
    /// Of one batch.
    pub per_batch: u64,
    /// In all.
    pub total: u64,
}

impl QueueCapacity {
    /// The share of each of `batches` open batches: equal, at least one job, at most `per_batch`.
    #[must_use]
    pub fn share(&self, batches: u64) -> u64 {
        (self.total / batches.max(1)).clamp(1, self.per_batch.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    fn attempt(number: u32) -> Attempt {
        Attempt { made: number - 1, max: 3 }
    }

    fn set_aside(from: u64, to: u64, error: &str) -> FailedChunk {
        FailedChunk { from, to, tries: 3, error: error.into() }
    }

    #[test]
    fn an_attempt_ends_in_one_verdict() {
        let aside = || FailedChunks::from_iter([set_aside(0, 49, "no")]);
        let failed = |outcome| match verdict(outcome, attempt(3)) {
            Verdict::Failed(failure) => failure.reason,
            other => panic!("{other:?}"),
        };

        assert_eq!(verdict(Outcome::AllWritten, attempt(1)), Verdict::Completed);
        assert_eq!(verdict(Outcome::Fenced, attempt(3)), Verdict::Superseded);
        assert_eq!(verdict(Outcome::Cancelled, attempt(3)), Verdict::Superseded);
        assert_eq!(verdict(Outcome::Paused, attempt(3)), Verdict::Parked);
        assert_eq!(verdict(Outcome::Interrupted, attempt(3)), Verdict::GivenBack);
        assert_eq!(verdict(Outcome::ChunksFailed(aside()), attempt(2)), Verdict::RetryLater(aside().into()));
        assert_eq!(failed(Outcome::ChunksFailed(aside())), "50 items could not be written: no");
        assert_eq!(failed(Outcome::Panicked("boom".into())), "panicked: boom");
        assert_eq!(verdict(Outcome::Unworkable("key".into()), attempt(1)), Verdict::Failed(Failure::because("key")));
    }

    #[test]
    fn only_an_acknowledged_failure_can_be_put_back_by_hand() {
        let table = [
            (Some(2), Some(3), true),
            (Some(0), Some(9), true),
            (Some(2), Some(2), false),
            (Some(2), Some(0), false),
            (None, Some(3), false),
            (Some(2), None, false),
        ];

        for (then, now, expected) in table {
            assert_eq!(is_manual_retry(then, now), expected, "{then:?} {now:?}");
        }
    }

    #[test]
    fn neighbours_with_the_same_reason_are_one_range() {
        let chunks =
            [set_aside(0, 49, "a"), set_aside(50, 99, "a"), set_aside(100, 149, "b"), set_aside(200, 249, "b")];

        let ranges: Vec<_> = FailedChunks::from_iter(chunks).ranges.iter().map(|c| (c.from, c.to)).collect();

        assert_eq!(ranges, [(0, 99), (100, 149), (200, 249)]);
    }

    #[test]
    fn of_many_failed_chunks_the_first_ranges_are_kept_and_the_others_are_counted() {
        let chunks = |n: u64| (0..n).map(|at| set_aside(at * 50, at * 50 + 49, &at.to_string()));
        let kept = |n| {
            let chunks: FailedChunks = chunks(n).collect();
            (chunks.ranges.len(), chunks.more, chunks.more_items, chunks.items())
        };

        assert_eq!(kept(0), (0, 0, 0, 0));
        assert_eq!(kept(20), (20, 0, 0, 1_000));
        assert_eq!(kept(21), (20, 1, 50, 1_050));
        assert_eq!(kept(5_000), (20, 4_980, 249_000, 250_000));
        let failure = Failure::from(chunks(5_000).collect::<FailedChunks>());
        assert_eq!(failure.reason, "250000 items could not be written: 0");
        assert_eq!(failure.chunks.ranges.last().map(|chunk| chunk.from), Some(950));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(Failure::because("é".repeat(1_000)).reason.len(), 1024);
        assert_eq!(Failure::because(format!("x{}", "é".repeat(1_000))).reason.len(), 1023);
    }

    #[test]
    fn backoff_doubles_up_to_its_ceiling() {
        let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };

        let waits: Vec<_> = [1, 2, 3, 6, 7, 100].map(|n| backoff.after(n).as_secs()).into();

        assert_eq!(waits, [1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn the_room_is_shared_equally() {
        let capacity = QueueCapacity { per_batch: 1_000, total: 10_000 };

        assert_eq!([0, 1, 10, 11, 20_000].map(|n| capacity.share(n)), [1_000, 1_000, 1_000, 909, 1]);
    }

    /// The queue of the specification in small: a batch, and others that keep coming.
    struct Scheduler {
        waiting: BTreeMap<(u64, u64), usize>,
        order: u64,
    }

    impl Scheduler {
        fn add(&mut self, batch: usize, jobs: u64) {
            let head = self.waiting.first_key_value().map_or(0, |((priority, _), _)| *priority);
            for rank in 0..jobs {
                self.waiting.insert((fair_priority(head, rank), self.order), batch);
                self.order += 1;
            }
        }

        fn take(&mut self) -> Option<usize> {
            self.waiting.pop_first().map(|(_, batch)| batch)
        }
    }

    proptest! {
        #[test]
        fn an_id_reads_back(batch in 1_i64..=BatchId::MAX, seq: u64, generation: u32) {
            let id = JobId { batch: BatchId::new(batch).unwrap(), seq, generation };

            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn no_other_text_is_an_id(text in "b?[0-9+]{0,3}-?j?0{0,2}[0-9]{0,2}-g?[0-9+]{0,2}(-x)?") {
            if let Ok(id) = text.parse::<JobId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn jitter_stays_between_a_half_and_the_whole(failures in 1_u32..200, chance in 0.0_f64..=1.0) {
            let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(30) };
            let (whole, jittered) = (backoff.after(failures), backoff.jittered(failures, chance));

            prop_assert!(jittered <= whole && jittered >= whole / 2);
        }

        #[test]
        fn a_priority_never_leaves_its_range(time: u64, rank: u64) {
            prop_assert!((1..=LOWEST_PRIORITY).contains(&fair_priority(time, rank)));
        }

        /// The small batches alone may take all there is to give: ten jobs in every ten starts, in
        /// bursts.
        #[test]
        fn a_batch_of_300_jobs_ends_while_batches_of_10_keep_arriving(
            bursts in prop::collection::vec(1_usize..8, 1..20),
        ) {
            let mut line = Scheduler { waiting: BTreeMap::new(), order: 0 };
            line.add(0, 300);
            let mut left = 300;
            let mut bursts = bursts.into_iter().cycle();
            let mut until_next = 0;
            let mut steps = 0_u64;

            while left > 0 {
                if until_next == 0 {
                    let burst = bursts.next().unwrap();
                    (0..burst).for_each(|_| line.add(1, 10));
                    until_next = burst * 10;
                }
                until_next -= 1;
                left -= u64::from(line.take() == Some(0));
                steps += 1;
                prop_assert!(steps < 300 * 100, "the large batch starves");
            }
        }

        #[test]
        fn batches_that_come_together_are_worked_in_turn(sizes in prop::collection::vec(20_u64..60, 2..6)) {
            let mut line = Scheduler { waiting: BTreeMap::new(), order: 0 };
            sizes.iter().enumerate().for_each(|(batch, size)| line.add(batch, *size));
            let mut seen: HashMap<usize, u64> = HashMap::new();
            let mut last: VecDeque<usize> = VecDeque::new();

            for _ in 0..10 * sizes.len() {
                let batch = line.take().unwrap();
                *seen.entry(batch).or_default() += 1;
                last.push_back(batch);
            }

            let (min, max) = (seen.values().min().unwrap(), seen.values().max().unwrap());
            prop_assert!(max - min <= sizes.len() as u64 + 1, "{seen:?} {last:?}");
        }
    }
}
