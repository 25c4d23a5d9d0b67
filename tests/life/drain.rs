//! SIGTERM to a host with its ledger in PostgreSQL and its queues in Redis: idle, busy, and while
//! one or both servers are unavailable.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    is_complete,
    support::{
        TestResult,
        host::{Home, Store},
        postgres::Server,
        redis::{Redis, value},
    },
};

/// Counted attempts and crashes. A stop must not count any.
const COUNTED: &str = "SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs";
const ACTIVE: &str = "SELECT count(*) FROM rocket_batch_jobs WHERE state = 'active'";

#[tokio::test]
async fn counts_nothing_at_a_stop_and_exits_at_once_when_idle() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick();
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": 200_000, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;

    let busy = Instant::now();
    assert_eq!(host.terminate().await?.code(), Some(0));

    println!("busy: exited after {:?}", busy.elapsed());
    assert_eq!(home.count(ACTIVE).await?, 0);
    let active: u64 = value(redis.command(&["LLEN", "bull:generate-product-batch-items:active"]).await)?;
    assert_eq!(active, 0);
    let host = home.start().await?;
    is_complete(&host, batch, 200_000).await?;
    assert_eq!(home.count(COUNTED).await?, 0);
    let idle = Instant::now();
    assert_eq!(host.terminate().await?.code(), Some(0));
    println!("idle: exited after {:?}", idle.elapsed());
    assert!(idle.elapsed() < Duration::from_millis(500), "{:?}", idle.elapsed());
    Ok(())
}

/// The fault of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Available.
    Available,
    /// Stopped: connections are refused.
    Stopped,
    /// Connections are accepted, but nothing is answered.
    Frozen,
}

use Fault::{Available, Frozen, Stopped};

/// The fault of PostgreSQL, the fault of Redis, and how long they lasted before SIGTERM.
const FAULTS: [(Fault, Fault, Duration); 6] = [
    (Available, Stopped, Duration::ZERO),
    (Available, Frozen, Duration::from_secs(2)),
    (Stopped, Available, Duration::from_secs(2)),
    (Frozen, Available, Duration::ZERO),
    (Stopped, Stopped, Duration::ZERO),
    (Frozen, Frozen, Duration::from_secs(2)),
];

/// Jobs run and a server is unavailable; the process still exits in time. Jobs that it could not
/// release run again after a restart.
#[tokio::test]
async fn exits_in_time_whichever_server_is_unavailable() -> TestResult {
    const QUANTITY: i64 = 150_000;
    const DRAIN: Duration = Duration::from_secs(2);
    let (mut postgres, mut redis) = (Server::start(), Redis::start().await);
    let home = Home::on_servers(postgres.url(), redis.port)?.quick().with("ROCKET_BATCH__DRAIN", "2s");
    let mut batch = 0;

    for (of_postgres, of_redis, lasting) in FAULTS {
        let host = home.start().await?;
        if batch == 0 {
            batch = host.post(&json!({ "quantity": QUANTITY, "batchSize": 1_000 })).await?;
        }
        let made = home.count("SELECT coalesce(sum(created), 0) FROM rocket_batch_jobs").await?;
        host.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(made + 2_000)).await?;
        begin_fault(&mut postgres, of_postgres);
        match of_redis {
            Available => {}
            Stopped => redis.kill(),
            Frozen => redis.signal("STOP"),
        }
        tokio::time::sleep(lasting).await;

        let from = Instant::now();
        let status = host.terminate().await?;

        let took = from.elapsed();
        end_fault(&mut postgres, of_postgres);
        match of_redis {
            Available => {}
            Stopped => redis.start_again().await,
            Frozen => redis.signal("CONT"),
        }
        let active = home.count(ACTIVE).await?;
        println!(
            "PostgreSQL {of_postgres:?}, Redis {of_redis:?}, for {lasting:?}: exited after {took:?}; {active} active"
        );
        assert_eq!(status.code(), Some(0));
        assert!(took < DRAIN + Duration::from_secs(1), "{of_postgres:?}, {of_redis:?}, {lasting:?}: {took:?}");
        assert!(
            active == 0 || of_postgres != Available,
            "PostgreSQL was available, and {active} jobs were not released"
        );
    }

    let host = home.start().await?;
    assert!(
        home.count("SELECT coalesce(sum(created), 0) FROM rocket_batch_jobs").await? < QUANTITY,
        "there was too little work"
    );
    is_complete(&host, batch, QUANTITY).await?;
    host.terminate().await?;
    home.the_shop_has_every_item().await?;
    assert_eq!(home.count(COUNTED).await?, 0);
    Ok(())
}

fn begin_fault(postgres: &mut Server, fault: Fault) {
    match fault {
        Available => {}
        Stopped => postgres.order("stop"),
        Frozen => postgres.order("freeze"),
    }
}

fn end_fault(postgres: &mut Server, fault: Fault) {
    match fault {
        Available => {}
        Stopped => postgres.order("start"),
        Frozen => postgres.order("thaw"),
    }
}
