//! The routes. Each handler reads its request, calls the service once and returns the result.
//!
//! The OpenAPI document is built from the signatures of the handlers. The types of paths, queries
//! and bodies are in [`input`] and in files of their own, those of the header `Idempotency-Key` in
//! [`idempotency`].
//!
//! Longer than other files, because the handlers are a list: each has a few lines and its
//! description.

mod audit;
mod caller_rights;
mod idempotency;
mod input;
mod reconciliation;
mod retry;

use rocket::{get, post};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use self::input::limits_in_schemas;
use self::{
    audit::AuditParams,
    caller_rights::CallerRights,
    idempotency::Idempotency,
    input::{BatchesQuery, CreateBatch, FailedJobsQuery, JobsQuery, MayRead, PageParams, PathCode, PathId},
    reconciliation::ReconciliationQuery,
    retry::RetryJobs,
};
use super::{
    body::{JsonBody, OptionalJsonBody},
    event_stream::{Caller, Events},
    fields::Fields,
    json_response::{Accepted, JsonResponse, Probe, Report},
    openapi::{Endpoint, Tag, endpoint, endpoints},
    problem::Problem,
    refusal::{HistoryRemoved, HookFailed, IdTaken, NoFailedJobs, NoGaps, Refusal, WrongStatus},
};
use crate::{
    domain::{
        AuditEntry, BatchRecord, CheckState, FailedJob, FailureGroup, Item, JobMap, JobRecord, Progress,
        Reconciliation, RepairReport, RetryReport, WorkerRecord,
    },
    service::{BatchAccepted, BatchPreview, BatchService, Page},
};

type Result<T, E = Problem> = std::result::Result<T, E>;

/// The routes that need a right.
pub(super) fn guarded() -> Vec<Endpoint> {
    let mut all = endpoints![Tag::Batches =>
        create_batch, preview_batch, list_batches, watch_batches, get_batch, get_progress, watch_batch, list_jobs,
        show_job_map, list_failed_jobs, list_failure_groups, list_audit, search_audit, reconcile_batch, retry_batch,
        repair_batch, cancel_batch,
        pause_batch, resume_batch];
    all.extend(endpoints![Tag::Items => list_items]);
    all.extend(endpoints![Tag::Workers => list_workers]);
    // `/items/<code>` collides with `/<id>/items` and must be tried first. Rocket's attribute does
    // not accept a negative rank.
    all.extend(endpoints![Tag::Items => find_item].into_iter().map(|endpoint| endpoint.ranked(-20)));
    all
}

/// The routes that are open without credentials, for callers that ask what they may do.
pub(super) fn unguarded() -> Vec<Endpoint> {
    endpoints![Tag::Batches => get_rights]
}

/// The routes that are open without credentials in every process, for health probes.
pub(super) fn open() -> Vec<Endpoint> {
    endpoints![Tag::Health => probe_live, probe_ready]
}

endpoint! {
    /// Creates a batch. Its items are created in the background.
    ///
    /// The batch is split into jobs. Workers take jobs of several batches in turn. The response is
    /// sent as soon as the batch is in the database; request its progress to follow the work.
    /// Without `batchId`, the batch gets the next free id. The same request with the same
    /// `Idempotency-Key` gets the same response and creates no second batch.
    #[post("/", data = "<body>")]
    async fn create_batch(
        batches: BatchService,
        idempotency: Idempotency,
        body: JsonBody<Fields<CreateBatch>>,
    ) -> Result<Accepted<BatchAccepted>, Refusal<IdTaken>> {
        let (body, wrong) = CreateBatch::read(body.0, &batches.limits());
        let options = body.options(batches.default_options());
        wrong.and(batches.check(body.quantity, &options))?;
        let request = idempotency.request_for(&body);
        let (accepted, answered) = batches.create(body.batch_id, body.quantity, options, request).await?;
        Ok(Accepted { path: accepted.batch_id.to_string(), body: accepted, answered })
    }
}

