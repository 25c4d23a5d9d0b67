//! The queues in Redis under the rights that the guide gives to their user, and what is said where
//! one is missing.

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
    faults::Said,
    server::{self, Redis},
    suite::{Harness, Stage, TestResult, job, jobs_of, ready, settings, settings_with},
};

every_queue!(Unhindered::default());

/// Makes sure at its end that nothing was refused meanwhile, noticed or not.
#[derive(Default)]
struct Unhindered(Restricted);

impl Harness for Unhindered {
    async fn queue(&self, settings: QueueSettings) -> Arc<dyn Queue> {
        Arc::new(self.0.open(&settings).await.expect("the rights are enough"))
    }
}

impl Drop for Unhindered {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.0.refused(), Vec::<String>::new());
        }
    }
}

/// A server whose user has the rights of the guide and no others.
#[derive(Default)]
struct Restricted(OnceCell<Redis>);

impl Restricted {
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
        let server = Server::new(&self.settings().await)?.with_check_interval(Duration::from_millis(100));
        BullQueue::open("test", settings, Arc::new(server)).await
    }

    /// What the launch says.
    async fn refusal(&self) -> String {
        let error = self.open(&settings()).await.expect_err("a right is missing");
        format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
    }

    /// The commands that Redis refused, or what it refused them for.
    fn refused(&self) -> Vec<String> {
        let Some(redis) = self.0.get() else { return Vec::new() };
        let client = Client::open(("127.0.0.1", redis.port)).and_then(|client| client.get_connection());
        let log: redis::RedisResult<Vec<Vec<redis::Value>>> =
            client.and_then(|mut client| redis::cmd("ACL").arg("LOG").query(&mut client));
        let entries = log.expect("the server runs").into_iter().map(|entry| server::value(entry[7].clone()).unwrap());
        // Newer servers know it, and clients say it without waiting for an answer.
        entries.filter(|what: &String| what != "client|setinfo").collect()
    }
}

/// The commands of the guide, word by word.
fn rights() -> Vec<Vec<String>> {
    let lines = include_str!("../../docs/guide/redis.md").lines();
    let lines = lines.filter(|line| line.starts_with("ACL SETUSER batch "));
    lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// A command that the user may run, without its `+`.
fn commands() -> Vec<String> {
    rights().into_iter().flatten().filter_map(|word| word.strip_prefix('+').map(str::to_owned)).collect()
}

/// The suite has no worker that is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_lost_its_worker_is_worked_under_these_rights() -> TestResult {
    let given = Restricted::default();
    let checks = settings_with(|settings| {
        (settings.lock, settings.stall_check) = (Duration::from_secs(1), Duration::from_millis(500));
    });
    let queue = given.open(&checks).await?;
    queue.offer(&jobs_of(1, 1)).await?;
    let redis = given.redis().await;
    redis.command(&["DEL", "bull:test:prioritized"]).await;
    redis.command(&["LPUSH", "bull:test:active", "b1-j0-g0"]).await;

    let done = Stage::of(&queue).await?.finish(1).await?;

    assert_eq!(done, [job(1, 0)]);
    assert_eq!(given.refused(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_of_the_guide_reach_no_other_key_and_no_other_command() -> TestResult {
    let given = Restricted::default();
    let settings = given.settings().await;
    let url = format!("redis://batch:a-secret@127.0.0.1:{}", settings.port);
    let mut user = Client::open(url)?.get_connection()?;

    assert!(user.set::<_, _, ()>("shop:visits", 1).is_err(), "another key");
    assert!(redis::cmd("FLUSHALL").query::<()>(&mut user).is_err());
    assert!(redis::cmd("CONFIG").arg("GET").arg("*").query::<redis::Value>(&mut user).is_err());
    assert!(user.set::<_, _, ()>("bull:test:x", 1).is_ok());
    Ok(())
}

/// It was found by the first job that needed it, which looked like a connection that is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_stops_the_launch_with_its_name() -> TestResult {
    const OPTIONAL: [&str; 2] = ["info", "client|setname"];
    let given = Restricted::default();

    for command in commands().into_iter().filter(|command| !OPTIONAL.contains(&command.as_str())) {
        given.change(&[&format!("-{command}")]).await;
        let said = given.refusal().await;
        assert!(said.contains("lacks rights") && said.contains("guide"), "{command}: {said}");
        assert!(said.contains(&format!("`{command}`")) || said.contains(&format!("'{command}'")), "{command}: {said}");
        given.change(&[&format!("+{command}")]).await;
    }

    assert_eq!(given.redis().await.command(&["DBSIZE"]).await, redis::Value::Int(0), "nothing is left of it");
    given.change(&["-zadd", "-xtrim"]).await;
    assert!(given.refusal().await.contains("`xtrim`, `zadd`"));
    given.change(&["+zadd", "+xtrim", "resetkeys", "~shop:*"]).await;
    let said = given.refusal().await;
    assert!(said.contains("lacks rights") && said.contains("keys"), "{said}");
    Ok(())
}

/// Each refusal counted as a connection that broke, and the worker was replaced for it.
#[tokio::test]
async fn a_refused_command_costs_no_worker() -> TestResult {
    let given = Restricted::default();
    let (said, _guard) = Said::here();
    given.change(&["-info"]).await;
    let queue = given.open(&settings()).await?;
    let mut stage = Stage::of(&queue).await?;

    for seq in 0..4 {
        queue.offer(&[ready(1, seq)]).await?;
        stage.next().await?.answer(Disposition::Ack);
        sleep(Duration::from_secs(1)).await;
    }

    queue.drain(Instant::now() + Duration::from_secs(5)).await;
    assert!(!said.text().contains("replaced"), "{}", said.text());
    assert_eq!(given.refused(), ["info"]);
    Ok(())
}
