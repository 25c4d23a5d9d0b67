//! Tests that every ledger passes, run against each implementation, and tests of a single
//! implementation.
//!
//! ```text
//!   suite/       the tests of every ledger, one file per verb
//!   subject.rs   their vocabulary: batches, claims, a bystander that must not change
//!   sqlite.rs    the ledger in a SQLite file: its harness, and its own tests
//!   postgres.rs  the ledger in a PostgreSQL server: the same
//! ```

#[macro_use]
mod suite;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
mod subject;
#[path = "../support/mod.rs"]
mod support;
