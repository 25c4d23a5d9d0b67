//! `open_hooks`: counts the hooks of a batch that wait for a call.

use async_trait::async_trait;
use deadpool_postgres::Client;

use super::{
    columns::number,
    error::Result,
    pool::{Lane, Verb},
};
use crate::domain::BatchId;

const OPEN: &str = "SELECT count(*) AS open FROM hooks WHERE batch = $1 AND state = 'open'";

/// See [`Records::open_hooks`](crate::ledger::verbs::Records::open_hooks).
pub(super) struct OpenHooks(pub BatchId);

#[async_trait]
impl Verb for OpenHooks {
    type Output = u64;
    const OPERATION: &'static str = "count open hooks";
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<u64> {
        number(&conn.query_one(&conn.prepare_cached(OPEN).await?, &[&self.0.get()]).await?, "open")
    }
}
