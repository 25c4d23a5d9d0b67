//! A queue that somebody broke with the id of a job: BullMQ lets a producer choose an id, and an id
//! that is the name of one of the queue's own keys, such as `limiter` or `wait`, puts a job in the
//! place of what the queue keeps there. Then nothing can be added or fetched.
//!
//! [`Server::look`] notices, since it looks at the types of these keys, and has them mended before
//! it answers.

use bullmq::QueueKeys;

use super::server::{BoxError, Server};

/// The keys of a queue that a job's id can meet, and what Redis calls their types. The first eight
/// in the order of the scripts.
pub(super) fn own_keys(keys: &QueueKeys) -> (Vec<String>, Vec<&'static str>) {
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

impl Server {
    /// Takes out the jobs that have the name of a key of the queue.
    pub(super) async fn repair_reserved_keys(&self, keys: &QueueKeys) -> Result<(), BoxError> {
        let (own, types) = own_keys(keys);
        let mut call = self.mending.prepare_invoke();
        call.key(own).arg(keys.key_prefix()).arg(types);
        let misnamed: Vec<String> = self.run(&call).await?;
        tracing::warn!(
            keys = keys.key_prefix(),
            ?misnamed,
            "jobs had the names of the queue's own keys; they are taken out"
        );
        Ok(())
    }
}
