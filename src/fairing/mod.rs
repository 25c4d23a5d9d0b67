//! Connects all modules of the plugin. Only this module depends on all of them.
//!
//! ```text
//!   builder.rs     what a host configures
//!   ignition.rs    settings ──▶ pool ──▶ ledger ──▶ queues ──▶ service        everything that can fail
//!   lifecycle.rs   ignite:    mount the routes
//!                  liftoff:   start the workers
//!                  shutdown:  stop fetching, finish running chunks, give the rest back, close the database
//! ```

mod builder;
mod ignition;
mod item_writers;
mod lifecycle;

pub use self::builder::{Batch, BatchFairing};
