//! `item_page`, `start_check`, `store_check`, `jobs_with_gaps`, repair: rows that someone else
//! deleted or changed are found, and missing ones are written again.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::{Duration, Instant},
};

use rocket_batch::{
    domain::{
        AuditAction, BatchId, BatchStatus, Caller, CodeKey, CodeScheme, HookEvent, JobId, PAGE_ITEMS, Reconciliation,
        RepairReport, StatusTask, Tally,
    },
    ledger::{AttemptResult, BatchCommand, ChunkInserted, LedgerError, NewItem},
};

use serde_json::json;

use crate::{subject::*, support::seed};

/// The name of the table of items in the harness's database.
async fn items_table(ledger: &Subject) -> &'static str {
    match ledger.host_reads("SELECT sqlite_version()").await {
        Ok(_) => "rocket_batch_items",
        Err(_) => "items",
    }
}

/// Deletes items behind the ledger's back.
async fn delete(ledger: &Subject, batch: BatchId, condition: &str) -> TestResult {
    let table = items_table(ledger).await;
    ledger.host_changes(&format!("DELETE FROM {table} WHERE batch = {batch} AND ({condition})")).await
}

/// Inserts strangers behind the ledger's back.
async fn insert(ledger: &Subject, batch: BatchId, ordinals: &[u64]) -> TestResult {
    let table = items_table(ledger).await;
    let rows: Vec<_> = ordinals.iter().map(|at| format!("({batch}, {at}, 'stranger-{at}'")).collect();
    let (columns, end) = match table {
        "items" => ("batch, ordinal, code", ")"),
        _ => ("batch, ordinal, code, created_at", ", 0)"),
    };
    let rows: Vec<_> = rows.iter().map(|row| format!("{row}{end}")).collect();
    ledger.host_changes(&format!("INSERT INTO {table} ({columns}) VALUES {}", rows.join(", "))).await
}

fn scheme() -> CodeScheme {
    CodeScheme::new(&CodeKey::from_bytes([7; 16]))
}

/// The whole check of a batch.
async fn checked(ledger: &Subject, batch: BatchId, codes: bool) -> TestResult<Reconciliation> {
    let (mut tally, scheme, now) = (Tally::start(), scheme(), chrono::Utc::now());
    while let Some(from) = tally.next {
        tally.add(&ledger.item_page(batch, from, codes).await?, &scheme);
    }
    let report = tally.report(batch, now, Some(now));
    let terms = report.written + report.failed_chunks + report.to_do + report.cancelled + report.missing;
    assert_eq!(terms, report.planned, "{report:?}");
    Ok(report)
}

fn ranges(report: &Reconciliation) -> Vec<(u64, u64)> {
    report.gaps.iter().map(|range| (range.from, range.to)).collect()
}

async fn repaired(ledger: &Subject, batch: BatchId) -> TestResult<RepairReport> {
    let (mut seqs, mut from) = (Vec::new(), Some(0));
    while let Some(first) = from {
        let portion = ledger.jobs_with_gaps(batch, first).await?;
        seqs.extend(portion.seqs);
        from = portion.next;
    }
    Ok(ledger.repair(batch, seqs, &Caller::default()).await?)
}

/// A completed batch in jobs of 100.
async fn completed(ledger: &Subject, quantity: u64) -> TestResult<BatchId> {
    let jobs = ledger.jobs_of(a_batch().of(quantity)).await?;
    for job in &jobs {
        ledger.complete(*job).await?;
    }
    ledger.closed(jobs[0].batch, 0).await?;
    Ok(jobs[0].batch)
}

/// Works every open job of the batch, and returns how many items were new.
async fn work_all(ledger: &Subject, batch: BatchId) -> TestResult<u64> {
    let mut new = 0;
    for open in ledger.open_jobs_of(batch).await? {
        let work = ledger.work(open.job).await?;
        for range in work.missing {
            let ChunkInserted::New(inserted) = ledger.insert_chunk(&work.claim, chunk(range)).await? else {
                return Err("the chunk was not inserted".into());
            };
            new += inserted;
        }
        ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await?;
    }
    Ok(new)
}

