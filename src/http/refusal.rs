//! Refusals by the state of things, as part of a handler's signature: which of them a route may
//! answer is told by a type.

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
    domain::{BatchId, BatchStatus, Change, ChangeRefused, RetryReport},
    service::BatchError,
};

/// A problem, which may also be one of those that `R` tells: what the state of a batch forbids is
/// part of a handler's signature.
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

/// The id of a new batch is in use.
pub(super) struct IdTaken;

impl Output for IdTaken {
    fn describe(operation: &mut Operation<'_>) {
        operation
            .problem("The id is in use; the batch that has it is untouched.", &BatchError::Taken(sample_id()).into());
    }
}

/// The status of a batch forbids it.
pub(super) struct WrongStatus;

impl Output for WrongStatus {
    fn describe(operation: &mut Operation<'_>) {
        let refused = ChangeRefused { status: BatchStatus::Completed, change: Change::Cancel };
        operation
            .problem("The status of the batch forbids it. Nothing was done.", &BatchError::NotAllowed(refused).into());
    }
}

/// A batch has no failed jobs.
pub(super) struct NoFailedJobs;

impl Output for NoFailedJobs {
    fn describe(operation: &mut Operation<'_>) {
        let report = RetryReport::of_none(sample_id(), BatchStatus::Running);
        let nothing = BatchError::NothingToRetry(Box::new(report));
        operation.problem("The batch has no failed jobs, also for the later of two at once.", &nothing.into());
    }
}

/// The jobs of a batch are forgotten.
pub(super) struct HistoryRemoved;

impl Output for HistoryRemoved {
    fn describe(operation: &mut Operation<'_>) {
        operation.problem(
            "The batch has been over for longer than `keep_history`, and the rows of its jobs were removed.",
            &BatchError::HistoryRemoved(sample_id()).into(),
        );
    }
}

impl<A: Output, B: Output> Output for (A, B) {
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
        B::describe(operation);
    }
}

fn sample_id() -> BatchId {
    BatchId::new(42).expect("in range")
}
