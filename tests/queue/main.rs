//! What every queue must do, run against each of them, and what is true of one alone.
//!
//! ```text
//!   suite.rs    the claims, each once, and the handler that the tests play
//!   local.rs    the queue in the process: its harness, and what only virtual time can show
//! ```

#[macro_use]
mod suite;
mod local;
