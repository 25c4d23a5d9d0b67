//! Generates millions of unique product codes in the background of your Rocket app, each stored
//! exactly once. Not a general job queue.
//!
//! Attach one fairing. It mounts documented routes, starts workers, and on shutdown finishes or
//! returns running work. A batch is accepted in milliseconds and split into jobs; workers insert
//! its items in small transactions. By default no server is needed: the ledger is a SQLite file,
//! and the queue is in the process. Scaling out needs configuration only: a PostgreSQL URL for the
//! ledger, and `REDIS_HOST` for queues that any number of processes share.
//!
//! # Usage
//!
//! 1. Add `rocket_batch` beside `rocket` to your `Cargo.toml`. The default features compile SQLite
//!    from source, which needs a C compiler.
//! 2. Optionally configure it, in `Rocket.toml`. By default at most 5 jobs start per 10 seconds:
//!
//!    ```toml
//!    [default.databases.batch]
//!    url = "sqlite://batch.db"
//!
//!    [default.batch.generate]
//!    rate_limit = "off"
//!    ```
//!
//! 3. Attach [`Batch::fairing`] and choose who may call its routes. Every route is denied until you
//!    choose a guard; this example allows every request:
//!
//!    ```rust
//!    use rocket_batch::Batch;
//!
//!    # fn host() -> rocket::Rocket<rocket::Build> {
//!    rocket::build().attach(Batch::fairing().public()) // routes under /batches, workers, drain
//!    # }
//!    ```
//!
//! 4. Post a batch, `{"quantity": 5000}`, to `/batches`, and get its progress from
//!    `/batches/1/progress`. Or create it in a handler of your own:
//!
//!    ```rust
//!    use rocket::{post, serde::json::Json};
//!    use rocket_batch::{BatchAccepted, BatchError, BatchService, ItemOptions};
//!
//!    /// Creates the items of a product batch in the background.
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
//! In the order of a new user's questions: [start](guide::start), [recipes](guide::recipes),
//! [item writers](guide::item_writers), [transactions](guide::transactions),
//! [hooks](guide::hooks), [tables](guide::tables), [rights](guide::rights),
//! [OpenAPI](guide::openapi), [testing](guide::testing), [configuration](guide::configuration),
//! [settings](guide::settings), [Redis](guide::redis), [operating](guide::operating),
//! [reconciliation](guide::reconciliation),
//! [metrics](guide::metrics), [log](guide::logs), [guarantees](guide::guarantees),
//! [coming from Node](guide::coming_from_node).
//!
//! # What it offers
//!
//! - Routes to create, list, follow, retry, cancel, pause and resume batches, and to list items and
//!   failed jobs, behind your own guards, with an OpenAPI document.
//! - [`BatchService`], the same operations for your handlers, without HTTP.
//! - Retries of chunks and of jobs with backoff. Chunks that still fail are listed with their
//!   errors.
//! - Batches in your own transactions, together with your own rows.
//! - Item writers: your own rows in the transaction that inserts the items.
//! - Finish hooks: your own rows in the transaction that finishes a batch, exactly once. Other
//!   hooks are called at least once for each finished batch or job.
//! - Codes that are unguessable, unique by construction, and lead back to their item.
//! - A drain at shutdown that gives running jobs back without spending an attempt.
//!
//! # Terms
//!
//! A **batch** is a request for items. It is split into **jobs**, which a queue hands to workers. A
//! worker inserts the items of a job **chunk** by chunk, one transaction each. The **ledger**, a
//! set of database tables, is the only source of truth: a queue may lose everything, because the
//! **feeder** adds the ledger's unfinished jobs to it again. A worker that claims a job raises its
//! **epoch**, which invalidates every earlier claim.
//!
//! ```text
//!                  POST /batches                        one transaction per chunk:
//!                       │ 202, at once                  check claim, insert items, add to counts
//!                       ▼                                      ▲
//!   host ──▶ BatchService ──▶ LEDGER ──feeder──▶ queue ──▶ worker ──finish attempt──▶ LEDGER
//!                              batch + jobs      5 / 10 s                 last job: close batch, call hooks
//! ```
//!
//! # Guarantees
//!
//! The items of a batch are written exactly once, even if workers, the queue or the database crash,
//! pause or restart, as long as the database keeps its committed data. Jobs and hooks run at least
//! once. [The guide](guide::guarantees) describes why, and what is not guaranteed.
//!
//! # Features
//!
//! All but `prometheus` are enabled by default. At least one of `sqlite` and `postgres` is
//! required.
//!
//! - `sqlite`: the embedded ledger in a SQLite file. It uses the same `libsqlite3-sys` as your own
//!   database library, see [start](guide::start).
//! - `postgres`: the ledger in a PostgreSQL server, shared by several processes.
//! - `redis`: BullMQ's queues in Redis, shared by several processes. Without it, the launch fails
//!   if `REDIS_HOST` is set.
//! - `swagger-ui`: a page at `<base>/docs` that shows the OpenAPI document with Swagger UI. It adds
//!   1.8 MB to the binary.
//! - `dashboard`: the live page at `<base>/dashboard`, see [its guide](guide::dashboard). It adds
//!   about 0.15 MB to the binary.
//! - `metrics`: counts what the process does, for the recorder that your app installs, see
//!   [its guide](guide::metrics).
//! - `prometheus`: serves the metrics at `<base>/metrics` if your app installs no recorder.

