//! The only truth about batches, jobs and items.
//!
//! A [`Ledger`] returns committed data only. Each verb is one method and one or a few
//! transactions. Most verbs have a file of the same name per database: [`Ledger::claim`] is
//! `sqlite/claim.rs` and `postgres/claim.rs`; reads share `read.rs`, and the feeder's share
//! `feed.rs`.
//!
//! ```text
//!   create | plan ──▶ Waiting ──claim──▶ Active ──finish──▶ Completed | Failed
//!                        ▲                 │                              │
//!                        └──── release ────┘◀────── retry ────────────────┘
//! ```
//!
//! Every change is a compare-and-set on (state, epoch), so of two concurrent changes to one row
//! only one succeeds. Verbs that change several rows lock the batch first, then its jobs by number.
//! This module does not use the queue, and no method returns a type of a database.
//!
//! | file | what it holds |
//! |---|---|
//! | `verbs.rs`, `verbs/` | the traits [`Ledger`], [`Records`], [`JobRecords`], [`AuditRecords`], [`WorkerRecords`](verbs::WorkerRecords) and [`Totals`] |
//! | `item_checks.rs` | the trait [`ItemChecks`](item_checks::ItemChecks), which compares items with the plan |
//! | `types.rs`, `query.rs`, `error.rs` | their types |
//! | `columns.rs`, `rows.rs` | the rows of either database as these types |
//! | `decide/` | the rules that both databases follow, pure |
//! | `sqlite/`, `postgres/` | the implementations |
//! | `database.rs` | one pool type over both |
//! | `batch_infos.rs` | the facts about batches that item writers receive, cached |

mod batch_infos;
mod columns;
mod database;
mod decide;
mod error;
mod estimate;
mod identity;
mod item_checks;
mod leadership;
mod open;
mod operation;
mod outage;
#[cfg(feature = "metrics")]
mod pool_usage;
#[cfg(feature = "postgres")]
pub mod postgres;
mod query;
mod refusal;
mod rows;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod types;
mod verbs;

#[cfg(feature = "metrics")]
pub use self::pool_usage::PoolUsage;
pub use self::{
    database::{BatchConnection, BatchDb, BatchPool, HostTransactions, WrongDatabaseKind},
    error::{BoxError, LedgerError, Result},
    estimate::Estimator,
    item_checks::StoredCheck,
    leadership::Leadership,
    open::OpenError,
    outage::{Outage, Waiting},
    query::{
        AuditFilter, BatchChange, COUNT_INTERVAL, ChangeQuery, JobQuery, OpenJob, OpenJobs, OpenTasks, PageRequest,
        Portion, RecentWork, TaskQuery,
    },
    types::{
        AttemptResult, BatchCommand, BatchInfo, ChunkInserted, Claim, Claimed, Closed, Created, Finished, FirstChunk,
        Hook, HookKinds, HookOutcome, HookRetry, LastChunk, NewBatch, NewItem, NewItemRow, PlanInput, Planned, Pruned,
        Rules, Unplanned, Work,
    },
    verbs::{Ledger, WorkerReport},
};
/// What the counting decorator passes on.
#[cfg(any(feature = "metrics", rocket_batch_internals))]
pub use self::{
    item_checks::{ItemChecks, JobGaps},
    query::{Backlog, TotalCounts},
    verbs::{AuditRecords, JobRecords, Records, Totals, WorkerRecords},
};

#[cfg(rocket_batch_internals)]
pub use self::refusal::WriteRefusal;
