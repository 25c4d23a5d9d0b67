//! Watchers of batches: one reader of changes per process, however many watch.
//!
//! ```text
//!   ledger ──▶ reader (service/watching.rs) ──store──▶ Live ──publish──▶ a slot per batch ──▶ watchers
//!                                                       ▲
//!   a batch closed or changed by this process ──────────┘
//! ```
//!
//! A slot has the latest progress only, so a slow watcher skips what it was too slow for, and
//! nothing is queued for it. Writing a chunk does no extra work for watchers: changes are read from
//! the ledger, and only while somebody watches.

mod event_limiter;
mod hub;
mod limits;
mod topic;
mod watch_all;
mod watch_one;

pub(crate) use self::{
    event_limiter::EVENT_INTERVAL,
    hub::Live,
    limits::TooManyWatchers,
    watch_all::{AllEvent, WatchAll},
    watch_one::Watch,
};