pub async fn a_whole_batch_has_no_gap_and_no_stranger(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let batch = completed(&ledger, 450).await?;

    let report = checked(&ledger, batch, false).await?;

    assert_eq!((report.written, report.planned, report.checked_items), (450, 450, 450));
    assert_eq!((report.missing, report.strangers_found, report.wrong_codes_found), (0, 0, 0));
    assert_eq!(repaired(&ledger, batch).await?.recreated, 0);
    assert_eq!(ledger.batch(batch).await?.status, BatchStatus::Completed);
    let unknown = ledger.item_page(id(999), 0, false).await;
    assert!(matches!(unknown, Err(LedgerError::NoSuchBatch(_))), "{unknown:?}");
    Ok(())
}

/// The first and the last item, a gap within a job, one over two jobs, and a whole job.
pub async fn gaps_are_found_and_repaired_exactly(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let batch = completed(&ledger, 950).await?;
    let gone = "ordinal IN (0, 120, 121, 949) OR ordinal BETWEEN 295 AND 304 OR ordinal BETWEEN 600 AND 699";
    delete(&ledger, batch, gone).await?;
    insert(&ledger, batch, &[950, 951, 2_000_000]).await?;
    let before = ledger.items(batch, ALL).await?;

    let report = checked(&ledger, batch, false).await?;
    let repair = repaired(&ledger, batch).await?;
    let running = ledger.batch(batch).await?;
    let new = work_all(&ledger, batch).await?;
    let closed = ledger.closed(batch, 1).await?;

    assert_eq!(ranges(&report), [(0, 0), (120, 121), (295, 304), (600, 699), (949, 949)]);
    assert_eq!((report.missing, report.gaps_found, report.strangers_found), (114, 5, 3));
    let strangers: Vec<_> = report.strangers.iter().map(|range| (range.from, range.to)).collect();
    assert_eq!(strangers, [(950, 951), (2_000_000, 2_000_000)]);
    assert_eq!((repair.found, repair.recreated, repair.status), (114, 6, BatchStatus::Running));
    let again = [0, 1, 2, 3, 6, 9].map(|seq| JobId { batch, seq, generation: 1 }.to_string());
    assert_eq!(repair.job_ids, again);
    assert_eq!((running.status, running.jobs.waiting, running.items_created), (BatchStatus::Running, 6, 836));
    assert_eq!((new, closed.status, closed.round, closed.items_created), (114, BatchStatus::Completed, 2, 950));
    let after = checked(&ledger, batch, false).await?;
    assert_eq!((after.missing, after.written, after.strangers_found), (0, 950, 3));
    let kept = ledger.items(batch, ALL).await?;
    assert!(before.iter().all(|item| kept.contains(item)), "other items are unchanged");
    let events = ledger.events_of(batch).await?;
    let ends = events.iter().filter_map(|event| match event {
        HookEvent::BatchFinished(end) => Some((end.round, end.repaired)),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [(1, false), (2, true)]);
    assert_eq!(repaired(&ledger, batch).await?.recreated, 0);
    bystander.assert_unchanged(&ledger).await
}

pub async fn wrong_codes_are_found(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let (scheme, mut new) = (scheme(), a_batch().of(100).with_prefix("QR").build());
    new.key_fingerprint = scheme.fingerprint().to_owned();
    let batch = ledger.create(new).await?.batch;
    let claim = ledger.claim_job(JobId { batch, seq: 0, generation: 0 }).await?;
    let item = |ordinal| NewItem { ordinal, code: scheme.encode(Some("QR"), batch, ordinal) };
    ledger.insert_chunk(&claim, (0..100).map(item).collect()).await?;
    ledger.finish_attempt(&claim, AttemptResult::Completed, WORKED).await?;
    let table = items_table(&ledger).await;
    let change = format!("UPDATE {table} SET code = 'changed' WHERE batch = {batch} AND ordinal IN (3, 99)");
    ledger.host_changes(&change).await?;

    let (report, without) = (checked(&ledger, batch, true).await?, checked(&ledger, batch, false).await?);
    let other = completed(&ledger, 100).await?;
    let other_key = checked(&ledger, other, true).await?;

    let wrong: Vec<_> = report.wrong_codes.iter().map(|wrong| (wrong.ordinal, wrong.code.as_str())).collect();
    assert_eq!((wrong, report.wrong_codes_found), (vec![(3, "changed"), (99, "changed")], 2));
    assert_eq!(report.wrong_codes[0].expected, scheme.encode(Some("QR"), batch, 3));
    assert_eq!((without.wrong_codes_found, other_key.wrong_codes_found), (0, 0));
    assert_eq!(serde_json::to_value(other_key.codes)?, "other_key");
    Ok(())
}

/// A failed job's items are for a retry, those of open jobs are still to do, and what a cancel left
/// undone is a term of its own.
pub async fn missing_items_are_explained_by_the_state_of_their_job(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;
    let batch = jobs[0].batch;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    let claim = ledger.claim_job(jobs[2]).await?;
    ledger.insert_chunk(&claim, chunk(200..230)).await?;
    delete(&ledger, batch, "ordinal = 5").await?;

    let running = checked(&ledger, batch, false).await?;
    let repair = repaired(&ledger, batch).await?;
    let still = ledger.insert_chunk(&claim, chunk(230..240)).await?;
    let again = work_all(&ledger, batch).await?;
    delete(&ledger, batch, "ordinal = 205").await?;
    ledger.closed(batch, 0).await?;
    let failed = checked(&ledger, batch, false).await?;
    let repaired_again = repaired(&ledger, batch).await?;
    ledger.control(batch, BatchCommand::Cancel).await?;
    let cancelled = checked(&ledger, batch, false).await?;
    let refused = ledger.repair(batch, vec![0], &Caller::default()).await;

    assert_eq!((running.written, running.failed_chunks, running.to_do, running.missing), (129, 100, 270, 1));
    assert_eq!((repair.recreated, repair.status), (1, BatchStatus::Running));
    assert_eq!((still, again), (ChunkInserted::New(10), 1 + 60 + 200));
    assert_eq!((failed.written, failed.failed_chunks, failed.missing), (399, 100, 1));
    assert_eq!(
        (repaired_again.job_ids, repaired_again.status),
        (vec![format!("b{batch}-j2-g1")], BatchStatus::Running)
    );
    assert_eq!((cancelled.written, cancelled.failed_chunks, cancelled.cancelled), (399, 100, 1));
    assert!(matches!(refused, Err(LedgerError::NotAllowed(_))), "{refused:?}");
    Ok(())
}

pub async fn a_repair_leaves_a_paused_batch_paused(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(200)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.control(jobs[0].batch, BatchCommand::Pause).await?;
    delete(&ledger, jobs[0].batch, "ordinal = 7").await?;

    let repair = repaired(&ledger, jobs[0].batch).await?;

    assert_eq!((repair.recreated, repair.status), (1, BatchStatus::Paused));
    assert!(ledger.open_jobs_of(jobs[0].batch).await?.is_empty());
    ledger.control(jobs[0].batch, BatchCommand::Resume).await?;
    assert_eq!(work_all(&ledger, jobs[0].batch).await?, 101);
    Ok(())
}

/// The rows of its jobs are made again.
pub async fn a_pruned_batch_is_repaired(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    for removed in [2, 1_000] {
        let batch = completed(&ledger, 450).await?;
        ledger.prune_history(Duration::ZERO, removed).await?;
        delete(&ledger, batch, "ordinal IN (7, 449)").await?;

        let report = checked(&ledger, batch, false).await?;
        let repair = repaired(&ledger, batch).await?;
        let before = ledger.batch(batch).await?;
        let new = work_all(&ledger, batch).await?;
        let closed = ledger.closed(batch, 1).await?;

        assert_eq!(ranges(&report), [(7, 7), (449, 449)]);
        assert_eq!((repair.found, repair.recreated), (2, 2));
        assert_eq!((before.jobs.waiting, before.jobs.completed, before.items_created), (2, 3, 448));
        assert_eq!((new, closed.status, closed.history_removed), (2, BatchStatus::Completed, false));
        assert_eq!(ledger.items_of(batch).await?, (0..450).collect::<Vec<_>>());
        ledger.prune_history(Duration::ZERO, 1_000).await?;
    }
    Ok(())
}

pub async fn a_pruned_failed_batch_is_not_repaired(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.failed_batch().await?;
    ledger.prune_history(Duration::ZERO, 1_000).await?;

    let (report, repair) =
        (checked(&ledger, job.batch, false).await?, ledger.repair(job.batch, vec![0], &Caller::default()).await);

    assert_eq!((report.failed_chunks, report.missing), (100, 0));
    assert!(matches!(repair, Err(LedgerError::HistoryRemoved(_))), "{repair:?}");
    Ok(())
}

pub async fn only_one_of_two_concurrent_repairs_finds_gaps(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let batch = completed(&ledger, 300).await?;
    delete(&ledger, batch, "ordinal < 150").await?;

    let [ann, bob] = ["ann", "bob"].map(|name| Caller::named(Some(name)));
    let (one, other) = tokio::join!(ledger.repair(batch, vec![0, 1], &ann), ledger.repair(batch, vec![0, 1, 2], &bob));

    let mut recreated = [one?.recreated, other?.recreated];
    recreated.sort_unstable();
    assert_eq!(recreated, [0, 2]);
    let audit = ledger.audit(batch, ALL).await?.rows;
    let repaired: Vec<_> = audit.iter().filter(|entry| entry.action == AuditAction::Repaired).collect();
    assert_eq!(repaired.len(), 1, "{audit:?}");
    assert_eq!((&repaired[0].details["missingItems"], &repaired[0].details["recreated"]), (&json!(150), &json!(2)));
    assert_eq!(work_all(&ledger, batch).await?, 150);
    Ok(())
}

/// Checks run while workers write: no page may show a gap that does not exist.
pub async fn a_concurrent_worker_never_makes_a_false_gap(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(3_000)).await?;
    let (batch, done) = (jobs[0].batch, AtomicBool::new(false));
    let work = async {
        for job in jobs {
            ledger.complete(job).await?;
        }
        done.store(true, SeqCst);
        TestResult::Ok(())
    };
    let check = async {
        let mut checks = 0;
        while !done.load(SeqCst) {
            let report = checked(&ledger, batch, false).await?;
            assert_eq!((report.missing, report.strangers_found), (0, 0), "{report:?}");
            checks += 1;
        }
        TestResult::Ok(checks)
    };

    let (worked, checks) = tokio::join!(work, check);

    worked?;
    assert!(checks? > 1);
    assert_eq!(checked(&ledger, batch, false).await?.written, 3_000);
    Ok(())
}

