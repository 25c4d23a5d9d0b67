//! Migrates the tables to the version of this crate.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::ledger::{
    columns::key,
    open::{SchemaOptions, TooNew, pending},
};

/// In order, starting with version 1. A published migration is never changed.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_tables.sql")];

/// Not part of a migration, because it stores which ones were applied. `PRAGMA user_version` is not
/// used, because the file may belong to the host.
const SETTINGS: &str = "CREATE TABLE IF NOT EXISTS rocket_batch_settings (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID";

const VERSION: &str = "SELECT value FROM rocket_batch_settings WHERE name = 'schema_version'";

const SET_VERSION: &str = "INSERT INTO rocket_batch_settings (name, value) VALUES ('schema_version', ?1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// For hosts that look up items by code in their own SQL. It makes inserts far slower.
const INDEX_CODES: &str = "CREATE INDEX IF NOT EXISTS rocket_batch_items_by_code ON rocket_batch_items (code)";

const DROP_INDEX: &str = "DROP INDEX IF EXISTS rocket_batch_items_by_code";

/// A setting that the trigger of `batch_requests` reads.
const STORE_SETTING: &str = "INSERT INTO rocket_batch_settings (name, value) VALUES (?1, ?2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The tables can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrateError {
    /// An error of the database.
    #[error(transparent)]
    Database(rusqlite::Error),
    /// The tables were created by a later version of this crate.
    #[error(transparent)]
    TooNew(#[from] TooNew),
}

/// Generic, so that rustc does not name this private type in a host whose own `?` is ambiguous.
impl<E: Into<rusqlite::Error>> From<E> for MigrateError {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// Applies the missing migrations in one transaction. If several processes do so at once, the lock
/// of the transaction makes the later ones find nothing to do.
pub(super) fn migrate(conn: &mut Connection, options: SchemaOptions) -> Result<(), MigrateError> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SETTINGS)?;
    let version: i64 = transaction.query_row(VERSION, [], |row| row.get(0)).optional()?.unwrap_or(0);
    let pending = pending(&MIGRATIONS, version)?;
    for migration in pending {
        transaction.execute_batch(migration)?;
    }
    if !pending.is_empty() {
        transaction.execute(SET_VERSION, [MIGRATIONS.len() as i64])?;
    }
    for (name, value) in options.stored() {
        transaction.execute(STORE_SETTING, (name, key(value)))?;
    }
    transaction.execute_batch(if options.index_codes { INDEX_CODES } else { DROP_INDEX })?;
    Ok(transaction.commit()?)
}
