//! Translates our settings to options of the `bullmq` crate, and sets those that keep the crate
//! from ending a job without calling the handler.

use std::{sync::Arc, time::Duration};

use bullmq::{
    BackoffStrategyFn, JobOptions, RateLimiterOptions, WorkerOptions,
    options::{RedisConnectionOptions, TlsCerts},
    types::{BackoffStrategy, RemoveOnFinish},
};
use futures_util::FutureExt as _;
use redis::{Client, ClientTlsConfig, RedisResult, TlsCertificates};

use super::address::Address;
use crate::{
    config::{QueueSettings, RedisSettings, Secret},
    domain::{Backoff, fair_priority},
    queue::contract::Offer,
};

/// The delay after an internal error of the worker. The supervisor acts sooner.
const ERROR_RETRY_DELAY: Duration = Duration::from_millis(500);

/// The interval at which an idle or rate-limited worker sends a command to Redis. It can't notice a
/// silent socket earlier.
const IDLE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The name of our backoff with a maximum. BullMQ's own backoff has none.
const CAPPED_BACKOFF: &str = "exponential-with-ceiling";

/// Returns how to connect to the Redis server at `address`.
pub(super) fn connection(redis: &RedisSettings, address: &Address, tls: Option<&TlsCerts>) -> RedisConnectionOptions {
    let mut options = base_options(redis, address, tls);
    options.username = non_empty(redis.username.as_ref());
    options.password = exposed(redis.password.as_ref());
    options.db = u8::try_from(redis.db).ok();
    options
}

/// Returns how to connect to the Sentinel at `address`.
pub(super) fn sentinel(redis: &RedisSettings, address: &Address, tls: Option<&TlsCerts>) -> RedisConnectionOptions {
    let mut options = base_options(redis, address, tls);
    options.username = non_empty(redis.sentinel_username.as_ref());
    options.password = exposed(redis.sentinel_password.as_ref());
    options
}

fn base_options(redis: &RedisSettings, address: &Address, tls: Option<&TlsCerts>) -> RedisConnectionOptions {
    let mut options = RedisConnectionOptions::new().host(&address.host).port(address.port).tls(redis.tls);
    options.tls_certs = tls.cloned();
    options
}

fn non_empty(name: Option<&String>) -> Option<String> {
    name.filter(|name| !name.is_empty()).cloned()
}

fn exposed(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned()).filter(|text| !text.is_empty())
}

/// Creates a client of the `redis` crate with the same options.
pub(super) fn client(options: &RedisConnectionOptions) -> RedisResult<Client> {
    let Some(TlsCerts { root_cert, client_cert, client_key }) = options.tls_certs.clone() else {
        return Client::open(options.effective_url());
    };
    let identity = client_cert.zip(client_key);
    let client_tls = identity.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    Client::build_with_tls(options.effective_url(), TlsCertificates { client_tls, root_cert })
}

/// Returns the options of a worker. It does not start by itself.
pub(super) fn worker(settings: &QueueSettings, connection: RedisConnectionOptions, prefix: &str) -> WorkerOptions {
    let options = WorkerOptions::new()
        .connection(connection)
        .prefix(prefix)
        // Also the name of the connection, for which Redis accepts no spaces.
        .name(format!("rocket_batch-{}", std::process::id()))
        .concurrency(settings.concurrency as usize)
        .lock_duration(settings.lock)
        .stalled_interval(settings.stall_check)
        // Beyond this count the crate fails a job without calling the handler, and the job's id
        // stays in use. The ledger counts crashes instead.
        .max_stalled_count(u32::MAX)
        .run_retry_delay(ERROR_RETRY_DELAY)
        .drain_delay(IDLE_POLL_INTERVAL)
        .maximum_rate_limit_delay(IDLE_POLL_INTERVAL)
        .backoff_strategy(capped_backoff(settings.backoff()))
        // For jobs of other clients. Our own jobs set these options themselves.
        .remove_on_complete(keep(settings.keep_completed))
        .remove_on_fail(keep(settings.keep_failed))
        .manual_start();
    match settings.rate_limit.0 {
        Some(limit) => options.limiter(RateLimiterOptions::new(limit.jobs.into(), limit.per)),
        None => options,
    }
}

