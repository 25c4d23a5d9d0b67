//! Asynchronous generation of serialised product items for Rocket.

pub mod config;
#[doc(hidden)]
pub mod domain;
mod http;
#[doc(hidden)]
pub mod ledger;
#[doc(hidden)]
pub mod queue;
mod service;
mod worker;

pub use domain::ItemOptions;
pub use http::Right;
pub use service::*;
/// x
pub struct BatchFairing;
impl BatchFairing {
    /** x */
    pub fn configure() {}
}
