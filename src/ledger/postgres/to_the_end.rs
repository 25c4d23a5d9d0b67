//! A future that comes to its end also when nobody waits for it any more.
//!
//! As long as somebody does, it is polled where it stands: a task for each chunk of fifty rows would cost a tenth of the whole.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Goes on as a task of its own when it is dropped before its end.
pub(super) struct ToTheEnd<F: Future<Output: Send> + Send + 'static> {
    rest: Option<Pin<Box<F>>>,
    runtime: Handle,
}

impl<F: Future<Output: Send> + Send + 'static> ToTheEnd<F> {
    /// Within a runtime, on which the rest is run if need be.
    pub(super) fn of(future: F) -> Self {
        Self { rest: Some(Box::pin(future)), runtime: Handle::current() }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for ToTheEnd<F> {
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

impl<F: Future<Output: Send> + Send + 'static> Drop for ToTheEnd<F> {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            self.runtime.spawn(rest);
        }
    }
}
