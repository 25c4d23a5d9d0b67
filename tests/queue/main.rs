//! The tests of the queues: a suite that every queue must pass, and the tests of each queue alone.
//!
//! ```text
//!   suite.rs     the suite, and a worker that the tests control
//!   local.rs     the queue in the process, with virtual time
//!   bullmq.rs    the queues in Redis
//!   claim.rs     … and the ledger that they belong to
//!   faults.rs    … with faults of the server, of the network and by other clients
//!   rights.rs    … with minimal permissions
//!   tls.rs       … over TLS
//!   sentinel.rs  … with Sentinels
//!   cluster.rs   … in a Redis Cluster
//!
//!   proxy.rs     a proxy that can fall silent
//!   certificate_authority.rs
//! ```

#[macro_use]
mod suite;
#[cfg(feature = "redis")]
mod bullmq;
#[cfg(feature = "redis")]
mod certificate_authority;
#[cfg(feature = "redis")]
mod claim;
#[cfg(feature = "redis")]
mod cluster;
#[cfg(feature = "redis")]
mod faults;
mod local;
#[cfg(feature = "redis")]
mod proxy;
#[cfg(feature = "redis")]
mod rights;
#[cfg(feature = "redis")]
mod sentinel;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "redis")]
mod tls;
