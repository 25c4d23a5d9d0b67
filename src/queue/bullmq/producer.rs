//! The connection that adds and removes jobs, by the queue of the `bullmq` crate.

use std::{future::Future, sync::Arc};

use bullmq::QueueOptions;
use tokio::{sync::Mutex, time::timeout};

use super::{
    error::{timed_out, unavailable},
    server::Server,
    timeouts::QUEUE_CALL_TIMEOUT,
};
use crate::queue::contract::Result;

/// Opens the crate's queue on demand, and replaces it after a failure.
pub(super) struct Producer {
    name: String,
    server: Arc<Server>,
    /// The open queue, and the count of failures when it was opened.
    open: Mutex<Option<(u64, Arc<bullmq::Queue>)>>,
}

impl Producer {
    pub fn new(name: &str, server: Arc<Server>) -> Self {
        Self { name: name.to_owned(), server, open: Mutex::default() }
    }

    /// Runs `work` with the crate's queue, within [`QUEUE_CALL_TIMEOUT`]. After an error the queue
    /// is closed, since its socket may be broken, and the next call opens a new one.
    pub async fn call<T, F>(&self, work: impl FnOnce(Arc<bullmq::Queue>) -> F) -> Result<T>
    where
        F: Future<Output = bullmq::Result<T>>,
    {
        let attempt = async {
            let queue = self.queue().await?;
            work(queue).await
        };
        let result = match timeout(QUEUE_CALL_TIMEOUT, attempt).await {
            Ok(result) => result.map_err(|error| unavailable(&self.name, error)),
            Err(_) => Err(unavailable(&self.name, timed_out(QUEUE_CALL_TIMEOUT))),
        };
        if result.is_err() {
            *self.open.lock().await = None;
        }
        result
    }

    async fn queue(&self) -> bullmq::Result<Arc<bullmq::Queue>> {
        let mut open = self.open.lock().await;
        let failures = self.server.round_trips().failures();
        match &*open {
            // A socket that is older than the last failure may be broken, and the crate would take
            // five seconds to notice.
            Some((opened_at, queue)) if *opened_at == failures => return Ok(queue.clone()),
            _ => {}
        }
        let connection = self.server.connection().map_err(bullmq::Error::InvalidConfig)?;
        let options = QueueOptions::new().connection(connection).prefix(self.server.prefix());
        let queue = Arc::new(bullmq::Queue::with_options(&self.name, options).await?);
        *open = Some((failures, queue.clone()));
        drop(open);
        Ok(queue)
    }
}
