//! What a host needs to have rows of its own beside the ledger's, in the same PostgreSQL database,
//! and batches in transactions of its own.
//!
//! ```text
//!   chunk ──▶ BEGIN ─ held? + items + counts ─ ItemWriter: products ─ COMMIT
//!                                                   │
//!                  an error, a panic, a crash ──────┴──▶ neither table has anything of it
//! ```
//!
//! ```text
//!   order ──▶ BEGIN ─ orders ─ create_product_items_in: batches + jobs ─ COMMIT ──▶ wake_feeder
//! ```
//!
//! - [`ItemWriter`]: called with the rows of new items, in the transaction that inserts them.
//!   Attached by [`postgres_item_writer`](crate::BatchFairing::postgres_item_writer).
//! - [`create_product_items_in`](crate::BatchService::create_product_items_in): a batch in a
//!   transaction of the host's. For other drivers there is the function `create_product_items` in
//!   the ledger's schema.
//! - [`PostgresConnection`]: for handlers, by `Connection<BatchDb>`.
//! - [`tokio_postgres`], in the version that both speak.

#[doc(no_inline)]
pub use tokio_postgres;

pub use crate::ledger::{
    NewItemRow,
    postgres::{ItemWriter, PostgresConnection},
};
