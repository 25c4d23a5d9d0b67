//! Whether this process is waiting for the database.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use super::refusal::WriteRefusal;

/// Counts the tasks of this process that wait for the database to come back, and keeps why it
/// refuses writes: the last report of this process, or a write of a waiting task. A full disk may
/// have room for a report and none for items.
#[derive(Debug, Default)]
pub struct Outage {
    waiting: AtomicUsize,
    refused_report: Mutex<Option<WriteRefusal>>,
    refused_task: Mutex<Option<WriteRefusal>>,
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

    /// Why the database refuses writes; `None` if it does not, as far as is known.
    pub fn refusal(&self) -> Option<WriteRefusal> {
        let refused_report = *self.refused_report.lock().unwrap_or_else(PoisonError::into_inner);
        refused_report.or_else(|| *self.refused_task.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stores why the database refused the report of this process, and returns what it was before.
    pub fn set_refusal(&self, refusal: Option<WriteRefusal>) -> Option<WriteRefusal> {
        std::mem::replace(&mut *self.refused_report.lock().unwrap_or_else(PoisonError::into_inner), refusal)
    }

    fn set_refused_task(&self, refusal: Option<WriteRefusal>) {
        *self.refused_task.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}

impl Waiting<'_> {
    /// Stores why the database refused the write of this task, until no task waits any more.
    pub fn refused(&self, refusal: WriteRefusal) {
        self.0.set_refused_task(Some(refusal));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.set_refused_task(None);
        }
    }
}
