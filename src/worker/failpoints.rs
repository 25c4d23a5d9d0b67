//! Named points at which a test stops a worker, so that it can kill the process just there.
//!
//! Without the feature `test-failpoints` there is nothing here. With it,
//! `ROCKET_BATCH_TEST_POINT=<name>` makes whoever reaches that point say so on standard error and
//! stay there, and `<name>=panic` makes it panic.

/// All items of a job are written, and it is not settled.
pub const BEFORE_SETTLE: &str = "before-settle";
/// A job is settled, and the queue does not know.
pub const BEFORE_ACKNOWLEDGE: &str = "before-acknowledge";
/// A batch is closed, and the host does not know.
pub const BEFORE_HOOK: &str = "before-hook";
/// A job was begun with its first chunk, and the rest of it is still to come.
pub const AFTER_FIRST_CHUNK: &str = "after-first-chunk";
/// A chunk is about to be written.
pub const BEFORE_WRITE: &str = "before-write";

#[cfg(not(feature = "test-points"))]
#[expect(clippy::unused_async, reason = "its twin below waits")]
pub async fn reach(_name: &str) {}

#[cfg(feature = "test-points")]
pub async fn reach(name: &str) {
    let wanted = std::env::var("ROCKET_BATCH_TEST_POINT").unwrap_or_default();
    if wanted == name {
        eprintln!("test point {name} reached");
        std::future::pending::<()>().await;
    }
    assert!(wanted.strip_suffix("=panic") != Some(name), "test point {name}");
}
