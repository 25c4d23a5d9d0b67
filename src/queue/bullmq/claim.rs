//! The claim of one ledger on its prefix in Redis.
//!
//! Ids of jobs, such as `b1-j0-g0`, are unique within one ledger only. So the keys with one prefix
//! belong to one ledger, whose identity is in the key `<prefix>:rocket_batch:ledger`. Every
//! snapshot of a queue sets this key if it is absent, and otherwise compares it; nothing is added,
//! taken or removed without a recent snapshot. After a flush the first snapshot of a running
//! process restores the key. If another ledger was faster, this process stops using the queues
//! until the key is gone. A job that arrives in between is recognised by the ledger in its data.

use std::sync::atomic::{AtomicBool, Ordering};

/// The keys with the prefix belong to another ledger.
#[derive(Debug, thiserror::Error)]
#[error("the keys with this prefix in Redis belong to another ledger")]
pub(super) struct OtherLedger;

/// The claim of this process's ledger. Without an identity it claims nothing.
pub(super) struct PrefixClaim {
    prefix: String,
    ledger: Option<String>,
    /// Whether a snapshot has confirmed the claim.
    held: AtomicBool,
    /// Whether another ledger has taken the prefix since then.
    lost: AtomicBool,
}

impl PrefixClaim {
    pub const fn new(prefix: String, ledger: Option<String>) -> Self {
        Self { prefix, ledger, held: AtomicBool::new(false), lost: AtomicBool::new(false) }
    }

    /// Returns the identity of the ledger.
    pub fn ledger(&self) -> Option<&str> {
        self.ledger.as_deref()
    }

    /// Returns the key with the identity of the ledger that owns the prefix.
    pub fn key(&self) -> String {
        format!("{}:rocket_batch:ledger", self.prefix)
    }

    /// Records that the key has the identity of this ledger.
    pub fn confirmed(&self) {
        self.held.store(true, Ordering::SeqCst);
        if self.lost.swap(false, Ordering::SeqCst) {
            let prefix = &self.prefix;
            tracing::info!(prefix, "the prefix in Redis belongs to this ledger again");
        }
    }

    /// Records that the key has another identity. Logs it once, and not at launch, which fails.
    pub fn denied(&self) -> OtherLedger {
        if self.held.load(Ordering::SeqCst) && !self.lost.swap(true, Ordering::SeqCst) {
            let (prefix, key) = (&self.prefix, self.key());
            tracing::error!(
                prefix,
                key,
                "another ledger has taken the prefix in Redis; this process adds and takes no jobs until the key is \
                 deleted"
            );
        }
        OtherLedger
    }
}
