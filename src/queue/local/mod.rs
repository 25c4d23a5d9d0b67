//! A queue in this process: no server to install, and all tasks are lost when the process ends.
//!
//! ```text
//!   offer, withdraw, counts         ┌── Scheduler ──┐        worker 1 ─┐
//!   ──────────────────────────────▶ │ which task,   │ ◀───── worker 2 ─┼─▶ Handler
//!                       changed ──▶ │ and when      │        worker … ─┘
//!                                   └───────────────┘
//! ```
//!
//! `scheduler.rs` holds the rules, without timers and tasks of Tokio. `local_queue.rs` executes
//! them: it spawns as many workers as the settings allow. Each worker asks the scheduler for a
//! task, runs it, reports the result, and asks again.

mod local_queue;
mod rate_window;
mod scheduler;

pub use self::local_queue::LocalQueue;
