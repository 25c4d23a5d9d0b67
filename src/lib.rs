//! Asynchronous generation of serialised product items for Rocket: attach one fairing, post a
//! batch, get its items exactly once.
//!
//! A batch is accepted in milliseconds, cut into jobs, and its items are written in the background,
//! in small transactions. Nothing needs to be installed: the ledger is a SQLite file, the queue is
//! in the process.
//!
//! # Usage
//!
//! 1. Add `rocket_batch` beside `rocket` to your `Cargo.toml`. SQLite is compiled from source, so a
//!    C compiler is needed.
//! 2. Optionally configure it, in `Rocket.toml`:
//!
//!    ```toml
//!    [default.databases.batch]
//!    url = "sqlite://batch.db"
//!
//!    [default.batch.generate]
//!    rate_limit = "off"
//!    ```
//!
//! 3. Attach [`Batch::fairing`], and say who may call. Here, anybody:
//!
//!    ```rust
//!    use rocket_batch::Batch;
//!
//!    # fn host() -> rocket::Rocket<rocket::Build> {
//!    rocket::build().attach(Batch::fairing().public()) // routes under /batches, workers, drain
//!    # }
//!    ```
//!
//! 4. Post a batch, `{"quantity": 5000}`, to `/batches`, and look at `/batches/1/progress`. Or do
//!    it in a handler of yours:
//!
//!    ```rust
//!    use rocket::{post, serde::json::Json};
//!    use rocket_batch::{BatchAccepted, BatchError, BatchService, ItemOptions};
//!
//!    /// The shop keeps its own product batches; their items are made in the background.
//!    #[post("/product-batches/<id>/items")]
//!    async fn fill(id: i64, batches: BatchService) -> Result<Json<BatchAccepted>, BatchError> {
//!        let options = ItemOptions { batch_size: 100, qr_code_prefix: Some("QR".into()), ..Default::default() };
//!        Ok(Json(batches.create_product_items_async(id, 5_000, options).await?))
//!    }
//!    # let _ = rocket::routes![fill];
//!    ```
//!
//! # Guide
//!
//! [Start](guide::start), [configuration](guide::configuration), [settings](guide::settings),
//! [rights](guide::rights), [hooks](guide::hooks), [transactions](guide::transactions),
//! [Redis](guide::redis), [operating](guide::operating), [testing](guide::testing),
//! [guarantees](guide::guarantees).
//!
//! # What there is
//!
//! - Routes to create, list, watch, retry, cancel, pause and resume batches, and to list items and
//!   failed jobs, behind your own guards.
//! - [`BatchService`], the same for your handlers, without HTTP.
//! - Retries of chunks and of jobs with backoff; what stays bad is listed with its reasons.
//! - Batches in transactions of your own, beside your own rows.
//! - Hooks for the end of batches and jobs, called at least once.
//! - Codes that nobody guesses, unique by construction, that lead back to their item.
//! - A drain at shutdown that gives running jobs back at no cost.
//!
//! # The words
//!
//! A **batch** is a request for items. It is cut into **jobs**, which a queue hands to workers; a
//! worker makes the items of a job **chunk** by chunk, one transaction each. The **ledger**, tables
//! in a database, is the only truth: a queue may lose everything, and the **feeder** puts the
//! ledger's unfinished jobs back. Whoever begins a job raises its **epoch**, which fences everybody
//! who began it before.
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
//! Items of a batch are written exactly once, also when workers or the database crash, pause or
//! restart, as long as the database keeps its committed data. Jobs run at least once; so do hooks.
//! [Guarantees](guide::guarantees) says why, and what is not promised.
//!
//! # Features
//!
//! - `sqlite` (default): the embedded ledger. There is no other one yet, so the crate does not
//!   build without it.

#![deny(missing_docs)]
#![forbid(unsafe_code)]
// A panic in a worker or a request is a defect. Tests may panic, see clippy.toml.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("rocket_batch needs a database for its ledger: turn on the feature `sqlite` or `postgres`");

pub mod config;
#[doc(hidden)]
pub mod domain;
mod fairing;
#[cfg(feature = "sqlite")]
pub mod guide;
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
    BatchFinished, BatchId, BatchRecord, BatchStatus, FailedChunk, FailedJob, Invalid, Item, ItemOptions, JobCounts,
    JobEnded, Progress, RetryReport, SkippedJob, WaitingFor,
};
pub use fairing::{Batch, BatchFairing};
pub use http::Right;
pub use ledger::{BatchConnection, BatchDb, BatchPool, BoxError, NewItemRow, OtherDatabase};
#[cfg(feature = "redis")]
pub use queue::bullmq::{BatchRedis, RedisConnection};
pub use service::{BatchAccepted, BatchError, BatchService, Page, PageQuery, Readiness, Result};

/// The Rust of the README, compiled as documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
