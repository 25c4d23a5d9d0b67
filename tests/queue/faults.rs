//! What a server, a network and other programs can do to the queues in Redis, and how soon they are
//! themselves again.
//!
//! These count seconds, on a server of their own each. The figures are what is promised, not what
//! is usual.

use std::{
    error::Error,
    process::Command,
    sync::{
        Arc, Mutex,
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
    server::Redis,
    suite::{Stage, TestResult, counts, job, jobs_of, ready, settings, settings_with, until},
};

const SECOND: Duration = Duration::from_secs(1);

fn paced() -> QueueSettings {
    settings_with(|settings| settings.rate_limit = "1 per 10s".parse().expect("it is a rate limit"))
}

/// Offers until it is taken, as the feeder does, and waits until it is worked.
async fn works_within(limit: Duration, queue: &dyn Queue, stage: &mut Stage, seq: u64) -> TestResult {
    let from = Instant::now();
    let worked = async {
        while let Err(error) = queue.offer(&[ready(9, seq)]).await {
            println!("after {:?}: {error}: {:?}", from.elapsed(), error.source());
            sleep(SECOND / 10).await;
        }
        println!("offered after {:?}", from.elapsed());
        stage.finish(1).await
    };
    let done = timeout(limit, worked).await.map_err(|_| format!("nothing was worked within {limit:?}"))??;
    println!("worked after {:?}", from.elapsed());
    assert_eq!(done, [job(9, seq)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_server_is_said_at_once_and_a_password_never() -> TestResult {
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
        let error = BullQueue::open("test", &settings(), server.clone()).await.expect_err("there is nothing to open");
        let text = format!("{error} {error:?} {:?} {server:?}", error.source());
        assert!(text.contains(word) && !text.contains("opensesame"), "{text}");
        assert!(from.elapsed() < 3 * SECOND);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_was_flushed_is_filled_by_the_next_offer() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 10)).await?;
    let running = stage.next().await?;

    redis.command(&["FLUSHALL"]).await;
    running.answer(Disposition::Ack);

    assert_eq!(queue.offer(&jobs_of(1, 10)).await?, 10);
    stage.finish(10).await?;
    until(&queue, QueueCounts { completed: 10, ..counts(0, 0, 0) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_redis_delays_and_loses_nothing() -> TestResult {
    let mut redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    stage.finish(5).await?;
    let running = stage.next().await?;

    redis.kill();
    sleep(5 * SECOND).await;
    assert!(queue.ping().await.is_err(), "nobody is there");
    redis.start_again().await;
    let back = Instant::now();
    running.answer(Disposition::Ack);
    let first = stage.next().await?;

    println!("the first task after {:?}", back.elapsed());
    assert!(back.elapsed() < 3 * SECOND, "{:?}", back.elapsed());
    first.answer(Disposition::Ack);
    stage.finish(13).await?;
    // What ended while Redis was away may have to be handed out once more.
    let end = Instant::now() + 40 * SECOND;
    while queue.counts().await?.open() > 0 {
        if let Ok(again) = timeout(SECOND, stage.next()).await {
            again?.answer(Disposition::Ack);
        }
        assert!(Instant::now() < end, "{:?}", queue.counts().await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hung_is_worked_again() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut stage = Stage::of(&queue).await?;
    works_within(5 * SECOND, &queue, &mut stage, 0).await?;

    redis.signal("STOP");
    let from = Instant::now();
    assert!(queue.ping().await.is_err() && queue.offer(&jobs_of(1, 1)).await.is_err());
    assert!(from.elapsed() < 8 * SECOND, "{:?}", from.elapsed());
    sleep(5 * SECOND).await;
    redis.signal("CONT");

    works_within(3 * SECOND, &queue, &mut stage, 1).await
}

/// It has thousands of things to say, to nobody; it ends as if it had none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_wait_for_nobody_when_redis_hangs() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let talks = Arc::new(Talks(AtomicU64::default()));
    let run = talks.clone();
    queue.work(talks).await?;
    queue.offer(&[ready(1, 0)]).await?;
    redis.until(&["LLEN", "bull:test:active"], |active| active == redis::Value::Int(1)).await;

    redis.signal("STOP");
    sleep(SECOND).await;
    let said = run.0.load(SeqCst);
    redis.signal("CONT");

    assert!(said >= 10_000, "it was held up after {said} notes");
    until(&queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await
}

/// A handler that notes as fast as it can, and counts.
struct Talks(AtomicU64);

#[rocket::async_trait]
impl Handler for Talks {
    async fn handle(&self, _: Delivery<Task>, notes: &dyn ProgressSink) -> Disposition {
        sleep(SECOND / 4).await;
        for percent in 0..10_000 {
            notes.report(ProgressUpdate {
                percent: Some(u8::try_from(percent / 100).unwrap_or(100)),
                line: "still here".into(),
            });
            self.0.fetch_add(1, SeqCst);
        }
        Disposition::Ack
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_fall_silent_are_replaced() -> TestResult {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.port).await?;
    let through = at("127.0.0.1", proxy.port, "bull");
    let queue = open(&through, &settings()).await;
    let mut stage = Stage::of(&queue).await?;
    works_within(5 * SECOND, &queue, &mut stage, 0).await?;

    for seq in 1..4 {
        proxy.silence();
        works_within(15 * SECOND, &queue, &mut stage, seq).await?;
    }
    Ok(())
}

/// Its worker waits for the window to end, and hears nothing meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_fall_silent_under_a_rate_limit_are_replaced() -> TestResult {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.port).await?;
    let queue = open(&at("127.0.0.1", proxy.port, "bull"), &paced()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 2)).await?;
    stage.finish(1).await?;

    proxy.silence();
    let from = Instant::now();
    stage.finish(1).await?;

    assert!(from.elapsed() < 15 * SECOND, "{:?}", from.elapsed());
    Ok(())
}

/// A handler runs while the sockets of its worker fall silent; it ends, and its task is not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_worker_was_replaced_comes_to_its_end() -> TestResult {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.port).await?;
    let quick = settings_with(|settings| (settings.lock, settings.stall_check) = (2 * SECOND, SECOND));
    let queue = open(&at("127.0.0.1", proxy.port, "bull"), &quick).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    let running = stage.next().await?;

    proxy.silence();
    sleep(4 * SECOND).await;
    running.answer(Disposition::Ack);

    assert_eq!(stage.finish(1).await?, [job(1, 0)], "nobody knows that it ended, so it is begun again");
    until(&queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await
}

/// Commands that make a server refuse, the word with which it does, and commands that mend it.
type Refusal<'a> = (&'a [&'a str], &'a str, &'a [&'a str]);

/// A server that answers and refuses is waited for, spends no attempt, and is worked within 2
/// seconds of its recovery.
async fn is_waited_for(redis: &Redis, prefix: &str, (fault, word, cure): Refusal<'_>) -> TestResult {
    let once = settings_with(|settings| settings.attempts = 1);
    let queue = open(&at("127.0.0.1", redis.port, prefix), &once).await;
    queue.offer(&jobs_of(1, 5)).await?;
    redis.command(fault).await;
    let mut stage = Stage::of(&queue).await?;
    let error = queue.offer(&jobs_of(2, 1)).await.expect_err("it refuses");
    let why = format!("{:?}", error.source());
    assert!(why.contains(word), "{why}");
    sleep(3 * SECOND).await;
    assert!(stage.is_quiet());

    redis.command(cure).await;
    let from = Instant::now();
    stage.finish(5).await?;

    println!("worked after {:?}", from.elapsed());
    assert!(from.elapsed() < 2 * SECOND, "{:?}", from.elapsed());
    until(&queue, QueueCounts { completed: 5, ..counts(0, 0, 0) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_is_waited_for_and_spends_nothing() -> TestResult {
    let redis = Redis::start().await;
    let (full, free) = (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]);
    is_waited_for(&redis, "bull", (&full, "OOM", &free)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_without_its_replicas_is_waited_for() -> TestResult {
    let redis = Redis::start().await;
    let [wants, wants_not] = ["1", "0"].map(|replicas| ["CONFIG", "SET", "min-replicas-to-write", replicas]);
    is_waited_for(&redis, "bull", (&wants, "NOREPLICAS", &wants_not)).await
}

/// One node has all slots, so any client can talk to it; without them it is a cluster that is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_down_is_waited_for() -> TestResult {
    // After it was down, Redis itself waits for the time of its nodes, half a second at least.
    let redis = Redis::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "500"]).await;
    let [down, up] = ["DELSLOTSRANGE", "ADDSLOTSRANGE"].map(|verb| ["CLUSTER", verb, "0", "16383"]);
    redis.command(&up).await;
    redis.until(&["CLUSTER", "INFO"], |info| format!("{info:?}").contains("cluster_state:ok")).await;
    is_waited_for(&redis, "{bull}", (&down, "ClusterDown", &up)).await
}

/// The server can't write its append-only file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_for() -> TestResult {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => {
            println!("skipped: a small disk can't be mounted: {why}");
            return Ok(());
        }
    };
    let folder = disk.0.path().display().to_string();
    // With `always` it would leave at once.
    let redis = Redis::with(&["--dir", &folder, "--appendfsync", "everysec"]).await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.attempts = 1)).await;
    queue.offer(&jobs_of(1, 5)).await?;
    disk.fill()?;
    let end = Instant::now() + 10 * SECOND;
    while !redis
        .try_command(&["SET", "filler", &"x".repeat(10_000)])
        .await
        .is_err_and(|why| why.to_string().contains("MISCONF"))
    {
        assert!(Instant::now() < end, "the disk is not full");
    }
    let mut stage = Stage::of(&queue).await?;
    let error = queue.offer(&jobs_of(2, 1)).await.expect_err("it refuses");
    assert!(format!("{:?}", error.source()).contains("MISCONF"), "{:?}", error.source());
    sleep(3 * SECOND).await;
    assert!(stage.is_quiet());

    disk.clear()?;
    let from = Instant::now();
    stage.finish(5).await?;

    println!("worked after {:?}", from.elapsed());
    assert!(from.elapsed() < 3 * SECOND, "Redis itself takes a second to notice: {:?}", from.elapsed());
    until(&queue, QueueCounts { completed: 5, ..counts(0, 0, 0) }).await
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
            Ok(()) => panic!("four megabytes hold eight"),
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

/// It reads its file for seconds after a crash, and answers meanwhile that it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loads_is_waited_for() -> TestResult {
    let mut redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.attempts = 1)).await;
    queue.offer(&jobs_of(1, 5)).await?;
    let many = "for n = 1, 6000 do redis.call('SET', 'filler' .. n, n) end";
    redis.command(&["EVAL", many, "0"]).await;
    let mut stage = Stage::of(&queue).await?;
    stage.finish(1).await?;
    redis.kill();
    // Microseconds a key.
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
    assert!(timeout(10 * SECOND, loads).await?, "it was not seen to load");

    while redis.try_command(&["PING"]).await.is_err() {
        sleep(SECOND / 100).await;
    }
    let from = Instant::now();
    stage.finish(4).await?;

    println!("worked after {:?}", from.elapsed());
    assert!(from.elapsed() < 3 * SECOND, "{:?}", from.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_became_a_replica_and_back_is_worked_again() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut stage = Stage::of(&queue).await?;
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert!(queue.offer(&jobs_of(1, 1)).await.is_err(), "it is read-only");
    sleep(3 * SECOND).await;

    redis.command(&["REPLICAOF", "NO", "ONE"]).await;

    works_within(3 * SECOND, &queue, &mut stage, 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_scripts_that_are_thrown_away_are_made_anew() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut stage = Stage::of(&queue).await?;

    for (seq, fault) in
        [&["CLIENT", "KILL", "TYPE", "normal"][..], &["SCRIPT", "FLUSH"], &["CLIENT", "KILL", "TYPE", "normal"]]
            .into_iter()
            .enumerate()
    {
        redis.command(fault).await;
        works_within(3 * SECOND, &queue, &mut stage, seq as u64).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_in_time_when_redis_hangs() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.concurrency = 2)).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 2)).await?;
    let (ends, _stays) = (stage.next().await?, stage.next().await?);
    redis.signal("STOP");

    let deadline = Instant::now() + 2 * SECOND;
    let (drained, ()) = tokio::join!(queue.drain(deadline), async { ends.answer(Disposition::Release) });

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
        let mut stage = Stage::of(&queue).await?;
        queue.offer(&jobs_of(1, 2)).await?;
        stage.finish(1).await?;
        queue.withdraw(crate::suite::batch(1)).await?;
        sleep(2 * SECOND).await;
        let _ = stage.is_quiet();

        let from = Instant::now();
        let drained = queue.drain(from + 25 * SECOND).await;

        assert_eq!(drained, Drained::Clean);
        assert!(from.elapsed() < SECOND / 2, "{:?}", from.elapsed());
    }
    Ok(())
}

