//! Brings the tables to the version that this crate knows.

use tokio_postgres::Client;

use super::columns::key;
use crate::ledger::database::SchemaOptions;

/// In order; the first is version 1. A published one is never changed, another one is added.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_tables.sql")];

/// Not in a migration, since it says which of them were applied.
const SETTINGS: &str = "CREATE TABLE IF NOT EXISTS settings (name text PRIMARY KEY, value text NOT NULL)";

const HAS_SCHEMA: &str = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";

const VERSION: &str = "SELECT value::bigint FROM settings WHERE name = 'schema_version'";

const SET_VERSION: &str = "INSERT INTO settings (name, value) VALUES ('schema_version', $1::bigint::text)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// For hosts whose own statements look items up by their code. It makes writing items half as fast.
const INDEX_CODES: &str = "SET LOCAL statement_timeout = 0; CREATE INDEX IF NOT EXISTS items_by_code ON items (code)";

const NO_INDEX: &str = "DROP INDEX IF EXISTS items_by_code";

/// What `create_product_items` takes when its caller says nothing.
const KEEP_BATCH_SIZE: &str = "INSERT INTO settings (name, value) VALUES ('batch_size', $1::bigint::text)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// One lock for all schemas of a database: who makes one does it alone.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('rocket_batch migrations', 0))";

/// Another process may have a long migration to do, and each of its statements may take its time.
const PATIENCE: &str =
    "SET LOCAL lock_timeout = '10min'; SET LOCAL statement_timeout = '10min'; SET LOCAL client_min_messages = warning";

/// Why the tables can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrateError {
    /// The database said no.
    #[error("{}", super::error::in_words(.0))]
    Database(#[from] tokio_postgres::Error),
    /// The tables were made by a later version of this crate.
    #[error("its tables have version {0}, and this version of rocket_batch knows {known} at most", known = MIGRATIONS.len())]
    TooNew(i64),
}

/// Applies what was not applied yet, all or nothing. Several processes may do it at once: one does
/// it, and the others wait and find nothing to do.
pub(super) async fn migrate(client: &mut Client, schema: &str, wishes: SchemaOptions) -> Result<(), MigrateError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(PATIENCE).await?;
    transaction.execute(LOCK, &[]).await?;
    // Asked first, since `IF NOT EXISTS` wants the right to make schemas also where there is
    // nothing to make.
    if !transaction.query_one(HAS_SCHEMA, &[&schema]).await?.try_get::<_, bool>(0)? {
        transaction.batch_execute(&format!("CREATE SCHEMA \"{schema}\"")).await?;
    }
    transaction.batch_execute(SETTINGS).await?;
    let version = transaction.query_opt(VERSION, &[]).await?.map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
    let pending = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version..));
    for migration in pending.ok_or(MigrateError::TooNew(version))? {
        transaction.batch_execute(migration).await?;
    }
    transaction.execute(SET_VERSION, &[&(MIGRATIONS.len() as i64)]).await?;
    transaction.execute(KEEP_BATCH_SIZE, &[&key(wishes.batch_size)]).await?;
    transaction.batch_execute(if wishes.index_codes { INDEX_CODES } else { NO_INDEX }).await?;
    Ok(transaction.commit().await?)
}