pub async fn a_check_is_joined_continued_and_answered_again(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let (batch, hour) = (completed(&ledger, 200).await?, Duration::from_secs(3_600));
    let started = ledger.start_check(batch, false, hour).await?;
    let joined = ledger.start_check(batch, false, Duration::ZERO).await?;
    let with_codes = ledger.start_check(batch, true, hour).await?;
    let task = StatusTask::Reconcile { batch, codes: false, run: 1 };
    let tasks = |work: rocket_batch::ledger::OpenTasks| work.status.iter().filter(|(of, _)| *of == task).count();
    let offered = tasks(ledger.open_tasks(EVERY_TASK).await?);

    let mut one = started.clone();
    one.tally.add(&ledger.item_page(batch, 0, false).await?, &scheme());
    let stored = ledger.store_check(&one, 0).await?;
    let by_another = ledger.store_check(&one, 0).await?;
    let continued = ledger.stored_check(batch, false).await?.ok_or("no check")?;
    one.tally.add(&ledger.item_page(batch, 200, false).await?, &scheme());
    let finished = ledger.store_check(&one, 200).await?;
    let known = ledger.start_check(batch, false, hour).await?;
    let new = ledger.start_check(batch, false, Duration::ZERO).await?;
    let late = ledger.store_check(&one, 0).await?;

    assert_eq!((started.run, &joined, offered), (1, &started, 1));
    assert!(with_codes.codes && with_codes.finished_at.is_none());
    assert_eq!((stored, by_another, finished, late), (true, false, true, false));
    assert_eq!((continued.tally.next, continued.tally.checked()), (Some(200), 200));
    assert!(known.run == 1 && known.finished_at.is_some() && known.tally.is_finished());
    assert_eq!((new.run, new.finished_at, new.tally), (2, None, Tally::start()));
    Ok(())
}

