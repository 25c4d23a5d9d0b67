//! How many callers may read at once, so that readers leave connections and processors to those who
//! write and work.
//!
//! A caller waits for its turn, and not for long: then it is told to come again later, which costs
//! nobody anything.

use std::{thread::available_parallelism, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{BatchError, Result};

/// The turns of those who read.
pub(crate) struct Reads {
    all: Semaphore,
    /// Of those who list: an answer may have a thousand rows.
    lists: Semaphore,
}

/// The right to read, until it is dropped.
#[must_use = "the turn is over when this is dropped"]
pub(super) struct Turn<'a> {
    _any: SemaphorePermit<'a>,
    _list: Option<SemaphorePermit<'a>>,
}

impl Reads {
    /// How long a caller waits for its turn.
    const WAIT: Duration = Duration::from_secs(1);

    /// So many read at once. Those who list are at most half of them, and no more than half of the
    /// processors can serve.
    pub fn new(at_once: u32) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        let all = at_once.max(1) as usize;
        let lists = (all / 2).min(processors / 2).max(1);
        Self { all: Semaphore::new(all), lists: Semaphore::new(lists) }
    }

    /// A turn to read one thing.
    pub(super) async fn one(&self) -> Result<Turn<'_>> {
        let any = within(&self.all).await?;
        Ok(Turn { _any: any, _list: None })
    }

    /// A turn to read a list.
    pub(super) async fn list(&self) -> Result<Turn<'_>> {
        // First the narrower one, so that lists that wait keep nobody else from reading.
        let list = within(&self.lists).await?;
        Ok(Turn { _any: within(&self.all).await?, _list: Some(list) })
    }
}

async fn within(turns: &Semaphore) -> Result<SemaphorePermit<'_>> {
    match timeout(Reads::WAIT, turns.acquire()).await {
        Ok(turn) => Ok(turn.expect("nothing closes it")),
        Err(_elapsed) => Err(BatchError::Busy),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_gets_no_turn_in_time_is_sent_away() {
        let reads = Reads::new(4);
        let began = Instant::now();

        let listing = reads.list().await.unwrap();
        let mut reading = Vec::new();
        for _ in 0..3 {
            reading.push(reads.one().await.unwrap());
        }
        assert!(matches!(reads.one().await, Err(BatchError::Busy)));
        assert_eq!(began.elapsed(), Reads::WAIT);

        drop(reading);
        assert!(reads.one().await.is_ok());
        drop(listing);
        assert!(reads.list().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn lists_that_wait_keep_nobody_from_reading_one_thing() {
        let reads = Reads::new(2);
        let _listing = reads.list().await.unwrap();

        let (another, one) = tokio::join!(reads.list(), async {
            tokio::task::yield_now().await;
            reads.one().await.map(drop)
        });

        assert!(matches!(another, Err(BatchError::Busy)) && one.is_ok());
    }
}
