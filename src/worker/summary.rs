//! One line at launch that says where this process keeps its batches and how fast it works.

use crate::config::{Config, RateLimit};

/// The facts that an operator asks for first, as texts without secrets.
pub(crate) struct LaunchSummary {
    ledger: String,
    queue: String,
    role: &'static str,
    concurrency: u32,
    rate_limit: String,
}

impl LaunchSummary {
    /// Describes `config`, with the ledger at `place`.
    pub fn new(config: &Config, place: String) -> Self {
        let redis = config.redis.address_for_messages();
        Self {
            ledger: place,
            queue: redis
                .map_or_else(|| "in this process".into(), |server| format!("{server}, prefix {}", config.redis.prefix)),
            role: config.role.as_str(),
            concurrency: config.generate.concurrency,
            rate_limit: rate_limit_in_words(config.generate.rate_limit.0, config.batch_size),
        }
    }

    /// Logs that this process runs jobs.
    pub fn log_workers(&self) {
        let Self { ledger, queue, role, concurrency, rate_limit } = self;
        tracing::info!(%ledger, %queue, %role, concurrency, %rate_limit, "batch workers started");
    }

    /// Logs that this process runs no jobs.
    pub fn log_without_workers(&self) {
        let Self { ledger, queue, role, .. } = self;
        tracing::info!(%ledger, %queue, %role, "batch routes started, without workers");
    }

    /// Logs that another process runs the jobs of this ledger.
    pub fn log_standby(&self) {
        let Self { ledger, queue, role, .. } = self;
        tracing::info!(
            %ledger, %queue, %role, "another process works on this database; this process is on standby"
        );
    }
}

/// Writes the rate limit in jobs and in items, with the setting that changes it.
fn rate_limit_in_words(limit: Option<RateLimit>, batch_size: u64) -> String {
    let Some(RateLimit { jobs, per }) = limit else { return "no rate limit".into() };
    let (items, per) = (u64::from(jobs).saturating_mul(batch_size), humantime::format_duration(per).to_string());
    let mut spaced = String::new();
    for letter in per.chars() {
        if letter.is_alphabetic() && spaced.ends_with(|last: char| last.is_ascii_digit()) {
            spaced.push(' ');
        }
        spaced.push(letter);
    }
    let [job, item] = [(u64::from(jobs), "job"), (items, "item")].map(|(count, noun)| plural(count, noun));
    format!("at most {job}, {item}, per {spaced}: `generate.rate_limit`")
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_limit_is_written_in_jobs_and_items() {
        let limit = |jobs, seconds| Some(RateLimit { jobs, per: Duration::from_secs(seconds) });
        let table = [
            (limit(5, 10), 100, "at most 5 jobs, 500 items, per 10 s: `generate.rate_limit`"),
            (limit(1, 90), 1, "at most 1 job, 1 item, per 1 m 30 s: `generate.rate_limit`"),
            (None, 100, "no rate limit"),
        ];

        for (limit, batch_size, words) in table {
            assert_eq!(rate_limit_in_words(limit, batch_size), words);
        }
    }
}