/// The resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Five gaps, three strangers and two altered codes in a large batch, of 1,000,000 items if
/// `ROCKET_BATCH_TEST_MILLION` is set.
#[cfg(target_os = "linux")]
pub async fn a_large_batch_is_checked_and_repaired_in_bounded_memory(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let million = std::env::var_os("ROCKET_BATCH_TEST_MILLION").is_some();
    let quantity = if million { 1_000_000 } else { 50_000 };
    let (scheme, mut new) = (scheme(), a_batch().of(quantity).in_jobs_of(10_000).build());
    new.key_fingerprint = scheme.fingerprint().to_owned();
    let batch = ledger.create(new).await?.batch;
    for seq in 0..quantity / 10_000 {
        let work = ledger.work(JobId { batch, seq, generation: 0 }).await?;
        for first in (work.range).step_by(2_000) {
            let item = |ordinal| NewItem { ordinal, code: scheme.encode(None, batch, ordinal) };
            ledger.insert_chunk(&work.claim, (first..first + 2_000).map(item).collect()).await?;
        }
        ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await?;
    }
    ledger.closed(batch, 0).await?;
    let last = quantity - 1;
    let places = [(0, 9), (9_995, 10_004), (15_555, 15_555), (20_000, 29_999), (last, last)];
    let gone: Vec<_> = places.iter().map(|(from, to)| format!("ordinal BETWEEN {from} AND {to}")).collect();
    delete(&ledger, batch, &gone.join(" OR ")).await?;
    insert(&ledger, batch, &[quantity, quantity + 1, quantity * 2]).await?;
    let (table, altered) = (items_table(&ledger).await, [31_000, quantity - 7]);
    let change = format!(
        "UPDATE {table} SET code = 'altered' WHERE batch = {batch} AND ordinal IN ({}, {})",
        31_000,
        quantity - 7
    );
    ledger.host_changes(&change).await?;

    let (before, start) = (resident(), Instant::now());
    let report = checked(&ledger, batch, true).await?;
    let (check_took, grown, start) = (start.elapsed(), resident().saturating_sub(before), Instant::now());
    let repair = repaired(&ledger, batch).await?;
    let (repair_took, grown_by_repair) = (start.elapsed(), resident().saturating_sub(before));
    eprintln!("{quantity} items: check {check_took:?}, {grown} B; repair {repair_took:?}, {grown_by_repair} B");

    assert_eq!(ranges(&report), places);
    let missing: u64 = places.iter().map(|(from, to)| to - from + 1).sum();
    assert_eq!((report.missing, report.strangers_found, repair.found), (missing, 3, missing));
    let wrong: Vec<_> = report.wrong_codes.iter().map(|wrong| wrong.ordinal).filter(|at| *at < quantity).collect();
    assert_eq!((wrong, report.wrong_codes_found), (altered.to_vec(), 2 + 3));
    assert!(grown.max(grown_by_repair) < 64 << 20, "{grown} and {grown_by_repair} bytes");
    assert!(PAGE_ITEMS < quantity);
    let mut new = 0;
    for open in ledger.open_jobs_of(batch).await? {
        let work = ledger.work(open.job).await?;
        for range in work.missing {
            let item = |ordinal| NewItem { ordinal, code: scheme.encode(None, batch, ordinal) };
            let inserted = ledger.insert_chunk(&work.claim, range.map(item).collect()).await?;
            let ChunkInserted::New(inserted) = inserted else { return Err("not inserted".into()) };
            new += inserted;
        }
        ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await?;
    }
    ledger.closed(batch, 1).await?;
    let after = checked(&ledger, batch, true).await?;
    assert_eq!((new, after.missing, after.written, after.strangers_found), (missing, 0, quantity, 3));
    Ok(())
}

