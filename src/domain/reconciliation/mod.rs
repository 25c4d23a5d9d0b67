//! A check of a batch's items against its plan.
//!
//! ```text
//!   page.rs    what one bounded read of the ledger returns
//!   tally.rs   the pages of a check, added up
//!   report.rs  the result as callers see it
//! ```
//!
//! Each page has items and the jobs that explain the missing ones, from one snapshot. So every
//! ordinal below the quantity counts exactly once, and `planned = written + failedChunks + toDo +
//! cancelled + missing` holds although workers continue meanwhile.

mod page;
mod report;
mod tally;

pub use self::{
    page::{ItemPage, JobSpan, PAGE_ITEMS, absent_job},
    report::{CheckState, CodeCheck, OrdinalRange, Reconciliation, ReconciliationOptions, RepairReport, WrongCode},
    tally::Tally,
};
