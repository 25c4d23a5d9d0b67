//! What is logged, as text.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use tracing::{Subscriber, level_filters::LevelFilter, subscriber::DefaultGuard};

use super::{
    TestResult,
    wait::{WAIT_TIMEOUT, until},
};

/// What was logged since it was created.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures what this thread logs, on which all tasks of a test run, until the guard is
    /// dropped.
    pub fn of_this_thread() -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = tracing::subscriber::set_default(log.subscriber());
        (log, guard)
    }

    /// Captures what all crates of this process log up to `level`, also with the crate `log`. The
    /// first call decides on the level. A test runs in a process of its own.
    pub fn of_this_process(level: LevelFilter) -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let builder = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
            builder.with_writer(move || writer.clone()).init();
            log
        })
    }

    /// A subscriber that adds to this log.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        let log = self.clone();
        tracing_subscriber::fmt().with_writer(move || log.clone()).with_ansi(false).finish()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no code panics while holding this lock")).into_owned()
    }

    /// Waits until `words` are logged.
    pub async fn until(&self, words: &str) -> TestResult {
        until(format!("`{words}` is logged"), WAIT_TIMEOUT, async || self.text(), |text| text.contains(words)).await?;
        Ok(())
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no code panics while holding this lock").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
