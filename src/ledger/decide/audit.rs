//! The entries of the audit: what they say, and how many one page looks at.

use serde_json::{Map, Value, json};

use crate::{
    domain::{AuditAction, BatchId, BatchStatus, Caller, JobId, RepairReport, RetryOptions, RetryReport},
    ledger::{
        query::{PageRequest, Portion},
        types::{BatchCommand, NewBatch},
    },
};

/// An entry to insert.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::ledger) struct NewAuditEntry<'a> {
    pub batch: BatchId,
    pub action: AuditAction,
    pub actor: Option<&'a str>,
    pub address: Option<String>,
    details: Value,
}

impl<'a> NewAuditEntry<'a> {
    fn new(batch: BatchId, action: AuditAction, caller: &'a Caller, details: Value) -> Self {
        let address = caller.address().map(|address| address.to_string());
        Self { batch, action, actor: caller.actor(), address, details }
    }

    /// The entry of a batch that is created.
    pub(in crate::ledger) fn of_creation(batch: BatchId, new: &'a NewBatch) -> Self {
        let details = json!({ "quantity": new.plan.quantity(), "options": new.options });
        Self::new(batch, AuditAction::Created, &new.caller, details)
    }

    /// The entry of a command, before which the batch had status `before`, and with `items` items
    /// after it.
    pub(in crate::ledger) fn of_command(
        batch: BatchId,
        command: BatchCommand,
        caller: &'a Caller,
        before: BatchStatus,
        items: u64,
    ) -> Self {
        let (action, details) = match command {
            BatchCommand::Cancel => (AuditAction::Cancelled, json!({ "statusBefore": before, "itemsCreated": items })),
            BatchCommand::Pause => (AuditAction::Paused, json!({ "statusBefore": before })),
            BatchCommand::Resume => (AuditAction::Resumed, json!({ "statusBefore": before })),
        };
        Self::new(batch, action, caller, details)
    }

    /// The entry of a retry.
    pub(in crate::ledger) fn of_retry(
        report: &RetryReport,
        options: &RetryOptions,
        caller: &'a Caller,
        before: BatchStatus,
    ) -> Self {
        let details = json!({
            "statusBefore": before,
            "found": report.found,
            "recreated": report.recreated,
            "selection": selection(options),
        });
        Self::new(report.batch_id, AuditAction::Retried, caller, details)
    }

    /// The entry of a failed job that the tool of a queue started again.
    pub(in crate::ledger) fn of_manual_retry(job: JobId, caller: &'a Caller, before: BatchStatus) -> Self {
        let details = json!({ "statusBefore": before, "source": "queue", "job": job.to_string() });
        Self::new(job.batch, AuditAction::Retried, caller, details)
    }

    /// The entry of a repair.
    pub(in crate::ledger) fn of_repair(report: &RepairReport, caller: &'a Caller, before: BatchStatus) -> Self {
        let details = json!({ "statusBefore": before, "recreated": report.recreated, "missingItems": report.found });
        Self::new(report.batch_id, AuditAction::Repaired, caller, details)
    }

    /// The details as JSON.
    pub(in crate::ledger) fn details(&self) -> String {
        self.details.to_string()
    }
}

/// What a retry was asked to select: only the options that were set. Of many jobs, the first ones
/// and the number of the others.
fn selection(options: &RetryOptions) -> Map<String, Value> {
    const MAX_JOBS: usize = 100;
    let jobs = options.jobs.as_deref();
    let more = jobs.map_or(0, |jobs| jobs.len().saturating_sub(MAX_JOBS));
    let members = [
        ("group", options.group.as_ref().map(|group| json!(group))),
        ("jobs", jobs.map(|jobs| jobs.iter().take(MAX_JOBS).copied().collect())),
        ("moreJobs", (more > 0).then(|| json!(more))),
        ("limit", options.limit.map(|limit| json!(limit))),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// How many entries one page of a search looks at. No index contains the actor or the action, so a
/// page may have fewer rows than its limit, or none, although more follow.
pub(in crate::ledger) const AUDIT_WINDOW: u64 = 20_000;

/// The first entry since some time has the lowest id of this many entries with the earliest times:
/// transactions that ran at the same time may have stored ids and times in another order.
pub(in crate::ledger) const SAME_TIME: u64 = 1_000;

/// Adds where the list continues. `last` is the last entry that the page looked at, if it looked at
/// [`AUDIT_WINDOW`] entries.
pub(in crate::ledger) fn continued<T>(portion: Portion<T>, page: PageRequest, last: Option<u64>) -> Portion<T> {
    let is_whole = portion.truncated || portion.rows.len() as u64 >= page.limit;
    Portion { looked_to: last.filter(|_| !is_whole), ..portion }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_says_what_it_selected() {
        let options =
            RetryOptions { group: Some("ink".into()), jobs: Some((0..102).collect()), limit: Some(5), dry_run: false };
        let details = Value::from(selection(&options));

        assert_eq!(details["jobs"].as_array().unwrap().len(), 100);
        assert_eq!((&details["moreJobs"], &details["group"], &details["limit"]), (&json!(2), &json!("ink"), &json!(5)));
        assert_eq!(Value::from(selection(&RetryOptions::default())), json!({}));
        assert_eq!(
            Value::from(selection(&RetryOptions { jobs: Some(vec![7]), ..RetryOptions::default() })),
            json!({ "jobs": [7] })
        );
    }

    #[test]
    fn a_page_continues_behind_what_it_looked_at() {
        let looked_to = |rows, last| {
            let page = PageRequest { after: None, limit: 3 };
            continued(Portion::complete(vec![(); rows]), page, last).looked_to
        };

        assert_eq!(looked_to(0, None), None, "the list ends here");
        assert_eq!(looked_to(2, Some(77)), Some(77));
        assert_eq!(looked_to(3, Some(77)), None, "the list continues after the last row");
    }
}
