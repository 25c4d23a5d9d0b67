//! `code_key`: the key that was there first. Kept as hex digits.

use async_trait::async_trait;
use deadpool_postgres::Client;

use super::{
    error::{Result, unreadable},
    pool::Verb,
    redacted::Redacted,
};
use crate::domain::CodeKey;

const KEEP: &str = "INSERT INTO settings (name, value) VALUES ('code_key', $1) ON CONFLICT (name) DO NOTHING";
const KEPT: &str = "SELECT value FROM settings WHERE name = 'code_key'";

/// See [`Ledger::code_key`](crate::ledger::Ledger::code_key).
pub(super) struct KeepKey(pub CodeKey);

#[async_trait]
impl Verb for KeepKey {
    type Output = CodeKey;
    const OPERATION: &'static str = "keep the code key";

    async fn run(&self, conn: &mut Client) -> Result<CodeKey> {
        let candidate = data_encoding::HEXLOWER.encode(self.0.as_bytes());
        conn.execute(KEEP, &[&Redacted(candidate)]).await?;
        let kept = conn.query_one(KEPT, &[]).await?;
        CodeKey::parse(kept.try_get(0)?).ok_or_else(|| unreadable("the code key that is kept is none"))
    }
}
