//! A future that runs to completion even if it is dropped.
//!
//! It becomes a task only when it is dropped: a task from the start would cost two switches between
//! threads per chunk.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Continues as a task when it is dropped before completion.
pub(super) struct DetachOnDrop<F: Future<Output: Send> + Send + 'static> {
    rest: Option<Pin<Box<F>>>,
    runtime: Handle,
}

impl<F: Future<Output: Send> + Send + 'static> DetachOnDrop<F> {
    /// Must be called within a runtime, which runs the rest if this is dropped.
    pub(super) fn of(future: F) -> Self {
        Self { rest: Some(Box::pin(future)), runtime: Handle::current() }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for DetachOnDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // A completed future must not be polled again; this one then stays pending.
        let Some(rest) = self.rest.as_mut() else { return Poll::Pending };
        let output = rest.as_mut().poll(cx);
        if output.is_ready() {
            self.rest = None;
        }
        output
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for DetachOnDrop<F> {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            self.runtime.spawn(rest);
        }
    }
}
