//! The queues in a Redis Cluster: the suite of every queue, and the tests of a cluster alone.

use std::{collections::BTreeSet, error::Error, sync::Arc, time::Duration};

use redis::Value;
use rocket_batch::{
    config::{QueueSettings, RedisSettings},
    queue::{
        Disposition, Drained, Queue, QueueCounts,
        bullmq::{BullQueue, Server},
    },
};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout},
};

use crate::{
    bullmq::{at, open},
    suite::{Harness, TestWorker, counts, jobs_of, ready, settings, settings_with},
    support::{
        TestResult,
        process::free_port,
        redis::{Redis, value},
        redis_cluster::{CLUSTER_OK, Nodes},
        wait::until,
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// The documented limit for a recovery, without the time that the cluster itself needs.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Queues in a slot and a cluster that no other test uses.
#[derive(Default)]
struct ClusterHarness(OnceCell<Nodes>);

impl Harness for ClusterHarness {
    async fn queue(&self, settings: QueueSettings) -> Arc<dyn Queue> {
        let nodes = self.0.get_or_init(Nodes::start).await;
        let prefix = format!("{{test-{:016x}}}", fastrand::u64(..));
        Arc::new(open(&redis_settings(nodes.addresses(), &prefix), &settings).await)
    }
}

every_queue!(ClusterHarness::default());

fn redis_settings(nodes: Vec<String>, prefix: &str) -> RedisSettings {
    let mut settings = RedisSettings::default();
    settings.nodes = nodes;
    settings.prefix = prefix.into();
    settings
}

/// Settings with one attempt, so that a spent attempt fails the job, and with short locks.
fn one_attempt() -> QueueSettings {
    settings_with(|settings| (settings.attempts, settings.lock, settings.stall_check) = (1, 2 * SECOND, SECOND))
}

/// Offers as the feeder does, and runs jobs, until the first `count` jobs of batch 1 have run.
/// Returns the errors of the offers.
async fn runs_all(queue: &dyn Queue, worker: &mut TestWorker, count: u64) -> TestResult<BTreeSet<String>> {
    let (end, mut completed, mut errors) = (Instant::now() + 60 * SECOND, BTreeSet::new(), BTreeSet::new());
    while completed.len() < count as usize {
        let left: Vec<_> = (0..count).filter(|seq| !completed.contains(&format!("b1-j{seq}-g0"))).collect();
        if let Err(error) = queue.offer(&left.into_iter().map(|seq| ready(1, seq)).collect::<Vec<_>>()).await {
            errors.insert(format!("{:?}", error.source()));
        }
        while let Ok(attempt) = timeout(SECOND / 4, worker.next()).await {
            let attempt = attempt?;
            completed.insert(attempt.task.to_string());
            attempt.finish_with(Disposition::Ack);
        }
        assert!(Instant::now() < end, "completed so far: {}, refused with {errors:?}", completed.len());
    }
    Ok(errors)
}

/// Waits until no job is left, and checks that none has failed.
async fn wait_until_all_completed(queue: &dyn Queue) -> TestResult {
    let all_completed =
        |counts: &Result<_, _>| matches!(counts, Ok(QueueCounts { failed: 0, waiting: 0, delayed: 0, active: 0, .. }));
    Ok(until("all jobs are completed", 30 * SECOND, || queue.counts(), all_completed).await.map(drop)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_moves_to_the_replica_of_a_killed_master() -> TestResult {
    let mut nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let queue = open(&redis_settings(nodes.addresses(), "{bull}"), &one_attempt()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 40)).await?;
    worker.complete(10).await?;
    let running = worker.next().await?;

    nodes.all[owner].kill();
    nodes.wait_for_failover(owner).await;
    let failed_over = Instant::now();
    running.finish_with(Disposition::Ack);
    let next = worker.next().await?;

    println!("ran {:?} after the failover", failed_over.elapsed());
    assert!(failed_over.elapsed() < RECOVERY_TIMEOUT, "{:?}", failed_over.elapsed());
    next.finish_with(Disposition::Ack);
    runs_all(&queue, &mut worker, 40).await?;
    wait_until_all_completed(&queue).await?;
    let kept = nodes.all[owner + 3].command(&["ZCARD", "{bull}:test:completed"]).await;
    assert_eq!(kept, Value::Int(10));
    Ok(())
}

/// A worker that was started before the failover can't report to the old master. It gives up after
/// 5 seconds and does not use the time of the whole drain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_after_a_failover_does_not_wait_for_the_old_master() -> TestResult {
    let mut nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let queue = open(&redis_settings(nodes.addresses(), "{bull}"), &one_attempt()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    let running = worker.next().await?;
    nodes.all[owner].kill();
    nodes.wait_for_failover(owner).await;
    running.finish_with(Disposition::Ack);
    worker.complete(1).await?;

    let from = Instant::now();
    let drain = queue.drain(from + 25 * SECOND);
    let drained = tokio::join!(drain, async {
        // Jobs that the worker may have started meanwhile.
        while let Ok(Ok(attempt)) = timeout(SECOND, worker.next()).await {
            attempt.finish_with(Disposition::Ack);
        }
    });

    println!("drained after {:?}", from.elapsed());
    assert_eq!(drained.0, Drained::Clean);
    assert!(from.elapsed() < 6 * SECOND, "{:?}", from.elapsed());
    Ok(())
}

/// The master that stores the queues hangs, and its connections fall silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_moves_to_the_replica_of_a_master_that_hangs() -> TestResult {
    switches_to_the_replica(async |nodes, owner| nodes.all[owner].signal("STOP")).await
}

/// The old master keeps running, as a replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_moves_to_the_replica_after_a_manual_failover() -> TestResult {
    switches_to_the_replica(async |nodes, owner| {
        nodes.all[owner + 3].command(&["CLUSTER", "FAILOVER"]).await;
    })
    .await
}

/// Removes the master by `remove_master`, and checks that jobs run at its replica.
async fn switches_to_the_replica(remove_master: impl AsyncFnOnce(&Nodes, usize)) -> TestResult {
    let nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let queue = open(&redis_settings(nodes.addresses(), "{bull}"), &one_attempt()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    worker.complete(5).await?;
    let running = worker.next().await?;

    remove_master(&nodes, owner).await;
    nodes.wait_for_failover(owner).await;
    let failed_over = Instant::now();
    running.finish_with(Disposition::Ack);
    let next = worker.next().await?;

    println!("ran {:?} after the failover", failed_over.elapsed());
    assert!(failed_over.elapsed() < RECOVERY_TIMEOUT, "{:?}", failed_over.elapsed());
    next.finish_with(Disposition::Ack);
    runs_all(&queue, &mut worker, 20).await?;
    wait_until_all_completed(&queue).await
}

/// No node owns its slots until it is started again with its data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_for_a_master_without_a_replica() -> TestResult {
    let mut nodes = Nodes::start().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let queue = open(&redis_settings(nodes.addresses(), "{bull}"), &one_attempt()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    worker.complete(5).await?;
    let running = worker.next().await?;

    nodes.all[owner].kill();
    let other = &nodes.all[(owner + 1) % 3];
    other.until_contains(&["CLUSTER", "INFO"], "cluster_state:fail").await;
    running.finish_with(Disposition::Ack);
    sleep(3 * SECOND).await;
    assert!(worker.has_no_attempt() && queue.ping().await.is_err());
    nodes.all[owner].start_again().await;
    nodes.all[owner].until_contains(&["CLUSTER", "INFO"], CLUSTER_OK).await;
    let recovered = Instant::now();
    let next = worker.next().await?;

    println!("ran {:?} after the cluster had recovered", recovered.elapsed());
    assert!(recovered.elapsed() < RECOVERY_TIMEOUT, "{:?}", recovered.elapsed());
    next.finish_with(Disposition::Ack);
    runs_all(&queue, &mut worker, 20).await?;
    wait_until_all_completed(&queue).await
}

/// For seconds each of two masters has half of the keys. No job may run meanwhile, and none is
/// lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_while_their_slot_moves_and_run_at_its_new_master() -> TestResult {
    let nodes = Nodes::start().await;
    let (slot, from) = nodes.owner("{bull}").await;
    let to = (from + 1) % 3;
    let queue = open(&redis_settings(nodes.addresses(), "{bull}"), &one_attempt()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 40)).await?;
    worker.complete(10).await?;
    let running = worker.next().await?;

    nodes.half_move(slot, from, to).await;
    running.finish_with(Disposition::Ack);
    let error = queue.offer(&jobs_of(2, 1)).await.expect_err("half of the slot is at another master");
    let reason = format!("{:?}", error.source());
    assert!(["TryAgain", "Ask", "non local key"].iter().any(|word| reason.contains(word)), "{reason}");
    sleep(3 * SECOND).await;
    nodes.move_the_rest(slot, from, to).await;
    let moved = Instant::now();
    let next = worker.next().await?;

    println!("refused with {reason}; ran {:?} after the slot was moved", moved.elapsed());
    assert!(moved.elapsed() < RECOVERY_TIMEOUT, "{:?}", moved.elapsed());
    next.finish_with(Disposition::Ack);
    runs_all(&queue, &mut worker, 40).await?;
    wait_until_all_completed(&queue).await?;
    let keys = ["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()];
    assert_eq!(nodes.all[from].command(&keys).await, Value::Int(0));
    assert!(value::<u64>(nodes.all[to].command(&keys).await)? > 10);
    Ok(())
}

/// The configured nodes are down. They had reported the other nodes before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reported_nodes_are_queried_if_the_configured_ones_are_down() -> TestResult {
    let mut nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let configured = vec![nodes.addresses()[owner].clone()];
    let queue = open(&redis_settings(configured, "{bull}"), &one_attempt()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 5)).await?;
    worker.complete(1).await?;

    nodes.all[owner].kill();
    nodes.wait_for_failover(owner).await;

    runs_all(&queue, &mut worker, 5).await?;
    wait_until_all_completed(&queue).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_reachable_node_is_enough_to_find_the_queues() -> TestResult {
    let nodes = Nodes::start().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let other = nodes.addresses()[(owner + 1) % 3].clone();
    let configured = vec![format!("127.0.0.1:{}", free_port()), other];

    let queue = open(&redis_settings(configured, "{bull}"), &settings()).await;

    queue.ping().await?;
    assert_eq!(queue.counts().await?, counts(0, 0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_do_not_answer_or_have_no_cluster_fail_the_launch() -> TestResult {
    let alone = Redis::start().await;
    let slotless = Redis::with(&["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()]).await;
    let [dead, silent] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let table = [
        (vec![dead.clone(), silent.clone()], vec![dead.clone(), silent, "refused".into()]),
        (vec![dead, format!("127.0.0.1:{}", alone.port)], vec!["cluster support disabled".into()]),
        (vec![format!("127.0.0.1:{}", slotless.port)], vec!["it reports that the cluster is down".into()]),
    ];

    for (configured, words) in table {
        let from = Instant::now();
        let server = Arc::new(Server::new(&redis_settings(configured, "{bull}"))?);
        let error = BullQueue::open("test", &settings(), server).await.expect_err("no node reports the owner");
        let message = format!("{:?}", error.source());
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(from.elapsed() < 3 * SECOND, "{:?}", from.elapsed());
    }
    Ok(())
}

/// The error explains that the configured host is a node of a cluster, whether or not it owns the
/// slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_node_configured_as_a_standalone_server_fails_the_launch() -> TestResult {
    let nodes = Nodes::start().await;
    let (_, owner) = nodes.owner("{bull}").await;

    for (node, prefix) in [((owner + 1) % 3, "{bull}"), (owner, "bull")] {
        let server = Arc::new(Server::new(&at("127.0.0.1", nodes.all[node].port, prefix))?);
        let error = BullQueue::open("test", &settings(), server).await.expect_err("the server is a cluster node");
        let message = format!("{:?}", error.source());
        assert!(["Moved", "CrossSlot"].iter().any(|word| message.contains(word)), "{message}");
        assert!(message.contains("`redis.nodes`"), "{message}");
    }
    Ok(())
}
