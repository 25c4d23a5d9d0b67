//! `open_hooks`: counts the hooks of a batch that wait for a call.

use deadpool_postgres::Client;

use super::{
    error::Result,
    pool::{Lane, Verb},
};
use crate::{domain::BatchId, ledger::operation};

const OPEN: &str = "SELECT count(*) AS open FROM hooks WHERE batch = $1 AND state = 'open'";

/// See [`Records::open_hooks`](crate::ledger::verbs::Records::open_hooks).
pub(super) struct OpenHooks(pub BatchId);

impl Verb for OpenHooks {
    type Output = u64;
    const OPERATION: &'static str = operation::OPEN_HOOKS;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<u64> {
        let row = conn.query_one(&conn.prepare_cached(OPEN).await?, &[&self.0.get()]).await?;
        Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
    }
}
