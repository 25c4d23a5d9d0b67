//! Migrates the tables to the version of this crate.

use tokio_postgres::Client;

use crate::ledger::{
    columns::key,
    open::{SchemaOptions, TooNew, pending},
};

/// In order, starting with version 1. A published migration is never changed.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_tables.sql")];

/// Not part of a migration, because it stores which ones were applied.
const SETTINGS: &str = "CREATE TABLE IF NOT EXISTS settings (name text PRIMARY KEY, value text NOT NULL)";

const HAS_SCHEMA: &str = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";

const VERSION: &str = "SELECT value::bigint FROM settings WHERE name = 'schema_version'";

const SET_VERSION: &str = "INSERT INTO settings (name, value) VALUES ('schema_version', $1::bigint::text)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// A setting that the function `create_product_items` reads.
const STORE_SETTING: &str = "INSERT INTO settings (name, value) VALUES ($1, $2::bigint::text)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// One lock for all schemas of a database, so that only one process creates a schema.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('rocket_batch migrations', 0))";

/// Another process may be running a long migration.
const TIMEOUTS: &str =
    "SET LOCAL lock_timeout = '10min'; SET LOCAL statement_timeout = '10min'; SET LOCAL client_min_messages = warning";

/// The tables can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrateError {
    /// An error of the database.
    #[error("{}", super::error::message_of(.0))]
    Database(tokio_postgres::Error),
    /// The tables were created by a later version of this crate.
    #[error(transparent)]
    TooNew(#[from] TooNew),
}

/// Generic, so that rustc does not name this private type in a host whose own `?` is ambiguous.
impl<E: Into<tokio_postgres::Error>> From<E> for MigrateError {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// Applies the missing migrations in one transaction. If several processes do so at once, one does
/// it, and the others wait and find nothing to do.
pub(super) async fn migrate(client: &mut Client, schema: &str, options: SchemaOptions) -> Result<(), MigrateError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(TIMEOUTS).await?;
    transaction.execute(LOCK, &[]).await?;
    // Checked first, since `IF NOT EXISTS` needs the right to create schemas even if there is
    // nothing to create.
    if !transaction.query_one(HAS_SCHEMA, &[&schema]).await?.try_get::<_, bool>(0)? {
        transaction.batch_execute(&format!("CREATE SCHEMA \"{schema}\"")).await?;
    }
    transaction.batch_execute(SETTINGS).await?;
    let version = transaction.query_opt(VERSION, &[]).await?.map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
    for migration in pending(&MIGRATIONS, version)? {
        transaction.batch_execute(migration).await?;
    }
    transaction.execute(SET_VERSION, &[&(MIGRATIONS.len() as i64)]).await?;
    for (name, value) in options.stored() {
        transaction.execute(STORE_SETTING, &[&name, &key(value)]).await?;
    }
    Ok(transaction.commit().await?)
}
