//! One look at a queue: who is where, who is first in line, and whether a worker would get a task now.

use bullmq::QueueKeys;
use redis::{Script, ScriptInvocation};

use super::{mend::own_keys, server::BoxError};

/// The script of the look.
pub(super) struct Looking(Script);

/// What is asked.
pub(super) struct Question<'a> {
    /// Of which queue.
    pub keys: &'a QueueKeys,
    /// Starts in a window of its rate limit; 0 for no limit.
    pub most: u32,
    /// When a delayed job of ours may be due at the latest, in milliseconds since 1970.
    pub latest: u64,
    /// The jobs.
    pub ids: &'a [String],
}

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
    /// Completed or failed, and kept; or where no worker gets to see it in time. Its id is taken.
    Over,
}

impl Looking {
    pub fn new() -> Self {
        Self(Script::new(include_str!("look.lua")))
    }

    /// The call that answers `question`.
    pub fn at(&self, question: &Question<'_>) -> ScriptInvocation<'_> {
        let Question { keys, most, latest, ids } = question;
        let (own, types): (Vec<_>, Vec<_>) = own_keys(keys).into_iter().unzip();
        let mut call = self.0.prepare_invoke();
        call.key(own).arg(keys.key_prefix()).arg(most).arg(latest).arg(types.len()).arg(types).arg(*ids);
        call
    }

    /// What the call answered: nothing, when the queue has to be mended first.
    pub fn read(answer: Vec<u64>) -> Result<Option<Look>, BoxError> {
        match answer[..] {
            [] => Ok(None),
            [head, ready, ref states @ ..] => {
                let states = states.iter().copied().map(Standing::of).collect();
                Ok(Some(Look { head, ready: ready == 1, states }))
            }
            _ => Err("Redis answered a question about jobs with less than was asked".into()),
        }
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
