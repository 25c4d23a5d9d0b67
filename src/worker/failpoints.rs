//! Named points at which a test stops a worker, in order to kill the process exactly there.
//!
//! Empty unless the crate is compiled with `--cfg rocket_batch_failpoints`, as `.cargo/config.toml`
//! does for work on the crate itself. Then `ROCKET_BATCH_FAILPOINT=<name>` makes a worker that
//! reaches the point print its name on standard error and stop there, and `<name>=panic` makes it
//! panic.

/// All items of a job are inserted, and its result is not recorded yet.
pub const BEFORE_FINISH: &str = "before-finish";
/// The result of a job is recorded, and its task is not acknowledged yet.
pub const BEFORE_ACKNOWLEDGE: &str = "before-acknowledge";
/// A batch is closed, and its hook is not called yet.
pub const BEFORE_HOOK: &str = "before-hook";
/// A job is claimed and its first chunk inserted; the other chunks are missing.
pub const AFTER_FIRST_CHUNK: &str = "after-first-chunk";
/// The finish hook of the host returned, and its transaction is not committed yet.
pub const AFTER_FINISH_HOOK: &str = "after-finish-hook";
/// A part of a check of items is stored, and the next part is not read yet.
pub const CHECK_STORED: &str = "check-stored";
/// A chunk is about to be inserted.
pub const BEFORE_INSERT: &str = "before-insert";

#[cfg(not(rocket_batch_failpoints))]
#[expect(clippy::unused_async, reason = "the variant with failpoints awaits")]
pub async fn reach(_name: &str) {}

#[cfg(rocket_batch_failpoints)]
pub async fn reach(name: &str) {
    let wanted = std::env::var("ROCKET_BATCH_FAILPOINT").unwrap_or_default();
    if wanted == name {
        eprintln!("failpoint {name} reached");
        std::future::pending::<()>().await;
    }
    assert!(wanted.strip_suffix("=panic") != Some(name), "failpoint {name}");
}

/// As [`reach`], for code that can't await. Blocks its thread.
#[cfg(not(rocket_batch_failpoints))]
#[cfg(feature = "sqlite")]
pub const fn block(_name: &str) {}

#[cfg(rocket_batch_failpoints)]
#[cfg(feature = "sqlite")]
pub fn block(name: &str) {
    let wanted = std::env::var("ROCKET_BATCH_FAILPOINT").unwrap_or_default();
    if wanted == name {
        eprintln!("failpoint {name} reached");
        loop {
            std::thread::park();
        }
    }
}
