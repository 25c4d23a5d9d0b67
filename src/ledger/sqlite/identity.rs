//! `identity`: stores the identity of the ledger and returns the one stored first.

use rusqlite::Connection;

use super::error::Result;

const STORE: &str =
    "INSERT INTO rocket_batch_settings (name, value) VALUES ('ledger_id', ?1) ON CONFLICT (name) DO NOTHING";
const READ: &str = "SELECT value FROM rocket_batch_settings WHERE name = 'ledger_id'";

pub(super) fn identity(conn: &Connection, candidate: &str) -> Result<String> {
    conn.prepare_cached(STORE)?.execute([candidate])?;
    Ok(conn.prepare_cached(READ)?.query_row([], |row| row.get(0))?)
}
