//! Keep your own rows beside the ledger's, in the same SQLite file.
//!
//! ```text
//!   chunk ──▶ BEGIN ─ claim current? ─ items ─ counts ─ ItemWriter: products ─ COMMIT
//!                                                                  │
//!                                 an error, a panic, a crash ──────┴──▶ neither table keeps a row
//! ```
//!
//! - [`ItemWriter`] receives the rows of new items, in the transaction that inserts them. Attach it
//!   with [`sqlite_item_writer`](crate::BatchFairing::sqlite_item_writer).
//! - [`FinishHook`] writes your rows in the transaction that finishes a batch. Attach it with
//!   [`sqlite_finish_hook`](crate::BatchFairing::sqlite_finish_hook).
//! - [`SqliteConnection`] gives handlers access to the file, as `Connection<BatchDb>`. Its closures
//!   may return your own errors, see [`InteractError`].
//! - [`create_product_items_in`](crate::BatchService::create_product_items_in) creates a batch in
//!   your transaction. With another driver, insert a row into the view `batch_requests`.
//! - [`rusqlite`], re-exported in the version that this crate uses.

mod finish_hook;
mod item_writer;

#[doc(no_inline)]
pub use rusqlite;

pub use self::{finish_hook::FinishHook, item_writer::ItemWriter};
pub use crate::ledger::{
    NewItemRow,
    sqlite::{InteractError, SqliteConnection, SqlitePool},
};
use crate::{
    ledger::sqlite::classified,
    service::{BatchError, HOST_STATEMENT},
};

/// For closures and handlers that run statements of their own. Logs the cause, which the response
/// does not contain.
impl From<rusqlite::Error> for BatchError {
    fn from(error: rusqlite::Error) -> Self {
        Self::of_host_statement(classified(error, HOST_STATEMENT))
    }
}
