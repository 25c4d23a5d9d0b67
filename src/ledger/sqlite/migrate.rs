//! Brings the tables to the version that this crate knows.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::columns::key;
use crate::ledger::database::SchemaOptions;

/// In order; the first is version 1. A published one is never changed, another one is added.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_tables.sql")];

/// Not in a migration, since it says which of them were applied. Not `PRAGMA user_version`, which
/// is the host's if the file is.
const SETTINGS: &str = "CREATE TABLE IF NOT EXISTS batch_settings (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID";

const VERSION: &str = "SELECT value FROM batch_settings WHERE name = 'schema_version'";

const SET_VERSION: &str = "INSERT INTO batch_settings (name, value) VALUES ('schema_version', ?1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// For hosts whose own statements look items up by their code. It makes writing items far slower.
const INDEX_CODES: &str = "CREATE INDEX IF NOT EXISTS batch_items_by_code ON batch_items (code)";

const NO_INDEX: &str = "DROP INDEX IF EXISTS batch_items_by_code";

/// What `batch_requests` takes when a row says nothing.
const KEEP_BATCH_SIZE: &str = "INSERT INTO batch_settings (name, value) VALUES ('batch_size', ?1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// Why the tables can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrateError {
    /// The database said no.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// The tables were made by a later version of this crate.
    #[error("its tables have version {0}, and this version of rocket_batch knows {known} at most", known = MIGRATIONS.len())]
    TooNew(usize),
}

/// Applies what was not applied yet, all or nothing. Several processes may do it at once: the lock
/// that the transaction begins with makes the second find nothing to do.
pub(super) fn migrate(conn: &mut Connection, wishes: SchemaOptions) -> Result<(), MigrateError> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SETTINGS)?;
    let version: usize = transaction.query_row(VERSION, [], |row| row.get(0)).optional()?.unwrap_or(0);
    let pending = MIGRATIONS.get(version..).ok_or(MigrateError::TooNew(version))?;
    for migration in pending {
        transaction.execute_batch(migration)?;
    }
    if !pending.is_empty() {
        transaction.execute(SET_VERSION, [MIGRATIONS.len()])?;
    }
    transaction.execute(KEEP_BATCH_SIZE, [key(wishes.batch_size)])?;
    transaction.execute_batch(if wishes.index_codes { INDEX_CODES } else { NO_INDEX })?;
    Ok(transaction.commit()?)
}
