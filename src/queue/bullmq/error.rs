//! Errors of Redis, and how they become errors of the queue.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::claim::OtherLedger;
use crate::queue::contract::QueueError;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(super) type BoxResult<T> = Result<T, BoxError>;

/// The Redis user lacks a permission that a queue needs.
#[derive(Debug, thiserror::Error)]
#[error("{0}; the guide lists the minimal permissions on its page about Redis")]
pub(super) struct Forbidden(pub String);

/// Returns whether Redis denied a permission. The connection is still usable then.
pub(super) fn is_permission_error(error: &BoxError) -> bool {
    server_error(error) == Some(ServerErrorKind::NoPerm)
}

/// Turns a denied permission into [`Forbidden`].
pub(super) fn forbidden(error: BoxError) -> BoxError {
    if is_permission_error(&error) { Forbidden(error.to_string()).into() } else { error }
}

/// Adds a hint to an error which shows that a cluster node was configured as a standalone server.
pub(super) fn explain_cluster_node(error: BoxError) -> BoxError {
    match server_error(&error) {
        Some(ServerErrorKind::Moved | ServerErrorKind::CrossSlot) => {
            format!("{error}; the server is a node of a cluster, set `redis.nodes` instead of `redis.host`").into()
        }
        _ => error,
    }
}

fn server_error(error: &BoxError) -> Option<ServerErrorKind> {
    match error.downcast_ref::<RedisError>()?.kind() {
        ErrorKind::Server(kind) => Some(kind),
        _ => None,
    }
}

/// The error of a call that exceeded its timeout.
pub(super) fn timed_out(limit: Duration) -> BoxError {
    format!("no response within {limit:?}").into()
}

/// The error of a queue that could not be opened.
pub(super) fn open_error(queue: &str, source: BoxError) -> QueueError {
    if source.is::<Forbidden>() {
        QueueError::Forbidden { queue: queue.to_owned(), source }
    } else {
        unavailable(queue, source)
    }
}

/// The error of a call that failed, by its cause.
pub(super) fn unavailable(queue: &str, source: impl Into<BoxError>) -> QueueError {
    let (queue, source) = (queue.to_owned(), source.into());
    if source.is::<OtherLedger>() {
        return QueueError::OtherLedger { queue };
    }
    QueueError::Unavailable { queue, source }
}
