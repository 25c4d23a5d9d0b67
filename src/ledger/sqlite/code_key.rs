//! `code_key`: stores the code key and returns the one stored first.

use rusqlite::Connection;

use super::error::Result;
use crate::domain::CodeKey;

const STORE: &str = "INSERT INTO rocket_batch_settings (name, value) VALUES ('code_key', ?1)
    ON CONFLICT (name) DO NOTHING";
const READ: &str = "SELECT value FROM rocket_batch_settings WHERE name = 'code_key'";

pub(super) fn code_key(conn: &Connection, candidate: &CodeKey) -> Result<CodeKey> {
    conn.prepare_cached(STORE)?.execute([candidate.as_bytes()])?;
    Ok(conn.prepare_cached(READ)?.query_row([], |row| row.get(0).map(CodeKey::from_bytes))?)
}
