//! The queues in a Redis Cluster: whatever a queue must do, and what is true of a cluster alone.

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
    redis_cluster::Nodes,
    server::{Redis, free_port, value},
    suite::{Harness, Stage, TestResult, counts, jobs_of, ready, settings, settings_with},
};

const SECOND: Duration = Duration::from_secs(1);

/// What is promised on top of the cluster's own time.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Queues of a slot of their own, in a cluster of their own.
#[derive(Default)]
struct OnACluster(OnceCell<Nodes>);

impl Harness for OnACluster {
    async fn queue(&self, settings: QueueSettings) -> Arc<dyn Queue> {
        let nodes = self.0.get_or_init(Nodes::start).await;
        let prefix = format!("{{test-{:016x}}}", fastrand::u64(..));
        Arc::new(open(&place(nodes.addresses(), &prefix), &settings).await)
    }
}

every_queue!(OnACluster::default());

fn place(nodes: Vec<String>, prefix: &str) -> RedisSettings {
    let mut settings = RedisSettings::default();
    settings.nodes = nodes;
    settings.prefix = prefix.into();
    settings
}

/// Settings under which whatever spends an attempt fails, and a lost lock is noticed soon.
fn once() -> QueueSettings {
    settings_with(|settings| (settings.attempts, settings.lock, settings.stall_check) = (1, 2 * SECOND, SECOND))
}

/// Offers as the feeder does, and works, until each of the first `count` jobs of batch 1 was
/// worked; says which word refused an offer.
async fn works_all(queue: &dyn Queue, stage: &mut Stage, count: u64) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let (end, mut worked, mut said) = (Instant::now() + 60 * SECOND, BTreeSet::new(), BTreeSet::new());
    while worked.len() < count as usize {
        let left: Vec<_> = (0..count).filter(|seq| !worked.contains(&format!("b1-j{seq}-g0"))).collect();
        if let Err(error) = queue.offer(&left.into_iter().map(|seq| ready(1, seq)).collect::<Vec<_>>()).await {
            said.insert(format!("{:?}", error.source()));
        }
        while let Ok(begun) = timeout(SECOND / 4, stage.next()).await {
            let begun = begun?;
            worked.insert(begun.task.to_string());
            begun.answer(Disposition::Ack);
        }
        assert!(Instant::now() < end, "worked so far: {}, refused with {said:?}", worked.len());
    }
    Ok(said)
}

/// None failed, and nothing is left to be worked.
async fn spent_nothing(queue: &dyn Queue) -> TestResult {
    let end = Instant::now() + 30 * SECOND;
    loop {
        match queue.counts().await {
            Ok(QueueCounts { failed: 0, waiting: 0, delayed: 0, active: 0, .. }) => return Ok(()),
            counted => assert!(Instant::now() < end, "{counted:?}"),
        }
        sleep(SECOND / 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_of_the_queues_is_followed_to_its_replica() -> TestResult {
    let mut nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let queue = open(&place(nodes.addresses(), "{bull}"), &once()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 40)).await?;
    stage.finish(10).await?;
    let running = stage.next().await?;

    nodes.all[owner].kill();
    nodes.has_failed_over(owner).await;
    let decided = Instant::now();
    running.answer(Disposition::Ack);
    let next = stage.next().await?;

    println!("worked {:?} after the nodes had decided", decided.elapsed());
    assert!(decided.elapsed() < AFTERWARDS, "{:?}", decided.elapsed());
    next.answer(Disposition::Ack);
    works_all(&queue, &mut stage, 40).await?;
    spent_nothing(&queue).await?;
    let kept = nodes.all[owner + 3].command(&["ZCARD", "{bull}:test:completed"]).await;
    assert_eq!(kept, Value::Int(10));
    Ok(())
}

/// A worker of before the failover has something to say to a master that is gone. It has 5 seconds
/// for it, not those of the whole drain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_after_a_failover_does_not_wait_for_the_old_master() -> TestResult {
    let mut nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let queue = open(&place(nodes.addresses(), "{bull}"), &once()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    let running = stage.next().await?;
    nodes.all[owner].kill();
    nodes.has_failed_over(owner).await;
    running.answer(Disposition::Ack);
    stage.finish(1).await?;

    let from = Instant::now();
    let drain = queue.drain(from + 25 * SECOND);
    let drained = tokio::join!(drain, async {
        // What the worker may have begun meanwhile.
        while let Ok(Ok(begun)) = timeout(SECOND, stage.next()).await {
            begun.answer(Disposition::Ack);
        }
    });

    println!("drained after {:?}", from.elapsed());
    assert_eq!(drained.0, Drained::Clean);
    assert!(from.elapsed() < 6 * SECOND, "{:?}", from.elapsed());
    Ok(())
}

/// The master that has the queues hangs, and whoever is connected to it hears nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_is_left_behind() -> TestResult {
    is_left_behind(async |nodes, owner| nodes.all[owner].signal("STOP")).await
}

/// The old master lives, and is told that it is a replica now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_relieved_by_its_replica_is_left_behind() -> TestResult {
    is_left_behind(async |nodes, owner| {
        nodes.all[owner + 3].command(&["CLUSTER", "FAILOVER"]).await;
    })
    .await
}

