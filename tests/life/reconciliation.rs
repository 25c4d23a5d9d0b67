//! A check of a large batch, whose process is killed in the middle.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    TestResult,
    host::{Home, Host, Store},
    wait::{WAIT_TIMEOUT, try_until},
};

/// Another process continues the check where it was stored, and does not begin anew.
pub async fn a_check_continues_after_a_kill(store: Store) -> TestResult {
    const QUANTITY: u64 = 120_000;
    let home = Home::on(store)?.quick().with("ROCKET_BATCH__CHUNK_SIZE", "5000");
    let home = home.with("ROCKET_BATCH__GENERATE__RATE_LIMIT", "off");
    let mut host = home.start_example("minimal", &[("ROCKET_BATCH_FAILPOINT", "check-stored")]).await?;
    let batch = host.post(&json!({ "quantity": QUANTITY, "batchSize": 10_000 })).await?;
    host.until_finished(batch, Duration::from_secs(120)).await?;
    let gone = "ordinal IN (0, 49999, 50000, 119999) OR ordinal BETWEEN 70000 AND 70009";
    home.change(&format!("DELETE FROM rocket_batch_items WHERE batch = {batch} AND ({gone})")).await?;
    let path = format!("/batches/{batch}/reconciliation");

    let first = host.get(&path).await?;
    host.until_printed("failpoint check-stored reached").await?;
    let half = host.get(&path).await?;
    host.kill().await?;
    let host = home.start_example("minimal", &[]).await?;
    let report = finished(&host, &path).await?;
    let repair: Value = serde_json::from_str(&host.send(Method::POST, &format!("{path}/repair")).await?)?;
    let progress = host.until_finished(batch, Duration::from_secs(60)).await?;
    let after = finished(&host, &format!("{path}?codes=true")).await?;

    assert_eq!((&first["state"], &half["state"]), (&json!("running"), &json!("running")));
    assert_eq!(half["checkedItems"], 50_000 - 2);
    assert!(host.said_any("The check of the items of batch"), "it began anew");
    assert_eq!(report["startedAt"], first["startedAt"]);
    let ranges = [(0, 0), (49_999, 50_000), (70_000, 70_009), (119_999, 119_999)];
    assert_eq!(report["gaps"], json!(ranges.map(|(from, to)| json!({ "from": from, "to": to }))));
    assert_eq!((&report["checkedItems"], &report["missing"]), (&json!(QUANTITY - 14), &json!(14)));
    assert_eq!((&repair["found"], &repair["recreated"]), (&json!(14), &json!(5)));
    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(QUANTITY)));
    assert_eq!(
        (&after["missing"], &after["wrongCodesFound"], &after["codes"]),
        (&json!(0), &json!(0), &json!("checked"))
    );
    println!("peak memory: {} MiB", host.peak_memory()? >> 20);
    host.terminate().await?;
    home.check_integrity()
}

/// The report of a check, once it has finished.
async fn finished(host: &Host, path: &str) -> TestResult<Value> {
    try_until("the check has finished", WAIT_TIMEOUT, || host.get(path), |report| report["state"] == "finished").await
}
