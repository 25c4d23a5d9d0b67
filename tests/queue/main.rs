//! What every queue must do, run against each of them, and what is true of one alone.
//!
//! ```text
//!   suite.rs    the claims, each once, and the handler that the tests play
//!   bullmq.rs   the queues in Redis: their harness, and what is true of them alone
//!   faults.rs   … and what a server, a network and other programs can do to them
//!   proxy.rs    a way to a server that can fall silent
//!   server.rs   a Redis server that can be stopped, killed and started again
//!   tls.rs      … and over TLS
//!   authority.rs one who vouches for servers and for clients
//!   rights.rs   … and under the smallest rights of a user there
//!   sentinel.rs … and where Sentinels say that they are
//!   sentinels.rs a master, its replica and their Sentinels
//!   cluster.rs  … and in a Redis Cluster
//!   redis_cluster.rs    the masters and replicas of one
//!   local.rs    the queue in the process: its harness, and what only virtual time can show
//! ```

#[macro_use]
mod suite;
#[cfg(feature = "redis")]
mod bullmq;
#[cfg(feature = "redis")]
mod certificate_authority;
#[cfg(feature = "redis")]
mod cluster;
#[cfg(feature = "redis")]
mod faults;
mod local;
#[cfg(feature = "redis")]
mod proxy;
#[cfg(feature = "redis")]
mod redis_cluster;
#[cfg(feature = "redis")]
mod rights;
#[cfg(feature = "redis")]
mod sentinel;
#[cfg(feature = "redis")]
mod sentinels;
#[cfg(feature = "redis")]
mod server;
#[cfg(feature = "redis")]
mod tls;
