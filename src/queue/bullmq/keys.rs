//! The keys of a queue that are not jobs.

use bullmq::QueueKeys;

/// Returns the queue's own keys and the type that Redis reports for each. An id of a job must not
/// be one of their names. The scripts depend on the order of the first eight.
pub(super) fn reserved_keys(keys: &QueueKeys) -> (Vec<String>, Vec<&'static str>) {
    let named = |name: &str| format!("{}{name}", keys.key_prefix());
    [
        (keys.wait(), "list"),
        (keys.active(), "list"),
        (keys.prioritized(), "zset"),
        (keys.delayed(), "zset"),
        (keys.completed(), "zset"),
        (keys.failed(), "zset"),
        (keys.meta(), "hash"),
        (keys.limiter(), "string"),
        (keys.marker(), "zset"),
        (keys.events(), "stream"),
        (keys.stalled(), "set"),
        (named("stalled-check"), "string"),
        (named("id"), "string"),
        (named("pc"), "string"),
        (named("paused"), "list"),
        (named("waiting-children"), "zset"),
        (named("repeat"), "zset"),
    ]
    .into_iter()
    .unzip()
}
