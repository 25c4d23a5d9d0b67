//! The name of one call of a verb.

/// Returns a random number that names one call of a verb. A repeated call recognises its own effect
/// by it.
pub(super) fn token() -> i64 {
    fastrand::i64(..)
}
