//! The token of the one process that may work a ledger with an in-process queue.

/// The right to be the only process that works this ledger with an in-process queue.
///
/// Released when it is dropped, and when the process dies.
pub struct Leadership(#[expect(dead_code, reason = "kept for its drop")] Box<dyn Send + Sync>);

impl Leadership {
    /// Keeps `token`, and with it the leadership, until this is dropped.
    pub fn new(token: impl Send + Sync + 'static) -> Self {
        Self(Box::new(token))
    }
}

impl std::fmt::Debug for Leadership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leadership")
    }
}
