//! One wrong field of a request, as a member of a problem.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Invalid;

/// A wrong field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(description = "A wrong field of a request.")]
pub(super) struct FieldError {
    /// The name of the field. A long name is cut.
    pub field: String,
    /// What is wrong and what is allowed, for people.
    pub detail: String,
}

impl FieldError {
    /// The maximum number of characters of a name from a request.
    const MAX_NAME: usize = 64;
    /// The maximum number of characters of a detail that may repeat a value from a request.
    const MAX_DETAIL: usize = 300;

    /// A field that a check refused.
    pub(super) fn of(invalid: &Invalid) -> Self {
        Self { field: invalid.field.to_owned(), detail: invalid.to_string() }
    }

    pub(super) fn missing(field: &str) -> Self {
        Self { field: field.to_owned(), detail: format!("missing field `{field}`") }
    }

    pub(super) fn duplicate(field: &str) -> Self {
        Self { field: field.to_owned(), detail: format!("duplicate field `{field}`") }
    }

    /// A field with this name, which none of the `known` ones has.
    pub(super) fn unknown(name: &str, known: &[&str]) -> Self {
        let field = cut(name, Self::MAX_NAME);
        let detail = format!("`{field}`: unknown field `{field}`, expected one of `{}`", known.join("`, `"));
        Self { field, detail }
    }

    /// A field whose value has another type.
    pub(super) fn wrong_type(field: &str, error: &serde_json::Error) -> Self {
        let field = cut(field, Self::MAX_NAME);
        let detail = cut(&format!("`{field}`: {error}"), Self::MAX_DETAIL);
        Self { field, detail }
    }
}

/// The first `max` characters of a text, with `…` if there are more.
fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let long = "ä".repeat(65);

        let error = FieldError::unknown(&long, &["quantity", "batchId"]);

        assert_eq!(error.field, format!("{}…", "ä".repeat(64)));
        let words = format!("`{0}`: unknown field `{0}`, expected one of `quantity`, `batchId`", error.field);
        assert_eq!(error.detail, words);
        assert_eq!(FieldError::unknown(&long[2..], &[]).field, "ä".repeat(64));
    }
}
