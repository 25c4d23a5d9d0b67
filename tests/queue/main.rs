//! What every queue must do, run against each of them, and what is true of one alone.
//!
//! ```text
//!   suite.rs    the claims, each once, and the handler that the tests play
//!   bullmq.rs   the queues in Redis: their harness, and what a server can do to them
//!   redis.rs    a Redis server that can be stopped, killed and started again
//!   local.rs    the queue in the process: its harness, and what only virtual time can show
//! ```

#[macro_use]
mod suite;
#[cfg(feature = "redis")]
mod bullmq;
mod local;
#[cfg(feature = "redis")]
mod redis;
