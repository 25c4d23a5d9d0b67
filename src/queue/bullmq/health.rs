//! Decides when a worker must be replaced. Pure: events and probes are arguments, with their time.
//!
//! A worker of the `bullmq` crate reconnects after a broken socket, but does not notice a silent
//! one, and after a long outage it reconnects late. So the supervisor also judges it by its events,
//! by independent round trips, and by whether it takes jobs that are ready.

use std::time::Duration;

use bullmq::worker::WorkerEvent;
use tokio::time::Instant;

/// How long jobs may be ready for a worker with free capacity before it must be replaced.
const STALL_TIMEOUT: Duration = Duration::from_secs(4);

/// The result of a round trip that is independent of the worker's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Redis did not respond.
    Failed,
    /// Redis responded, and has no job for this worker.
    Idle,
    /// Redis responded, and has a job that this worker could take.
    JobsReady,
    /// Another ledger has taken the prefix, so this worker must take no job.
    OtherLedger,
    /// Redis responded, and some round trip of this process failed since the worker was started.
    Recovered,
}

/// The observed health of a worker.
#[derive(Debug)]
pub(super) struct Health {
    /// When the worker last took a job, or last had none to take.
    last_progress: Instant,
    failures: u32,
}

impl Health {
    pub fn new(now: Instant) -> Self {
        Self { last_progress: now, failures: 0 }
    }

    /// Returns how many probes in a row have failed.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Records an event of the worker. Returns why the worker must be replaced, if it must.
    pub fn record_event(&mut self, event: &WorkerEvent, now: Instant) -> Option<String> {
        match event {
            WorkerEvent::Error(text) => may_be_disconnected(text).then(|| text.clone()),
            WorkerEvent::Active { .. }
            | WorkerEvent::Completed { .. }
            | WorkerEvent::Failed { .. }
            | WorkerEvent::Drained => {
                self.last_progress = now;
                None
            }
            _ => None,
        }
    }

    /// Records a probe. Returns why the worker must be replaced, if it must.
    pub fn record_probe(&mut self, probe: Probe, now: Instant) -> Option<String> {
        self.failures = if probe == Probe::Failed { self.failures.saturating_add(1) } else { 0 };
        match probe {
            Probe::OtherLedger => Some("another ledger has taken the prefix in Redis".into()),
            Probe::Recovered => Some("Redis responds again after a failure".into()),
            Probe::JobsReady if now - self.last_progress > STALL_TIMEOUT => {
                Some("it takes no jobs although some are ready".into())
            }
            Probe::JobsReady => None,
            Probe::Failed | Probe::Idle => {
                self.last_progress = now;
                None
            }
        }
    }
}

/// Returns whether an error of the worker may mean that its sockets are unusable.
///
/// An error reply proves that the socket works: the server is loading, full, busy, or without its
/// replicas, and the worker recovers with it. After a failover the socket is useless although it
/// works, because the old master is a replica now.
fn may_be_disconnected(error: &str) -> bool {
    const SOCKET_WORKS: [&str; 17] = [
        "OOM",
        "MISCONF",
        "NOREPLICAS",
        "BUSY",
        "UNBLOCKED",
        "WRONGTYPE",
        "ResponseError",
        "BusyLoading",
        "TryAgain",
        "Ask",
        "ClusterDown",
        "MasterDown",
        "NotBusy",
        "NoPerm",
        "ExecAbort",
        "CrossSlot",
        "NoScript",
    ];
    let Some(reply) = error.strip_prefix("redis error: ") else { return false };
    let kind = reply.split(':').next().unwrap_or_default().trim_matches('"');
    !SOCKET_WORKS.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reply_keeps_the_worker_and_a_broken_socket_does_not() {
        for text in [
            "redis error: \"OOM\": command not allowed when used memory > 'maxmemory'.",
            "redis error: \"MISCONF\": Errors writing to the AOF file",
            "redis error: BusyLoading: Redis is loading the dataset in memory",
            "redis error: ClusterDown: The cluster is down",
            "redis error: TryAgain: Multiple keys request during rehashing of slot",
            "redis error: Ask: 1234 127.0.0.1:6379",
            "redis error: \"UNBLOCKED\": force unblock from blocking operation",
            "script error: Job lock does not exist (code: -2)",
            "Missing lock for job b1-j0-g0. moveToFinished",
        ] {
            assert!(!may_be_disconnected(text), "{text}");
        }
        for text in [
            "redis error: ReadOnly: You can't write against a read only replica.",
            "redis error: Moved: 1234 127.0.0.1:6379",
            "redis error: timed out",
            "redis error: Connection reset by peer (os error 104)",
            "redis error: blocking read timed out, connection rebuilt - Io",
        ] {
            assert!(may_be_disconnected(text), "{text}");
        }
    }

    #[test]
    fn a_worker_that_takes_no_ready_jobs_is_replaced_and_an_idle_one_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut health = Health::new(start);

        for second in 1..60 {
            assert_eq!(health.record_probe(Probe::Idle, at(second)), None);
        }
        assert_eq!(health.record_probe(Probe::JobsReady, at(60)), None);
        assert_eq!(health.record_event(&WorkerEvent::Active { job_id: String::new() }, at(62)), None);
        assert_eq!(health.record_probe(Probe::JobsReady, at(66)), None);
        assert_eq!(
            health.record_probe(Probe::JobsReady, at(67)),
            Some("it takes no jobs although some are ready".into())
        );
    }

    #[test]
    fn a_worker_that_was_started_before_an_outage_is_replaced() {
        let now = Instant::now();
        let mut health = Health::new(now);

        assert_eq!(health.record_probe(Probe::Failed, now), None);
        assert_eq!(health.record_probe(Probe::Failed, now), None);
        assert_eq!(health.failures(), 2);
        assert_eq!(health.record_probe(Probe::Recovered, now), Some("Redis responds again after a failure".into()));
        assert_eq!(health.failures(), 0);
    }
}
