//! Watchers of batches: one reader of changes per process, however many watch.
//!
//! ```text
//!   ledger ──▶ the reader (service/live.rs) ──store──▶ Live ──publish──▶ one slot per batch ──▶ watchers
//!                                                       ▲
//!   a batch closed or changed by this process ──────────┘
//! ```
//!
//! A slot has the latest progress only, so a slow watcher skips what it was too slow for, and
//! nothing is queued for it. Nothing here is on the path of a chunk: changes are read from the
//! ledger, and only while somebody watches.

mod hub;
mod limits;
mod pace;
mod topic;
mod watch_all;
mod watch_one;

pub(crate) use self::{
    hub::Live,
    limits::TooManyWatchers,
    pace::EVENT_INTERVAL,
    watch_all::{AllEvent, WatchAll},
    watch_one::Watch,
};
