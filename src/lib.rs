//! Asynchronous generation of serialised product items for Rocket: attach one fairing, post a batch, get its items exactly once.
//!
//! ```rust
//! use rocket::{post, routes, serde::json::Json};
//! use rocket_batch::{Batch, BatchAccepted, BatchError, BatchService, ItemOptions};
//!
//! /// The shop keeps its own product batches; their items are made in the background.
//! #[post("/product-batches/<id>/items")]
//! async fn fill(id: i64, batches: BatchService) -> Result<Json<BatchAccepted>, BatchError> {
//!     let options = ItemOptions { batch_size: 100, qr_code_prefix: Some("QR".into()), ..Default::default() };
//!     Ok(Json(batches.create_product_items_async(id, 5_000, options).await?))
//! }
//!
//! # fn host() -> rocket::Rocket<rocket::Build> {
//! rocket::build()
//!     .attach(Batch::fairing().public()) // routes under /batches, workers, drain
//!     .mount("/", routes![fill])
//! # }
//! ```
//!
//! # The words
//!
//! A **batch** is a request for items. It is cut into **jobs**, which a queue hands to workers; a worker makes the items of a job **chunk**
//! by chunk, one transaction each. The **ledger**, tables in a database, is the only truth: a queue may lose everything, and the
//! **feeder** puts the ledger's unfinished jobs back. Whoever begins a job raises its **epoch**, which fences everybody who began it before.
//!
//! ```text
//!                  POST /batches                        one transaction a chunk:
//!                       │ 202, at once                  held? + items + counts
//!                       ▼                                      ▲
//!   host ──▶ BatchService ──▶ LEDGER ──feeder──▶ queue ──▶ worker ──settle──▶ LEDGER
//!                              batch + jobs      5 / 10 s                     the last one: close, tell the host
//! ```
//!
//! # What is promised
//!
//! Items of a batch are written exactly once, also when workers or the database crash, pause or restart, as long as the database keeps its
//! committed data. Jobs run at least once; so do hooks.
//!
//! # Settings
//!
//! Under `[default.batch]` of `Rocket.toml`, and in `ROCKET_BATCH__*`: see [`Config`]. The database is `[default.databases.batch]`, by
//! default the file `batch.db`.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("rocket_batch needs a database for its ledger: turn on the feature `sqlite` or `postgres`");

pub mod config;
#[doc(hidden)]
pub mod domain;
mod fairing;
mod http;
#[doc(hidden)]
pub mod ledger;
#[cfg(feature = "postgres")]
pub mod postgres;
#[doc(hidden)]
pub mod queue;
mod service;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod worker;

pub use config::Config;
pub use domain::{
    BatchFinished, BatchId, BatchRecord, BatchStatus, FailedJob, Invalid, Item, ItemOptions, JobCounts, JobEnded,
    Progress, RetryReport, SetAside, SkippedJob, WaitingFor,
};
pub use fairing::{Batch, BatchFairing};
pub use http::Right;
pub use ledger::{BatchConnection, BatchDb, BatchPool, BoxError, NewItemRow, OtherDatabase};
pub use service::{BatchAccepted, BatchError, BatchService, Page, PageQuery, Readiness, Result};
