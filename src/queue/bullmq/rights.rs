//! What the user in Redis may do. All of it is tried at the launch, so that a missing right is
//! named there, and not found by the first job that needs it.

use bullmq::QueueKeys;
use redis::{Cmd, ErrorKind, RedisError, Script, ServerErrorKind, cmd};

use super::server::{BoxError, Server};

/// Redis does not let its user do all that a queue needs.
#[derive(Debug, thiserror::Error)]
#[error("{0}; the smallest rights that do are in the guide, on the page about Redis")]
pub(super) struct Forbidden(String);

impl Server {
    /// Tries everything that the queue of `keys` needs.
    ///
    /// # Errors
    ///
    /// [`Forbidden`] if something is not allowed; anything else if Redis does not answer.
    pub(super) async fn try_rights(&self, keys: &QueueKeys) -> Result<(), BoxError> {
        let key = format!("{}rocket_batch:rights", keys.key_prefix());
        for command in outside_scripts(&key) {
            self.ask::<redis::Value>(command).await.map_err(forbidden)?;
        }
        let script = Script::new(include_str!("rights.lua"));
        let missing: Vec<String> = self.run(script.prepare_invoke().key(key)).await.map_err(forbidden)?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(Forbidden(format!("the user may not run `{}`", missing.join("`, `"))).into())
    }
}

/// What is needed beside the commands of scripts. None of it leaves anything.
fn outside_scripts(key: &str) -> [Cmd; 5] {
    let [ping, unwatch, mut eval, mut load, mut pop] = ["PING", "UNWATCH", "EVAL", "SCRIPT", "BZPOPMIN"].map(cmd);
    eval.arg("return 1").arg(0);
    load.arg("LOAD").arg("return 1");
    // It waits for a millisecond.
    pop.arg(key).arg(0.001);
    [ping, unwatch, eval, load, pop]
}

/// Whether Redis answered that something is not allowed: the connection is as good as before.
pub(super) fn is_refusal(error: &BoxError) -> bool {
    error.downcast_ref::<RedisError>().is_some_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm))
}

fn forbidden(error: BoxError) -> BoxError {
    if is_refusal(&error) { Forbidden(error.to_string()).into() } else { error }
}