/// Work goes on at the replica of the master that was taken away as `away` does it.
async fn is_left_behind(away: impl AsyncFnOnce(&Nodes, usize)) -> TestResult {
    let nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let queue = open(&place(nodes.addresses(), "{bull}"), &once()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    stage.finish(5).await?;
    let running = stage.next().await?;

    away(&nodes, owner).await;
    nodes.has_failed_over(owner).await;
    let decided = Instant::now();
    running.answer(Disposition::Ack);
    let next = stage.next().await?;

    println!("worked {:?} after the nodes had decided", decided.elapsed());
    assert!(decided.elapsed() < AFTERWARDS, "{:?}", decided.elapsed());
    next.answer(Disposition::Ack);
    works_all(&queue, &mut stage, 20).await?;
    spent_nothing(&queue).await
}

/// Nobody has its slots until it is back, with what it wrote down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_without_a_replica_is_waited_for() -> TestResult {
    let mut nodes = Nodes::start().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let queue = open(&place(nodes.addresses(), "{bull}"), &once()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    stage.finish(5).await?;
    let running = stage.next().await?;

    nodes.all[owner].kill();
    let other = &nodes.all[(owner + 1) % 3];
    other.until(&["CLUSTER", "INFO"], |info| format!("{info:?}").contains("cluster_state:fail")).await;
    running.answer(Disposition::Ack);
    sleep(3 * SECOND).await;
    assert!(stage.is_quiet() && queue.ping().await.is_err());
    nodes.all[owner].start_again().await;
    nodes.all[owner].until(&["CLUSTER", "INFO"], |info| format!("{info:?}").contains("cluster_state:ok")).await;
    let back = Instant::now();
    let next = stage.next().await?;

    println!("worked {:?} after the cluster was well", back.elapsed());
    assert!(back.elapsed() < AFTERWARDS, "{:?}", back.elapsed());
    next.answer(Disposition::Ack);
    works_all(&queue, &mut stage, 20).await?;
    spent_nothing(&queue).await
}

/// Half of the keys are here and half are there for seconds; nobody may work meanwhile, and nothing
/// is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_is_waited_for_and_followed() -> TestResult {
    let nodes = Nodes::start().await;
    let (slot, from) = nodes.owner("{bull}").await;
    let to = (from + 1) % 3;
    let queue = open(&place(nodes.addresses(), "{bull}"), &once()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 40)).await?;
    stage.finish(10).await?;
    let running = stage.next().await?;

    nodes.half_move(slot, from, to).await;
    running.answer(Disposition::Ack);
    let error = queue.offer(&jobs_of(2, 1)).await.expect_err("half of it is elsewhere");
    let why = format!("{:?}", error.source());
    assert!(["TryAgain", "Ask", "non local key"].iter().any(|word| why.contains(word)), "{why}");
    sleep(3 * SECOND).await;
    nodes.move_the_rest(slot, from, to).await;
    let moved = Instant::now();
    let next = stage.next().await?;

    println!("refused with {why}; worked {:?} after the slot was moved", moved.elapsed());
    assert!(moved.elapsed() < AFTERWARDS, "{:?}", moved.elapsed());
    next.answer(Disposition::Ack);
    works_all(&queue, &mut stage, 40).await?;
    spent_nothing(&queue).await?;
    let keys = ["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()];
    assert_eq!(nodes.all[from].command(&keys).await, Value::Int(0));
    assert!(value::<u64>(nodes.all[to].command(&keys).await)? > 10);
    Ok(())
}

/// Those whom the settings name are gone; the others were learnt from them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_nobody_named_are_asked_when_the_named_are_gone() -> TestResult {
    let mut nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let named = vec![nodes.addresses()[owner].clone()];
    let queue = open(&place(named, "{bull}"), &once()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 5)).await?;
    stage.finish(1).await?;

    nodes.all[owner].kill();
    nodes.has_failed_over(owner).await;

    works_all(&queue, &mut stage, 5).await?;
    spent_nothing(&queue).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_enough_to_find_the_queues() -> TestResult {
    let nodes = Nodes::start().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let other = nodes.addresses()[(owner + 1) % 3].clone();
    let named = vec![format!("127.0.0.1:{}", free_port()), other];

    let queue = open(&place(named, "{bull}"), &settings()).await;

    queue.ping().await?;
    assert_eq!(queue.counts().await?, counts(0, 0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_do_not_answer_or_know_no_cluster_stop_the_launch() -> TestResult {
    let alone = Redis::start().await;
    let slotless = Redis::with(&["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()]).await;
    let [dead, silent] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let table = [
        (vec![dead.clone(), silent.clone()], vec![dead.clone(), silent, "refused".into()]),
        (vec![dead, format!("127.0.0.1:{}", alone.port)], vec!["cluster support disabled".into()]),
        (vec![format!("127.0.0.1:{}", slotless.port)], vec!["it says that the cluster is down".into()]),
    ];

    for (named, words) in table {
        let from = Instant::now();
        let server = Arc::new(Server::new(&place(named, "{bull}"))?);
        let error = BullQueue::open("test", &settings(), server).await.expect_err("nobody says where the queues are");
        let said = format!("{:?}", error.source());
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(from.elapsed() < 3 * SECOND, "{:?}", from.elapsed());
    }
    Ok(())
}

/// Whoever names a host, and doesn't know that it is one of several, is told; whether it has the
/// slot or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_taken_for_a_lone_server_stops_the_launch() -> TestResult {
    let nodes = Nodes::start().await;
    let (_, owner) = nodes.owner("{bull}").await;

    for (node, prefix) in [((owner + 1) % 3, "{bull}"), (owner, "bull")] {
        let server = Arc::new(Server::new(&at("127.0.0.1", nodes.all[node].port, prefix))?);
        let error = BullQueue::open("test", &settings(), server).await.expect_err("it is no lone server");
        let said = format!("{:?}", error.source());
        assert!(["Moved", "CrossSlot"].iter().any(|word| said.contains(word)), "{said}");
        assert!(said.contains("`redis.nodes`"), "{said}");
    }
    Ok(())
}
