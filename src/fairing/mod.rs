//! Connects all modules of the plugin. Only this module depends on all of them.
//!
//! ```text
//!   builder.rs     what a host configures; host_code.rs, hooks.rs, host_rows.rs, setup.rs: its code
//!   ignition.rs    settings ──▶ pool ──▶ ledger ──▶ host's tables ──▶ queues ──▶ service  all that can fail
//!   ledgers.rs     the ledger with the host's code; sqlite.rs and postgres.rs, one per database
//!   metrics.rs     the decorators that count, and the gauges
//!   lifecycle.rs   ignite:    mount the routes
//!                  liftoff:   start the workers
//!                  shutdown:  stop fetching, finish running chunks, give the rest back, close the database
//! ```

mod builder;
mod hooks;
mod host_code;
mod host_rows;
mod ignition;
mod ledgers;
mod lifecycle;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "postgres")]
mod postgres;
mod setup;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use self::builder::{Batch, BatchFairing};
