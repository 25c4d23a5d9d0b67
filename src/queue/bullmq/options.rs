//! Our settings in the crate's words, and what the crate must be told so that nothing of it ends a
//! job behind our back.

use std::{sync::Arc, time::Duration};

use bullmq::{
    BackoffStrategyFn, JobOptions, RateLimiterOptions, WorkerOptions,
    options::{RedisConnectionOptions, TlsCerts},
    types::{BackoffStrategy, RemoveOnFinish},
};
use redis::{Client, ClientTlsConfig, RedisResult, TlsCertificates};
use rocket::futures::FutureExt as _;

use super::discovery::Address;
use crate::{
    config::{QueueSettings, RedisSettings, Secret},
    domain::{Backoff, fair_priority},
    queue::Offer,
};

/// The wait after an error of the worker's own; the supervisor acts sooner.
const AFTER_AN_ERROR: Duration = Duration::from_millis(500);

/// How long a worker that has nothing to do, or that the rate limit holds, goes without a word to
/// Redis. A socket that fell silent is not noticed before.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The name of the backoff that has a ceiling. BullMQ's own has none.
const WITH_CEILING: &str = "exponential-with-ceiling";

/// How Redis is reached, which is at `address`, with the certificates of the settings.
pub(super) fn connection(redis: &RedisSettings, address: &Address, tls: Option<&TlsCerts>) -> RedisConnectionOptions {
    let mut options = way_to(redis, address, tls);
    options.username = name_of(redis.username.as_ref());
    options.password = text_of(redis.password.as_ref());
    options.db = u8::try_from(redis.db).ok();
    options
}

/// How a Sentinel is reached.
pub(super) fn sentinel(redis: &RedisSettings, address: &Address, tls: Option<&TlsCerts>) -> RedisConnectionOptions {
    let mut options = way_to(redis, address, tls);
    options.username = name_of(redis.sentinel_username.as_ref());
    options.password = text_of(redis.sentinel_password.as_ref());
    options
}

fn way_to(redis: &RedisSettings, address: &Address, tls: Option<&TlsCerts>) -> RedisConnectionOptions {
    let mut options = RedisConnectionOptions::new().host(&address.host).port(address.port).tls(redis.tls);
    options.tls_certs = tls.cloned();
    options
}

fn name_of(user: Option<&String>) -> Option<String> {
    user.filter(|name| !name.is_empty()).cloned()
}

fn text_of(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned()).filter(|text| !text.is_empty())
}

/// The same for connections of our own.
pub(super) fn client(options: &RedisConnectionOptions) -> RedisResult<Client> {
    let Some(TlsCerts { root_cert, client_cert, client_key }) = options.tls_certs.clone() else {
        return Client::open(options.effective_url());
    };
    let pair = client_cert.zip(client_key);
    let client_tls = pair.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    Client::build_with_tls(options.effective_url(), TlsCertificates { client_tls, root_cert })
}

/// How a worker of ours works. It is started by hand, when everything around it stands.
pub(super) fn worker(settings: &QueueSettings, connection: RedisConnectionOptions, prefix: &str) -> WorkerOptions {
    let options = WorkerOptions::new()
        .connection(connection)
        .prefix(prefix)
        // The connection is called so as well, and Redis takes no spaces in that.
        .name(format!("rocket_batch-{}", std::process::id()))
        .concurrency(settings.concurrency as usize)
        .lock_duration(settings.lock)
        .stalled_interval(settings.stall_check)
        // Beyond it the crate would fail the job without asking, and its id would stay taken.
        // Crashes are counted in the ledger.
        .max_stalled_count(u32::MAX)
        .run_retry_delay(AFTER_AN_ERROR)
        .drain_delay(LONGEST_WAIT)
        .maximum_rate_limit_delay(LONGEST_WAIT)
        .backoff_strategy(backoff_with_ceiling(settings.backoff()))
        // Of jobs that somebody else put there; ours say it themselves.
        .remove_on_complete(keep(settings.keep_completed))
        .remove_on_fail(keep(settings.keep_failed))
        .manual_start();
    match settings.rate_limit.0 {
        Some(limit) => options.limiter(RateLimiterOptions::new(limit.jobs.into(), limit.per)),
        None => options,
    }
}

