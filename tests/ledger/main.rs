//! What every ledger must do, run against each of them, and what is true of one alone.
//!
//! ```text
//!   suite.rs     the claims, each once
//!   by_hand.rs   more of them: what somebody does in the queue by hand
//!   given.rs     the words they are written in: batches, holds, a bystander that must not move
//!   chance.rs    verbs in any order, and what must be true after each
//!   sqlite.rs    the ledger in a SQLite file: its harness, and what only its pool can show
//!   postgres.rs  the ledger in a PostgreSQL server: the same
//! ```

#[macro_use]
mod suite;
mod manual_retry;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
#[path = "../servers/postgres.rs"]
mod servers;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stateful;
mod support;