endpoint! {
    /// Previews a batch: its jobs, its estimated duration and the form of its codes.
    ///
    /// Takes the body of a new batch, and creates nothing. Every reason for which the batch would
    /// be refused is in `errors`, also a `batchId` that is already in use.
    #[post("/preview", data = "<body>")]
    async fn preview_batch(
        batches: BatchService,
        body: JsonBody<Fields<CreateBatch>>,
    ) -> Result<JsonResponse<BatchPreview>> {
        let (body, wrong) = CreateBatch::read(body.0, &batches.limits());
        let options = body.options(batches.default_options());
        let preview = batches.preview(body.batch_id, body.quantity, options).await;
        Ok(JsonResponse(wrong.and(preview)?))
    }
}

endpoint! {
    /// Lists batches, the highest id first.
    #[get("/?<query..>")]
    async fn list_batches(batches: BatchService, query: BatchesQuery) -> Result<JsonResponse<Page<BatchRecord>>> {
        let (status, page) = query.validate()?;
        Ok(JsonResponse(batches.batches(status, page).await?))
    }
}

endpoint! {
    /// Shows a batch.
    #[get("/<id>")]
    async fn get_batch(batches: BatchService, id: PathId) -> Result<JsonResponse<BatchRecord>> {
        Ok(JsonResponse(batches.batch(id.id()?).await?))
    }
}

endpoint! {
    /// Shows the progress of a batch.
    #[get("/<id>/progress")]
    async fn get_progress(batches: BatchService, id: PathId) -> Result<JsonResponse<Progress>> {
        Ok(JsonResponse(batches.get_batch_job_progress(id.id()?).await?))
    }
}

endpoint! {
    /// Watches a batch: its progress as Server-Sent Events.
    ///
    /// The first event is the present progress. Each later one follows a change, at most four a
    /// second. Its name is `progress`, or `finished` for the last one, after which the stream ends.
    /// A client that connects again gets the present progress first. The stream also ends when the
    /// server shuts down.
    #[get("/<id>/events")]
    async fn watch_batch(batches: BatchService, id: PathId, caller: Caller) -> Result<Events> {
        let watch = batches.watch_for(id.id()?, caller.0.as_deref()).await?;
        Ok(Events::of_batch(&batches, watch))
    }
}

endpoint! {
    /// Watches all batches: their progress as Server-Sent Events.
    ///
    /// The first event is named `snapshot`. Its data is `{"items": […]}` with the progress of the
    /// open batches, up to 1,000. Each later event is the progress of a batch that was created or
    /// changed, at most four a second for each batch. Its name is `progress`, or `finished` when
    /// the batch finished.
    #[get("/events")]
    fn watch_batches(batches: BatchService, caller: Caller) -> Result<Events> {
        let watch = batches.watch_all(caller.0.as_deref())?;
        Ok(Events::of_all(&batches, watch))
    }
}

endpoint! {
    /// Lists the jobs of a batch, by their numbers.
    ///
    /// A page is at most about 1 MB and looks at no more than 20,000 jobs. It may have fewer
    /// entries than its limit, or none, although more follow: continue until `nextCursor` is null.
    /// A batch that is not planned yet has no jobs.
    #[get("/<id>/jobs?<query..>")]
    async fn list_jobs(
        batches: BatchService,
        id: PathId,
        query: JobsQuery,
    ) -> Result<JsonResponse<Page<JobRecord>>, Refusal<HistoryRemoved>> {
        let (state, page) = query.validate()?;
        Ok(JsonResponse(batches.jobs(id.id()?, state, page).await?))
    }
}

endpoint! {
    /// Shows the states of the jobs of a batch at a glance, in at most 1,000 cells.
    ///
    /// A batch with more jobs has several jobs in each cell. A batch that is not planned yet has no
    /// cells.
    #[get("/<id>/job-map")]
    async fn show_job_map(
        batches: BatchService,
        id: PathId,
    ) -> Result<JsonResponse<JobMap>, Refusal<HistoryRemoved>> {
        Ok(JsonResponse(batches.job_map(id.id()?).await?))
    }
}

