//! When a worker of the crate has to be replaced. Pure: what was heard and felt comes in, with its
//! time.
//!
//! The crate's worker mends a socket that breaks, but not one that falls silent, and after a long
//! outage it takes its time. So it is watched from outside: by what it says, by round trips of our
//! own, and by whether it takes work that is there to be taken.

use std::time::Duration;

use bullmq::worker::WorkerEvent;
use tokio::time::Instant;

/// How long work may be ready, and a hand free, before a worker that takes none is no worker.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a round trip of our own said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Redis did not answer.
    Away,
    /// It answered; there is nothing for this worker to take.
    Quiet,
    /// It answered, and there is work that this worker could take.
    Ready,
    /// It answered, and to somebody in this process it did not since the worker was made.
    Back,
}

/// What is known of a worker.
#[derive(Debug)]
pub(super) struct Health {
    /// When there was last no reason for it to take work, or when it did.
    excused: Instant,
    failures: u32,
}

impl Health {
    pub fn new(now: Instant) -> Self {
        Self { excused: now, failures: 0 }
    }

    /// Candidates trips that failed, one after the other.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes note of what the worker said; answers why it has to be replaced, if it has to.
    pub fn heard(&mut self, event: &WorkerEvent, now: Instant) -> Option<String> {
        match event {
            WorkerEvent::Error(text) => may_be_deaf(text).then(|| text.clone()),
            WorkerEvent::Active { .. }
            | WorkerEvent::Completed { .. }
            | WorkerEvent::Failed { .. }
            | WorkerEvent::Drained => {
                self.excused = now;
                None
            }
            _ => None,
        }
    }

    /// Takes note of a round trip; answers why the worker has to be replaced, if it has to.
    pub fn felt(&mut self, probe: Probe, now: Instant) -> Option<String> {
        self.failures = if probe == Probe::Away { self.failures.saturating_add(1) } else { 0 };
        match probe {
            Probe::Back => Some("Redis is back".into()),
            Probe::Ready if now - self.excused > PATIENCE => Some("it takes no work".into()),
            Probe::Ready => None,
            Probe::Away | Probe::Quiet => {
                self.excused = now;
                None
            }
        }
    }
}

/// Whether an error of the worker may mean that its sockets are of no use any more.
///
/// A server that answers with an error was heard: it is loading, full, busy, or without its
/// replicas, and the same socket will do when it is over. Not so after a failover: a node that has
/// become a replica keeps answering, and will never do.
fn may_be_deaf(error: &str) -> bool {
    const HEARD: [&str; 17] = [
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
    let Some(said) = error.strip_prefix("redis error: ") else { return false };
    let word = said.split(':').next().unwrap_or_default().trim_matches('"');
    !HEARD.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_is_waited_for_and_a_silent_one_is_not() {
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
            assert!(!may_be_deaf(text), "{text}");
        }
        for text in [
            "redis error: ReadOnly: You can't write against a read only replica.",
            "redis error: Moved: 1234 127.0.0.1:6379",
            "redis error: timed out",
            "redis error: Connection reset by peer (os error 104)",
            "redis error: blocking read timed out, connection rebuilt - Io",
        ] {
            assert!(may_be_deaf(text), "{text}");
        }
    }

    #[test]
    fn a_worker_that_takes_no_work_is_replaced_and_one_that_has_none_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut health = Health::new(start);

        for second in 1..60 {
            assert_eq!(health.felt(Probe::Quiet, at(second)), None);
        }
        assert_eq!(health.felt(Probe::Ready, at(60)), None);
        assert_eq!(health.heard(&WorkerEvent::Active { job_id: String::new() }, at(62)), None);
        assert_eq!(health.felt(Probe::Ready, at(66)), None);
        assert_eq!(health.felt(Probe::Ready, at(67)), Some("it takes no work".into()));
    }

    #[test]
    fn a_worker_that_lived_through_an_outage_is_replaced() {
        let now = Instant::now();
        let mut health = Health::new(now);

        assert_eq!(health.felt(Probe::Away, now), None);
        assert_eq!(health.felt(Probe::Away, now), None);
        assert_eq!(health.failures(), 2);
        assert_eq!(health.felt(Probe::Back, now), Some("Redis is back".into()));
        assert_eq!(health.failures(), 0);
    }
}
