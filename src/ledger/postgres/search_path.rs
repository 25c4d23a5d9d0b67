//! Where names without a schema are looked up: in the ledger's schema for its own statements, and in
//! `public` first for those of the host.
//!
//! A host's `CREATE TABLE` then creates a table in `public`, and a table `items` of the host is not
//! mistaken for the ledger's.

use std::future::Future;

use futures_util::future::join;
use tokio_postgres::{Error, Transaction};

/// The search path of the ledger's own connections.
pub(super) fn own(schema: &str) -> String {
    format!("{schema},public")
}

/// The search path of connections of the host.
pub(super) fn of_host(schema: &str) -> String {
    format!("public,{schema}")
}

/// Runs `work`, statements of the host in a transaction of the ledger, with the host's search path.
/// The path is set until the transaction ends, so the ledger's own statements come before.
///
/// Costs no round trip: `join` polls in order, so the path is sent to the server right before the
/// first statement of `work`, which does not wait for its response.
///
/// # Errors
///
/// If the path could not be set. Then every statement of `work` has failed too.
pub(super) async fn with_path_of_host<T>(
    transaction: &Transaction<'_>,
    schema: &str,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    let set = format!("SET LOCAL search_path = public, \"{schema}\"");
    let (set, result) = join(transaction.batch_execute(&set), work).await;
    set.map(|()| result)
}