/// Random deletions, in random jobs.
pub async fn random_deletions_are_found_and_repaired(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut random = fastrand::Rng::with_seed(seed());
    let batch = completed(&ledger, 1_000).await?;
    for (round, share) in [(1, 2), (2, 50), (3, 500)] {
        let gone: std::collections::BTreeSet<u64> = (0..share).map(|_| random.u64(0..1_000)).collect();
        let list: Vec<_> = gone.iter().map(ToString::to_string).collect();
        delete(&ledger, batch, &format!("ordinal IN ({})", list.join(", "))).await?;

        let report = checked(&ledger, batch, false).await?;
        let repair = repaired(&ledger, batch).await?;

        let found: Vec<_> = report.gaps.iter().flat_map(|range| range.from..=range.to).collect();
        assert_eq!(found, gone.iter().copied().collect::<Vec<_>>());
        let jobs: std::collections::BTreeSet<_> = gone.iter().map(|at| at / 100).collect();
        assert_eq!((repair.found, repair.recreated), (gone.len() as u64, jobs.len() as u64));
        assert_eq!(work_all(&ledger, batch).await?, gone.len() as u64);
        ledger.closed(batch, round).await?;
    }
    assert_eq!(ledger.items_of(batch).await?, (0..1_000).collect::<Vec<_>>());
    Ok(())
}
