//! Periodic checks of a queue, until it is drained.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::shared::Shared;

/// The interval of queries to Sentinels or to the nodes of a cluster.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(1);

/// Checks settings in Redis that other clients may change, and restores the queue's own.
pub(super) async fn keep_checking(shared: Arc<Shared>) {
    let checks = async {
        loop {
            shared.server.check_eviction().await;
            shared.check_pause().await;
            sleep(shared.server.check_interval()).await;
            if let Err(error) = shared.write_settings().await {
                tracing::debug!(queue = shared.name, %error, "could not renew the queue settings");
            }
        }
    };
    // The future is boxed because it is large.
    shared.draining.run_until_cancelled(Box::pin(checks)).await;
}

/// Follows the Redis master. Keeps the last address while no Sentinel or node reports one.
pub(super) async fn keep_finding_master(shared: Arc<Shared>) {
    let queries = async {
        let mut lost = false;
        loop {
            sleep(DISCOVERY_INTERVAL).await;
            let found = shared.server.find_master().await;
            if let Err(error) = &found
                && !lost
            {
                tracing::warn!(queue = shared.name, %error, "could not find the Redis master, retrying");
            }
            lost = found.is_err();
        }
    };
    shared.draining.run_until_cancelled(queries).await;
}
