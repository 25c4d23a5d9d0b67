//! A batch: its id, its options, its plan, and which statuses may follow each other.
//!
//! ```text
//!   id.rs       1 to 2^53 − 1
//!   options.rs  what a request may choose, and the limits
//!   plan.rs     quantity -> jobs
//!   status.rs   the statuses and the changes that each allows
//! ```

mod id;
mod options;
mod plan;
mod status;

#[cfg(rocket_batch_internals)]
pub use self::plan::JobSlice;
pub use self::{
    id::BatchId,
    options::{ItemOptions, Limits},
    plan::Plan,
    status::{BatchStatus, Change, ChangeRefused},
};
