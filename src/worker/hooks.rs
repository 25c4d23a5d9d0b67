//! The hooks of the host, as callbacks.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};

use crate::{
    domain::{BatchFinished, HookEvent, JobFinished, panic_message},
    ledger::{BoxError, HookKinds},
};

type Callback<E> = Arc<dyn Fn(E) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// The hooks of the host. Events without a hook are not stored in the ledger.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub batch_finished: Option<Callback<BatchFinished>>,
    pub job_failed: Option<Callback<JobFinished>>,
    pub job_completed: Option<Callback<JobFinished>>,
}

/// Erases the type of a callback.
pub(crate) fn callback<E, F, Fut, Err>(callback: F) -> Callback<E>
where
    E: Send + 'static,
    F: Fn(E) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Err>> + Send + 'static,
    Err: Into<BoxError>,
{
    Arc::new(move |event| callback(event).map(|result| result.map_err(Into::into)).boxed())
}

impl Hooks {
    /// Returns which events the ledger must store.
    pub fn kinds(&self) -> HookKinds {
        HookKinds {
            batch_finished: self.batch_finished.is_some(),
            job_failed: self.job_failed.is_some(),
            job_completed: self.job_completed.is_some(),
        }
    }

    /// Whether there is a hook for batches.
    pub fn has_batch_hook(&self) -> bool {
        self.batch_finished.is_some()
    }

    /// Whether there is a hook for jobs.
    pub fn has_job_hooks(&self) -> bool {
        self.job_failed.is_some() || self.job_completed.is_some()
    }

    /// Calls the hook for `event`, for at most `limit`. Succeeds when there is no such hook any
    /// more.
    pub async fn call(&self, event: HookEvent, limit: Duration) -> Result<(), String> {
        let call = match event {
            HookEvent::BatchFinished(event) => call_hook(self.batch_finished.as_ref(), event),
            HookEvent::JobFailed(event) => call_hook(self.job_failed.as_ref(), event),
            HookEvent::JobCompleted(event) => call_hook(self.job_completed.as_ref(), event),
        };
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(result)) => result.map_err(|error| error.to_string()),
            Ok(Err(panic)) => Err(format!("panicked: {}", panic_message(&*panic))),
            Err(_) => Err(format!("did not respond within {limit:?}")),
        }
    }
}

/// Calls a hook inside of the future, so that a panic before its first await is caught too.
fn call_hook<E: Send + 'static>(
    hook: Option<&Callback<E>>,
    event: E,
) -> BoxFuture<'static, std::thread::Result<Result<(), BoxError>>> {
    let hook = hook.cloned();
    let call = async move {
        match hook {
            Some(hook) => hook(event).await,
            None => Ok(()),
        }
    };
    AssertUnwindSafe(call).catch_unwind().boxed()
}