#![deny(missing_docs)]
// Whatever a host can receive it can name.
#![cfg_attr(not(rocket_batch_internals), deny(unnameable_types))]
#![forbid(unsafe_code)]
// Workers and requests must not panic. Tests may, see clippy.toml.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("rocket_batch needs a database for its ledger: enable the feature `sqlite` or `postgres`");

pub mod config;
#[cfg(not(rocket_batch_internals))]
mod domain;
#[cfg(rocket_batch_internals)]
#[doc(hidden)]
pub mod domain;
mod fairing;
#[cfg(any(feature = "sqlite", doc))]
pub mod guide;
mod http;
#[cfg(not(rocket_batch_internals))]
mod ledger;
#[cfg(rocket_batch_internals)]
#[doc(hidden)]
pub mod ledger;
mod live;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(not(rocket_batch_internals))]
mod queue;
#[cfg(rocket_batch_internals)]
#[doc(hidden)]
pub mod queue;
mod service;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod telemetry;
mod trace;
mod worker;

pub use config::Config;
/// The crate that pools the connections of [`BatchRedis`], for its error types.
#[cfg(feature = "redis")]
pub use deadpool_redis;
pub use domain::{
    AuditAction, AuditEntry, BatchFinished, BatchId, BatchRecord, BatchStatus, Change, ChangeRefused, CheckState,
    CodeCheck, FailedChunk, FailedJob, FailureExample, FailureGroup, Invalid, InvalidFields, InvalidTraceParent, Item,
    ItemOptions, JobCounts, JobFinished, JobMap, JobRecord, JobState, OrdinalRange, ProcessId, Progress,
    Reconciliation, ReconciliationOptions, RepairReport, RetryOptions, RetryReport, SkippedJob, TraceParent,
    WaitingFor, WorkerRecord, WrongCode,
};
pub use fairing::{Batch, BatchFairing};
pub use http::{MergeError, Right, catchers};
pub use ledger::{
    BatchConnection, BatchDb, BatchInfo, BatchPool, BoxError, LedgerError, NewItemRow, OpenError, WrongDatabaseKind,
};
#[cfg(feature = "redis")]
pub use queue::{
    QueueError,
    bullmq::{BatchRedis, RedisConnection, RedisPool},
};
pub use service::{
    AuditQuery, BatchAccepted, BatchError, BatchPreview, BatchService, CodeForm, HookContext, HostTransaction,
    ItemContext, MissingState, Page, PageQuery, ProgressStream, Readiness, Result,
};
pub use trace::{Relation, TracePropagator};

/// The Rust blocks of the README, compiled as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
