//! Starts and stops the plugin at the ignition, liftoff and shutdown of Rocket.

use rocket::{
    Build, Orbit, Rocket,
    fairing::{self, Fairing, Info, Kind},
};
use tokio::time::Instant;

use super::{
    builder::BatchFairing,
    ignition::{Ignited, Plugin},
    setup::copy_states,
};
use crate::{
    domain::{LaunchFailed, error_chain},
    http,
    queue::Queues,
    service::BatchService,
};

#[rocket::async_trait]
impl Fairing for BatchFairing {
    fn info(&self) -> Info {
        Info { name: "Batch", kind: Kind::Ignite | Kind::Liftoff | Kind::Shutdown }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match self.ignite(&rocket).await {
            Ok(ignited) => Ok(mount(rocket, ignited)),
            Err(error) => {
                tracing::error!("Batch: {}", error_chain(&*error));
                let is_marked = rocket.state::<LaunchFailed>().is_some();
                Err(if is_marked { rocket } else { rocket.manage(LaunchFailed) })
            }
        }
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        let Some(plugin) = rocket.state::<Plugin>() else { return };
        let (shutdown, draining) = (rocket.shutdown(), plugin.draining.clone());
        rocket::tokio::spawn(async move {
            shutdown.await;
            draining.cancel();
        });
        match copy_states(&self.states, rocket) {
            Ok(states) => plugin.hook_context.set_states(states),
            Err(error) => {
                tracing::error!("Batch: {error}; shutting down");
                return rocket.shutdown().notify();
            }
        }
        if let Some(service) = rocket.state::<BatchService>() {
            rocket::tokio::spawn(service.clone().inform_watchers());
        }
        #[cfg(feature = "metrics")]
        plugin.metrics.start(&plugin.draining);
        plugin.runtime.start();
    }

    async fn on_shutdown(&self, rocket: &Rocket<Orbit>) {
        let Some(plugin) = rocket.state::<Plugin>() else { return };
        let deadline = Instant::now() + plugin.config.drain;
        plugin.draining.cancel();
        let unwatched = async {
            if let Some(service) = rocket.state::<BatchService>() {
                service.until_unwatched().await;
            }
        };
        tokio::join!(plugin.runtime.drain(deadline), unwatched);
        if tokio::time::timeout_at(deadline, plugin.ledger.shutdown()).await.is_err() {
            tracing::warn!("the database did not close before the drain deadline");
        }
        plugin.queues.close().await;
    }
}

/// Mounts the routes, and manages what they, liftoff and shutdown need.
fn mount(rocket: Rocket<Build>, ignited: Ignited) -> Rocket<Build> {
    let Ignited { plugin, service, db, rights } = ignited;
    let config = plugin.config.clone();
    let rocket = manage_redis(rocket, &plugin.queues);
    http::mount(rocket.manage(plugin).manage(service).manage(db), rights, &config)
}

/// Manages the host's access to Redis, if the queues are in Redis.
#[cfg(feature = "redis")]
fn manage_redis(rocket: Rocket<Build>, queues: &Queues) -> Rocket<Build> {
    match queues.redis() {
        Some(redis) => rocket.manage(redis),
        None => rocket,
    }
}

#[cfg(not(feature = "redis"))]
fn manage_redis(rocket: Rocket<Build>, _: &Queues) -> Rocket<Build> {
    rocket
}