endpoint! {
    /// Groups the failed jobs of a batch by their errors, the group with the most jobs first.
    ///
    /// Errors that differ only in numbers, codes and quoted values are in one group. A page is at
    /// most about 1 MB. If jobs fail or are retried between two pages, a group may appear twice or
    /// be missing.
    #[get("/<id>/failure-groups?<query..>")]
    async fn list_failure_groups(
        batches: BatchService,
        id: PathId,
        query: PageParams,
    ) -> Result<JsonResponse<Page<FailureGroup>>, Refusal<HistoryRemoved>> {
        Ok(JsonResponse(batches.failure_groups(id.id()?, query.validate()?).await?))
    }
}

endpoint! {
    /// Lists the failed jobs of a batch, with their errors.
    ///
    /// A page is at most about 1 MB. It may have fewer entries than its limit although more follow:
    /// continue until `nextCursor` is null.
    #[get("/<id>/failed-jobs?<query..>")]
    async fn list_failed_jobs(
        batches: BatchService,
        id: PathId,
        query: FailedJobsQuery,
    ) -> Result<JsonResponse<Page<FailedJob>>, Refusal<HistoryRemoved>> {
        let (group, page) = query.validate()?;
        Ok(JsonResponse(batches.failed_jobs(id.id()?, group.as_deref(), page).await?))
    }
}

endpoint! {
    /// Lists who changed a batch, when and how, in the order of the changes.
    ///
    /// Each entry was stored together with its change and is never altered. It is kept as long as
    /// the batch, unless the setting `keep_audit` ends earlier. Without a known caller, `actor` is
    /// `unknown`.
    #[get("/<id>/audit?<query..>")]
    async fn list_audit(
        batches: BatchService,
        id: PathId,
        query: PageParams,
    ) -> Result<JsonResponse<Page<AuditEntry>>> {
        Ok(JsonResponse(batches.audit(id.id()?, query.validate()?).await?))
    }
}

endpoint! {
    /// Searches who changed which batch, the oldest change first.
    ///
    /// A page looks at no more than 20,000 entries. It may have fewer entries than its limit, or
    /// none, although more follow: continue until `nextCursor` is null.
    #[get("/audit?<query..>")]
    async fn search_audit(batches: BatchService, query: AuditParams) -> Result<JsonResponse<Page<AuditEntry>>> {
        Ok(JsonResponse(batches.audit_log(query.validate()?).await?))
    }
}

endpoint! {
    /// Retries failed jobs of a batch: all of them, or those that the body selects.
    ///
    /// Each selected job is recreated with a full number of attempts, and only its missing items
    /// are created. A failed batch runs again; a paused one stays paused. With `dryRun` nothing is
    /// changed, and the report says what the retry would do.
    #[post("/<id>/retry", data = "<body>")]
    async fn retry_batch(
        batches: BatchService,
        id: PathId,
        body: OptionalJsonBody<Fields<RetryJobs>>,
    ) -> Result<JsonResponse<RetryReport>, Refusal<(WrongStatus, (NoFailedJobs, HistoryRemoved))>> {
        Ok(JsonResponse(batches.retry_selected_jobs(id.id()?, RetryJobs::read(body.0)?).await?))
    }
}

endpoint! {
    /// Compares the items of a batch with its plan: what is missing, what is too much, and with
    /// `codes` which codes are wrong.
    ///
    /// Reads the items themselves, not the counts. A batch of more than 100,000 items is checked in
    /// the background: the response is 202 until the report is finished. A finished report is
    /// returned for 10 minutes; `checkedAt` says when it was made. Each list has at most 1,000
    /// entries; the totals are exact.
    #[get("/<id>/reconciliation?<query..>")]
    async fn reconcile_batch(
        batches: BatchService,
        id: PathId,
        query: ReconciliationQuery,
    ) -> Result<Report<Reconciliation>> {
        let body = batches.reconciliation(id.id()?, query.validate()?).await?;
        Ok(Report { is_finished: body.state == CheckState::Finished, body })
    }
}

