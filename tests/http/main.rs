//! The routes, called through Rocket's local client. Each test has a plugin with its own database.

mod audit;
mod contract;
mod control;
#[cfg(feature = "dashboard")]
mod dashboard;
mod events;
mod failures;
mod health;
mod hooks;
mod hosting;
mod idempotency;
mod input;
mod life;
mod merging;
#[cfg(feature = "prometheus")]
mod metrics;
mod openapi;
mod origin;
mod preview;
mod problems;
mod reconciliation;
mod rights;
mod shop;
#[path = "../support/mod.rs"]
mod support;
mod unplanned;
mod workers;
