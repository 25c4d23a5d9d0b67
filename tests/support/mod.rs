//! What tests and benchmarks share. A target includes all of it, as the module `support`.
//!
//! ```text
//!   wait.rs           waits until a condition is met
//!   log.rs            what is logged, as text
//!   process.rs        ports and signals
//!   plugin.rs         the plugin in a host in this process
//!   host.rs           an example host, in a process of its own
//!   events.rs         a client of event streams
//!   node.rs           a Node process, with BullMQ's own library and a browser
//!   postgres.rs       PostgreSQL servers, and schemas in them
//!   prometheus.rs     a Prometheus server
//!   redis.rs          a Redis server
//!   sentinels.rs      … a master and a replica that Sentinels watch
//!   redis_cluster.rs  … a cluster
//! ```

#![allow(dead_code, reason = "each target uses a part of it")]

pub mod events;
#[cfg(feature = "sqlite")]
pub mod host;
pub mod log;
pub mod node;
pub mod plugin;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod redis;
pub mod redis_cluster;
pub mod sentinels;
pub mod wait;

use std::error::Error;

pub type TestResult<T = ()> = Result<T, Box<dyn Error>>;

/// Returns the seed of a test's random choices: the variable `SEED`, or a new one. Prints it, so
/// that a failure can be repeated.
pub fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    seed
}
