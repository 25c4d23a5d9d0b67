//! Batches: created through a host, or in the ledger before any host starts, and how long they
//! take.

#![allow(dead_code, reason = "each program uses a part of it")]

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rocket::futures::{StreamExt as _, TryStreamExt as _, stream};
use rocket_batch::{
    domain::{BatchId, Caller, ItemOptions, Limits, Plan},
    ledger::{BatchCommand, Ledger, NewBatch},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{figures::Result, host::Host, site::codes};

/// The time limit of a batch.
const BATCH_TIMEOUT: Duration = Duration::from_secs(1_800);

/// The interval of reads, long enough not to slow down the workers.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Number of batches that are added to a ledger at the same time, and of connections for it.
pub const FILLERS: u32 = 8;

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

    /// Returns the body of the create request. The setting `max_jobs_per_batch` must allow its
    /// jobs.
    pub fn body(self) -> Value {
        json!({ "quantity": self.items(), "batchSize": self.items_per_job, "maxJobsPerBatch": self.jobs })
    }

    /// Returns the batch as a request to the ledger.
    pub fn planned(self) -> Result<NewBatch> {
        let options = ItemOptions {
            batch_size: self.items_per_job,
            max_jobs_per_batch: Some(self.jobs),
            ..ItemOptions::default()
        };
        let limits =
            Limits { max_quantity: 1 << 40, max_jobs_per_batch: self.jobs, max_items_per_job: self.items_per_job };
        Ok(NewBatch {
            id: None,
            plan: Plan::new(self.items(), &options, &limits)?,
            options,
            key_fingerprint: codes().fingerprint().to_owned(),
            estimated: Duration::from_secs(1),
            request: None,
            caller: Caller::default(),
        })
    }

    /// Adds `count` such batches to a ledger, in `state`.
    pub async fn fill(self, ledger: &Arc<dyn Ledger>, count: u64, state: Filled) -> Result<()> {
        let one = || async {
            let batch = ledger.create(self.planned()?).await?.batch;
            if let Filled::Paused = state {
                ledger.control(batch, BatchCommand::Pause, &Caller::default()).await?;
            }
            Ok(batch)
        };
        let filled = stream::iter(0..count).map(|_| one()).buffer_unordered(FILLERS as usize);
        filled.try_for_each(|_: BatchId| async { Ok(()) }).await
    }

    /// Creates the batch and waits until all items exist. Returns the time in between, by the clock
    /// of the database.
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

/// The state of batches that were added to a ledger.
#[derive(Debug, Clone, Copy)]
pub enum Filled {
    /// Hosts work on them as soon as they start.
    Waiting,
    Paused,
}

impl fmt::Display for BatchOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        let (jobs, items) = (self.jobs, self.items_per_job);
        write!(f, "{jobs} job{} of {items} item{}", plural(jobs), plural(items))
    }
}

/// Reads a batch until it has finished.
pub async fn wait_until_finished(http: &reqwest::Client, host: &Host, id: i64) -> Result<Value> {
    let end = Instant::now() + BATCH_TIMEOUT;
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

/// Returns all batches, page by page.
pub async fn all_batches(host: &Host) -> Result<Vec<Value>> {
    let (http, mut all, mut cursor) = (reqwest::Client::new(), Vec::new(), String::new());
    loop {
        let mut page = page(&http, host, &format!("?limit=1000{cursor}")).await?;
        all.append(page["items"].as_array_mut().ok_or("no page")?);
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

/// Returns a page of batches.
pub async fn page(http: &reqwest::Client, host: &Host, query: &str) -> Result<Value> {
    Ok(http.get(host.url(query)).send().await?.error_for_status()?.json().await?)
}

/// A time of a batch, such as `finishedAt`.
pub fn time_of(batch: &Value, name: &str) -> Result<DateTime<Utc>> {
    Ok(batch[name].as_str().ok_or_else(|| format!("no {name} in {batch}"))?.parse()?)
}
