//! One call of a handler, which a panic does not escape.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;

use super::contract::{Disposition, Handler, ProgressSink};
use crate::domain::{Delivery, Task, panic_message};

/// Runs one task, which has `waited` if that is known, and turns a panic of the handler into
/// [`Disposition::Retry`].
pub(super) async fn run_handler(
    queue: &str,
    handler: &dyn Handler,
    (delivery, waited): (Delivery<Task>, Option<Duration>),
    progress: &dyn ProgressSink,
) -> Disposition {
    if let Some(waited) = waited {
        handler.waited(waited);
    }
    // The async block also catches a panic of a hand-written `handle` before it returns its future.
    let attempt = AssertUnwindSafe(async { handler.handle(delivery, progress).await });
    let disposition = attempt.catch_unwind().await.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        tracing::error!(queue, task = %delivery, message, "handler panicked");
        Disposition::Retry(format!("panicked: {message}"))
    });
    tracing::debug!(queue, task = %delivery, ?disposition, "attempt finished");
    disposition
}
