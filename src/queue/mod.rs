//! Delivers tasks to workers by priority and within the rate limit.
//!
//! A queue may lose all of its tasks without harm, because the ledger holds the truth and the
//! feeder offers every unfinished task again.
//!
//! ```text
//!             offer                          Disposition::Ack, Fail, Discard
//!   absent ──────────▶ waiting ──▶ active ──────────────────────────────────▶ absent
//!      │                 ▲  ▲        │ │
//!      │ with a delay    │  └────────┘ │ Disposition::Retry, after a backoff
//!      └──────────────▶ delayed ◀──────┘
//!                            Disposition::Release returns to waiting and spends no attempt
//! ```
//!
//! ```text
//!   contract.rs      the trait and its types
//!   open.rs          picks the transport
//!   run_handler.rs   calls a handler and catches its panic
//!   bullmq/          queues in Redis
//!   local/           queues in this process
//! ```
//!
//! Nothing here interprets a task; the [`Handler`] does.

#[cfg(feature = "redis")]
pub mod bullmq;
mod contract;
pub mod local;
mod open;
mod run_handler;

#[cfg(all(feature = "metrics", not(rocket_batch_internals)))]
pub(crate) use self::contract::QueueCounts;
#[cfg(feature = "metrics")]
pub(crate) use self::contract::Result as QueueResult;
pub use self::contract::{
    Disposition, Drained, Handler, Offer, ProgressSink, ProgressUpdate, Queue, QueueCondition, QueueError,
};
pub(crate) use self::open::Queues;

#[cfg(rocket_batch_internals)]
pub use self::contract::{QueueCounts, Result};
