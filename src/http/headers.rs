//! Headers that several kinds of responses have in common.

/// `Cache-Control` of every response with data: the data changes, so no cache may store it.
pub(super) const NO_STORE: (&str, &str) = ("Cache-Control", "no-store");