endpoint! {
    /// Repairs a batch: writes the missing items of completed jobs again.
    ///
    /// Each of these jobs is recreated with a full number of attempts. Only its missing items are
    /// created, with the same codes as before. A completed batch runs again; a paused one stays
    /// paused. Items beyond the quantity and wrong codes are left as they are; failed jobs are for
    /// a retry.
    #[post("/<id>/reconciliation/repair")]
    async fn repair_batch(
        batches: BatchService,
        id: PathId,
    ) -> Result<JsonResponse<RepairReport>, Refusal<(WrongStatus, (NoGaps, HistoryRemoved))>> {
        Ok(JsonResponse(batches.repair(id.id()?).await?))
    }
}

endpoint! {
    /// Cancels a batch. Its existing items stay.
    ///
    /// Each running worker may insert one more chunk before the response is sent, and none after
    /// it.
    #[post("/<id>/cancel")]
    async fn cancel_batch(
        batches: BatchService,
        id: PathId,
    ) -> Result<JsonResponse<BatchRecord>, Refusal<(WrongStatus, HookFailed)>> {
        Ok(JsonResponse(batches.cancel(id.id()?).await?))
    }
}

endpoint! {
    /// Pauses a batch until it is resumed.
    ///
    /// Running jobs stop after their current chunk, and no further jobs start.
    #[post("/<id>/pause")]
    async fn pause_batch(batches: BatchService, id: PathId) -> Result<JsonResponse<BatchRecord>, Refusal<WrongStatus>> {
        Ok(JsonResponse(batches.pause(id.id()?).await?))
    }
}

endpoint! {
    /// Resumes a paused batch.
    #[post("/<id>/resume")]
    async fn resume_batch(
        batches: BatchService,
        id: PathId,
    ) -> Result<JsonResponse<BatchRecord>, Refusal<WrongStatus>> {
        Ok(JsonResponse(batches.resume(id.id()?).await?))
    }
}

endpoint! {
    /// Lists the items of a batch, by ordinal.
    #[get("/<id>/items?<query..>")]
    async fn list_items(batches: BatchService, id: PathId, query: PageParams) -> Result<JsonResponse<Page<Item>>> {
        Ok(JsonResponse(batches.items(id.id()?, query.validate()?).await?))
    }
}

endpoint! {
    /// Finds an item by its code.
    #[get("/items/<code>")]
    async fn find_item(batches: BatchService, code: PathCode<'_>) -> Result<JsonResponse<Item>> {
        Ok(JsonResponse(batches.item_by_code(code.0).await?))
    }
}

endpoint! {
    /// Lists the processes that use the ledger, the oldest first: those that run jobs, and those
    /// that only serve requests.
    ///
    /// Each process reports itself every ten seconds. One that ends is gone at once, one that was
    /// killed within a minute. There is one page of at most 1,000 processes.
    #[get("/workers")]
    async fn list_workers(batches: BatchService) -> Result<JsonResponse<Page<WorkerRecord>>> {
        Ok(JsonResponse(batches.workers().await?))
    }
}

endpoint! {
    /// Shows what the caller may do.
    ///
    /// Runs the same guards as the other routes, so that a page can show only what is allowed.
    /// Needs no credentials; without them, the response says what anonymous callers may do.
    #[get("/rights")]
    fn get_rights(rights: CallerRights) -> JsonResponse<CallerRights> {
        JsonResponse(rights)
    }
}

/// Shows that the process responds.
#[derive(Debug, Serialize, JsonSchema)]
struct Live {
    /// Always `ok`.
    status: &'static str,
}

endpoint! {
    /// Checks that the process responds.
    #[get("/health/live")]
    fn probe_live() -> JsonResponse<Live> {
        JsonResponse(Live { status: "ok" })
    }
}

/// Whether the process can handle requests.
#[derive(Debug, Serialize, JsonSchema)]
struct Ready {
    /// Whether the process can handle requests.
    ready: bool,
    /// What is wrong, one entry each; only for callers with the right to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    problems: Option<Vec<String>>,
}

endpoint! {
    /// Checks whether the process can handle requests.
    #[get("/health/ready")]
    async fn probe_ready(batches: BatchService, may_read: MayRead) -> Probe<Ready> {
        let readiness = batches.readiness().await;
        let problems = may_read.0.then_some(readiness.problems);
        Probe { is_ready: readiness.ready, body: Ready { ready: readiness.ready, problems } }
    }
}
