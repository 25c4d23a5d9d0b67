//! The queues in Redis with the permissions that the guide lists, and the error if one is missing.

use std::{error::Error, sync::Arc, time::Duration};

use redis::{Client, Commands as _};
use rocket_batch::{
    config::{QueueSettings, RedisSettings, Secret},
    queue::{
        Disposition, Queue,
        bullmq::{BullQueue, Server},
    },
};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};

use crate::{
    bullmq::at,
    suite::{Harness, TestWorker, job, jobs_of, ready, settings, settings_with},
    support::{
        TestResult,
        log::Log,
        redis::{Redis, value},
    },
};

every_queue!(LeastPrivilegeHarness::default());

/// Asserts on drop that Redis has denied no command.
#[derive(Default)]
struct LeastPrivilegeHarness(RestrictedServer);

impl Harness for LeastPrivilegeHarness {
    async fn queue(&self, settings: QueueSettings) -> Arc<dyn Queue> {
        Arc::new(self.0.open(&settings).await.expect("the rights are sufficient"))
    }
}

impl Drop for LeastPrivilegeHarness {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.0.denied_commands(), Vec::<String>::new());
        }
    }
}

/// A server with a user that has exactly the rights of the guide.
#[derive(Default)]
struct RestrictedServer(OnceCell<Redis>);

impl RestrictedServer {
    async fn redis(&self) -> &Redis {
        let start = async || {
            let redis = Redis::start().await;
            for words in rights() {
                redis.command(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
            }
            redis
        };
        self.0.get_or_init(start).await
    }

    async fn change(&self, rights: &[&str]) {
        self.redis().await.command(&[&["ACL", "SETUSER", "batch"], rights].concat()).await;
    }

    async fn settings(&self) -> RedisSettings {
        let mut settings = at("127.0.0.1", self.redis().await.port, "bull");
        settings.username = Some("batch".into());
        settings.password = Some(Secret::new("a-secret"));
        settings
    }

    async fn open(&self, settings: &QueueSettings) -> rocket_batch::queue::Result<BullQueue> {
        let server = Server::new(&self.settings().await)?.for_ledger("the-ledger");
        let server = server.with_check_interval(Duration::from_millis(100));
        BullQueue::open("test", settings, Arc::new(server)).await
    }

    /// Returns the error of a launch.
    async fn launch_error(&self) -> String {
        let error = self.open(&settings()).await.expect_err("a right is missing");
        format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
    }

    /// Returns the commands, or the keys, for which Redis denied a permission.
    fn denied_commands(&self) -> Vec<String> {
        let Some(redis) = self.0.get() else { return Vec::new() };
        let client = Client::open(("127.0.0.1", redis.port)).and_then(|client| client.get_connection());
        let log: redis::RedisResult<Vec<Vec<redis::Value>>> =
            client.and_then(|mut client| redis::cmd("ACL").arg("LOG").query(&mut client));
        let entries = log.expect("the server runs").into_iter().map(|entry| value(entry[7].clone()).unwrap());
        // Newer servers support this command, and clients send it without waiting for a reply.
        entries.filter(|entry: &String| entry != "client|setinfo").collect()
    }
}

/// The `ACL` commands of the guide, split into words.
fn rights() -> Vec<Vec<String>> {
    let lines = include_str!("../../docs/guide/redis.md").lines();
    let lines = lines.filter(|line| line.starts_with("ACL SETUSER batch "));
    lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// The commands that the user may run, without their `+`.
fn commands() -> Vec<String> {
    rights().into_iter().flatten().filter_map(|word| word.strip_prefix('+').map(str::to_owned)).collect()
}

/// The suite itself has no stalled job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_job_runs_again_with_these_rights() -> TestResult {
    let server = RestrictedServer::default();
    let checks = settings_with(|settings| {
        (settings.lock, settings.stall_check) = (Duration::from_secs(1), Duration::from_millis(500));
    });
    let queue = server.open(&checks).await?;
    queue.offer(&jobs_of(1, 1)).await?;
    let redis = server.redis().await;
    redis.command(&["DEL", "bull:test:prioritized"]).await;
    redis.command(&["LPUSH", "bull:test:active", "b1-j0-g0"]).await;

    let done = TestWorker::start(&queue).await?.complete(1).await?;

    assert_eq!(done, [job(1, 0)]);
    assert_eq!(server.denied_commands(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_of_the_guide_allow_no_other_key_and_no_other_command() -> TestResult {
    let server = RestrictedServer::default();
    let settings = server.settings().await;
    let url = format!("redis://batch:a-secret@127.0.0.1:{}", settings.port);
    let mut user = Client::open(url)?.get_connection()?;

    assert!(user.set::<_, _, ()>("shop:visits", 1).is_err(), "another key");
    assert!(redis::cmd("FLUSHALL").query::<()>(&mut user).is_err());
    assert!(redis::cmd("CONFIG").arg("GET").arg("*").query::<redis::Value>(&mut user).is_err());
    assert!(user.set::<_, _, ()>("bull:test:x", 1).is_ok());
    Ok(())
}

/// Regression: the first job that needed the right failed, and it looked like a broken connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_fails_the_launch_and_is_named() -> TestResult {
    const OPTIONAL: [&str; 2] = ["info", "client|setname"];
    let server = RestrictedServer::default();

    for command in commands().into_iter().filter(|command| !OPTIONAL.contains(&command.as_str())) {
        server.change(&[&format!("-{command}")]).await;
        let message = server.launch_error().await;
        assert!(message.contains("lacks permissions") && message.contains("guide"), "{command}: {message}");
        assert!(
            message.contains(&format!("`{command}`")) || message.contains(&format!("'{command}'")),
            "{command}: {message}"
        );
        server.change(&[&format!("+{command}")]).await;
    }

    assert_eq!(server.redis().await.command(&["DBSIZE"]).await, redis::Value::Int(0), "the check leaves no key");
    server.change(&["-zadd", "-xtrim"]).await;
    assert!(server.launch_error().await.contains("`xtrim`, `zadd`"));
    server.change(&["+zadd", "+xtrim", "resetkeys", "~shop:*"]).await;
    let message = server.launch_error().await;
    assert!(message.contains("lacks permissions") && message.contains("keys"), "{message}");
    Ok(())
}

/// Regression: each denied command counted as a broken connection, and the worker was replaced.
#[tokio::test]
async fn a_denied_command_keeps_the_worker() -> TestResult {
    let server = RestrictedServer::default();
    let (log, _guard) = Log::of_this_thread();
    server.change(&["-info"]).await;
    let queue = server.open(&settings()).await?;
    let mut worker = TestWorker::start(&queue).await?;

    for seq in 0..4 {
        queue.offer(&[ready(1, seq)]).await?;
        worker.next().await?.finish_with(Disposition::Ack);
        sleep(Duration::from_secs(1)).await;
    }

    queue.drain(Instant::now() + Duration::from_secs(5)).await;
    assert!(!log.text().contains("replaced"), "{}", log.text());
    assert_eq!(server.denied_commands(), ["info"]);
    Ok(())
}
