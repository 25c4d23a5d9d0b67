//! Checks the permissions of the Redis user at launch, so that a missing one is reported there and
//! not by the first job that needs it.

use bullmq::QueueKeys;
use redis::{Cmd, Script, cmd};

use super::{
    error::{BoxResult, Forbidden, forbidden},
    round_trips::RoundTrips,
};

/// Tries every command that the queue of `keys` needs.
///
/// # Errors
///
/// [`Forbidden`] if a permission is missing, and any other error if Redis does not respond.
pub(super) async fn check_rights(round_trips: &RoundTrips, keys: &QueueKeys) -> BoxResult<()> {
    let key = format!("{}rocket_batch:rights", keys.key_prefix());
    for command in commands_outside_scripts(&key) {
        round_trips.command::<redis::Value>(command).await.map_err(forbidden)?;
    }
    let script = Script::new(include_str!("rights.lua"));
    let missing: Vec<String> = round_trips.script(script.prepare_invoke().key(key)).await.map_err(forbidden)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Forbidden(format!("the user may not run `{}`", missing.join("`, `"))).into())
}

/// Returns the commands that a queue calls directly and not only in scripts. They change nothing.
fn commands_outside_scripts(key: &str) -> [Cmd; 5] {
    let [ping, unwatch, mut eval, mut load, mut pop] = ["PING", "UNWATCH", "EVAL", "SCRIPT", "BZPOPMIN"].map(cmd);
    eval.arg("return 1").arg(0);
    load.arg("LOAD").arg("return 1");
    // Blocks for one millisecond.
    pop.arg(key).arg(0.001);
    [ping, unwatch, eval, load, pop]
}
