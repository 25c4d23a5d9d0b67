//! Faults of the server, of the network and by other clients, and how soon jobs run again.
//!
//! Each test measures seconds and has its own server. The limits are the documented guarantees, not
//! the usual times.

use std::{
    error::Error,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use rocket_batch::{
    config::QueueSettings,
    domain::{Delivery, Task},
    queue::{
        Disposition, Drained, Handler, ProgressSink, ProgressUpdate, Queue, QueueCounts,
        bullmq::{BullQueue, Server},
    },
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    bullmq::{at, open},
    proxy::Proxy,
    suite::{TestWorker, counts, job, jobs_of, ready, settings, settings_with, wait_for_counts},
    support::{TestResult, log::Log, redis::Redis, redis_cluster::CLUSTER_OK, wait::until},
};

const SECOND: Duration = Duration::from_secs(1);

fn paced() -> QueueSettings {
    settings_with(|settings| settings.rate_limit = "1 per 10s".parse().expect("it is a rate limit"))
}

/// Offers a job until the queue accepts it, as the feeder does, and waits until it has run.
async fn runs_a_job_within(limit: Duration, queue: &dyn Queue, worker: &mut TestWorker, seq: u64) -> TestResult {
    let from = Instant::now();
    let run = async {
        while let Err(error) = queue.offer(&[ready(9, seq)]).await {
            println!("after {:?}: {error}: {:?}", from.elapsed(), error.source());
            sleep(SECOND / 10).await;
        }
        println!("offered after {:?}", from.elapsed());
        worker.complete(1).await
    };
    let done = timeout(limit, run).await.map_err(|_| format!("no job ran within {limit:?}"))??;
    println!("ran after {:?}", from.elapsed());
    assert_eq!(done, [job(9, seq)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_server_is_reported_at_once_and_a_password_never() -> TestResult {
    use rocket_batch::config::Secret;

    let redis = Redis::start().await;
    redis.command(&["CONFIG", "SET", "requirepass", "right"]).await;
    let mut wrong = at("127.0.0.1", redis.port, "bull");
    wrong.password = Some(Secret::new("opensesame"));
    let (mut absent, mut without_tls) = (wrong.clone(), wrong.clone());
    absent.port = 1;
    without_tls.tls = true;

    let table = [(wrong, "Password authentication failed"), (absent, "refused"), (without_tls, "")];
    for (settings_of_redis, word) in table {
        let from = Instant::now();
        let server = Arc::new(Server::new(&settings_of_redis)?);
        let error = BullQueue::open("test", &settings(), server.clone()).await.expect_err("the queue can't be opened");
        let text = format!("{error} {error:?} {:?} {server:?}", error.source());
        assert!(text.contains(word) && !text.contains("opensesame"), "{text}");
        assert!(from.elapsed() < 3 * SECOND);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_offer_fills_a_flushed_queue() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 10)).await?;
    let running = worker.next().await?;

    redis.command(&["FLUSHALL"]).await;
    running.finish_with(Disposition::Ack);

    assert_eq!(queue.offer(&jobs_of(1, 10)).await?, 10);
    worker.complete(10).await?;
    wait_for_counts(&queue, QueueCounts { completed: 10, ..counts(0, 0, 0) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_redis_delays_jobs_and_loses_none() -> TestResult {
    let mut redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    worker.complete(5).await?;
    let running = worker.next().await?;

    redis.kill();
    sleep(5 * SECOND).await;
    assert!(queue.ping().await.is_err(), "Redis is down");
    redis.start_again().await;
    let back = Instant::now();
    running.finish_with(Disposition::Ack);
    let first = worker.next().await?;

    println!("the first task after {:?}", back.elapsed());
    assert!(back.elapsed() < 3 * SECOND, "{:?}", back.elapsed());
    first.finish_with(Disposition::Ack);
    worker.complete(13).await?;
    // Jobs that ended while Redis was down may be delivered once more.
    let end = Instant::now() + 40 * SECOND;
    while queue.counts().await?.open() > 0 {
        if let Ok(again) = timeout(SECOND, worker.next()).await {
            again?.finish_with(Disposition::Ack);
        }
        assert!(Instant::now() < end, "{:?}", queue.counts().await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_again_after_redis_hung() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;
    runs_a_job_within(5 * SECOND, &queue, &mut worker, 0).await?;

    redis.signal("STOP");
    let from = Instant::now();
    assert!(queue.ping().await.is_err() && queue.offer(&jobs_of(1, 1)).await.is_err());
    assert!(from.elapsed() < 8 * SECOND, "{:?}", from.elapsed());
    sleep(5 * SECOND).await;
    redis.signal("CONT");

    runs_a_job_within(3 * SECOND, &queue, &mut worker, 1).await
}

/// A handler reports thousands of updates that Redis can't receive, and ends without a delay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_updates_do_not_block_when_redis_hangs() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let handler = Arc::new(ChattyHandler(AtomicU64::default()));
    let run = handler.clone();
    queue.work(handler).await?;
    queue.offer(&[ready(1, 0)]).await?;
    redis.until(&["LLEN", "bull:test:active"], |active| active == redis::Value::Int(1)).await;

    redis.signal("STOP");
    sleep(SECOND).await;
    let reported = run.0.load(SeqCst);
    redis.signal("CONT");

    assert!(reported >= 10_000, "blocked after {reported} updates");
    wait_for_counts(&queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await
}

/// A handler that reports progress as fast as it can, and counts its reports.
struct ChattyHandler(AtomicU64);

#[rocket::async_trait]
impl Handler for ChattyHandler {
    async fn handle(&self, _: Delivery<Task>, progress: &dyn ProgressSink) -> Disposition {
        sleep(SECOND / 4).await;
        for percent in 0..10_000 {
            progress.report(ProgressUpdate {
                percent: Some(u8::try_from(percent / 100).unwrap_or(100)),
                line: "still here".into(),
            });
            self.0.fetch_add(1, SeqCst);
        }
        Disposition::Ack
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sockets_are_replaced() -> TestResult {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.port).await?;
    let through = at("127.0.0.1", proxy.port, "bull");
    let queue = open(&through, &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;
    runs_a_job_within(5 * SECOND, &queue, &mut worker, 0).await?;

    for seq in 1..4 {
        proxy.silence();
        runs_a_job_within(15 * SECOND, &queue, &mut worker, seq).await?;
    }
    Ok(())
}

/// The worker waits for the end of the window and sends no command meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sockets_are_replaced_during_a_rate_limit() -> TestResult {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.port).await?;
    let queue = open(&at("127.0.0.1", proxy.port, "bull"), &paced()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 2)).await?;
    worker.complete(1).await?;

    proxy.silence();
    let from = Instant::now();
    worker.complete(1).await?;

    assert!(from.elapsed() < 15 * SECOND, "{:?}", from.elapsed());
    Ok(())
}

/// The sockets of a worker fall silent while its handler runs. The task must not be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_a_replaced_worker_is_completed() -> TestResult {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.port).await?;
    let quick = settings_with(|settings| (settings.lock, settings.stall_check) = (2 * SECOND, SECOND));
    let queue = open(&at("127.0.0.1", proxy.port, "bull"), &quick).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    let running = worker.next().await?;

    proxy.silence();
    sleep(4 * SECOND).await;
    running.finish_with(Disposition::Ack);

    assert_eq!(worker.complete(1).await?, [job(1, 0)], "its end was not recorded, so it runs again");
    wait_for_counts(&queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await
}

/// A command that makes a server refuse writes, a word of its error, and a command that undoes it.
type Refusal<'a> = (&'a [&'a str], &'a str, &'a [&'a str]);

/// Checks that no job runs and no attempt is spent while the server refuses writes, and that jobs
/// run within 2 seconds of its recovery.
async fn recovers(redis: &Redis, prefix: &str, (fault, word, cure): Refusal<'_>) -> TestResult {
    let once = settings_with(|settings| settings.attempts = 1);
    let queue = open(&at("127.0.0.1", redis.port, prefix), &once).await;
    queue.offer(&jobs_of(1, 5)).await?;
    redis.command(fault).await;
    let mut worker = TestWorker::start(&queue).await?;
    let error = queue.offer(&jobs_of(2, 1)).await.expect_err("Redis refuses writes");
    let reason = format!("{:?}", error.source());
    assert!(reason.contains(word), "{reason}");
    sleep(3 * SECOND).await;
    assert!(worker.has_no_attempt());

    redis.command(cure).await;
    let from = Instant::now();
    worker.complete(5).await?;

    println!("ran after {:?}", from.elapsed());
    assert!(from.elapsed() < 2 * SECOND, "{:?}", from.elapsed());
    wait_for_counts(&queue, QueueCounts { completed: 5, ..counts(0, 0, 0) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_while_memory_is_full_and_spend_no_attempt() -> TestResult {
    let redis = Redis::start().await;
    let (full, free) = (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]);
    recovers(&redis, "bull", (&full, "OOM", &free)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_while_the_master_lacks_replicas() -> TestResult {
    let redis = Redis::start().await;
    let [wants, wants_not] = ["1", "0"].map(|replicas| ["CONFIG", "SET", "min-replicas-to-write", replicas]);
    recovers(&redis, "bull", (&wants, "NOREPLICAS", &wants_not)).await
}

/// A single node with all slots works with any client. Without its slots, the cluster is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_while_the_cluster_is_down() -> TestResult {
    // After a recovery, Redis itself waits for the node timeout, at least half a second.
    let redis = Redis::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "500"]).await;
    let [down, up] = ["DELSLOTSRANGE", "ADDSLOTSRANGE"].map(|verb| ["CLUSTER", verb, "0", "16383"]);
    redis.command(&up).await;
    redis.until_contains(&["CLUSTER", "INFO"], CLUSTER_OK).await;
    recovers(&redis, "{bull}", (&down, "ClusterDown", &up)).await
}

/// The server can't write its append-only file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_while_the_disk_is_full() -> TestResult {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: a small disk can't be mounted: {reason}");
            return Ok(());
        }
    };
    let folder = disk.0.path().display().to_string();
    // With `always` the server would exit at once.
    let redis = Redis::with(&["--dir", &folder, "--appendfsync", "everysec"]).await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.attempts = 1)).await;
    queue.offer(&jobs_of(1, 5)).await?;
    disk.fill()?;
    let filler = ["SET", "filler", &"x".repeat(10_000)];
    let fill = async || redis.try_command(&filler).await.map_err(|reason| reason.to_string());
    let is_full = |reply: &Result<_, String>| reply.as_ref().is_err_and(|reason| reason.contains("MISCONF"));
    until("the disk is full", 10 * SECOND, fill, is_full).await.map(drop)?;
    let mut worker = TestWorker::start(&queue).await?;
    let error = queue.offer(&jobs_of(2, 1)).await.expect_err("Redis refuses writes");
    assert!(format!("{:?}", error.source()).contains("MISCONF"), "{:?}", error.source());
    sleep(3 * SECOND).await;
    assert!(worker.has_no_attempt());

    disk.clear()?;
    let from = Instant::now();
    worker.complete(5).await?;

    println!("ran after {:?}", from.elapsed());
    assert!(from.elapsed() < 3 * SECOND, "Redis itself needs a second to notice: {:?}", from.elapsed());
    wait_for_counts(&queue, QueueCounts { completed: 5, ..counts(0, 0, 0) }).await
}

/// A file system of four megabytes.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Result<Self, String> {
        let folder = tempfile::TempDir::new().map_err(|error| error.to_string())?;
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(done) if done.status.success() => Ok(Self(folder)),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn fill(&self) -> std::io::Result<()> {
        match std::fs::write(self.0.path().join("filler"), vec![0; 8 << 20]) {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(()),
            Err(error) => Err(error),
            Ok(()) => panic!("8 MB fit on a disk of 4 MB"),
        }
    }

    fn clear(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.0.path().join("filler"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// After a crash, Redis loads its file for seconds, and replies with an error meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_while_redis_loads_its_data() -> TestResult {
    let mut redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.attempts = 1)).await;
    queue.offer(&jobs_of(1, 5)).await?;
    let many = "for n = 1, 6000 do redis.call('SET', 'filler' .. n, n) end";
    redis.command(&["EVAL", many, "0"]).await;
    let mut worker = TestWorker::start(&queue).await?;
    worker.complete(1).await?;
    redis.kill();
    // In microseconds per key.
    redis.options.extend(["--key-load-delay", "1000"].map(str::to_owned));
    redis.launch();
    let loads = async {
        loop {
            match queue.offer(&jobs_of(2, 1)).await {
                Ok(_) => return false,
                Err(error) if format!("{:?}", error.source()).contains("BusyLoading") => return true,
                Err(_) => sleep(SECOND / 20).await,
            }
        }
    };
    assert!(timeout(10 * SECOND, loads).await?, "Redis did not report that it is loading");

    redis.until(&["PING"], |_| true).await;
    let from = Instant::now();
    worker.complete(4).await?;

    println!("ran after {:?}", from.elapsed());
    assert!(from.elapsed() < 3 * SECOND, "{:?}", from.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_again_after_redis_was_a_replica() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert!(queue.offer(&jobs_of(1, 1)).await.is_err(), "a replica is read-only");
    sleep(3 * SECOND).await;

    redis.command(&["REPLICAOF", "NO", "ONE"]).await;

    runs_a_job_within(3 * SECOND, &queue, &mut worker, 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_and_scripts_are_restored() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;

    for (seq, fault) in
        [&["CLIENT", "KILL", "TYPE", "normal"][..], &["SCRIPT", "FLUSH"], &["CLIENT", "KILL", "TYPE", "normal"]]
            .into_iter()
            .enumerate()
    {
        redis.command(fault).await;
        runs_a_job_within(3 * SECOND, &queue, &mut worker, seq as u64).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_at_its_deadline_when_redis_hangs() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.concurrency = 2)).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 2)).await?;
    let (ends, _stays) = (worker.next().await?, worker.next().await?);
    redis.signal("STOP");

    let deadline = Instant::now() + 2 * SECOND;
    let (drained, ()) = tokio::join!(queue.drain(deadline), async { ends.finish_with(Disposition::Release) });

    assert_eq!(drained, Drained::Left(1));
    assert!(deadline.elapsed() < SECOND, "{:?}", deadline.elapsed());
    redis.signal("CONT");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_queue_drains_in_half_a_second() -> TestResult {
    let redis = Redis::start().await;
    for limited in [settings(), paced()] {
        let queue = open(&at("127.0.0.1", redis.port, "bull"), &limited).await;
        let mut worker = TestWorker::start(&queue).await?;
        queue.offer(&jobs_of(1, 2)).await?;
        worker.complete(1).await?;
        queue.withdraw(crate::suite::batch(1)).await?;
        sleep(2 * SECOND).await;
        let _ = worker.has_no_attempt();

        let from = Instant::now();
        let drained = queue.drain(from + 25 * SECOND).await;

        assert_eq!(drained, Drained::Clean);
        assert!(from.elapsed() < SECOND / 2, "{:?}", from.elapsed());
    }
    Ok(())
}

/// A drain at any moment leaves no job active without an owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_during_a_fetch_leaves_no_active_job() -> TestResult {
    let redis = Redis::start().await;
    let many = settings_with(|settings| settings.concurrency = 4);
    for run in 0..40_u64 {
        let queue = open(&at("127.0.0.1", redis.port, "bull"), &many).await;
        let mut worker = TestWorker::start(&queue).await?;
        queue.offer(&jobs_of(1, 50)).await?;
        let worker_task = tokio::spawn(async move { while worker.complete(1).await.is_ok() {} });
        sleep(Duration::from_micros(run * 731 % 9_000)).await;

        let drained = queue.drain(Instant::now() + 5 * SECOND).await;

        worker_task.abort();
        assert_eq!((drained, queue.counts().await?.active), (Drained::Clean, 0), "run {run}");
    }
    Ok(())
}

/// A process dies while a task is active. Another process runs the task soon.
#[test]
fn another_process_takes_over_from_a_killed_one() -> TestResult {
    let quick = settings_with(|settings| (settings.lock, settings.stall_check) = (2 * SECOND, SECOND));
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (survivor, victim) = (runtime()?, runtime()?);
    let redis = survivor.block_on(Redis::start());
    let redis_settings = at("127.0.0.1", redis.port, "bull");
    victim.block_on(async {
        let queue = open(&redis_settings, &quick).await;
        let mut worker = TestWorker::start(&queue).await?;
        queue.offer(&[ready(1, 0)]).await?;
        let attempt = worker.next().await?;
        // Equivalent to a killed process: no code of it runs any longer, and no destructor.
        std::mem::forget((queue, worker, attempt));
        Ok::<_, Box<dyn Error>>(())
    })?;
    victim.shutdown_background();

    survivor.block_on(async {
        let queue = open(&redis_settings, &quick).await;
        let mut worker = TestWorker::start(&queue).await?;
        let from = Instant::now();
        assert_eq!(worker.complete(1).await?, [job(1, 0)]);
        println!("taken over after {:?}", from.elapsed());
        assert!(from.elapsed() < 5 * SECOND, "{:?}", from.elapsed());
        wait_for_counts(&queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await
    })
}

/// One message for both queues, and one after each change.
#[tokio::test]
async fn logs_an_evicting_policy_at_the_start_and_after_each_change() -> TestResult {
    let (log, _guard) = Log::of_this_thread();
    let redis = Redis::with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let server = Arc::new(Server::new(&at("127.0.0.1", redis.port, "bull"))?.with_check_interval(SECOND / 20));

    let _queues = [
        BullQueue::open("one", &settings(), server.clone()).await?,
        BullQueue::open("other", &settings(), server).await?,
    ];
    log.until("allkeys-lru").await?;
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).await;
    log.until("volatile-ttl").await?;
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    log.until("Redis no longer evicts keys").await?;
    sleep(SECOND / 2).await;

    for word in ["allkeys-lru", "volatile-ttl", "Redis no longer evicts keys"] {
        assert_eq!(log.text().matches(word).count(), 1, "{}", log.text());
    }
    Ok(())
}

/// Another client may have paused the queue long before the launch. The log explains why no job
/// runs.
#[tokio::test]
async fn logs_a_pause_at_the_start_and_after_each_change() -> TestResult {
    let (log, _guard) = Log::of_this_thread();
    let redis = Redis::start().await;
    redis.command(&["HSET", "bull:held:meta", "paused", "1"]).await;
    let server = Arc::new(Server::new(&at("127.0.0.1", redis.port, "bull"))?.with_check_interval(SECOND / 20));

    let _queues = [
        BullQueue::open("held", &settings(), server.clone()).await?,
        BullQueue::open("bystander", &settings(), server).await?,
    ];
    log.until("queue paused by another client").await?;
    sleep(SECOND / 2).await;
    redis.command(&["HDEL", "bull:held:meta", "paused"]).await;
    log.until("queue resumed").await?;

    for word in ["queue paused by another client", "queue resumed"] {
        assert_eq!(log.text().matches(word).count(), 1, "{}", log.text());
    }
    assert!(!log.text().contains("bystander"), "{}", log.text());
    Ok(())
}
