//! The spans of this crate, and how they become parts of distributed traces.
//!
//! ```text
//!   request ──▶ create ──▶ (the batch keeps the context of `create`)
//!                                   ┆
//!                     attempt ──▶ chunk      on any process, as often as jobs run
//!                     hook
//! ```
//!
//! Names and fields follow the semantic conventions of OpenTelemetry, version 1.44: HTTP for
//! `request`, messaging for the others. Without a [`TracePropagator`] there is only the span
//! `attempt` with its ids, so that the log stays short.

use std::{fmt, sync::Arc};

use tracing::Span;

use crate::domain::{Attempt, JobId, TraceParent};

/// Connects the spans of this crate with the traces of your exporter.
///
/// An implementation for OpenTelemetry has ten lines, see [the guide](crate::guide::traces). The
/// exporter is yours, and so is the version of its crates. `()` is an implementation that connects
/// nothing: the spans are made, and carry the position of their batch in the field `traceparent`.
pub trait TracePropagator: Send + Sync + 'static {
    /// Continues the trace at `position` with `span`, which was created just now and has not been
    /// entered.
    fn connect(&self, span: &Span, position: &TraceParent, relation: Relation);

    /// Returns the position of `span`, which the batch keeps. For `None` it keeps the position of
    /// the request.
    fn position(&self, span: &Span) -> Option<TraceParent>;
}

impl TracePropagator for () {
    fn connect(&self, _: &Span, _: &TraceParent, _: Relation) {}

    fn position(&self, _: &Span) -> Option<TraceParent> {
        None
    }
}

/// How a span relates to the position that it continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Relation {
    /// The span serves the request that sent the position: make the position its parent.
    Request,
    /// The span is part of the work on a batch that was created there, maybe long ago and on
    /// another process. The conventions want a link; make it the parent as well to have one trace
    /// of the whole batch.
    Batch,
}

/// Makes the spans.
#[derive(Clone, Default)]
pub(crate) struct Traces(Option<Arc<dyn TracePropagator>>);

const SYSTEM: &str = "rocket_batch";

impl Traces {
    pub fn new(propagator: Option<Arc<dyn TracePropagator>>) -> Self {
        Self(propagator)
    }

    /// The span of a request to a route of this crate.
    pub fn request(&self, method: &str, route: &str, from: Option<&TraceParent>) -> Span {
        if self.0.is_none() {
            return Span::none();
        }
        let name = format!("{method} {route}");
        let span = tracing::info_span!(
            "request",
            otel.name = name,
            otel.kind = "server",
            http.request.method = method,
            http.route = route,
            http.response.status_code = tracing::field::Empty,
            "error.type" = tracing::field::Empty,
        );
        self.connect(&span, from, Relation::Request);
        span
    }

    /// The span of the creation of a batch of `jobs` jobs in the queue `destination`. Inside of
    /// another span it is a part of that one's trace, otherwise of the trace of its request.
    pub fn create(&self, destination: &str, jobs: u64, from: Option<&TraceParent>) -> Span {
        if self.0.is_none() {
            return Span::none();
        }
        let is_inside = !Span::current().is_none();
        let name = format!("send {destination}");
        let span = tracing::info_span!(
            "create",
            otel.name = name,
            otel.kind = "producer",
            messaging.system = SYSTEM,
            messaging.operation.name = "send",
            "messaging.operation.type" = "send",
            messaging.destination.name = destination,
            messaging.batch.message_count = (jobs > 1).then_some(jobs),
            batch = tracing::field::Empty,
            "error.type" = tracing::field::Empty,
        );
        self.connect(&span, from.filter(|_| !is_inside), Relation::Request);
        span
    }

    /// The span of an attempt at a job.
    pub fn attempt(&self, destination: &str, job: JobId, attempt: Attempt, from: Option<&TraceParent>) -> Span {
        let (batch, number) = (job.batch, attempt.number());
        if self.0.is_none() {
            return tracing::info_span!("attempt", %batch, %job, attempt = number);
        }
        let name = format!("process {destination}");
        let span = tracing::info_span!(
            "attempt",
            %batch,
            %job,
            attempt = number,
            otel.name = name,
            otel.kind = "consumer",
            messaging.system = SYSTEM,
            messaging.operation.name = "process",
            "messaging.operation.type" = "process",
            messaging.destination.name = destination,
            messaging.message.id = %job,
            traceparent = from.map(TraceParent::as_str),
            "error.type" = tracing::field::Empty,
        );
        self.connect(&span, from, Relation::Batch);
        span
    }

    /// The span of one chunk of the current attempt: `items` items from ordinal `first`.
    pub fn chunk(&self, first: u64, items: u64) -> Span {
        if self.0.is_none() {
            return Span::none();
        }
        tracing::debug_span!("chunk", otel.name = "insert chunk", first, items, "error.type" = tracing::field::Empty,)
    }

    /// The span of a call of a hook of the kind `kind`, whose row has this `id`.
    pub fn hook(&self, destination: &str, kind: &str, id: i64, from: Option<&TraceParent>) -> Span {
        if self.0.is_none() {
            return Span::none();
        }
        let name = format!("process {destination}");
        let span = tracing::info_span!(
            "hook",
            otel.name = name,
            otel.kind = "consumer",
            messaging.system = SYSTEM,
            messaging.operation.name = "process",
            "messaging.operation.type" = "process",
            messaging.destination.name = destination,
            messaging.message.id = id.to_string(),
            kind,
            traceparent = from.map(TraceParent::as_str),
            "error.type" = tracing::field::Empty,
        );
        self.connect(&span, from, Relation::Batch);
        span
    }

    /// The position of `span`, for what continues it later.
    pub fn position(&self, span: &Span) -> Option<TraceParent> {
        self.0.as_ref().filter(|_| !span.is_none()).and_then(|propagator| propagator.position(span))
    }

    fn connect(&self, span: &Span, position: Option<&TraceParent>, relation: Relation) {
        if let (Some(propagator), Some(position)) = (&self.0, position) {
            propagator.connect(span, position, relation);
        }
    }
}

/// Records that what `span` stands for failed, with a cause from a small set.
pub(crate) fn record_error(span: &Span, cause: &str) {
    span.record("error.type", cause);
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.0.is_some()).finish()
    }
}
