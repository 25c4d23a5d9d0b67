//! Server-Sent Events: the progress of one batch, or of all batches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::Utc;
use rocket::{
    Request, Response,
    futures::{Stream, StreamExt as _, stream, stream::BoxStream},
    outcome::Outcome,
    request::{self, FromRequest},
    response::{
        self, Responder,
        stream::{Event, EventStream},
    },
};
use serde::Serialize;
use serde_json::json;

use super::{
    headers::NO_STORE,
    openapi::{Input, Operation, Output},
    problem::Problem,
    rights::Rights,
};
use crate::{
    domain::Progress,
    live::{AllEvent, Watch, WatchAll},
    service::{BatchError, BatchService},
};

/// The interval of comments that keep an idle connection open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it connects again. Sent at the start of the stream.
const RECONNECT_AFTER: Duration = Duration::from_secs(2);

/// The caller, if the host identifies callers.
pub(super) struct Caller(pub Option<String>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Caller {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let rights = request.rocket().state::<Rights>();
        Outcome::Success(Self(rights.and_then(|rights| rights.actor(request))))
    }
}

impl Input for Caller {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        let too_many = Problem::from(BatchError::TooManyWatchersOfCaller);
        operation.problem("This caller has 20 event streams open.", &too_many);
    }
}

/// 200 with a stream of events, which ends at the start of a shutdown.
pub(super) struct Events(BoxStream<'static, Event>);

impl Events {
    /// The events of one batch. The one of the finished batch is the last.
    pub fn of_batch(batches: &BatchService, watch: Watch) -> Self {
        let progress = stream::unfold(watch, async |mut watch| Some((watch.next().await?, watch)));
        Self::new(batches, progress.map(|progress| progress_event(&progress)))
    }

    /// The events of all batches.
    pub fn of_all(batches: &BatchService, watch: WatchAll) -> Self {
        let event = |event| match event {
            AllEvent::Snapshot(batches) => snapshot_event(&batches),
            AllEvent::Changed(progress) => progress_event(&progress),
        };
        let events = stream::unfold(watch, async |mut watch| Some((watch.next().await?, watch)));
        Self::new(batches, events.map(event))
    }

    fn new(batches: &BatchService, events: impl Stream<Item = Event> + Send + 'static) -> Self {
        let first = stream::once(std::future::ready(Event::retry(RECONNECT_AFTER)));
        Self(first.chain(events).take_until(batches.draining()).boxed())
    }
}

/// The open batches as the first event.
fn snapshot_event(batches: &[Arc<Progress>]) -> Event {
    let items: Vec<&Progress> = batches.iter().map(|progress| &**progress).collect();
    event_of("snapshot", &json!({ "items": items }))
}

fn progress_event(progress: &Progress) -> Event {
    event_of(if progress.status.is_finished() { "finished" } else { "progress" }, progress)
}

fn event_of(name: &'static str, data: &impl Serialize) -> Event {
    Event::json(data).event(name).id(next_id().to_string())
}

/// An id for the next event: the time in milliseconds, or one more than the last id if that is
/// larger.
fn next_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
    let next = |last: u64| now.max(last + 1);
    next(LAST.fetch_update(Relaxed, Relaxed, |last| Some(next(last))).unwrap_or_else(|last| last))
}

impl<'r> Responder<'r, 'r> for Events {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'r> {
        let events = EventStream::from(self.0).heartbeat(HEARTBEAT);
        Response::build_from(events.respond_to(request)?)
            .raw_header(NO_STORE.0, NO_STORE.1)
            // The connection closes with the stream, so that a shutdown need not wait for it.
            .raw_header("Connection", "close")
            // Without this header nginx collects events before it sends them.
            .raw_header("X-Accel-Buffering", "no")
            .ok()
    }
}

impl Output for Events {
    fn describe(operation: &mut Operation<'_>) {
        operation.event_response::<Progress>("Server-Sent Events.");
        let too_many = Problem::from(BatchError::TooManyWatchers);
        operation.problem("The process has as many event streams as it can have.", &too_many);
    }
}
