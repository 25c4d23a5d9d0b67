//! Keep your own rows beside the ledger's, in the same PostgreSQL database, and create batches in
//! your own transactions.
//!
//! ```text
//!   chunk ──▶ BEGIN ─ claim current? + items + counts ─ ItemWriter: products ─ COMMIT
//!                                                            │
//!                           an error, a panic, a crash ──────┴──▶ neither table keeps a row
//! ```
//!
//! ```text
//!   order ──▶ BEGIN ─ orders ─ create_product_items_in: batches + jobs ─ COMMIT ──▶ wake_feeder
//! ```
//!
//! - [`ItemWriter`] receives the rows of new items, in the transaction that inserts them. Attach it
//!   with [`postgres_item_writer`](crate::BatchFairing::postgres_item_writer).
//! - [`FinishHook`] writes your rows in the transaction that finishes a batch. Attach it with
//!   [`postgres_finish_hook`](crate::BatchFairing::postgres_finish_hook).
//! - [`create_product_items_in`](crate::BatchService::create_product_items_in) creates a batch in
//!   your transaction. With another driver, call the SQL function `create_product_items` in the
//!   ledger's schema.
//! - [`PostgresConnection`] gives handlers access to the database, as `Connection<BatchDb>`.
//! - [`tokio_postgres`], re-exported in the version that this crate uses.

mod finish_hook;
mod item_writer;

#[doc(no_inline)]
pub use tokio_postgres;

pub use self::{finish_hook::FinishHook, item_writer::ItemWriter};
pub use crate::ledger::{
    NewItemRow,
    postgres::{PostgresConnection, PostgresPool},
};
use crate::{
    ledger::postgres::classified,
    service::{BatchError, HOST_STATEMENT},
};

/// For handlers that run statements of their own. Logs the cause, which the response does not
/// contain.
impl From<tokio_postgres::Error> for BatchError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of_host_statement(classified(error, HOST_STATEMENT))
    }
}
