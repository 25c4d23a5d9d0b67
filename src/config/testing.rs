//! Settings for the tests of a host.

use figment::{Figment, providers::Serialized};

/// Settings for your own tests: a ledger in memory, queues in the process, no rate limit, short
/// delays.
///
/// They need no server and leave no files behind. They set `batch.testing`, so neither `REDIS_*`
/// nor other variables of this crate in the environment can lead a test to a real server. Merge
/// them over your own settings:
///
/// ```
/// # fn rocket() -> rocket::Rocket<rocket::Build> { rocket::build().attach(rocket_batch::Batch::fairing().public()) }
/// let rocket = rocket().configure(rocket::Config::figment().merge(rocket_batch::config::testing()));
/// # let _ = rocket;
/// ```
#[must_use]
pub fn testing() -> Figment {
    Figment::new()
        .merge(Serialized::global("databases.batch.url", "sqlite://:memory:"))
        .merge(Serialized::global("batch.testing", true))
        .merge(Serialized::global("batch.generate.rate_limit", "off"))
        .merge(Serialized::global("batch.generate.backoff", "10ms"))
        .merge(Serialized::global("batch.status.backoff", "10ms"))
        .merge(Serialized::global("batch.chunk_backoff", "1ms"))
}
