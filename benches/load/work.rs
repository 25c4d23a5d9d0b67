//! A batch that is created through a host, and how long it takes.

#![allow(dead_code, reason = "each program uses a part of it")]

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{figures::Result, host::Host};

/// No batch takes longer, or something hangs.
const LIMIT: Duration = Duration::from_secs(1_800);

/// Rare enough that asking costs the workers nothing.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The size of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchOf {
    pub jobs: u64,
    pub items_per_job: u64,
}

impl BatchOf {
    pub const fn items(self) -> u64 {
        self.jobs * self.items_per_job
    }

    /// The body of the request that creates it. The setting `max_jobs_per_batch` has to allow its jobs.
    pub fn body(self) -> Value {
        json!({ "quantity": self.items(), "batchSize": self.items_per_job, "maxJobsPerBatch": self.jobs })
    }

    /// Creates the batch, waits until all items exist, and returns the time in between, by the clock of the database.
    pub async fn time_on(self, host: &Host) -> Result<Duration> {
        let http = reqwest::Client::new();
        let response = http.post(host.url("")).json(&self.body()).send().await?.error_for_status()?;
        let id = response.json::<Value>().await?["batchId"].as_i64().ok_or("no id")?;
        let batch = wait_until_finished(&http, host, id).await?;
        if batch["status"] != "completed" || batch["itemsCreated"] != self.items() {
            return Err(format!("not completed: {batch}").into());
        }
        Ok((time_of(&batch, "finishedAt")? - time_of(&batch, "createdAt")?).to_std()?)
    }
}

impl fmt::Display for BatchOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} jobs of {} items", self.jobs, self.items_per_job)
    }
}

/// Asks for a batch until it has finished.
pub async fn wait_until_finished(http: &reqwest::Client, host: &Host, id: i64) -> Result<Value> {
    let end = Instant::now() + LIMIT;
    loop {
        let batch: Value = http.get(host.url(&format!("/{id}"))).send().await?.error_for_status()?.json().await?;
        if !batch["finishedAt"].is_null() {
            return Ok(batch);
        }
        if Instant::now() > end {
            return Err(format!("still {batch}:\n{}", host.log()).into());
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// A time of a batch, such as `finishedAt`.
pub fn time_of(batch: &Value, name: &str) -> Result<DateTime<Utc>> {
    Ok(batch[name].as_str().ok_or_else(|| format!("no {name} in {batch}"))?.parse()?)
}
