//! What the host wants to be told, as callbacks.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use rocket::futures::{FutureExt, future::BoxFuture};

use super::message;
use crate::{
    domain::{BatchFinished, HookEvent, JobEnded},
    ledger::{BoxError, HookKinds},
};

type Callback<E> = Arc<dyn Fn(E) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// The host's hooks. An end that nobody wants to hear of is not even written down.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub batch_finished: Option<Callback<BatchFinished>>,
    pub job_failed: Option<Callback<JobEnded>>,
    pub job_completed: Option<Callback<JobEnded>>,
}

/// Erases the type of a host's callback.
pub(crate) fn callback<E, F, Fut, Err>(callback: F) -> Callback<E>
where
    E: Send + 'static,
    F: Fn(E) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Err>> + Send + 'static,
    Err: Into<BoxError>,
{
    Arc::new(move |event| callback(event).map(|told| told.map_err(Into::into)).boxed())
}

impl Hooks {
    /// Which ends the ledger has to write down.
    pub fn kinds(&self) -> HookKinds {
        HookKinds {
            batch_finished: self.batch_finished.is_some(),
            job_failed: self.job_failed.is_some(),
            job_completed: self.job_completed.is_some(),
        }
    }

    /// Whether the end of a batch is ever told.
    pub fn of_batches(&self) -> bool {
        self.batch_finished.is_some()
    }

    /// Whether the end of a job is ever told.
    pub fn of_jobs(&self) -> bool {
        self.job_failed.is_some() || self.job_completed.is_some()
    }

    /// Tells the host, within `limit`. A hook that was taken away since is as good as told.
    pub async fn tell(&self, event: HookEvent, limit: Duration) -> Result<(), String> {
        let call = match event {
            HookEvent::BatchFinished(end) => call(self.batch_finished.as_ref(), end),
            HookEvent::JobFailed(end) => call(self.job_failed.as_ref(), end),
            HookEvent::JobCompleted(end) => call(self.job_completed.as_ref(), end),
        };
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(told)) => told.map_err(|error| error.to_string()),
            Ok(Err(panic)) => Err(format!("panicked: {}", message(panic))),
            Err(_) => Err(format!("did not answer within {limit:?}")),
        }
    }
}

/// Calls the hook inside of the future, so that a panic before its first await is caught as well.
fn call<E: Send + 'static>(
    hook: Option<&Callback<E>>,
    event: E,
) -> BoxFuture<'static, std::thread::Result<Result<(), BoxError>>> {
    let hook = hook.cloned();
    let told = async move {
        match hook {
            Some(hook) => hook(event).await,
            None => Ok(()),
        }
    };
    AssertUnwindSafe(told).catch_unwind().boxed()
}
