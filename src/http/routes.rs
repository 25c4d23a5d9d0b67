//! The routes: each reads its request, asks the service once, and answers.
//!
//! Handlers say all they take and answer in their signatures, from which the OpenAPI document is
//! made; what a path, a query or a body may hold is a type in [`input`], what a header may hold in
//! [`once`].

mod idempotency;
mod input;

use rocket::{get, post};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use self::input::settings_in_schemas;
use self::{
    idempotency::Idempotency,
    input::{BatchesQuery, CreateBatch, MayRead, PageParams, PathCode, PathId},
};
use super::{
    body::JsonBody,
    json_response::{Accepted, JsonResponse, Probe},
    openapi::{Endpoint, Tag, endpoint, endpoints},
    problem::Problem,
    refusal::{HistoryRemoved, IdTaken, NoFailedJobs, Refusal, WrongStatus},
};
use crate::{
    domain::{BatchRecord, FailedJob, Item, Progress, RetryReport},
    service::{BatchAccepted, BatchService, Page},
};

type Result<T, E = Problem> = std::result::Result<T, E>;

/// The routes that need a right.
pub(super) fn guarded() -> Vec<Endpoint> {
    let mut all = endpoints![Tag::Batches =>
        create_batch, list_batches, get_batch, get_progress, list_failed_jobs, retry_batch, cancel_batch, pause_batch, resume_batch];
    all.extend(endpoints![Tag::Items => list_items]);
    // `/items/<code>` meets `/<id>/items` and comes first. Rocket's attribute takes no rank below
    // 0.
    all.extend(endpoints![Tag::Items => find_item].into_iter().map(|endpoint| endpoint.ranked(-20)));
    all
}

/// The routes that probes may ask without credentials.
pub(super) fn open() -> Vec<Endpoint> {
    endpoints![Tag::Health => probe_live, probe_ready]
}

endpoint! {
    /// Accepts a batch; its items are made in the background.
    ///
    /// It is cut into jobs, which workers take in turns with those of other batches. The answer
    /// comes as soon as it is in the database; how far it is, its progress tells. Without `batchId`
    /// it gets the next free id. Sent again with the same `Idempotency-Key`, it is answered again
    /// and makes no second batch.
    #[post("/", data = "<body>")]
    async fn create_batch(
        batches: BatchService,
        once: Idempotency,
        body: JsonBody<CreateBatch>,
    ) -> Result<Accepted<BatchAccepted>, Refusal<IdTaken>> {
        let request = once.request_for(&body.0);
        let wish = body.0.checked(batches.default_options(), &batches.limits())?;
        let (accepted, answered) = batches.create(wish.batch_id, wish.quantity, wish.options, request).await?;
        Ok(Accepted { at: accepted.batch_id.to_string(), body: accepted, answered })
    }
}

endpoint! {
    /// Lists batches, the highest id first.
    #[get("/?<query..>")]
    async fn list_batches(batches: BatchService, query: BatchesQuery) -> Result<JsonResponse<Page<BatchRecord>>> {
        let (status, page) = query.checked()?;
        Ok(JsonResponse(batches.batches(status, page).await?))
    }
}

endpoint! {
    /// Shows a batch.
    #[get("/<id>")]
    async fn get_batch(batches: BatchService, id: PathId) -> Result<JsonResponse<BatchRecord>> {
        Ok(JsonResponse(batches.batch(id.number()?).await?))
    }
}

endpoint! {
    /// Shows how far a batch is.
    #[get("/<id>/progress")]
    async fn get_progress(batches: BatchService, id: PathId) -> Result<JsonResponse<Progress>> {
        Ok(JsonResponse(batches.get_batch_job_progress(id.number()?).await?))
    }
}

endpoint! {
    /// Lists the failed jobs of a batch, with the reasons.
    ///
    /// A page ends after 1 MB, and then has fewer entries than its limit: follow `nextCursor`.
    #[get("/<id>/failed-jobs?<query..>")]
    async fn list_failed_jobs(
        batches: BatchService,
        id: PathId,
        query: PageParams,
    ) -> Result<JsonResponse<Page<FailedJob>>, Refusal<HistoryRemoved>> {
        Ok(JsonResponse(batches.failed_jobs(id.number()?, query.checked()?).await?))
    }
}

endpoint! {
    /// Recreates the failed jobs of a batch.
    ///
    /// They get fresh attempts, and only the items that are missing are made. A batch that had
    /// failed runs again; a paused one stays paused.
    #[post("/<id>/retry")]
    async fn retry_batch(
        batches: BatchService,
        id: PathId,
    ) -> Result<JsonResponse<RetryReport>, Refusal<(WrongStatus, (NoFailedJobs, HistoryRemoved))>> {
        Ok(JsonResponse(batches.retry_failed_jobs(id.number()?).await?))
    }
}

endpoint! {
    /// Ends a batch now. What is written stays.
    ///
    /// Up to one chunk a running worker may still be written before the answer, none after it.
    #[post("/<id>/cancel")]
    async fn cancel_batch(batches: BatchService, id: PathId) -> Result<JsonResponse<BatchRecord>, Refusal<WrongStatus>> {
        Ok(JsonResponse(batches.cancel(id.number()?).await?))
    }
}

endpoint! {
    /// Holds a batch until it is resumed.
    ///
    /// Running jobs stop after their chunk, and no other begins.
    #[post("/<id>/pause")]
    async fn pause_batch(batches: BatchService, id: PathId) -> Result<JsonResponse<BatchRecord>, Refusal<WrongStatus>> {
        Ok(JsonResponse(batches.pause(id.number()?).await?))
    }
}

endpoint! {
    /// Lets a paused batch go on.
    #[post("/<id>/resume")]
    async fn resume_batch(batches: BatchService, id: PathId) -> Result<JsonResponse<BatchRecord>, Refusal<WrongStatus>> {
        Ok(JsonResponse(batches.resume(id.number()?).await?))
    }
}

endpoint! {
    /// Lists the items of a batch, by ordinal.
    #[get("/<id>/items?<query..>")]
    async fn list_items(batches: BatchService, id: PathId, query: PageParams) -> Result<JsonResponse<Page<Item>>> {
        Ok(JsonResponse(batches.items(id.number()?, query.checked()?).await?))
    }
}

endpoint! {
    /// Finds an item by its code.
    #[get("/items/<code>")]
    async fn find_item(batches: BatchService, code: PathCode<'_>) -> Result<JsonResponse<Item>> {
        Ok(JsonResponse(batches.item_by_code(code.0).await?))
    }
}

/// That the process answers at all.
#[derive(Debug, Serialize, JsonSchema)]
struct Live {
    /// Always `ok`.
    status: &'static str,
}

endpoint! {
    /// Tells a probe that the process answers.
    #[get("/health/live")]
    async fn probe_live() -> JsonResponse<Live> {
        JsonResponse(Live { status: "ok" })
    }
}

/// Whether the process can take requests.
#[derive(Debug, Serialize, JsonSchema)]
struct Ready {
    /// Whether it can.
    ready: bool,
    /// What is wrong, one sentence each; only for callers who may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    problems: Option<Vec<String>>,
}

endpoint! {
    /// Tells a probe whether the process can take requests.
    #[get("/health/ready")]
    async fn probe_ready(batches: BatchService, may_read: MayRead) -> Probe<Ready> {
        let readiness = batches.readiness().await;
        let problems = may_read.0.then_some(readiness.problems);
        Probe { good: readiness.ready, body: Ready { ready: readiness.ready, problems } }
    }
}
