//! What a process does: `role`.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::Invalid;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Serves the routes and runs jobs.
    All,
    /// Serves the routes, and runs no jobs.
    Web,
    /// Runs jobs, and serves the health probes only.
    Worker,
}

impl Role {
    /// Every role.
    const ALL: [Self; 3] = [Self::All, Self::Web, Self::Worker];

    /// Returns the role as a lower-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Web => "web",
            Self::Worker => "worker",
        }
    }

    /// Whether the process runs jobs.
    pub(crate) const fn runs_jobs(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }

    /// Whether the process serves all routes, not only the health probes.
    pub(crate) const fn serves_routes(self) -> bool {
        matches!(self, Self::All | Self::Web)
    }
}

/// Reads the lower-case word of a role, as the setting does.
impl FromStr for Role {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let unknown = || {
            let all = Self::ALL.map(Self::as_str).join(", ");
            Invalid::new("role", format!("must be one of {all}, but is {word:?}"))
        };
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_every_role_and_rejects_other_words() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        let invalid = "Workers".parse::<Role>().unwrap_err();
        assert_eq!(invalid.to_string(), "`role` must be one of all, web, worker, but is \"Workers\"");
    }
}
