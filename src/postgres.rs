//! What a host needs to have rows of its own beside the ledger's, in the same PostgreSQL database.
//!
//! ```text
//!   chunk ──▶ BEGIN ─ held? + items + counts ─ ItemWriter: products ─ COMMIT
//!                                                   │
//!                  an error, a panic, a crash ──────┴──▶ neither table has anything of it
//! ```
//!
//! - [`ItemWriter`]: called with the rows of new items, in the transaction that inserts them. Attached by
//!   [`postgres_item_writer`](crate::BatchFairing::postgres_item_writer).
//! - [`PostgresConnection`]: for handlers, by `Connection<BatchDb>`.
//! - [`tokio_postgres`], in the version that both speak.

#[doc(no_inline)]
pub use tokio_postgres;

pub use crate::ledger::{
    NewItemRow,
    postgres::{ItemWriter, PostgresConnection},
};
