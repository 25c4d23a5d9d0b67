//! Adds jobs to a queue and removes them.

use std::collections::HashSet;

use bullmq::BulkJob;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    error::{BoxResult, unavailable},
    options,
    shared::Shared,
    snapshot::{JobPresence, VirtualTimes},
    wire,
};
use crate::{
    domain::BatchId,
    queue::contract::{Offer, Result},
};

/// The number of jobs that one script call reads or adds. A script blocks all other clients of
/// Redis.
const PAGE_SIZE: usize = 500;

/// The number of jobs that are removed concurrently.
const CONCURRENT_REMOVALS: usize = 50;

impl Shared {
    /// Adds the absent tasks and returns how many were absent.
    pub async fn offer(&self, offers: &[Offer]) -> Result<u64> {
        let mut seen = HashSet::with_capacity(offers.len());
        let offers: Vec<&Offer> = offers.iter().filter(|offer| seen.insert(offer.task)).collect();
        let mut times = VirtualTimes::default();
        let mut added = 0;
        for page in offers.chunks(PAGE_SIZE) {
            added += self.offer_page(page, &mut times).await?;
        }
        Ok(added)
    }

    async fn offer_page(&self, page: &[&Offer], times: &mut VirtualTimes) -> Result<u64> {
        let ids: Vec<String> = page.iter().map(|offer| offer.task.to_string()).collect();
        let snapshot = self.snapshot(&ids).await.map_err(|error| unavailable(&self.name, error))?;
        times.record(page, &snapshot);
        let obsolete = ids.iter().zip(&snapshot.jobs).filter(|(_, job)| **job == JobPresence::Obsolete);
        self.remove(obsolete.map(|(id, _)| id.clone()).collect()).await?;
        let absent = page.iter().zip(&snapshot.jobs).filter(|(_, job)| !job.is_open());
        let jobs: Vec<BulkJob> = absent.map(|(offer, _)| self.job(offer, times.of(offer))).collect();
        let added = jobs.len() as u64;
        self.producer.call(async move |queue| queue.add_bulk(jobs).await).await?;
        Ok(added)
    }

    fn job(&self, offer: &Offer, time: u64) -> BulkJob {
        let options = options::job(&self.settings, offer, time);
        BulkJob::with_options(wire::name(&offer.task), wire::write(&offer.task, self.server.ledger()), options)
    }

    /// Removes the waiting and delayed jobs of `batch`.
    pub async fn withdraw(&self, batch: BatchId) -> Result<()> {
        self.check_claim().await?;
        let ids = self.ids_of(batch).await.map_err(|error| unavailable(&self.name, error))?;
        self.remove(ids).await
    }

    /// Removes jobs, except active ones.
    async fn remove(&self, ids: Vec<String>) -> Result<()> {
        for page in ids.chunks(PAGE_SIZE) {
            let page = page.to_vec();
            self.producer
                .call(async move |queue| {
                    let removals = page.into_iter().map(|id| {
                        let queue = queue.clone();
                        async move { queue.remove(&id).await }
                    });
                    stream::iter(removals)
                        .buffer_unordered(CONCURRENT_REMOVALS)
                        .try_for_each(|_| async { Ok(()) })
                        .await
                })
                .await?;
        }
        Ok(())
    }

    /// Returns the ids of the batch's waiting and delayed jobs.
    async fn ids_of(&self, batch: BatchId) -> BoxResult<Vec<String>> {
        let prefix = format!("b{batch}-");
        let mut range = redis::cmd("LRANGE");
        range.arg(self.keys.wait()).arg(0).arg(-1);
        let mut ids: Vec<String> = self.server.round_trips().command(range).await?;
        ids.retain(|id| id.starts_with(&prefix));
        for key in [self.keys.prioritized(), self.keys.delayed()] {
            ids.extend(self.scan(&key, &format!("{prefix}*")).await?);
        }
        Ok(ids)
    }

    /// Returns the members of a sorted set that match `pattern`, read page by page.
    async fn scan(&self, key: &str, pattern: &str) -> BoxResult<Vec<String>> {
        let (mut cursor, mut members) = (0, Vec::new());
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(key).arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE_SIZE);
            let (next, page): (u64, Vec<(String, f64)>) = self.server.round_trips().command(scan).await?;
            members.extend(page.into_iter().map(|(member, _)| member));
            cursor = next;
            if cursor == 0 {
                return Ok(members);
            }
        }
    }
}
