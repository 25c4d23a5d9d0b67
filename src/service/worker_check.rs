//! Whether any process runs jobs: one read of the ledger for all callers of this process.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::ledger::Ledger;

/// A process that runs jobs reports itself every 9 to 11 seconds, so its report is never older,
/// unless the process or its database is slow. Progress says within 15 seconds that nobody is left.
const ALIVE: Duration = Duration::from_secs(13);
/// How long a result is used.
const KEPT: Duration = Duration::from_secs(1);
/// How long a read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether any process runs jobs, as last read.
#[derive(Debug, Default)]
pub(crate) struct WorkerCheck(Mutex<Option<(Instant, bool)>>);

impl WorkerCheck {
    /// Whether no process runs jobs. False when the database does not say.
    pub(super) async fn is_nobody_left(&self, ledger: &dyn Ledger) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, is_nobody_left)) = *last
            && at.elapsed() < KEPT
        {
            return is_nobody_left;
        }
        let is_nobody_left = matches!(timeout(READ_TIMEOUT, ledger.has_workers(ALIVE)).await, Ok(Ok(false)));
        *last = Some((Instant::now(), is_nobody_left));
        is_nobody_left
    }
}