/// No job is left active without an owner, whenever the drain comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_in_the_middle_of_a_fetch_leaves_nothing_behind() -> TestResult {
    let redis = Redis::start().await;
    let many = settings_with(|settings| settings.concurrency = 4);
    for life in 0..40_u64 {
        let queue = open(&at("127.0.0.1", redis.port, "bull"), &many).await;
        let mut stage = Stage::of(&queue).await?;
        queue.offer(&jobs_of(1, 50)).await?;
        let played = tokio::spawn(async move { while stage.finish(1).await.is_ok() {} });
        sleep(Duration::from_micros(life * 731 % 9_000)).await;

        let drained = queue.drain(Instant::now() + 5 * SECOND).await;

        played.abort();
        assert_eq!((drained, queue.counts().await?.active), (Drained::Clean, 0), "life {life}");
    }
    Ok(())
}

/// A process is killed with a task in its hands; another one has it soon.
#[test]
fn a_killed_worker_is_taken_over() -> TestResult {
    let quick = settings_with(|settings| (settings.lock, settings.stall_check) = (2 * SECOND, SECOND));
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (survivor, victim) = (runtime()?, runtime()?);
    let redis = survivor.block_on(Redis::start());
    let place = at("127.0.0.1", redis.port, "bull");
    victim.block_on(async {
        let queue = open(&place, &quick).await;
        let mut stage = Stage::of(&queue).await?;
        queue.offer(&[ready(1, 0)]).await?;
        let begun = stage.next().await?;
        // As good as dead: nothing of it runs any more, and nothing says goodbye.
        std::mem::forget((queue, stage, begun));
        Ok::<_, Box<dyn Error>>(())
    })?;
    victim.shutdown_background();

    survivor.block_on(async {
        let queue = open(&place, &quick).await;
        let mut stage = Stage::of(&queue).await?;
        let from = Instant::now();
        assert_eq!(stage.finish(1).await?, [job(1, 0)]);
        println!("taken over after {:?}", from.elapsed());
        assert!(from.elapsed() < 5 * SECOND, "{:?}", from.elapsed());
        until(&queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await
    })
}

/// Once for both queues, and again when somebody changes it.
#[tokio::test]
async fn a_policy_that_evicts_is_warned_of_at_the_start_and_when_it_changes() -> TestResult {
    let (said, _listening) = Said::here();
    let redis = Redis::with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let server = Arc::new(Server::new(&at("127.0.0.1", redis.port, "bull"))?.with_check_interval(SECOND / 20));

    let _queues = [
        BullQueue::open("one", &settings(), server.clone()).await?,
        BullQueue::open("other", &settings(), server).await?,
    ];
    said.until("allkeys-lru").await?;
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).await;
    said.until("volatile-ttl").await?;
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    said.until("evicts nothing any more").await?;
    sleep(SECOND / 2).await;

    for word in ["allkeys-lru", "volatile-ttl", "evicts nothing any more"] {
        assert_eq!(said.text().matches(word).count(), 1, "{}", said.text());
    }
    Ok(())
}

