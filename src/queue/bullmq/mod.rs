//! Queues in Redis, in BullMQ's format: shared by any number of processes, and readable by BullMQ's
//! own tools.
//!
//! ```text
//!   offer ── snapshot.lua ── add in bulk ──▶ ┌───────┐ ──▶ worker ──▶ attempt ──▶ Handler
//!   withdraw ── scan ── remove ────────────▶ │ Redis │       ▲
//!   counts, ping ──────────────────────────▶ └───────┘       └── supervisor
//! ```
//!
//! The official `bullmq` crate adds and fetches jobs, and handles locks, the rate limit, retries
//! and the retention of finished jobs. This module adds what the crate lacks: every call has a
//! timeout, silent sockets are replaced, a panic of a handler is caught, and every error is
//! retried.
//!
//! Each process has three connections per queue, one to add jobs and two for the worker, and up to
//! four for round trips. A process without workers has one per queue and those for round trips.
//!
//! ```text
//!   bull_queue.rs    the queue                     maintenance.rs  periodic checks
//!   shared.rs        state of a queue              offering.rs     adds and removes jobs
//!   supervisor.rs    replaces failed workers       health.rs       when to replace one
//!   attempt.rs       one attempt of a job          progress.rs     its progress and log
//!   server.rs        the Redis server              round_trips.rs  commands with a timeout
//!   discovery.rs     finds the master, with sentinel.rs, cluster.rs, candidates.rs, address.rs
//!   pool.rs, tls.rs  connections                   producer.rs     the connection that adds jobs
//!   snapshot.rs      the state of jobs             wire.rs         the data of jobs
//!   rights.rs        permissions                   repair.rs       jobs with reserved ids
//!   eviction.rs      the eviction policy           options.rs      settings for the crate
//!   claim.rs         the ledger of a prefix    keys.rs, error.rs, timeouts.rs
//! ```

mod address;
mod attempt;
mod bull_queue;
mod candidates;
mod claim;
mod cluster;
mod discovery;
mod error;
mod eviction;
mod health;
mod keys;
mod maintenance;
mod offering;
mod options;
mod pool;
mod producer;
mod progress;
mod rate_check;
mod repair;
mod rights;
mod round_trips;
mod sentinel;
mod server;
mod shared;
mod snapshot;
mod supervisor;
mod timeouts;
mod tls;
mod wire;

pub use self::{
    bull_queue::BullQueue,
    pool::{BatchRedis, RedisConnection, RedisPool},
    server::Server,
};