/// What a job is told to be: its id, its place, and what becomes of it.
pub(super) fn job(settings: &QueueSettings, offer: &Offer, time: u64) -> JobOptions {
    let priority = fair_priority(time, offer.rank);
    JobOptions::new()
        .job_id(offer.task.to_string())
        .priority(u32::try_from(priority).unwrap_or(u32::MAX))
        .delay(offer.delay)
        // A job can't be added as tried already, so it gets the attempts that are left, and one at
        // least: the ledger wants it worked.
        .attempts(settings.attempts.saturating_sub(offer.attempts_made).max(1))
        .backoff(backoff(settings))
        .remove_on_complete(keep(settings.keep_completed))
        .remove_on_fail(keep(settings.keep_failed))
}

/// Whether a job was told to retry as ours are.
pub(super) fn are_ours(settings: &QueueSettings, options: &JobOptions) -> bool {
    use BackoffStrategy::{Custom, Exponential};
    let same = match (&options.backoff, backoff(settings)) {
        (Some(Exponential(theirs)), Exponential(ours)) => *theirs == ours,
        (Some(Custom(theirs)), Custom(ours)) => *theirs == ours,
        _ => false,
    };
    same && options.attempts.is_some_and(|attempts| attempts <= settings.attempts)
}

fn keep(count: u64) -> RemoveOnFinish {
    RemoveOnFinish::Count(usize::try_from(count).unwrap_or(usize::MAX))
}

/// BullMQ's own backoff where it never gets to the ceiling, so that every tool can read it.
fn backoff(settings: &QueueSettings) -> BackoffStrategy {
    let own = settings.backoff();
    let unbounded = Backoff { max: Duration::MAX, ..own };
    if unbounded.after(settings.attempts) <= own.max {
        BackoffStrategy::Exponential(millis(own.first))
    } else {
        BackoffStrategy::Custom(WITH_CEILING.into())
    }
}

fn backoff_with_ceiling(backoff: Backoff) -> BackoffStrategyFn {
    Arc::new(move |failures, _, _, _| {
        let wait = millis(backoff.jittered(failures, fastrand::f64()));
        async move { i64::try_from(wait).unwrap_or(i64::MAX) }.boxed()
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(attempts: u32, first: u64, max: u64) -> BackoffStrategy {
        let (backoff, max_backoff) = (Duration::from_secs(first), Duration::from_secs(max));
        super::backoff(&QueueSettings { attempts, backoff, max_backoff, ..QueueSettings::default() })
    }

    #[test]
    fn the_backoff_is_bullmqs_own_unless_it_has_a_ceiling_to_mind() {
        assert!(matches!(of(3, 1, 300), BackoffStrategy::Exponential(1_000)));
        assert!(matches!(of(9, 1, 300), BackoffStrategy::Exponential(1_000)));
        assert!(matches!(of(10, 1, 300), BackoffStrategy::Custom(_)));
        assert!(matches!(of(100, 1, 300), BackoffStrategy::Custom(_)));
    }

    #[test]
    fn no_job_retries_as_a_stranger_wants() {
        let settings = QueueSettings::default();
        let batch = crate::domain::BatchId::new(7).unwrap();
        let job = crate::domain::JobId { batch, seq: 0, generation: 0 };
        let task = crate::domain::Task::Generate { job, first: 0, quantity: 1 };
        let ours = super::job(&settings, &Offer { task, rank: 0, delay: Duration::ZERO, attempts_made: 0 }, 0);
        let strangers = [
            JobOptions::new(),
            JobOptions::new().attempts(3),
            ours.clone().attempts(1_000_000),
            ours.clone().backoff(BackoffStrategy::Exponential(u64::MAX)),
            ours.clone().backoff(BackoffStrategy::Fixed(0)),
            ours.clone().backoff(BackoffStrategy::Custom("theirs".into())),
        ];

        assert!(are_ours(&settings, &ours));
        assert!(strangers.iter().all(|options| !are_ours(&settings, options)));
    }
}
