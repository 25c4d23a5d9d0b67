//! The routes: each reads its request, asks the service once, and answers.
//!
//! Handlers say all they take and answer in their signatures; what a path, a query or a body may hold is a type in [`input`], what a
//! header may hold in [`once`].

mod input;
mod once;

use rocket::{Route, get, post, routes};
use serde::Serialize;

use self::{
    input::{BatchesQuery, NewBatch, PageParams, PathId},
    once::Once,
};
use super::{
    answer::{Accepted, Answer, Probe},
    body::JsonBody,
    problem::Problem,
};
use crate::{
    domain::{BatchRecord, FailedJob, Item, Progress, RetryReport},
    service::{BatchAccepted, BatchService, Page},
};

type Result<T> = std::result::Result<T, Problem>;

/// The routes that need a right.
pub(super) fn guarded() -> Vec<Route> {
    let mut all = routes![create, batches, batch, progress, failed_jobs, retry, cancel, pause, resume, items];
    all.extend(routes![item].into_iter().map(before_items_of_a_batch));
    all
}

/// `/items/<code>` meets `/<id>/items` and comes first. Rocket's attribute takes no rank below 0.
fn before_items_of_a_batch(mut route: Route) -> Route {
    route.rank = -20;
    route
}

/// The routes that probes may ask without credentials.
pub(super) fn open() -> Vec<Route> {
    routes![live, ready]
}

/// Accepts a batch; its items are made in the background. Sent again with the same `Idempotency-Key`, it is answered again and makes no
/// second batch.
#[post("/", data = "<body>")]
async fn create(batches: BatchService, once: Once, body: JsonBody<NewBatch>) -> Result<Accepted<BatchAccepted>> {
    let request = once.request_for(&body.0);
    let wish = body.0.checked(batches.default_options(), &batches.limits())?;
    let (accepted, answered) = batches.create(wish.batch_id, wish.quantity, wish.options, request).await?;
    Ok(Accepted { at: accepted.batch_id.to_string(), body: accepted, answered })
}

/// Lists batches, the highest id first.
#[get("/?<query..>")]
async fn batches(batches: BatchService, query: BatchesQuery) -> Result<Answer<Page<BatchRecord>>> {
    let (status, page) = query.checked()?;
    Ok(Answer(batches.batches(status, page).await?))
}

/// Shows a batch.
#[get("/<id>")]
async fn batch(batches: BatchService, id: PathId) -> Result<Answer<BatchRecord>> {
    Ok(Answer(batches.batch(id.number()?).await?))
}

/// Shows how far a batch is.
#[get("/<id>/progress")]
async fn progress(batches: BatchService, id: PathId) -> Result<Answer<Progress>> {
    Ok(Answer(batches.get_batch_job_progress(id.number()?).await?))
}

/// Lists the failed jobs of a batch, with the reasons.
#[get("/<id>/failed-jobs?<query..>")]
async fn failed_jobs(batches: BatchService, id: PathId, query: PageParams) -> Result<Answer<Page<FailedJob>>> {
    Ok(Answer(batches.failed_jobs(id.number()?, query.checked()?).await?))
}

/// Recreates the failed jobs of a batch.
#[post("/<id>/retry")]
async fn retry(batches: BatchService, id: PathId) -> Result<Answer<RetryReport>> {
    Ok(Answer(batches.retry_failed_jobs(id.number()?).await?))
}

/// Ends a batch now. What is written stays.
#[post("/<id>/cancel")]
async fn cancel(batches: BatchService, id: PathId) -> Result<Answer<BatchRecord>> {
    Ok(Answer(batches.cancel(id.number()?).await?))
}

/// Holds a batch until it is resumed.
#[post("/<id>/pause")]
async fn pause(batches: BatchService, id: PathId) -> Result<Answer<BatchRecord>> {
    Ok(Answer(batches.pause(id.number()?).await?))
}

/// Lets a paused batch go on.
#[post("/<id>/resume")]
async fn resume(batches: BatchService, id: PathId) -> Result<Answer<BatchRecord>> {
    Ok(Answer(batches.resume(id.number()?).await?))
}

/// Lists the items of a batch.
#[get("/<id>/items?<query..>")]
async fn items(batches: BatchService, id: PathId, query: PageParams) -> Result<Answer<Page<Item>>> {
    Ok(Answer(batches.items(id.number()?, query.checked()?).await?))
}

/// Finds an item by its code.
#[get("/items/<code>")]
async fn item(batches: BatchService, code: &str) -> Result<Answer<Item>> {
    Ok(Answer(batches.item_by_code(code).await?))
}

/// That the process answers at all.
#[derive(Debug, Serialize)]
struct Live {
    status: &'static str,
}

/// Tells a probe that the process answers.
#[get("/health/live")]
fn live() -> Answer<Live> {
    Answer(Live { status: "ok" })
}

/// Whether the process can take requests; what is wrong is told to those who may read.
#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<Vec<String>>,
}

/// Tells a probe whether the process can take requests.
#[get("/health/ready")]
async fn ready(batches: BatchService, may_read: input::MayRead) -> Probe<Ready> {
    let readiness = batches.readiness().await;
    let problems = may_read.0.then_some(readiness.problems);
    Probe { good: readiness.ready, body: Ready { ready: readiness.ready, problems } }
}
