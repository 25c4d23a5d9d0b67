//! `code_key`: the key that was there first.

use rusqlite::Connection;

use super::error::Result;
use crate::domain::CodeKey;

const KEEP: &str = "INSERT INTO batch_settings (name, value) VALUES ('code_key', ?1) ON CONFLICT (name) DO NOTHING";
const KEPT: &str = "SELECT value FROM batch_settings WHERE name = 'code_key'";

pub(super) fn code_key(conn: &Connection, candidate: &CodeKey) -> Result<CodeKey> {
    conn.prepare_cached(KEEP)?.execute([candidate.as_bytes()])?;
    Ok(conn.prepare_cached(KEPT)?.query_row([], |row| row.get(0).map(CodeKey::from_bytes))?)
}
