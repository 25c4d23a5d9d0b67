//! The audit: who changed which batch, when, and how.

use std::{fmt, net::IpAddr, str::FromStr};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{batch::BatchId, caller::Caller, invalid::Invalid};

/// What was done to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AuditAction {
    /// It was created.
    Created,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// It was cancelled.
    Cancelled,
    /// Failed jobs of it were retried.
    Retried,
    /// Items that were missing are created again.
    Repaired,
}

impl AuditAction {
    /// Every action.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Paused, Self::Resumed, Self::Cancelled, Self::Retried, Self::Repaired];

    /// Returns the action as one word, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Cancelled => "cancelled",
            Self::Retried => "retried",
            Self::Repaired => "repaired",
        }
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuditAction {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let all = || Self::ALL.map(Self::as_str).join(", ");
        let wrong = || Invalid::new("action", format!("must be one of {}, but is {word:?}", all()));
        Self::ALL.into_iter().find(|action| action.as_str() == word).ok_or_else(wrong)
    }
}

/// One change of a batch: who made it, when, and how. It is stored together with the change, and
/// never altered.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditEntry {
    /// The number of the entry. Entries of one batch have ascending numbers, with gaps.
    pub id: u64,
    /// The batch.
    pub batch_id: BatchId,
    /// When it was changed, by the clock of the database.
    pub at: DateTime<Utc>,
    /// What was done.
    pub action: AuditAction,
    /// Who did it, or `unknown`.
    #[schemars(length(min = 1, max = Caller::MAX_ACTOR))]
    pub actor: String,
    /// The address from which it was done; null unless the setting `audit_addresses` is on.
    pub address: Option<IpAddr>,
    /// How it was done. The members depend on the action.
    pub details: Map<String, Value>,
}

/// Checks the name of an actor to search for.
pub(crate) fn check_actor(actor: &str) -> Result<(), Invalid> {
    let length = actor.chars().count();
    if (1..=Caller::MAX_ACTOR).contains(&length) {
        return Ok(());
    }
    let rule = format!("must have 1 to {} characters, but has {length}", Caller::MAX_ACTOR);
    Err(Invalid::new("actor", rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_one_word() {
        for action in AuditAction::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
            assert_eq!(serde_json::json!(action), action.to_string());
        }
        let wrong = "destroyed".parse::<AuditAction>().unwrap_err();
        assert_eq!(wrong.field, "action");
        assert!(wrong.why.contains("must be one of created, paused, resumed"), "{wrong}");
    }

    #[test]
    fn an_actor_to_search_for_has_1_to_255_characters() {
        for good in ["a", "unknown", &"ü".repeat(255)] {
            assert_eq!(check_actor(good), Ok(()));
        }
        for bad in ["", &"a".repeat(256)] {
            let wrong = check_actor(bad).unwrap_err();
            assert!(wrong.why.contains("1 to 255"), "{wrong}");
        }
    }
}
