//! A future that comes to its end also when nobody waits for it any more.
//!
//! As long as somebody does, it is polled where it stands: a task of its own would mean two hops
//! between threads for each chunk.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Goes on as a task of its own when it is dropped before its end.
pub(super) struct DetachOnDrop<F: Future<Output: Send> + Send + 'static> {
    rest: Option<Pin<Box<F>>>,
    runtime: Handle,
}

impl<F: Future<Output: Send> + Send + 'static> DetachOnDrop<F> {
    /// Within a runtime, on which the rest is run if need be.
    pub(super) fn of(future: F) -> Self {
        Self { rest: Some(Box::pin(future)), runtime: Handle::current() }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for DetachOnDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let rest = self.rest.as_mut().expect("nobody polls what has ended");
        let answer = rest.as_mut().poll(cx);
        if answer.is_ready() {
            self.rest = None;
        }
        answer
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for DetachOnDrop<F> {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            self.runtime.spawn(rest);
        }
    }
}
