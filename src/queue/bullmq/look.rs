//! One look at a queue: who is where, who is first in line, and whether a worker would get a task now.

use bullmq::QueueKeys;
use redis::{Script, aio::ConnectionLike};

use super::server::BoxError;

/// The script of the look.
pub(super) struct Looking(Script);

/// What was seen.
pub(super) struct Look {
    /// The lowest priority that waits; 0 when none does.
    pub head: u64,
    /// Whether a worker that asked would get a task.
    pub ready: bool,
    /// Where the jobs are, in the order in which they were asked for.
    pub states: Vec<Standing>,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Absent,
    /// Waiting, delayed or active.
    Open,
    /// Completed or failed, and kept; or in no line at all. Its id is taken.
    Over,
}

impl Looking {
    pub fn new() -> Self {
        Self(Script::new(include_str!("look.lua")))
    }

    /// Looks for the jobs called `ids` in the queue of `keys`, whose rate limit allows `most` starts in a window.
    pub async fn at(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &QueueKeys,
        most: u32,
        ids: &[String],
    ) -> Result<Look, BoxError> {
        let mut call = self.0.prepare_invoke();
        call.key(keys.wait()).key(keys.active()).key(keys.prioritized()).key(keys.delayed());
        call.key(keys.completed()).key(keys.failed()).key(keys.meta()).key(keys.limiter());
        call.arg(keys.key_prefix()).arg(most).arg(ids);
        let answer: Vec<u64> = call.invoke_async(connection).await?;
        let [head, ready, ref states @ ..] = answer[..] else {
            return Err("Redis answered a question about jobs with less than was asked".into());
        };
        let states = states.iter().copied().map(Standing::of).collect();
        Ok(Look { head, ready: ready == 1, states })
    }
}

impl Standing {
    const fn of(state: u64) -> Self {
        match state {
            0 => Self::Absent,
            1 => Self::Open,
            _ => Self::Over,
        }
    }
}
