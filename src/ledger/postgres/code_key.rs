//! `code_key`: stores the code key, as hex digits, and returns the one stored first.

use deadpool_postgres::Client;

use super::{
    error::{Result, unreadable},
    pool::Verb,
    redacted::Redacted,
};
use crate::{domain::CodeKey, ledger::operation};

const STORE: &str = "INSERT INTO settings (name, value) VALUES ('code_key', $1) ON CONFLICT (name) DO NOTHING";
const READ: &str = "SELECT value FROM settings WHERE name = 'code_key'";

/// See [`Ledger::code_key`](crate::ledger::Ledger::code_key).
pub(super) struct KeepKey(pub CodeKey);

impl Verb for KeepKey {
    type Output = CodeKey;
    const OPERATION: &'static str = operation::CODE_KEY;

    async fn run(&self, conn: &mut Client) -> Result<CodeKey> {
        let candidate = data_encoding::HEXLOWER.encode(self.0.as_bytes());
        conn.execute(STORE, &[&Redacted(candidate)]).await?;
        let stored = conn.query_one(READ, &[]).await?;
        CodeKey::parse(stored.try_get(0)?).ok_or_else(|| unreadable("the stored code key is invalid"))
    }
}
