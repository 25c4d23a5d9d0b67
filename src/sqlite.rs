//! What a host needs to have rows of its own beside the ledger's, in the same SQLite file.
//!
//! ```text
//!   chunk ──▶ BEGIN ─ held? ─ batch_items ─ counts ─ ItemWriter: products ─ COMMIT
//!                                                         │
//!                        an error, a panic, a crash ──────┴──▶ neither table has anything of it
//! ```
//!
//! - [`ItemWriter`]: called with the rows of new items, in the transaction that inserts them.
//!   Attached by [`sqlite_item_writer`](crate::BatchFairing::sqlite_item_writer).
//! - [`SqliteConnection`]: for handlers, by `Connection<BatchDb>`; to make the host's tables, say,
//!   or to ask for a batch in a transaction of its own, by a row in the view `batch_requests`.
//! - [`rusqlite`], in the version that both speak.

#[doc(no_inline)]
pub use rusqlite;

pub use crate::ledger::{
    NewItemRow,
    sqlite::{ItemWriter, SqliteConnection},
};
