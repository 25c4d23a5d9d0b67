//! The counts of a ledger in memory, with a recorder of the test.

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use rocket::figment::{Figment, providers::Serialized};
use rocket_db_pools::Pool as _;

use super::*;
use crate::{
    domain::{Caller, Failure, ItemOptions, JobId, Limits, Plan},
    ledger::{
        HookKinds, Rules,
        sqlite::{SqliteLedger, SqlitePool},
    },
};

/// A counted ledger with one batch of three jobs with 100 items each.
struct Counted {
    ledger: CountedLedger,
    snapshotter: Snapshotter,
    counts: BTreeMap<String, u64>,
    _recorder: metrics::LocalRecorderGuard<'static>,
}

impl Counted {
    async fn start() -> Self {
        let recorder: &'static DebuggingRecorder = Box::leak(Box::default());
        let guard = metrics::set_default_local_recorder(recorder);
        let figment = Figment::from(Serialized::default("url", "sqlite://:memory:"));
        let pool = SqlitePool::init(&figment).await.unwrap();
        let rules = Rules { max_crashes: 1, hooks: HookKinds::default() };
        let ledger = CountedLedger::new(Arc::new(SqliteLedger::new(pool, rules)), "generate");
        let options = ItemOptions { batch_size: 100, ..ItemOptions::default() };
        let plan = Plan::new(300, &options, &Limits::DEFAULT).unwrap();
        let (key_fingerprint, estimated) = (String::from("f00d"), Duration::ZERO);
        ledger
            .create(NewBatch {
                id: None,
                plan,
                options,
                key_fingerprint,
                estimated,
                request: None,
                caller: Caller::default(),
            })
            .await
            .unwrap();
        Self { ledger, snapshotter: recorder.snapshotter(), counts: BTreeMap::new(), _recorder: guard }
    }

    async fn claim(&self, seq: u64, acknowledged: u32) -> Claimed {
        let task = JobId { batch: batch(), seq, generation: 0 };
        self.ledger.claim(Delivery::Enqueued { task, acknowledged }).await.unwrap()
    }

    async fn claim_work(&self, seq: u64) -> Claim {
        match self.claim(seq, 0).await {
            Claimed::Work(work) => work.claim,
            other => panic!("{other:?}"),
        }
    }

    async fn finish(&self, claim: &Claim, result: AttemptResult) -> Finished {
        self.ledger.finish_attempt(claim, result, Duration::ZERO).await.unwrap()
    }

    /// The value of each series, by name and labels: the total of a counter, or the number of
    /// recorded durations.
    fn series(&mut self) -> &BTreeMap<String, u64> {
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let labels = key.key().labels().map(|label| format!(" {}={}", label.key(), label.value()));
            let name = key.key().name().trim_start_matches("rocket_batch_").to_owned() + &labels.collect::<String>();
            let more = match value {
                DebugValue::Counter(total) => total,
                DebugValue::Histogram(values) => values.len() as u64,
                DebugValue::Gauge(_) => continue,
            };
            *self.counts.entry(name).or_default() += more;
        }
        &self.counts
    }

    fn of(&mut self, name: &str) -> u64 {
        self.series().get(name).copied().unwrap_or_default()
    }
}

fn batch() -> BatchId {
    BatchId::new(1).unwrap()
}

fn items(ordinals: std::ops::Range<u64>) -> Arc<[NewItem]> {
    ordinals.map(|ordinal| NewItem { ordinal, code: format!("code-{ordinal}") }).collect()
}

#[tokio::test]
async fn counts_each_item_and_each_end_of_a_job_once() {
    let mut counted = Counted::start().await;
    let claim = counted.claim_work(0).await;

    counted.ledger.insert_chunk(&claim, items(0..50)).await.unwrap();
    counted.ledger.insert_chunk(&claim, items(0..50)).await.unwrap();
    counted.ledger.insert_and_complete(&claim, items(50..100), Duration::ZERO).await.unwrap();
    counted.ledger.control(batch(), BatchCommand::Cancel, &Caller::default()).await.unwrap();

    assert_eq!(counted.of("items_total"), 100);
    assert_eq!(counted.of("chunk_duration_seconds"), 3);
    assert_eq!(counted.of("jobs_total queue=generate outcome=completed"), 1);
    assert_eq!(counted.of("jobs_total queue=generate outcome=cancelled"), 2);
    assert_eq!(counted.of("fenced_writes_total"), 0);
}

#[tokio::test]
async fn counts_how_attempts_end() {
    let mut counted = Counted::start().await;
    let failure = || Failure::because("no ink");

    let first = counted.claim_work(0).await;
    counted.finish(&first, AttemptResult::Released).await;
    let second = counted.claim_work(0).await;
    counted.finish(&second, AttemptResult::Delayed { failure: failure(), delay: Duration::ZERO }).await;
    let third = counted.claim_work(0).await;
    counted.finish(&third, AttemptResult::Failed(failure())).await;
    let late = counted.finish(&first, AttemptResult::Released).await;

    assert_eq!(late, Finished::Fenced);
    for outcome in ["released", "retried", "failed"] {
        assert_eq!(counted.of(&format!("jobs_total queue=generate outcome={outcome}")), 1, "{outcome}");
    }
    assert_eq!(counted.of("crashes_total"), 0);
}

#[tokio::test]
async fn counts_crashes_and_the_writes_of_superseded_workers() {
    let mut counted = Counted::start().await;

    let slow = counted.claim_work(0).await;
    let fast = counted.claim_work(0).await;
    let late = counted.ledger.insert_chunk(&slow, items(0..50)).await.unwrap();
    let poisoned = counted.claim(0, 0).await;

    assert_eq!((late, fast.epoch), (ChunkInserted::Fenced, slow.epoch + 1));
    assert!(matches!(poisoned, Claimed::Poisoned(_)));
    assert_eq!(counted.of("crashes_total"), 2);
    assert_eq!(counted.of("fenced_writes_total"), 1);
    assert_eq!(counted.of("jobs_total queue=generate outcome=failed"), 1);
    assert_eq!(counted.of("items_total"), 0);
}

#[tokio::test]
async fn counts_the_jobs_that_a_manual_retry_completes() {
    let mut counted = Counted::start().await;
    for seq in [0, 1] {
        let claim = counted.claim_work(seq).await;
        let new = if seq == 0 { 0..100 } else { 100..150 };
        counted.ledger.insert_chunk(&claim, items(new)).await.unwrap();
        counted.finish(&claim, AttemptResult::Failed(Failure::because("no ink"))).await;
    }
    let options = |dry_run| RetryOptions { dry_run, ..RetryOptions::default() };

    counted.ledger.retry(batch(), options(true), &Caller::default()).await.unwrap();
    assert_eq!(counted.of("jobs_total queue=generate outcome=completed"), 0);
    counted.ledger.retry(batch(), options(false), &Caller::default()).await.unwrap();

    assert_eq!(counted.of("jobs_total queue=generate outcome=completed"), 1);
}

#[tokio::test]
async fn counts_when_the_database_answers_again() {
    let mut counted = Counted::start().await;

    counted.ledger.is_away.store(true, Relaxed);
    counted.ledger.ping().await.unwrap();
    counted.ledger.ping().await.unwrap();

    assert_eq!(counted.of("reconnects_total part=database"), 1);
    counted.ledger.shutdown().await;
    assert!(counted.ledger.ping().await.is_err());
    assert!(counted.ledger.is_away.load(Relaxed));
}
