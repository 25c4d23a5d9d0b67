//! Tests of the hub with a simulated reader.

use chrono::{TimeDelta, Utc};
use futures_util::FutureExt as _;

use super::*;
use crate::{
    domain::{Activity, BatchStatus, ItemOptions, JobCounts, Measured, Observation, Throughput},
    live::{AllEvent, EVENT_INTERVAL},
};

fn id(id: i64) -> BatchId {
    BatchId::new(id).unwrap()
}

/// A batch of 1,000 items, finished if all of them exist.
fn batch(batch: i64, items: u64) -> BatchRecord {
    let finished = items == 1_000;
    BatchRecord {
        batch_id: id(batch),
        status: if finished { BatchStatus::Completed } else { BatchStatus::Running },
        quantity: 1_000,
        options: ItemOptions::default(),
        jobs: JobCounts { active: 1, ..JobCounts::default() },
        items_created: items,
        round: 0,
        created_at: Utc::now(),
        started_at: Some(Utc::now()),
        finished_at: finished.then(Utc::now),
        error: None,
        hook_error: None,
        history_removed: false,
        repaired: false,
        measured: Measured::default(),
        activity: Activity::default(),
    }
}

fn progress(batch: &BatchRecord) -> Progress {
    let throughput = Throughput { concurrency: 1, rate_limit: None };
    Progress::of(batch, &Observation { throughput: &throughput, chunk_size: 50, now: Utc::now(), waiting_for: None })
}

impl Live {
    /// A read that finds these versions of batches with these numbers of items.
    fn read(&self, found: &[(i64, u64, u64)]) {
        let query = self.query().unwrap();
        let change =
            |(id, version, items): &(i64, u64, u64)| BatchChange { record: batch(*id, *items), version: *version };
        self.store(&query, found.iter().map(change).collect(), Instant::now());
        self.publish(true, progress);
    }
}

