//! The example `orders`: an order is ready if and only if its batch is completed.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::{
    self, TestResult,
    host::{Home, Host, Store},
};

/// Orders whose state does not match the status of their batch.
const DIFFERENT: &str = "SELECT count(*) FROM orders o JOIN rocket_batch_batches b ON b.id = o.id
    WHERE (o.state = 'ready') <> (b.status = 'completed')";
/// Orders without a batch, and batches without an order.
const ALONE: &str = "SELECT (SELECT count(*) FROM orders WHERE id NOT IN (SELECT id FROM rocket_batch_batches))
    + (SELECT count(*) FROM rocket_batch_batches WHERE id NOT IN (SELECT id FROM orders))";
const READY: &str = "SELECT count(*) FROM orders WHERE state = 'ready'";
const LABELS: i64 = 300;

impl Host {
    /// Waits until the first `orders` orders are finished, and kills the host.
    async fn finish_orders(mut self, orders: i64) -> TestResult {
        for order in 1..=orders {
            self.until_finished(order, Duration::from_secs(60)).await?;
        }
        self.kill().await
    }
}

/// Twenty SIGKILLs, at random times and between the finish hook and its commit.
pub async fn an_order_is_ready_if_and_only_if_its_batch_is_completed(store: Store) -> TestResult {
    const POINT: &str = "after-finish-hook";
    let mut rng = fastrand::Rng::with_seed(support::seed());
    let home = Home::on(store)?.quick().with("ROCKET_BATCH__GENERATE__RATE_LIMIT", "off");
    let mut orders = 0;

    for kill in 0..20 {
        let at_point = kill % 2 == 1;
        if at_point {
            // An order that the last kill interrupted would reach the point before the host is
            // ready.
            home.start_example("orders", &[]).await?.finish_orders(orders).await?;
        }
        let environment = if at_point { vec![("ROCKET_BATCH_FAILPOINT", POINT)] } else { vec![] };
        let mut host = home.start_example("orders", &environment).await?;
        for _ in 0..3 {
            orders += 1;
            host.send(Method::POST, &format!("/orders/{orders}?labels={LABELS}")).await?;
        }
        if at_point {
            host.until_printed(&format!("failpoint {POINT} reached")).await?;
        } else {
            tokio::time::sleep(Duration::from_millis(rng.u64(5..300))).await;
        }
        host.kill().await?;
        assert_eq!((home.count(DIFFERENT).await?, home.count(ALONE).await?), (0, 0), "after kill {kill}");
        assert!(!at_point || home.count(READY).await? < orders, "kill {kill} came too late");
    }

    let host = home.start_example("orders", &[]).await?;
    for order in 1..=orders {
        let progress = host.until_finished(order, Duration::from_secs(60)).await?;
        assert_eq!(progress["status"], json!("completed"));
        let told = host.send(Method::GET, &format!("/orders/{order}")).await?;
        assert_eq!(told, format!("order {order} is ready with {LABELS} of {LABELS} labels\n"));
    }
    assert_eq!(home.count(READY).await?, orders);
    host.terminate().await?;
    home.check_integrity()
}

/// The last label of an order names an order that does not exist yet, which the database refuses.
pub async fn an_order_is_incomplete_until_a_retry_writes_its_last_label(store: Store) -> TestResult {
    let home = Home::on(store)?.with("ROCKET_BATCH__GENERATE__RATE_LIMIT", "off");
    let host = home.start_example("orders", &[]).await?;
    for order in ["1?labels=300&next=3", "2?labels=50"] {
        host.send(Method::POST, &format!("/orders/{order}")).await?;
    }
    for (order, state) in [(1, "incomplete with 250 of 300 labels"), (2, "ready with 50 of 50 labels")] {
        host.until_finished(order, Duration::from_secs(60)).await?;
        let answer = host.send(Method::GET, &format!("/orders/{order}")).await?;
        assert_eq!(answer, format!("order {order} is {state}\n"));
    }
    let failed = host.get("/batches/1/failed-jobs").await?;
    assert!(failed["items"][0]["error"].as_str().unwrap().to_lowercase().contains("foreign key"), "{failed}");

    host.send(Method::POST, "/orders/3?labels=50").await?;
    host.send(Method::POST, "/batches/1/retry").await?;

    host.until_finished(1, Duration::from_secs(60)).await?;
    assert_eq!(host.send(Method::GET, "/orders/1").await?, "order 1 is ready with 300 of 300 labels\n");
    assert_eq!(home.count(DIFFERENT).await?, 0);
    host.terminate().await?;
    home.check_integrity()
}
