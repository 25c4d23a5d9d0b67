//! An error with its causes in one line.

use std::iter::successors;

/// Returns the error and its causes in one line. Leaves out a cause whose text is already part of
/// the error before it.
#[must_use]
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let error_chain = successors(Some(error), |error| error.source());
    let mut texts: Vec<_> = error_chain.map(ToString::to_string).collect();
    texts.dedup_by(|cause, error| error.contains(cause.as_str()));
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct TestError(&'static str, #[source] Option<Box<TestError>>);

    #[test]
    fn names_every_cause_once() {
        let error = |text, cause: Option<TestError>| TestError(text, cause.map(Box::new));
        let table = [
            (error("no ink", None), "no ink"),
            (error("could not print", Some(error("no ink", None))), "could not print: no ink"),
            (error("could not print: no ink", Some(error("no ink", None))), "could not print: no ink"),
        ];

        for (error, expected) in table {
            assert_eq!(error_chain(&error), expected);
        }
    }
}