impl Watch {
    /// The number of items of the next event, if there is one now.
    fn now(&mut self) -> Option<u64> {
        self.next().now_or_never().map(|progress| progress.unwrap().items_created)
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_gets_the_latest_progress_and_the_end() {
    let live = Live::default();
    let mut watch = live.watch(id(7), None).unwrap();
    assert_eq!(watch.now(), None, "the batch was not read");

    live.read(&[(7, 1, 0)]);
    assert_eq!(watch.now(), Some(0));
    (2..100).for_each(|version| live.read(&[(7, version, version)]));
    assert_eq!(watch.now(), None, "four events a second");
    sleep(EVENT_INTERVAL).await;
    assert_eq!(watch.now(), Some(99));

    live.read(&[(7, 100, 500)]);
    live.read(&[(7, 101, 1_000)]);
    assert_eq!(watch.now(), Some(1_000), "the end needs no turn");
    assert!(watch.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_nobody_watches() {
    let live = Live::default();
    assert!(live.query().is_none());

    let watches = [live.watch(id(7), None).unwrap(), live.watch(id(7), None).unwrap()];
    live.read(&[(7, 3, 10)]);
    assert_eq!(live.query().unwrap().known, HashMap::from([(id(7), 3)]), "one batch, however many watch");

    drop(watches);
    assert!(live.query().is_none());
    assert!(live.watched().topics.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_does_not_exist_is_reported_and_may_appear_later() {
    let live = Live::default();
    let mut watch = live.watch(id(7), None).unwrap();
    live.read(&[]);
    assert!(!watch.exists().await);

    live.read(&[(7, 1, 0)]);
    assert!(watch.exists().await);
    assert_eq!(watch.now(), Some(0));
}

/// A read that began before this process changed the batch is older than the change.
#[tokio::test(start_paused = true)]
async fn a_change_of_this_process_is_seen_at_once_and_not_undone_by_an_older_read() {
    let live = Live::default();
    let mut watch = live.watch(id(7), None).unwrap();
    live.read(&[(7, 1, 0)]);
    assert_eq!(watch.now(), Some(0));

    let (query, started) = (live.query().unwrap(), Instant::now());
    sleep(Duration::from_millis(1)).await;
    live.changed(&batch(7, 1_000));
    live.store(&query, vec![BatchChange { record: batch(7, 900), version: 2 }], started);
    live.publish(true, progress);

    assert_eq!(watch.now(), Some(1_000));
    live.changed(&batch(8, 1));
    assert!(!live.watched().topics.contains_key(&id(8)), "nobody watches it");
}

/// The reader may have seen the change before the process that made it reports it.
#[tokio::test(start_paused = true)]
async fn a_batch_is_read_again_after_a_change_of_this_process() {
    let live = Live::default();
    let _watch = live.watch(id(7), None).unwrap();
    live.read(&[(7, 2, 20)]);

    live.changed(&batch(7, 10));

    assert_eq!(live.query().unwrap().known, HashMap::from([(id(7), 0)]));
    sleep(Duration::from_millis(1)).await;
    live.read(&[(7, 2, 20)]);
    assert_eq!(live.query().unwrap().known, HashMap::from([(id(7), 2)]));
}

/// Otherwise a client would see an empty list while the database does not respond.
#[tokio::test(start_paused = true)]
async fn there_is_no_snapshot_before_a_read_succeeded() {
    let live = Live::default();
    let (mut one, mut all) = (live.watch(id(7), None).unwrap(), live.watch_all(None).unwrap());

    live.publish(false, progress);
    assert!(one.exists().now_or_never().is_none() && all.next().now_or_never().is_none());

    live.read(&[(7, 1, 5)]);
    assert!(one.exists().await);
    assert!(matches!(all.next().await, Some(AllEvent::Snapshot(batches)) if batches.len() == 1));
}

/// Many clients share 1,000 events a second. A finished batch is soon forgotten.
#[tokio::test(start_paused = true)]
async fn a_watcher_of_all_gets_each_end_although_its_turn_is_far_away() {
    let live = Live::default();
    let mut watch = live.watch_all(None).unwrap();
    live.read(&[(1, 1, 0), (2, 1, 0)]);
    assert!(matches!(watch.next().await, Some(AllEvent::Snapshot(_))));
    live.limiter.turn(60_000, Instant::now());

    live.read(&[(1, 2, 500)]);
    assert!(watch.next().now_or_never().is_none(), "its turn comes in a minute");
    live.read(&[(2, 2, 1_000)]);

    let start = Instant::now();
    assert!(matches!(watch.next().await, Some(AllEvent::Changed(end)) if end.batch_id == id(2)));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(matches!(watch.next().await, Some(AllEvent::Changed(progress)) if progress.batch_id == id(1)));
    assert!(start.elapsed() > Duration::from_secs(59));
}

#[tokio::test(start_paused = true)]
async fn an_older_version_is_ignored() {
    let live = Live::default();
    let mut watch = live.watch(id(7), None).unwrap();

    live.read(&[(7, 5, 500)]);
    live.read(&[(7, 4, 400)]);

    assert_eq!(watch.now(), Some(500));
    sleep(EVENT_INTERVAL).await;
    assert_eq!(watch.now(), None);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_of_all_gets_a_snapshot_then_each_change_and_each_end() {
    let live = Live::default();
    let mut watch = live.watch_all(None).unwrap();
    let items = |event: Option<AllEvent>| match event.unwrap() {
        AllEvent::Snapshot(batches) => {
            batches.iter().map(|progress| (progress.batch_id.get(), progress.items_created)).collect()
        }
        AllEvent::Changed(progress) => vec![(progress.batch_id.get(), progress.items_created)],
    };

    live.read(&[(1, 1, 10), (2, 1, 20), (3, 1, 1_000)]);
    assert_eq!(items(watch.next().await), [(2, 20), (1, 10)], "the open ones, the highest id first");
    live.read(&[(2, 2, 1_000), (4, 1, 0)]);
    assert_eq!([items(watch.next().await), items(watch.next().await)], [[(2, 1_000)], [(4, 0)]]);
    assert!(watch.next().now_or_never().is_none());

    drop(watch);
    assert!(live.query().is_none());
    let mut again = live.watch_all(None).unwrap();
    assert!(again.next().now_or_never().is_none(), "no old snapshot");
    live.read(&[(4, 2, 5)]);
    assert_eq!(items(again.next().await), [(4, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_finished_long_ago_is_none_of_all() {
    let live = Live::default();
    let (_one, mut all) = (live.watch(id(7), None).unwrap(), live.watch_all(None).unwrap());
    let record = BatchRecord { finished_at: Some(Utc::now() - TimeDelta::hours(1)), ..batch(7, 1_000) };

    live.store(&live.query().unwrap(), vec![BatchChange { record, version: 9 }], Instant::now());
    live.publish(true, progress);

    assert!(matches!(all.next().await, Some(AllEvent::Snapshot(batches)) if batches.is_empty()));
    assert!(all.next().now_or_never().is_none());
}

/// A retry may have reopened the batch, and another call may have created it, since the last read.
#[tokio::test(start_paused = true)]
async fn a_new_watcher_of_a_finished_or_missing_batch_waits_for_a_read() {
    let live = Live::default();
    let (mut slow, mut missing) = (live.watch(id(7), None).unwrap(), live.watch(id(8), None).unwrap());
    live.read(&[(7, 1, 1_000)]);
    assert!(!missing.exists().await);

    let (mut again, mut created) = (live.watch(id(7), None).unwrap(), live.watch(id(8), None).unwrap());
    assert!(live.has_unread() && again.now().is_none() && created.exists().now_or_never().is_none());

    live.read(&[(7, 2, 900), (8, 1, 5)]);
    assert_eq!((again.now(), slow.now(), created.now()), (Some(900), Some(900), Some(5)));
    live.read(&[(7, 3, 1_000)]);
    assert_eq!((again.now(), slow.now()), (Some(1_000), Some(1_000)), "nobody misses the end");
}