/// Somebody else's tool paused it, maybe long before we came; nobody would know why nothing begins.
#[tokio::test]
async fn a_pause_is_told_at_the_start_and_when_it_changes() -> TestResult {
    let (said, _listening) = Said::here();
    let redis = Redis::start().await;
    redis.command(&["HSET", "bull:held:meta", "paused", "1"]).await;
    let server = Arc::new(Server::new(&at("127.0.0.1", redis.port, "bull"))?.with_check_interval(SECOND / 20));

    let _queues = [
        BullQueue::open("held", &settings(), server.clone()).await?,
        BullQueue::open("bystander", &settings(), server).await?,
    ];
    said.until("somebody paused the queue").await?;
    sleep(SECOND / 2).await;
    redis.command(&["HDEL", "bull:held:meta", "paused"]).await;
    said.until("the queue is resumed").await?;

    for word in ["somebody paused the queue", "the queue is resumed"] {
        assert_eq!(said.text().matches(word).count(), 1, "{}", said.text());
    }
    assert!(!said.text().contains("bystander"), "{}", said.text());
    Ok(())
}

/// What was logged.
#[derive(Clone, Default)]
pub struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// On this thread alone, as is everything that the queues of a test do, for as long as the
    /// guard lives.
    pub fn here() -> (Self, tracing::subscriber::DefaultGuard) {
        let said = Self::default();
        let listener = said.clone();
        let log = tracing_subscriber::fmt().with_writer(move || listener.clone()).with_ansi(false).finish();
        (said, tracing::subscriber::set_default(log))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("nobody panics with it")).into_owned()
    }

    async fn until(&self, word: &str) -> TestResult {
        let end = Instant::now() + 10 * SECOND;
        while !self.text().contains(word) {
            assert!(Instant::now() < end, "nobody said `{word}`: {}", self.text());
            sleep(SECOND / 100).await;
        }
        Ok(())
    }
}

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
