//! What the hooks and item writers of a host reach: the service, the host's state, the database.

use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use rocket_db_pools::{Error, Pool};

use super::handle::BatchService;
use crate::ledger::{BatchConnection, BatchInfo, BatchPool, LedgerError};

/// What a hook reaches beside its event. Cheap to clone.
///
/// ```
/// use rocket_batch::{Batch, BatchFinished, BoxError, HookContext};
///
/// #[derive(Clone)]
/// struct Mailer { from: String }
///
/// async fn report(end: BatchFinished, context: HookContext) -> Result<(), BoxError> {
///     let mailer = context.state::<Mailer>()?;
///     let batch = context.service().batch(end.batch_id.get()).await?;
///     println!("{}: batch {} of {} items is {}", mailer.from, end.batch_id, batch.quantity, end.status);
///     Ok(())
/// }
///
/// let rocket = rocket::build()
///     .manage(Mailer { from: "shop@example.com".into() })
///     .attach(Batch::fairing().public().with_state::<Mailer>().on_batch_finished(report));
/// ```
#[derive(Clone)]
pub struct HookContext(Arc<Parts>);

struct Parts {
    service: BatchService,
    pool: BatchPool,
    /// Set at liftoff.
    states: OnceLock<States>,
}

/// Copies of the host's state, by type.
pub(crate) type States = HashMap<TypeId, Box<dyn Any + Send + Sync>>;

impl HookContext {
    pub(crate) fn new(service: BatchService, pool: BatchPool) -> Self {
        Self(Arc::new(Parts { service, pool, states: OnceLock::new() }))
    }

    /// Sets the host's state. Later calls change nothing.
    pub(crate) fn set_states(&self, states: States) {
        let _ = self.0.states.set(states);
    }

    /// Keeps what the context reaches alive.
    pub(crate) fn keep_alive(&self) -> Arc<dyn Any + Send + Sync> {
        self.0.clone()
    }

    /// Returns the handle of the plugin.
    #[must_use]
    pub fn service(&self) -> &BatchService {
        &self.0.service
    }

    /// Returns the state of type `T` that the Rocket instance manages, as it was cloned at liftoff.
    ///
    /// # Errors
    ///
    /// [`MissingState`] without [`with_state::<T>()`](crate::BatchFairing::with_state), and before
    /// liftoff.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<&T, MissingState> {
        let Some(states) = self.0.states.get() else {
            return Err(MissingState { name: type_name::<T>(), is_early: true });
        };
        let state = states.get(&TypeId::of::<T>()).and_then(|state| state.downcast_ref());
        state.ok_or(MissingState { name: type_name::<T>(), is_early: false })
    }

    /// Returns a connection to the ledger's database, as a handler gets it with
    /// `Connection<BatchDb>`. It is not in the transaction of the caller.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] if no connection became free in time.
    pub async fn connection(&self) -> Result<BatchConnection, LedgerError> {
        self.0.pool.get().await.map_err(|error| match error {
            Error::Get(error) => error,
            other => LedgerError::Failed { operation: "connect for a hook", source: other.to_string().into() },
        })
    }
}

impl fmt::Debug for HookContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookContext").field("service", &self.0.service).finish_non_exhaustive()
    }
}

/// A hook asked for state that it has not got. The message says what to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingState {
    name: &'static str,
    is_early: bool,
}

impl fmt::Display for MissingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, is_early } = self;
        if *is_early {
            return write!(f, "the state `{name}` is available to hooks from liftoff on, but this call came before");
        }
        write!(f, "hooks have no state `{name}`; add `.with_state::<{name}>()` to the fairing of the batches")
    }
}

impl std::error::Error for MissingState {}

/// What an item writer reaches beside the items.
#[derive(Debug, Clone, Copy)]
pub struct ItemContext<'a> {
    batch: &'a BatchInfo,
    hook_context: &'a HookContext,
}

impl<'a> ItemContext<'a> {
    pub(crate) const fn new(batch: &'a BatchInfo, hook_context: &'a HookContext) -> Self {
        Self { batch, hook_context }
    }

    /// Returns the batch of the items.
    #[must_use]
    pub const fn batch(&self) -> &'a BatchInfo {
        self.batch
    }

    /// Returns the handle of the plugin.
    #[must_use]
    pub fn service(&self) -> &'a BatchService {
        self.hook_context.service()
    }

    /// Returns the state of type `T` that the Rocket instance manages, as it was cloned at liftoff.
    ///
    /// # Errors
    ///
    /// [`MissingState`] without [`with_state::<T>()`](crate::BatchFairing::with_state).
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<&'a T, MissingState> {
        self.hook_context.state()
    }
}

/// The context for what the ledger calls. The context holds the service, which holds the ledger, so
/// it is set later, and not kept alive from here.
#[derive(Clone, Default)]
pub(crate) struct LateContext(Arc<OnceLock<Weak<Parts>>>);

impl LateContext {
    /// Sets the context. Later calls change nothing.
    pub(crate) fn set(&self, context: &HookContext) {
        let _ = self.0.set(Arc::downgrade(&context.0));
    }

    /// Returns the context.
    ///
    /// # Errors
    ///
    /// If the Rocket instance and its workers are gone.
    pub(crate) fn get(&self) -> Result<HookContext, &'static str> {
        self.0.get().and_then(Weak::upgrade).map(HookContext).ok_or("the Rocket instance of this hook is gone")
    }
}
