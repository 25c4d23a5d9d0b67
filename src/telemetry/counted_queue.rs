//! Counts the attempts that a queue starts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use metrics::{SharedString, counter, histogram};

use crate::{
    domain::{BatchId, Delivery, Task},
    queue::{Disposition, Drained, Handler, Offer, ProgressSink, Queue, QueueCondition, QueueCounts, QueueResult},
};

/// Where the ends of a queue's tasks are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tasks {
    /// By the ledger, which records how each attempt at a job ended.
    Jobs,
    /// Here, by what the handler returned.
    Status,
}

/// A queue whose attempts are counted.
#[derive(Debug)]
pub(crate) struct CountedQueue {
    inner: Arc<dyn Queue>,
    tasks: Tasks,
}

impl CountedQueue {
    /// Counts the attempts of `inner`.
    pub fn new(inner: Arc<dyn Queue>, tasks: Tasks) -> Self {
        Self { inner, tasks }
    }
}

#[async_trait]
impl Queue for CountedQueue {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn offer(&self, offers: &[Offer]) -> QueueResult<u64> {
        self.inner.offer(offers).await
    }

    async fn withdraw(&self, batch: BatchId) -> QueueResult<()> {
        self.inner.withdraw(batch).await
    }

    async fn condition(&self) -> QueueCondition {
        self.inner.condition().await
    }

    async fn counts(&self) -> QueueResult<QueueCounts> {
        self.inner.counts().await
    }

    async fn work(&self, handler: Arc<dyn Handler>) -> QueueResult<()> {
        let queue = Arc::<str>::from(self.name()).into();
        self.inner.work(Arc::new(CountedHandler { inner: handler, tasks: self.tasks, queue })).await
    }

    async fn drain(&self, deadline: tokio::time::Instant) -> Drained {
        self.inner.drain(deadline).await
    }

    async fn ping(&self) -> QueueResult<()> {
        self.inner.ping().await
    }
}

/// A handler whose calls are counted.
struct CountedHandler {
    inner: Arc<dyn Handler>,
    tasks: Tasks,
    queue: SharedString,
}

#[async_trait]
impl Handler for CountedHandler {
    async fn handle(&self, delivery: Delivery<Task>, progress: &dyn ProgressSink) -> Disposition {
        let started = Instant::now();
        let disposition = self.inner.handle(delivery, progress).await;
        let (outcome, is_attempt) = match disposition {
            Disposition::Ack => ("completed", true),
            Disposition::Retry(_) => ("retried", true),
            Disposition::Fail(_) => ("failed", true),
            Disposition::Release => ("released", false),
            Disposition::Discard => ("cancelled", false),
        };
        if is_attempt {
            let duration = histogram!("rocket_batch_job_duration_seconds", "queue" => self.queue.clone());
            duration.record(started.elapsed());
        }
        if self.tasks == Tasks::Status {
            let ends = counter!("rocket_batch_jobs_total", "queue" => self.queue.clone(), "outcome" => outcome);
            ends.increment(1);
        }
        disposition
    }

    fn waited(&self, waited: Duration) {
        histogram!("rocket_batch_job_wait_seconds", "queue" => self.queue.clone()).record(waited);
        self.inner.waited(waited);
    }
}
