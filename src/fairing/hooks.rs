//! The hooks of the host that are called after a transaction, with their context.

use std::sync::Arc;

use rocket::futures::{FutureExt as _, future::BoxFuture};

use crate::{
    domain::{BatchFinished, JobFinished},
    ledger::{BoxError, HookKinds},
    service::HookContext,
    worker::Hooks,
};

type HostHook<E> = Arc<dyn Fn(E, HookContext) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// One hook per kind of event.
#[derive(Default)]
pub(super) struct HostHooks {
    pub batch_finished: Option<HostHook<BatchFinished>>,
    pub job_failed: Option<HostHook<JobFinished>>,
    pub job_completed: Option<HostHook<JobFinished>>,
}

/// Erases the type of a hook.
pub(super) fn host_hook<E, F, Fut, Err>(hook: F) -> HostHook<E>
where
    E: Send + 'static,
    F: Fn(E, HookContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Err>> + Send + 'static,
    Err: Into<BoxError>,
{
    Arc::new(move |event, context| hook(event, context).map(|result| result.map_err(Into::into)).boxed())
}

impl HostHooks {
    /// Returns which events the ledger must store.
    pub fn kinds(&self) -> HookKinds {
        HookKinds {
            batch_finished: self.batch_finished.is_some(),
            job_failed: self.job_failed.is_some(),
            job_completed: self.job_completed.is_some(),
        }
    }

    /// Returns the hooks as workers call them.
    pub fn with_context(&self, context: &HookContext) -> Hooks {
        Hooks {
            batch_finished: with_context(self.batch_finished.as_ref(), context),
            job_failed: with_context(self.job_failed.as_ref(), context),
            job_completed: with_context(self.job_completed.as_ref(), context),
        }
    }
}

fn with_context<E: 'static>(hook: Option<&HostHook<E>>, context: &HookContext) -> Option<crate::worker::Callback<E>> {
    let (hook, context) = (hook?.clone(), context.clone());
    Some(Arc::new(move |event| hook(event, context.clone())))
}
