//! Launches as an operator sees them: what the process prints, and what it serves.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    is_complete,
    support::{TestResult, host::Home},
};

/// The table of roles in the guide: a worker feeds, works, and serves the health probes only.
#[tokio::test]
async fn a_worker_process_works_and_serves_only_the_health_probes() -> TestResult {
    let home = Home::new()?;
    let worker = home.start_as("worker").await?;
    let web = home.start_as("web").await?;

    let batch = web.post(&json!({ "quantity": 300 })).await?;

    is_complete(&web, batch, 300).await?;
    worker.until_printed("Batch 1 completed").await?;
    assert!(!web.said_any("Batch 1 completed") && !web.said_any("batch workers started"));
    for path in ["/batches/health/live", "/batches/health/ready"] {
        assert_eq!(worker.status(path).await?, StatusCode::OK, "{path}");
    }
    for path in ["", "/1", "/1/progress", "/1/items", "/1/failed-jobs", "/openapi.json", "/docs"] {
        let path = format!("/batches{path}");
        assert_eq!(worker.status(&path).await?, StatusCode::NOT_FOUND, "{path}");
        assert_ne!(web.status(&path).await?, StatusCode::NOT_FOUND, "{path}");
    }
    worker.until_printed("batch workers started").await?;
    web.until_printed("batch routes started, without workers").await?;
    worker.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn the_launch_prints_where_the_batches_are() -> TestResult {
    let home = Home::with_the_specified_defaults()?;
    let host = home.start().await?;

    host.until_printed("batch workers started").await?;

    for part in ["SQLite file /", "batch.db", "in this process", "at most 5 jobs, 500 items, per 10 s"] {
        host.until_printed(part).await?;
    }
    host.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn a_misspelt_variable_stops_the_launch_with_its_right_name() -> TestResult {
    let home = Home::new()?.with("ROCKET_BATCH_GENERATE_CONCURRENCY", "4");

    let printed = home.fails_to_start().await?;

    assert!(printed.contains("did you mean `ROCKET_BATCH__GENERATE__CONCURRENCY`?"), "{printed}");
    for wrong in ["unattached", "init()"] {
        assert!(!printed.contains(wrong), "{printed}");
    }
    Ok(())
}

/// Two apps on one machine, both with the default prefix. Before, each ran jobs of the other.
#[cfg(feature = "redis")]
#[tokio::test]
async fn a_second_ledger_with_the_same_prefix_is_refused_with_both_cures() -> TestResult {
    let redis = crate::support::redis::Redis::start().await;
    let [first, second] = [(); 2].map(|()| Home::on_redis(crate::support::host::Store::Sqlite, redis.port));
    let (first, second) = (first?, second?);
    let host = first.start().await?;
    let batch = host.post(&json!({ "quantity": 300 })).await?;
    is_complete(&host, batch, 300).await?;

    let printed = second.fails_to_start().await?;

    assert!(printed.contains("has the queues of another ledger under the prefix `bull`"), "{printed}");
    // The first cure: another prefix.
    assert!(printed.contains("ROCKET_BATCH__REDIS__PREFIX=shop"), "{printed}");
    let neighbour = second.start_with(&[("ROCKET_BATCH__REDIS__PREFIX", "shop")]).await?;
    let own = neighbour.post(&json!({ "quantity": 200 })).await?;
    is_complete(&neighbour, own, 200).await?;
    assert_eq!((batch, own), (1, 1), "both have a batch 1");
    assert_eq!(first.count("SELECT count(*) FROM batch_items").await?, 300);
    neighbour.terminate().await?;
    host.terminate().await?;
    // The second cure: the printed command, when the first ledger is no longer needed.
    redis.command(&["SET", "bull:of-somebody-else", "1"]).await;
    let (_, command) = printed.split_once("delete its queues: ").ok_or("no command")?;
    let command = command.lines().next().ok_or("no command")?;
    let deleted = tokio::process::Command::new("sh").arg("-c").arg(command).output().await?;
    assert!(deleted.status.success(), "{command}: {deleted:?}");
    let heir = second.start().await?;
    let again = heir.post(&json!({ "quantity": 100 })).await?;
    is_complete(&heir, again, 100).await?;
    assert_ne!(redis.command(&["GET", "bull:of-somebody-else"]).await, redis::Value::Nil);
    heir.terminate().await?;
    Ok(())
}

/// The next launch of the same host must not find the jobs of a ledger that no longer exists.
#[cfg(feature = "redis")]
#[tokio::test]
async fn a_ledger_in_memory_with_redis_stops_the_launch() -> TestResult {
    let redis = crate::support::redis::Redis::start().await;
    let home = Home::on_redis(crate::support::host::Store::Sqlite, redis.port)?;
    let home = home.with("ROCKET_DATABASES__BATCH__URL", "sqlite://:memory:");

    let printed = home.fails_to_start().await?;

    assert!(
        printed.contains("keeps the ledger in memory") && printed.contains("remove the Redis settings"),
        "{printed}"
    );
    Ok(())
}

/// A flush while both processes of a ledger run: the prefix stays theirs, and work goes on.
#[cfg(feature = "redis")]
#[tokio::test]
async fn a_flushed_redis_belongs_to_the_running_ledger_again() -> TestResult {
    let redis = crate::support::redis::Redis::start().await;
    let home = Home::on_redis(crate::support::host::Store::Sqlite, redis.port)?.quick();
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": 60_000, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(2_000)).await?;

    redis.command(&["FLUSHALL"]).await;

    let owner = ["GET", "bull:rocket_batch:ledger"];
    redis.until(&owner, |owner| owner != redis::Value::Nil).await;
    let other = Home::on_redis(crate::support::host::Store::Sqlite, redis.port)?;
    assert!(other.fails_to_start().await?.contains("another ledger"));
    host.until_finished(batch, Duration::from_secs(60)).await?;
    is_complete(&host, batch, 60_000).await?;
    host.terminate().await?;
    Ok(())
}
