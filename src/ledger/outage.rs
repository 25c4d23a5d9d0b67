//! Whether this process is waiting for the database.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use super::refusal::WriteRefusal;

/// Counts the tasks of this process that wait for the database to come back, and keeps why it
/// refused the last report of this process.
#[derive(Debug, Default)]
pub struct Outage {
    waiting: AtomicUsize,
    refusal: Mutex<Option<WriteRefusal>>,
}

/// One waiting task, counted until this is dropped.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Outage);

impl Outage {
    /// Counts a waiting task.
    pub fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// Whether any task is waiting, or the database refuses writes.
    pub fn is_on(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 || self.refusal().is_some()
    }

    /// Why the database refused the last report of this process; `None` if it did not.
    pub fn refusal(&self) -> Option<WriteRefusal> {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores why the database refused the report of this process, and returns what it was before.
    pub fn set_refusal(&self, refusal: Option<WriteRefusal>) -> Option<WriteRefusal> {
        std::mem::replace(&mut *self.refusal.lock().unwrap_or_else(PoisonError::into_inner), refusal)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
