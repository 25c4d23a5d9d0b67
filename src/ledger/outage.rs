//! Whether this process is waiting for the database.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the tasks of this process that wait for the database to come back.
#[derive(Debug, Default)]
pub struct Outage(AtomicUsize);

/// One waiting task, counted until this is dropped.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Outage);

impl Outage {
    /// Counts a waiting task.
    pub fn wait(&self) -> Waiting<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// Whether any task is waiting.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
