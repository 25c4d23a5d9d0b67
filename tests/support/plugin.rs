//! The plugin in a host in this process.

use std::path::Path;

use rocket::{
    figment::{Figment, providers::Serialized},
    local::asynchronous::Client,
};
use rocket_batch::{BatchFairing, BatchService};

/// The settings of a host that logs nothing itself, has its ledger at `url`, and has no rate limit.
pub fn settings(url: &str) -> Figment {
    rocket::Config::figment()
        .merge(("log_level", "off"))
        .merge(Serialized::global("databases.batch.url", url))
        .merge(Serialized::global("batch.generate.rate_limit", "off"))
}

/// Returns the URL of a SQLite file in `folder`.
pub fn sqlite_url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("batch.db").display())
}

pub async fn launch(settings: Figment, fairing: BatchFairing) -> Result<Client, rocket::Error> {
    Client::untracked(rocket::custom(settings).attach(fairing)).await
}

pub fn service(plugin: &Client) -> &BatchService {
    BatchService::fetch(plugin.rocket()).expect("the fairing is attached")
}
