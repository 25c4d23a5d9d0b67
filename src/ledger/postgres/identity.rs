//! `identity`: stores the identity of the ledger and returns the one stored first.

use deadpool_postgres::Client;

use super::{error::Result, pool::Verb};
use crate::ledger::operation;

const STORE: &str = "INSERT INTO settings (name, value) VALUES ('ledger_id', $1) ON CONFLICT (name) DO NOTHING";
const READ: &str = "SELECT value FROM settings WHERE name = 'ledger_id'";

/// See [`Records::identity`](crate::ledger::verbs::Records::identity). The candidate.
pub(super) struct Identity(pub String);

impl Verb for Identity {
    type Output = String;
    const OPERATION: &'static str = operation::IDENTITY;

    async fn run(&self, conn: &mut Client) -> Result<String> {
        conn.execute(STORE, &[&self.0]).await?;
        Ok(conn.query_one(READ, &[]).await?.try_get(0)?)
    }
}
