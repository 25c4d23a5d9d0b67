//! SIGTERM to a host whose ledger is in PostgreSQL and whose queues are in Redis: idle, busy, and
//! while one or both of them are away.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    TestResult,
    host::{Home, Store},
    is_complete,
    server::{Redis, value},
    servers::Server,
};

/// What is spent on jobs; a stop must not.
const SPENT: &str = "SELECT sum(attempts) + sum(crashes) FROM batch_jobs";
const ACTIVE: &str = "SELECT count(*) FROM batch_jobs WHERE state = 'active'";

#[tokio::test]
async fn a_stop_spends_nothing_and_an_idle_host_leaves_at_once() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick();
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": 200_000, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;

    let busy = Instant::now();
    assert_eq!(host.terminate().await?.code(), Some(0));

    println!("busy, it left after {:?}", busy.elapsed());
    assert_eq!(home.count(ACTIVE).await?, 0);
    let active: u64 = value(redis.command(&["LLEN", "bull:generate-product-batch-items:active"]).await)?;
    assert_eq!(active, 0);
    let host = home.start().await?;
    is_complete(&host, batch, 200_000).await?;
    assert_eq!(home.count(SPENT).await?, 0);
    let idle = Instant::now();
    assert_eq!(host.terminate().await?.code(), Some(0));
    println!("idle, it left after {:?}", idle.elapsed());
    assert!(idle.elapsed() < Duration::from_millis(500), "{:?}", idle.elapsed());
    Ok(())
}

/// What befalls a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is there.
    Fine,
    /// It is gone: connections are refused.
    Gone,
    /// It is there, and says nothing any more.
    Frozen,
}

use Fault::{Fine, Frozen, Gone};

/// Of PostgreSQL, of Redis, and how long it had lasted when the service manager wanted the process
/// gone.
const FAULTS: [(Fault, Fault, Duration); 6] = [
    (Fine, Gone, Duration::ZERO),
    (Fine, Frozen, Duration::from_secs(2)),
    (Gone, Fine, Duration::from_secs(2)),
    (Frozen, Fine, Duration::ZERO),
    (Gone, Gone, Duration::ZERO),
    (Frozen, Frozen, Duration::from_secs(2)),
];

/// Jobs run, something is away, and the process leaves in time all the same. What it could not give
/// back comes back by itself.
#[tokio::test]
async fn a_host_leaves_in_time_whatever_is_away() -> TestResult {
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
        let made = home.count("SELECT coalesce(sum(created), 0) FROM batch_jobs").await?;
        host.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(made + 2_000)).await?;
        break_it(&mut postgres, of_postgres);
        match of_redis {
            Fine => {}
            Gone => redis.kill(),
            Frozen => redis.signal("STOP"),
        }
        tokio::time::sleep(lasting).await;

        let from = Instant::now();
        let status = host.terminate().await?;

        let took = from.elapsed();
        mend_it(&mut postgres, of_postgres);
        match of_redis {
            Fine => {}
            Gone => redis.start_again().await,
            Frozen => redis.signal("CONT"),
        }
        let active = home.count(ACTIVE).await?;
        println!(
            "PostgreSQL {of_postgres:?}, Redis {of_redis:?}, for {lasting:?}: left after {took:?}; {active} active"
        );
        assert_eq!(status.code(), Some(0));
        assert!(took < DRAIN + Duration::from_secs(1), "{of_postgres:?}, {of_redis:?}, {lasting:?}: {took:?}");
        assert!(active == 0 || of_postgres != Fine, "PostgreSQL was there, and {active} jobs were not given back");
    }

    let host = home.start().await?;
    assert!(
        home.count("SELECT coalesce(sum(created), 0) FROM batch_jobs").await? < QUANTITY,
        "there was too little to do"
    );
    is_complete(&host, batch, QUANTITY).await?;
    host.terminate().await?;
    home.the_shop_has_every_item().await?;
    assert_eq!(home.count(SPENT).await?, 0);
    Ok(())
}

fn break_it(postgres: &mut Server, fault: Fault) {
    match fault {
        Fine => {}
        Gone => postgres.order("stop"),
        Frozen => postgres.order("freeze"),
    }
}

fn mend_it(postgres: &mut Server, fault: Fault) {
    match fault {
        Fine => {}
        Gone => postgres.order("start"),
        Frozen => postgres.order("thaw"),
    }
}
