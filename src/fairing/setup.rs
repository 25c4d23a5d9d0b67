//! What the host does in the launch: it prepares its tables, and hands state to its hooks.

use std::{
    any::{Any, TypeId, type_name},
    panic::AssertUnwindSafe,
};

use rocket::{
    Orbit, Rocket,
    futures::{FutureExt as _, future::BoxFuture},
};
use rocket_db_pools::Pool as _;

use crate::{
    domain::{error_chain, panic_message},
    ledger::{BatchConnection, BatchPool, BoxError},
    service::States,
};

/// Prepares tables of the host.
pub(super) type LedgerReady = Box<dyn Fn(BatchConnection) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// A state, and its type.
type TypedState = (TypeId, Box<dyn Any + Send + Sync>);

/// Copies state of one type from a Rocket instance, for hooks.
pub(super) struct StateCopy {
    name: &'static str,
    copy: fn(&Rocket<Orbit>) -> Option<TypedState>,
}

impl StateCopy {
    pub(super) fn of<T: Clone + Send + Sync + 'static>() -> Self {
        let copy = |rocket: &Rocket<Orbit>| {
            let state = rocket.state::<T>()?.clone();
            Some((TypeId::of::<T>(), Box::new(state) as Box<dyn Any + Send + Sync>))
        };
        Self { name: type_name::<T>(), copy }
    }
}

/// Copies the state that hooks asked for.
///
/// # Errors
///
/// If the Rocket instance does not manage one of the types. The message says what to do.
pub(super) fn copy_states(states: &[StateCopy], rocket: &Rocket<Orbit>) -> Result<States, String> {
    let copied = states.iter().map(|StateCopy { name, copy }| {
        copy(rocket).ok_or_else(|| {
            format!(
                "hooks need the state `{name}`, but the Rocket instance does not manage it; \
                 add `.manage(..)` with a value of this type, or remove `.with_state::<{name}>()`"
            )
        })
    });
    copied.collect()
}

/// Lets the host prepare its tables, while no other process does.
///
/// # Errors
///
/// The first error of the host, and those of the database.
pub(super) async fn prepare_tables(closures: &[LedgerReady], pool: &BatchPool) -> Result<(), BoxError> {
    if closures.is_empty() {
        return Ok(());
    }
    let _lock = pool.lock_setup().await?;
    for prepare in closures {
        let connection = pool.get().await?;
        let preparing = AssertUnwindSafe(async { prepare(connection).await }).catch_unwind().await;
        let prepared = preparing.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(&*panic)).into()));
        prepared.map_err(|error| format!("a closure of `.on_ledger_ready(..)` failed: {}", error_chain(&*error)))?;
    }
    Ok(())
}
