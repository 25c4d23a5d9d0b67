//! The audit: each change has one entry, stored together with it and never altered.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use rocket_batch::{
    domain::{
        AuditAction::{self, Cancelled, Created, Paused, Resumed, Retried},
        AuditEntry, BatchId, Caller, Delivery, JobId, RetryOptions,
    },
    ledger::{AttemptResult, AuditFilter, BatchCommand, Claimed, LedgerError, PageRequest},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::subject::*;

/// Every entry is older than this.
const LONG_AGO: Duration = Duration::ZERO;

fn ann() -> Caller {
    Caller::named(Some("ann")).at(Some([192, 0, 2, 7].into()))
}

fn bob() -> Caller {
    Caller::named(Some("bob"))
}

/// The actions and actors of entries.
fn facts(entries: &[AuditEntry]) -> Vec<(AuditAction, &str)> {
    entries.iter().map(|entry| (entry.action, entry.actor.as_str())).collect()
}

async fn search(ledger: &Subject, filter: AuditFilter) -> TestResult<Vec<AuditEntry>> {
    Ok(ledger.audit_log(filter, ALL).await?.rows)
}

pub async fn each_change_of_a_batch_has_an_entry(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.jobs_of(a_batch().of(100).with_prefix("QR").asked_for_by(ann())).await?[0];
    let batch = job.batch;

    ledger.share().control(batch, BatchCommand::Pause, &bob()).await?;
    ledger.share().control(batch, BatchCommand::Resume, &Caller::default()).await?;
    let work = ledger.work(Delivery::Enqueued { task: job, acknowledged: 0 }).await?;
    ledger.insert_chunk(&work.claim, chunk(0..40)).await?;
    ledger.finish_attempt(&work.claim, AttemptResult::Failed(because("no ink")), WORKED).await?;
    let options = RetryOptions { jobs: Some(vec![0]), ..RetryOptions::default() };
    ledger.share().retry(batch, options, &ann()).await?;
    ledger.share().control(batch, BatchCommand::Cancel, &bob()).await?;

    let entries = ledger.audit_of(batch).await?;
    let expected = [(Created, "ann"), (Paused, "bob"), (Resumed, "unknown"), (Retried, "ann"), (Cancelled, "bob")];
    assert_eq!(facts(&entries), expected);
    let details: Vec<_> = entries.iter().map(|entry| Value::from(entry.details.clone())).collect();
    let options = json!({ "batchSize": 100, "qrCodePrefix": "QR", "maxJobsPerBatch": null });
    assert_eq!(details[0], json!({ "quantity": 100, "options": options }));
    assert_eq!(details[1], json!({ "statusBefore": "pending" }));
    assert_eq!(details[2], json!({ "statusBefore": "paused" }));
    let retried = json!({ "statusBefore": "running", "found": 1, "recreated": 1, "selection": { "jobs": [0] } });
    assert_eq!(details[3], retried);
    assert_eq!(details[4], json!({ "statusBefore": "running", "itemsCreated": 40 }));
    assert_eq!((entries[0].address, entries[1].address), (ann().address(), None));
    assert!(entries.is_sorted_by(|one, next| one.id < next.id && one.at <= next.at), "{entries:?}");
    assert!(entries.iter().all(|entry| (Utc::now() - entry.at).abs() < TimeDelta::minutes(5)), "{entries:?}");
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_refused_change_and_a_dry_run_have_no_entry(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let failed = ledger.failed_batch().await?.batch;
    let before = search(&ledger, AuditFilter::default()).await?.len();

    for command in [BatchCommand::Pause, BatchCommand::Resume, BatchCommand::Cancel] {
        let refused = ledger.share().control(failed, command, &ann()).await;
        assert!(matches!(refused, Err(LedgerError::NotAllowed(_))), "{refused:?}");
    }
    let dry = RetryOptions { dry_run: true, ..RetryOptions::default() };
    assert_eq!(ledger.share().retry(failed, dry, &ann()).await?.found, 1);
    let none = RetryOptions { jobs: Some(vec![9]), ..RetryOptions::default() };
    assert_eq!(ledger.share().retry(failed, none, &ann()).await?.found, 0);
    let in_use = ledger.create(a_batch().with_id(failed.get()).build()).await;
    assert!(matches!(in_use, Err(LedgerError::IdInUse(_))), "{in_use:?}");

    assert_eq!(search(&ledger, AuditFilter::default()).await?.len(), before);
    Ok(())
}

pub async fn a_repeated_request_has_one_entry(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let asked = || a_batch().asked_by(a_request("ann", "200 items")).asked_for_by(ann()).build();
    let first = ledger.create(asked()).await?;

    let mut calls = JoinSet::new();
    for _ in 0..5 {
        let (ledger, batch) = (ledger.share(), asked());
        calls.spawn(async move { ledger.create(batch).await });
    }
    for created in calls.join_all().await {
        assert_eq!(created?.batch, first.batch);
    }

    assert_eq!(facts(&ledger.audit_of(first.batch).await?), [(Created, "ann")]);
    Ok(())
}

pub async fn a_batch_requested_in_the_database_has_an_entry(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    let batch = ledger.requested(a_batch().of(70).in_jobs_of(10).with_prefix("A").with_id(7)).await?;

    let entries = ledger.audit_of(batch).await?;
    assert_eq!(facts(&entries), [(Created, "unknown")]);
    let options = json!({ "batchSize": 10, "qrCodePrefix": "A", "maxJobsPerBatch": 100_000 });
    let expected = json!({ "source": "sql", "quantity": 70, "options": options });
    assert_eq!(Value::from(entries[0].details.clone()), expected);
    Ok(())
}

pub async fn a_job_retried_by_a_tool_of_the_queue_has_an_entry(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.jobs_of(a_batch().of(100)).await?[0];
    let work = ledger.work(Delivery::Enqueued { task: job, acknowledged: 2 }).await?;
    ledger.finish_attempt(&work.claim, AttemptResult::Failed(because("no ink")), WORKED).await?;
    ledger.closed(job.batch, 0).await?;

    let manual = Delivery::Enqueued { task: job, acknowledged: 3 };
    for _ in 0..2 {
        assert!(matches!(ledger.claim(manual).await?, Claimed::Work(_)));
    }

    let entries = ledger.audit_of(job.batch).await?;
    assert_eq!(facts(&entries), [(Created, "unknown"), (Retried, "unknown")]);
    let expected = json!({ "statusBefore": "failed", "source": "queue", "job": job.to_string() });
    assert_eq!(Value::from(entries[1].details.clone()), expected);
    Ok(())
}

pub async fn of_many_equal_commands_one_has_an_entry(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;

    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let ledger = ledger.share();
        calls.spawn(async move { ledger.control(job.batch, BatchCommand::Cancel, &ann()).await.is_ok() });
    }
    let succeeded = calls.join_all().await.into_iter().filter(|ok| *ok).count();

    assert_eq!(succeeded, 1);
    let expected = [(Created, "unknown"), (Cancelled, "ann")];
    assert_eq!(facts(&ledger.audit_of(job.batch).await?), expected);
    Ok(())
}

