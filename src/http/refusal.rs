//! Refusals that depend on the state of a batch. A handler lists its own in the error type of its
//! signature, as `Refusal<(WrongStatus, NoFailedJobs)>`.

use std::marker::PhantomData;

use rocket::{
    Request,
    response::{self, Responder},
};

use super::{
    openapi::{Operation, Output},
    problem::Problem,
};
use crate::{
    domain::{BatchId, BatchStatus, Change, ChangeRefused, RepairReport, RetryReport},
    service::BatchError,
};

/// A problem, with the possible reasons `R` in its type for the OpenAPI document.
pub(super) struct Refusal<R> {
    problem: Problem,
    reasons: PhantomData<R>,
}

impl<R, E: Into<Problem>> From<E> for Refusal<R> {
    fn from(error: E) -> Self {
        Self { problem: error.into(), reasons: PhantomData }
    }
}

impl<'r, R> Responder<'r, 'static> for Refusal<R> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        self.problem.respond_to(request)
    }
}

impl<R: Output> Output for Refusal<R> {
    fn describe(operation: &mut Operation<'_>) {
        Problem::describe(operation);
        R::describe(operation);
    }
}

/// The id of the new batch is already in use.
pub(super) struct IdTaken;

impl Output for IdTaken {
    fn describe(operation: &mut Operation<'_>) {
        operation.problem(
            "The id is already in use. The existing batch is unchanged.",
            &Problem::from(BatchError::IdInUse(example_id())),
        );
    }
}

/// The status of the batch does not allow the change.
pub(super) struct WrongStatus;

impl Output for WrongStatus {
    fn describe(operation: &mut Operation<'_>) {
        let refused = ChangeRefused { status: BatchStatus::Completed, change: Change::Cancel };
        operation.problem(
            "The status of the batch does not allow this. Nothing was changed.",
            &Problem::from(BatchError::NotAllowed(refused)),
        );
    }
}

/// The finish hook of the host returned an error.
pub(super) struct HookFailed;

impl Output for HookFailed {
    fn describe(operation: &mut Operation<'_>) {
        let error = BatchError::HookFailed("the invoice is paid".into());
        operation.problem("The finish hook of the app refused. Nothing was changed.", &Problem::from(error));
    }
}

/// The batch has no failed jobs.
pub(super) struct NoFailedJobs;

impl Output for NoFailedJobs {
    fn describe(operation: &mut Operation<'_>) {
        let report = RetryReport::empty(example_id(), BatchStatus::Running);
        let error = BatchError::NothingToRetry(Box::new(report));
        operation.problem(
            "The batch has no failed jobs. Of two retries at the same time, the second one gets this.",
            &Problem::from(error),
        );
    }
}

/// No completed job misses items.
pub(super) struct NoGaps;

impl Output for NoGaps {
    fn describe(operation: &mut Operation<'_>) {
        let report = RepairReport::empty(example_id(), BatchStatus::Completed);
        let error = BatchError::NothingToRepair(Box::new(report));
        operation.problem(
            "No completed job misses items. Of two repairs at the same time, the second one gets this.",
            &Problem::from(error),
        );
    }
}

/// The rows of the batch's jobs were deleted.
pub(super) struct HistoryRemoved;

impl Output for HistoryRemoved {
    fn describe(operation: &mut Operation<'_>) {
        operation.problem(
            "The batch finished longer ago than `keep_history`, and the rows of its jobs were deleted.",
            &Problem::from(BatchError::HistoryRemoved(example_id())),
        );
    }
}

impl<A: Output, B: Output> Output for (A, B) {
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
        B::describe(operation);
    }
}

/// The id of a batch in examples.
#[expect(clippy::expect_used, reason = "42 is in range")]
pub(super) fn example_id() -> BatchId {
    BatchId::new(42).expect("42 is in range")
}
