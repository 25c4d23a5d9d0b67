//! What this process reports about itself.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::{sync::Notify, time::Instant};

use crate::{config::Role, domain::ProcessId, ledger::WorkerReport};

/// The longest host name that is reported.
const MAX_HOST: usize = 255;

/// What this process reports about itself. Handlers count in it without a lock.
#[derive(Debug)]
pub(crate) struct Presence {
    pub process: ProcessId,
    role: Role,
    host: String,
    started: Instant,
    active_jobs: AtomicU64,
    /// Milliseconds from the start to the last task, plus one; 0 before the first task.
    last_fetch: AtomicU64,
    /// Notified when the report should not wait for its time.
    pub changed: Notify,
}

impl Presence {
    /// The presence of this start of the process.
    pub fn new(role: Role) -> Arc<Self> {
        Arc::new(Self {
            process: ProcessId(fastrand::u64(1..)),
            role,
            host: host_name(),
            started: Instant::now(),
            active_jobs: AtomicU64::new(0),
            last_fetch: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    /// Notes that a task was taken from a queue.
    pub fn fetched(&self) {
        self.last_fetch.store(self.millis() + 1, Relaxed);
    }

    /// Notes that a job was taken from a queue, and counts it until the returned value is dropped.
    pub fn start_job(&self) -> ActiveJob<'_> {
        self.fetched();
        self.active_jobs.fetch_add(1, Relaxed);
        ActiveJob(self)
    }

    pub fn report(&self, standby: bool) -> WorkerReport {
        let now = self.millis();
        let last_fetch = self.last_fetch.load(Relaxed).checked_sub(1);
        WorkerReport {
            process: self.process,
            host: self.host.clone(),
            role: self.role.as_str(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.started.elapsed(),
            since_last_fetch: last_fetch.map(|at| std::time::Duration::from_millis(now.saturating_sub(at))),
            active_jobs: self.active_jobs.load(Relaxed),
            standby,
            memory_bytes: resident_memory(),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// A job in work.
#[derive(Debug)]
#[must_use = "the job counts as active until this is dropped"]
pub(crate) struct ActiveJob<'a>(&'a Presence);

impl Drop for ActiveJob<'_> {
    fn drop(&mut self) {
        self.0.active_jobs.fetch_sub(1, Relaxed);
    }
}

/// The name of the host: from Linux, else from the environment.
fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let names = [kernel, std::env::var("HOSTNAME").ok(), std::env::var("COMPUTERNAME").ok()];
    let name = names.into_iter().flatten().map(|name| name.trim().to_owned()).find(|name| !name.is_empty());
    name.unwrap_or_else(|| "unknown".to_owned()).chars().take(MAX_HOST).collect()
}

/// The resident memory of this process in bytes, where the operating system is Linux.
fn resident_memory() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/self/status").ok()?).map(|kilobytes| kilobytes.saturating_mul(1_024))
}

/// Reads the resident memory from the text of `/proc/self/status`, whose line is
/// `VmRSS:     1234 kB`.
fn kilobytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reports_what_it_works_on_and_when_it_last_took_a_task() {
        let presence = Presence::new(Role::Worker);
        let idle = presence.report(true);
        tokio::time::advance(Duration::from_secs(5)).await;

        let (first, second) = (presence.start_job(), presence.start_job());
        tokio::time::advance(Duration::from_secs(2)).await;
        drop(first);
        let busy = presence.report(false);
        drop(second);
        let done = presence.report(false);

        assert_eq!((idle.active_jobs, idle.since_last_fetch, idle.standby, idle.role), (0, None, true, "worker"));
        assert_eq!((busy.active_jobs, busy.since_last_fetch), (1, Some(Duration::from_secs(2))));
        assert_eq!((busy.uptime, busy.process), (Duration::from_secs(7), idle.process));
        assert_eq!((done.active_jobs, busy.standby), (0, false));
        assert!(!busy.host.is_empty() && !busy.host.contains('\n'));
    }

    #[test]
    fn reads_the_resident_memory() {
        assert_eq!(kilobytes("Name:\tx\nVmRSS:\t   16384 kB\nThreads:\t4\n"), Some(16_384));
        assert_eq!(kilobytes("Name:\tx\n"), None);
        assert_eq!(kilobytes("VmRSS:\t many kB\n"), None);
    }
}
