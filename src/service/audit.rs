//! Reads who changed which batch.

use chrono::{DateTime, Utc};

use super::{
    error::Result,
    handle::{BatchService, to_batch_id},
    page::{Page, PageQuery},
};
use crate::{
    domain::{AuditAction, AuditEntry, check_actor},
    ledger::AuditFilter,
};

/// Selects entries of the audit. The default selects all.
///
/// ```
/// use rocket_batch::{AuditAction, AuditQuery};
///
/// let cancels = AuditQuery { action: Some(AuditAction::Cancelled), ..AuditQuery::default() };
/// assert_eq!(cancels.actor, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only entries from this time on.
    pub since: Option<DateTime<Utc>>,
    /// Only entries of this actor: 1 to 255 characters. `unknown` selects those without a known
    /// one.
    pub actor: Option<String>,
    /// Only entries with this action.
    pub action: Option<AuditAction>,
    /// The page of the list.
    pub page: PageQuery,
}

impl BatchService {
    /// Returns a page of the audit of a batch: who changed it, when and how, in the order of the
    /// changes.
    ///
    /// A page ends after 1 MB of JSON and may then have fewer entries than `limit`: follow
    /// `next_cursor`.
    ///
    /// # Errors
    ///
    /// As [`BatchService::items`].
    pub async fn audit(&self, batch_id: i64, page: PageQuery) -> Result<Page<AuditEntry>> {
        let (id, list) = (to_batch_id(batch_id)?, format!("audit:{batch_id}"));
        let request = page.request(&list)?;
        let _permit = self.parts().reads.list().await?;
        let entries = self.bounded(self.parts().ledger.audit(id, request)).await?;
        Ok(Page::of(entries, &list, request, |entry| entry.id))
    }

    /// Returns a page of the audit of all batches, in ascending order of the numbers of entries.
    ///
    /// A page looks at no more than 20,000 entries and ends after 1 MB of JSON. It may then have
    /// fewer entries than `limit`, or none: follow `next_cursor`.
    ///
    /// In PostgreSQL, the changes of several batches are committed at the same time, so an entry
    /// may appear after one with a higher number. To follow the audit, repeat the query with a
    /// `since` one minute before the last query, and skip the entries that you have.
    ///
    /// # Errors
    ///
    /// As [`BatchService::batches`], and [`BatchError::Invalid`](super::BatchError::Invalid) for an
    /// actor that no entry can have.
    pub async fn audit_log(&self, query: AuditQuery) -> Result<Page<AuditEntry>> {
        query.actor.as_deref().map_or(Ok(()), check_actor)?;
        let list = query.list();
        let request = query.page.request(&list)?;
        let filter = AuditFilter { since: query.since, actor: query.actor, action: query.action };
        let _permit = self.parts().reads.list().await?;
        let entries = self.bounded(self.parts().ledger.audit_log(filter, request)).await?;
        Ok(Page::of(entries, &list, request, |entry| entry.id))
    }
}

impl AuditQuery {
    /// The name of the list in its cursors. Another query is another list.
    fn list(&self) -> String {
        let since = self.since.map_or(0, |since| since.timestamp_millis());
        let action = self.action.map_or("all", AuditAction::as_str);
        format!("audit-log:{since}:{action}:{}", self.actor.as_deref().unwrap_or_default())
    }
}