/// Returns the options of the job for `offer`, whose batch is at virtual time `time`.
pub(super) fn job(settings: &QueueSettings, offer: &Offer, time: u64) -> JobOptions {
    let priority = fair_priority(time, offer.rank);
    JobOptions::new()
        .job_id(offer.task.to_string())
        .priority(u32::try_from(priority).unwrap_or(u32::MAX))
        .delay(offer.delay)
        // BullMQ can't add a job with attempts made, so it gets the attempts that are left. It gets
        // at least one, because the ledger requires it to run.
        .attempts(settings.attempts.saturating_sub(offer.attempts_made).max(1))
        .backoff(backoff(settings))
        .remove_on_complete(keep(settings.keep_completed))
        .remove_on_fail(keep(settings.keep_failed))
}

/// Returns whether a job has the retry options that [`job`] sets.
pub(super) fn has_our_retry_options(settings: &QueueSettings, options: &JobOptions) -> bool {
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

/// Returns BullMQ's own backoff if it never exceeds the maximum, so that every tool can read it.
fn backoff(settings: &QueueSettings) -> BackoffStrategy {
    let own = settings.backoff();
    let unbounded = Backoff { max: Duration::MAX, ..own };
    if unbounded.after(settings.attempts) <= own.max {
        BackoffStrategy::Exponential(millis(own.first))
    } else {
        BackoffStrategy::Custom(CAPPED_BACKOFF.into())
    }
}

fn capped_backoff(backoff: Backoff) -> BackoffStrategyFn {
    Arc::new(move |failures, _, _, _| {
        let delay = millis(backoff.jittered(failures, fastrand::f64()));
        async move { i64::try_from(delay).unwrap_or(i64::MAX) }.boxed()
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff_of(attempts: u32, first: u64, max: u64) -> BackoffStrategy {
        let (backoff, max_backoff) = (Duration::from_secs(first), Duration::from_secs(max));
        super::backoff(&QueueSettings { attempts, backoff, max_backoff, ..QueueSettings::default() })
    }

    #[test]
    fn uses_bullmqs_own_backoff_unless_it_exceeds_the_maximum() {
        assert!(matches!(backoff_of(3, 1, 300), BackoffStrategy::Exponential(1_000)));
        assert!(matches!(backoff_of(9, 1, 300), BackoffStrategy::Exponential(1_000)));
        assert!(matches!(backoff_of(10, 1, 300), BackoffStrategy::Custom(_)));
        assert!(matches!(backoff_of(100, 1, 300), BackoffStrategy::Custom(_)));
    }

    #[test]
    fn rejects_the_retry_options_of_other_clients() {
        let settings = QueueSettings::default();
        let batch = crate::domain::BatchId::new(7).unwrap();
        let job = crate::domain::JobId { batch, seq: 0, generation: 0 };
        let task = crate::domain::Task::Generate { job, first: 0, quantity: 1 };
        let ours = super::job(&settings, &Offer { task, rank: 0, delay: Duration::ZERO, attempts_made: 0 }, 0);
        let foreign = [
            JobOptions::new(),
            JobOptions::new().attempts(3),
            ours.clone().attempts(1_000_000),
            ours.clone().backoff(BackoffStrategy::Exponential(u64::MAX)),
            ours.clone().backoff(BackoffStrategy::Fixed(0)),
            ours.clone().backoff(BackoffStrategy::Custom("theirs".into())),
        ];

        assert!(has_our_retry_options(&settings, &ours));
        assert!(foreign.iter().all(|options| !has_our_retry_options(&settings, options)));
    }
}
