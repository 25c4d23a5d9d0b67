//! An error told whole, where there is one line for it.

use std::iter::successors;

/// An error with its causes, in one line. A cause that the text before it says already is left out.
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
    struct Said(&'static str, #[source] Option<Box<Said>>);

    #[test]
    fn every_cause_is_told_once() {
        let said = |text, cause: Option<Said>| Said(text, cause.map(Box::new));
        let table = [
            (said("no ink", None), "no ink"),
            (said("could not print", Some(said("no ink", None))), "could not print: no ink"),
            (said("could not print: no ink", Some(said("no ink", None))), "could not print: no ink"),
        ];

        for (error, told) in table {
            assert_eq!(error_chain(&error), told);
        }
    }
}
