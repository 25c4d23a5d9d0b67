//! The parameters of a search in the audit.

use chrono::{DateTime, Utc};
use rocket::FromForm;
use schemars::JsonSchema;

use super::input::{RepeatedParam, at_most_one, describe_page_problems, page};
use crate::{
    domain::{AuditAction, Caller, Invalid},
    http::openapi::{Input, Operation},
    service::{AuditQuery, PageQuery},
};

/// The entries of the audit to list, and the page of the list.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct AuditParams {
    /// List only entries from this time on: RFC 3339, such as `2026-01-31T12:00:00Z`.
    #[schemars(with = "Option<DateTime<Utc>>")]
    since: RepeatedParam,
    /// List only entries of this actor; `unknown` stands for callers that are not known.
    #[schemars(with = "Option<String>", length(min = 1, max = Caller::MAX_ACTOR))]
    actor: RepeatedParam,
    /// List only entries with this action.
    #[schemars(with = "Option<AuditAction>")]
    action: RepeatedParam,
    /// The `nextCursor` of the previous page; absent for the first page.
    #[schemars(with = "Option<String>", regex(pattern = PageQuery::CURSOR_PATTERN))]
    cursor: RepeatedParam,
    /// The maximum number of entries on the page.
    #[schemars(with = "Option<u64>", range(min = 1, max = PageQuery::MAX), extend("default" = PageQuery::DEFAULT))]
    limit: RepeatedParam,
}

impl Input for AuditParams {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.query::<Self>();
        describe_page_problems(operation);
    }
}

impl AuditParams {
    pub(super) fn validate(self) -> Result<AuditQuery, Invalid> {
        Ok(AuditQuery {
            since: at_most_one("since", self.since)?.as_deref().map(time).transpose()?,
            actor: at_most_one("actor", self.actor)?,
            action: at_most_one("action", self.action)?.as_deref().map(str::parse).transpose()?,
            page: page(self.cursor, self.limit)?,
        })
    }
}

/// Reads a time. In a query, a `+` that is not encoded as `%2B` becomes a space.
fn time(text: &str) -> Result<DateTime<Utc>, Invalid> {
    let rule = "must be a time as in RFC 3339, such as 2026-01-31T12:00:00Z (write a `+` as `%2B`)";
    let wrong = |_| Invalid::new("since", format!("{rule}, but is {text:?}"));
    DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_any_time_zone() {
        let noon = "2026-01-31T12:00:00Z";

        assert_eq!(time("2026-01-31T13:00:00+01:00"), time(noon));
        for wrong in ["", "2026-01-31", "yesterday", "2026-01-31T13:00:00 01:00", "2026-02-30T12:00:00Z"] {
            let invalid = time(wrong).unwrap_err();
            assert!(invalid.field == "since" && invalid.why.contains("RFC 3339"), "{invalid}");
        }
    }
}
