//! The identity of a ledger, which tells it from every other one.

/// Returns a random identity: 16 hex digits.
pub(super) fn random_identity() -> String {
    format!("{:016x}", fastrand::u64(..))
}