pub async fn the_audit_is_searched_by_time_actor_and_action(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut batches = Vec::new();
    for caller in [ann(), bob(), Caller::default()] {
        let job: JobId = ledger.jobs_of(a_batch().asked_for_by(caller)).await?[0];
        batches.push(job.batch);
    }
    for batch in &batches {
        ledger.share().control(*batch, BatchCommand::Cancel, &bob()).await?;
    }
    let found = async |filter: AuditFilter| -> TestResult<Vec<(BatchId, AuditAction)>> {
        Ok(search(&ledger, filter).await?.iter().map(|entry| (entry.batch_id, entry.action)).collect())
    };
    let by = |actor: &str| AuditFilter { actor: Some(actor.into()), ..AuditFilter::default() };

    assert_eq!(found(by("ann")).await?, [(batches[0], Created)]);
    assert_eq!(found(by("unknown")).await?, [(batches[2], Created)]);
    assert_eq!(found(by("carl")).await?, []);
    let cancelled = AuditFilter { action: Some(Cancelled), ..by("bob") };
    assert_eq!(found(cancelled.clone()).await?, batches.iter().map(|batch| (*batch, Cancelled)).collect::<Vec<_>>());
    let all = search(&ledger, AuditFilter::default()).await?;
    assert!(all.len() == 6 && all.is_sorted_by(|one, next| one.id < next.id), "{all:?}");
    for entry in &all {
        let since = AuditFilter { since: Some(entry.at), ..AuditFilter::default() };
        let expected: Vec<_> = all.iter().filter(|other| other.at >= entry.at).collect();
        assert_eq!(search(&ledger, since).await?.iter().collect::<Vec<_>>(), expected);
    }
    let later = AuditFilter { since: Some(Utc::now() + TimeDelta::hours(1)), ..AuditFilter::default() };
    assert_eq!(found(later).await?, []);
    let page = ledger.audit_log(cancelled, PageRequest { after: Some(all[3].id), limit: 1 }).await?;
    assert_eq!(page.rows.iter().map(|entry| entry.id).collect::<Vec<_>>(), [all[4].id]);
    Ok(())
}

