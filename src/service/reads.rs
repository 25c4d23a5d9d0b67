//! Limits the number of callers that read at the same time, which leaves connections and processors
//! for writers and workers.
//!
//! A caller waits for a permit for a short time and is then rejected, which is cheap.

use std::{thread::available_parallelism, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::error::{BatchError, Result};

/// The permits of readers.
pub(crate) struct Reads {
    all: Semaphore,
    /// The permits of lists, whose responses may have 1,000 rows.
    lists: Semaphore,
}

/// A permit to read, returned when it is dropped.
#[must_use = "dropping a permit returns it"]
pub(super) struct ReadPermit<'a> {
    _any: SemaphorePermit<'a>,
    _list: Option<SemaphorePermit<'a>>,
}

impl Reads {
    /// How long a caller waits for a permit.
    const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);

    /// Creates `at_once` permits. Half of them, and at most half of the number of processors, but
    /// at least one, may be used by lists.
    pub fn new(at_once: u32) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        let all = at_once.max(1) as usize;
        let lists = (all / 2).min(processors / 2).max(1);
        Self { all: Semaphore::new(all), lists: Semaphore::new(lists) }
    }

    /// Acquires a permit to read one record.
    pub(super) async fn one(&self) -> Result<ReadPermit<'_>> {
        let any = acquire(&self.all).await?;
        Ok(ReadPermit { _any: any, _list: None })
    }

    /// Acquires a permit to read a list.
    pub(super) async fn list(&self) -> Result<ReadPermit<'_>> {
        // Acquires the list permit first, so that waiting lists hold none of the other permits.
        let list = acquire(&self.lists).await?;
        Ok(ReadPermit { _any: acquire(&self.all).await?, _list: Some(list) })
    }
}

async fn acquire(permits: &Semaphore) -> Result<SemaphorePermit<'_>> {
    match timeout(Reads::PERMIT_TIMEOUT, permits.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        // Never closed: no code closes these semaphores.
        Ok(Err(_)) | Err(_) => Err(BatchError::Busy),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rejects_a_reader_that_gets_no_permit_in_time() {
        let reads = Reads::new(4);
        let started = Instant::now();

        let listing = reads.list().await.unwrap();
        let mut reading = Vec::new();
        for _ in 0..3 {
            reading.push(reads.one().await.unwrap());
        }
        assert!(matches!(reads.one().await, Err(BatchError::Busy)));
        assert_eq!(started.elapsed(), Reads::PERMIT_TIMEOUT);

        drop(reading);
        assert!(reads.one().await.is_ok());
        drop(listing);
        assert!(reads.list().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn reads_one_record_while_a_list_waits() {
        let reads = Reads::new(2);
        let _listing = reads.list().await.unwrap();

        let (another, one) = tokio::join!(reads.list(), async {
            tokio::task::yield_now().await;
            reads.one().await.map(drop)
        });

        assert!(matches!(another, Err(BatchError::Busy)) && one.is_ok());
    }
}