pub async fn the_audit_of_a_batch_is_listed_in_pages(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let batch = ledger.one_job().await?.batch;
    for _ in 0..3 {
        ledger.control(batch, BatchCommand::Pause).await?;
        ledger.control(batch, BatchCommand::Resume).await?;
    }
    let all = ledger.audit_of(batch).await?;

    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = ledger.share().audit(batch, PageRequest { after, limit: 2 }).await?.rows;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        paged.extend(page);
    }

    assert_eq!((paged.len(), &paged), (7, &all));
    let unknown = ledger.share().audit(id(99), ALL).await;
    assert!(matches!(unknown, Err(LedgerError::NoSuchBatch(batch)) if batch == id(99)), "{unknown:?}");
    Ok(())
}

/// Rare entries are found although one page looks at no more than 20,000.
pub async fn a_page_of_a_search_looks_at_a_bounded_number_of_entries(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let batch = ledger.one_job().await?.batch;
    let (table, columns) = (ledger.table("audit").await?, "batch, at, action, actor, details");
    let many = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
         INSERT INTO {table} ({columns}) SELECT a.batch, a.at, 'paused', 'many', a.details FROM {table} a, n"
    );
    ledger.host_changes(&many).await?;
    ledger.share().control(batch, BatchCommand::Cancel, &ann()).await?;
    let by_ann = AuditFilter { actor: Some("ann".into()), ..AuditFilter::default() };

    let first = ledger.audit_log(by_ann.clone(), PageRequest { after: None, limit: 10 }).await?;
    assert_eq!((first.rows.len(), first.truncated), (0, false));
    let looked_to = first.looked_to.expect("more entries follow");
    let second = ledger.audit_log(by_ann, PageRequest { after: Some(looked_to), limit: 10 }).await?;

    assert_eq!((facts(&second.rows), second.looked_to), (vec![(Cancelled, "ann")], None));
    Ok(())
}

pub async fn an_entry_can_not_be_altered_or_removed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let batch = ledger.one_job().await?.batch;
    let before = ledger.audit_of(batch).await?;
    let table = ledger.table("audit").await?;
    let mut statements = vec![
        format!("UPDATE {table} SET actor = 'bob'"),
        format!("UPDATE {table} SET at = at, details = '{{}}' WHERE batch = {batch}"),
        format!("DELETE FROM {table}"),
    ];
    if table == "audit" {
        statements.push("TRUNCATE audit".into());
    } else {
        let row = format!("({}, {batch}, 1, 'created', '{{}}')", before[0].id);
        statements.push(format!("INSERT OR REPLACE INTO {table} (id, batch, at, action, details) VALUES {row}"));
    }

    for statement in statements {
        let refused = ledger.host_changes(&statement).await.expect_err(&statement).to_string();
        assert!(refused.contains("entry of the audit can not be"), "{statement}: {refused}");
    }

    assert_eq!(ledger.audit_of(batch).await?, before);
    Ok(())
}

pub async fn old_entries_are_removed_in_portions_and_nothing_else(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let batch = ledger.one_job().await?.batch;
    for _ in 0..4 {
        ledger.control(batch, BatchCommand::Pause).await?;
        ledger.control(batch, BatchCommand::Resume).await?;
    }
    let all = search(&ledger, AuditFilter::default()).await?;

    assert!(!ledger.prune_history(LONG_AGO, 1_000).await?.has_more);
    assert_eq!(ledger.prune_audit(Duration::from_secs(3_600), 1_000).await?, 0, "none is an hour old");
    assert_eq!(search(&ledger, AuditFilter::default()).await?, all);
    assert_eq!(ledger.prune_audit(LONG_AGO, 3).await?, 3);
    assert_eq!(search(&ledger, AuditFilter::default()).await?, all[3..]);
    assert_eq!(ledger.prune_audit(LONG_AGO, 1_000).await?, all.len() as u64 - 3);
    assert_eq!(search(&ledger, AuditFilter::default()).await?, []);

    // Ids are not used again, and later changes are recorded and protected as before.
    ledger.share().control(batch, BatchCommand::Cancel, &ann()).await?;
    let last = ledger.audit_of(batch).await?;
    assert_eq!(facts(&last), [(Cancelled, "ann")]);
    assert!(last[0].id > all[all.len() - 1].id, "{last:?}");
    let table = ledger.table("audit").await?;
    ledger.host_changes(&format!("DELETE FROM {table}")).await.expect_err("it is protected again");
    bystander.assert_unchanged(&ledger).await
}
