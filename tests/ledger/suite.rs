//! What every ledger must do. A backend brings a [`Harness`](crate::support::Harness) and says
//! `every_ledger!(harness)`.

#![expect(clippy::single_range_in_vec_init, reason = "what is missing is a list of ranges, and often of one")]

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    time::Duration,
};

use chrono::Utc;
use rocket_batch::{
    domain::{
        BatchFinished, BatchId, BatchStatus, CodeKey, CreateRequest, Delivery, HookEvent, HookId, JobCounts, JobEnded,
        JobId, Measured, Progress, QueueCapacity, StatusTask,
    },
    ledger::{
        AttemptResult, BatchCommand, COUNT_INTERVAL, ChunkInserted, Claimed, Closed, Created, Estimator, Finished,
        FirstChunk, Hook, HookKinds, HookOutcome, JobQuery, LastChunk, LedgerError, OpenJobs, PageRequest, Planned,
        Pruned, Rules, Unplanned, Work,
    },
};
use tokio::task::JoinSet;

use crate::support::*;

/// Every claim, run against the ledgers of one harness.
macro_rules! every_ledger {
    ($harness:expr) => {
        every_ledger! { $harness;
            suite::a_new_batch_is_pending_and_all_its_jobs_wait
            suite::an_id_that_is_taken_is_refused
            suite::the_sequence_steps_over_taken_ids_and_is_not_pushed_by_large_ones
            suite::a_batch_of_a_hundred_thousand_jobs_is_made_and_fed
            suite::the_estimate_counts_the_jobs_that_come_in_between
            suite::the_estimate_counts_what_was_created_just_now
            suite::the_estimate_goes_by_the_speed_of_the_batch_that_finished_last
            suite::a_request_that_comes_again_is_answered_as_it_was
            suite::a_key_of_another_request_is_refused
            suite::every_caller_has_keys_of_its_own
            suite::a_request_that_was_refused_keeps_no_key
            suite::a_key_is_free_again_when_its_time_is_up
            suite::of_fifty_twins_at_once_one_makes_the_batch

            suite::a_batch_that_was_asked_for_has_no_jobs_before_it_is_planned
            suite::a_plan_gives_the_batch_its_jobs
            suite::what_can_not_be_planned_fails_and_says_why
            suite::of_many_planners_one_plans
            suite::a_batch_that_was_cancelled_is_not_planned
            suite::a_batch_that_is_paused_is_planned_and_stays_paused
            suite::not_too_many_batches_are_to_be_planned_at_a_time
            suite::who_asks_and_who_creates_share_the_sequence
            suite::what_can_never_be_right_is_not_even_asked_for

            suite::the_first_begin_sets_the_batch_running
            suite::a_begin_says_what_is_missing
            suite::a_job_that_is_over_is_not_begun
            suite::a_job_that_does_not_exist_is_unknown
            suite::a_job_of_a_paused_batch_is_not_begun
            suite::a_delayed_job_may_be_begun
            suite::a_lost_worker_counts_as_a_crash_until_a_new_item_exists
            suite::a_job_that_loses_its_worker_too_often_is_failed
            suite::the_lost_worker_of_a_failed_job_settles_nothing
            suite::a_job_that_was_given_back_did_not_crash

            suite::a_first_chunk_comes_with_the_claim
            suite::a_first_chunk_may_be_the_whole_job
            suite::a_first_chunk_stays_away_where_anything_is_odd
            suite::a_first_chunk_made_for_other_codes_stays_away
            suite::no_first_chunk_comes_to_a_job_that_may_not_be_begun
            suite::a_worker_lost_after_its_first_chunk_counts_as_a_crash
            suite::a_last_chunk_completes_its_job
            suite::a_last_chunk_changes_nothing_where_anything_is_odd
            suite::items_are_written_once_however_often_they_come
            suite::a_worker_that_was_overtaken_writes_nothing
            suite::nothing_is_written_after_a_settlement
            suite::nothing_is_written_after_a_cancel
            suite::nothing_is_written_while_the_batch_is_paused
            suite::an_item_of_another_job_is_refused

            suite::each_settlement_leaves_the_job_in_its_state
            suite::settling_again_answers_the_same
            suite::a_worker_that_was_overtaken_settles_nothing
            suite::of_two_last_jobs_one_at_least_finds_the_end
            suite::batches_at_their_end_are_told_from_others
            suite::a_job_given_back_is_as_if_it_had_not_been_begun
            suite::a_job_of_a_paused_batch_is_given_back_without_a_crash
            suite::the_time_of_all_attempts_is_added_up

            suite::a_batch_is_closed_once
            suite::a_batch_with_open_jobs_is_not_closed
            suite::a_batch_that_is_not_planned_is_not_closed
            suite::a_batch_with_failed_jobs_fails_and_says_why
            suite::a_paused_batch_is_closed_when_its_last_jobs_ended

            suite::a_cancel_ends_the_batch_and_its_open_jobs
            suite::a_wish_is_granted_where_the_status_allows_it
            suite::a_resume_leads_back_to_where_the_batch_was
            suite::who_is_not_there_can_not_be_steered

            suite::a_retry_recreates_the_failed_jobs_and_no_other
            suite::a_retry_runs_a_failed_batch_again_and_it_ends_again
            suite::a_failed_job_whose_items_all_exist_is_completed_by_a_retry
            suite::of_two_retries_at_once_one_finds_nothing
            suite::a_retry_leaves_a_paused_batch_paused
            suite::a_retry_is_refused_where_the_status_forbids_it
            suite::a_retry_without_failed_jobs_changes_nothing

            suite::counts_sum_to_the_jobs_in_every_state
            suite::batches_are_listed_from_the_newest_by_pages_and_by_status
            suite::items_are_listed_by_pages
            suite::an_item_is_found_by_the_place_before_it
            suite::failed_jobs_are_listed_by_pages_with_their_chunks
            suite::of_many_failed_chunks_the_first_are_listed_and_the_others_counted
            suite::failed_jobs_are_listed_as_far_as_a_page_has_room
            suite::lists_of_an_unknown_batch_are_refused

            suite::open_jobs_shares_the_room_between_batches
            suite::a_window_has_the_oldest_and_the_smallest_batches
            suite::a_batch_is_small_by_what_is_left_of_it
            suite::tiny_batches_widen_the_window
            suite::a_full_window_leaves_out_what_was_looked_at_and_not_taken
            suite::what_was_offered_is_not_answered_again
            suite::open_jobs_is_ranked_from_the_first_open_job
            suite::a_list_shows_what_was_counted_last
            suite::what_is_over_is_listed_exactly_whoever_counts_late
            suite::what_another_process_just_counted_is_counted_later
            suite::many_batches_are_counted_in_portions
            suite::of_two_counts_at_once_the_later_one_is_listed
            suite::verbs_that_change_a_batch_as_a_whole_count_it
            suite::a_delayed_job_is_open_work_when_it_is_due
            suite::no_job_waits_longer_than_the_longest_backoff
            suite::of_many_due_jobs_some_are_answered_at_a_time
            suite::open_tasks_say_what_is_to_be_closed
            suite::open_jobs_of_a_paused_batch_is_left_alone

            suite::a_hook_is_there_until_it_is_delivered
            suite::a_hook_that_failed_is_due_again_later
            suite::a_hook_that_was_given_up_is_not_called_any_more
            suite::a_call_of_a_hook_counts_once_however_often_its_outcome_is_recorded
            suite::a_delivery_counts_beside_a_failure
            suite::ends_that_nobody_asks_for_are_not_written_down
            suite::each_end_is_told_as_it_was

            suite::history_is_removed_by_portions_of_the_batch_that_ended_first
            suite::a_long_history_goes_by_portions
            suite::what_is_open_or_over_since_lately_keeps_its_history
            suite::a_batch_without_history_stands_as_it_was_and_its_items_stay
            suite::jobs_of_a_batch_without_history_are_over_for_whoever_still_has_them
            suite::of_a_retry_and_a_removal_at_once_one_wins
            suite::a_batch_that_was_retried_is_forgotten_after_its_next_end
            suite::many_who_remove_history_at_once_share_the_work
            suite::hooks_that_were_given_up_go_with_the_history_and_open_ones_stay
            suite::a_hook_given_up_beside_a_removal_of_history_leaves_nothing

            suite::the_first_code_key_is_kept
            suite::one_alone_has_the_lead
            suite::a_ledger_that_was_shut_is_unavailable
            suite::a_verb_runs_to_its_end_when_nobody_waits_for_it

            manual_retry::a_failed_job_that_is_put_back_by_hand_is_revived
            manual_retry::a_failure_that_was_not_acknowledged_is_nobodys_retry
            manual_retry::a_revived_job_that_fails_again_can_be_revived_again
            manual_retry::a_revived_job_may_be_interrupted
            manual_retry::a_revived_job_has_new_lives_to_lose
            manual_retry::a_job_that_is_put_back_in_a_paused_batch_waits_for_it
            manual_retry::a_job_of_a_cancelled_batch_is_not_revived
            manual_retry::a_job_of_a_history_that_leaves_is_not_revived
            manual_retry::a_job_that_was_recreated_is_not_revived
            manual_retry::a_revived_job_keeps_its_batch_from_being_closed
            manual_retry::both_ends_of_a_revived_batch_are_told
            manual_retry::a_job_is_revived_once
            manual_retry::an_order_works_a_job_that_waits
            manual_retry::an_order_leaves_a_job_alone_that_others_care_for
            manual_retry::overtaking_an_order_is_no_crash
            manual_retry::an_order_revives_nothing
            manual_retry::what_can_not_be_worked_can_not_be_ordered

            stateful::verbs_in_any_order_keep_the_books
        }
    };
    ($harness:expr; $($file:ident :: $claim:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $claim() -> $crate::support::TestResult {
            $crate::$file::$claim($harness).await
        }
    )* };
}

// create

pub async fn a_new_batch_is_pending_and_all_its_jobs_wait(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;

    let new = a_batch().of(250).with_prefix("QR").build();
    let options = new.options.clone();
    let batch = ledger.create(new).await?.batch;

    let made = ledger.batch(batch).await?;
    assert_eq!((made.status, made.quantity, made.options), (BatchStatus::Pending, 250, options));
    assert_eq!(made.jobs, JobCounts { waiting: 3, ..JobCounts::default() });
    assert_eq!((made.items_created, made.round, made.started_at, made.finished_at), (0, 0, None, None));
    assert!(is_recent(Some(made.created_at)));
    let open = ledger.open_jobs_of(batch).await?;
    assert_eq!(open.iter().map(|job| (job.first, job.quantity)).collect::<Vec<_>>(), [(0, 100), (100, 100), (200, 50)]);
    bystander.stands_still(&ledger).await
}

pub async fn an_id_that_is_taken_is_refused(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;

    assert_eq!(ledger.create(a_batch().with_id(77).build()).await?.batch, id(77));
    let again = ledger.create(a_batch().with_id(77).of(5_000).build()).await;

    assert!(matches!(again, Err(LedgerError::IdInUse(taken)) if taken == id(77)));
    assert_eq!(ledger.batch(id(77)).await?.quantity, 200);
    bystander.stands_still(&ledger).await
}

pub async fn the_sequence_steps_over_taken_ids_and_is_not_pushed_by_large_ones(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let mut ids = Vec::new();

    ids.push(ledger.create(a_batch().build()).await?.batch);
    for taken in [2, 3, i64::pow(2, 53) - 1] {
        ledger.create(a_batch().with_id(taken).build()).await?;
    }
    ids.push(ledger.create(a_batch().build()).await?.batch);
    ids.push(ledger.create(a_batch().build()).await?.batch);

    assert_eq!(ids, [id(1), id(4), id(5)]);
    Ok(())
}

pub async fn a_batch_of_a_hundred_thousand_jobs_is_made_and_fed(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;

    let batch = ledger.create(a_batch().of(100_000).in_jobs_of(1).build()).await?.batch;

    let room = QueueCapacity { per_batch: 1_000, total: 10_000 };
    let work = ledger.open_jobs(first_jobs(64, room)).await?;
    assert_eq!(ledger.batch(batch).await?.jobs.waiting, 100_000);
    assert_eq!(work.jobs.iter().filter(|open| open.job.batch == batch).count(), 1_000);
    assert!(work.left_out);
    bystander.stands_still(&ledger).await
}

pub async fn the_estimate_counts_the_jobs_that_come_in_between(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let small = ledger.jobs_of(a_batch().of(300)).await?;
    let large = ledger.jobs_of(a_batch().of(5_000)).await?;
    let paused = ledger.jobs_of(a_batch().of(2_000)).await?;
    ledger.control(paused[0].batch, BatchCommand::Pause).await?;
    ledger.completed_batch().await?;
    let plan = a_batch().of(1_000).build().plan;
    let estimate = async || Estimator::new(ledger.share()).estimate(&plan, &ONE_A_SECOND).await;

    // Three of the small one and ten of the large one, since the new batch has ten; the first of
    // all starts at once.
    assert_eq!(estimate().await?.as_secs(), 3 + 10 + 10 - 1);

    ledger.complete(small[0]).await?;
    ledger.summarized(7, small[0].batch).await?;
    ledger.control(large[0].batch, BatchCommand::Cancel).await?;
    assert_eq!(estimate().await?.as_secs(), 2 + 10 - 1);
    Ok(())
}

/// Reading the backlog is shared by creates that come together, and each of them is seen by the
/// next one.
pub async fn the_estimate_counts_what_was_created_just_now(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let plan = a_batch().of(1_000).build().plan;
    let estimator = Estimator::new(ledger.share());

    let mut estimates = Vec::new();
    for _ in 0..3 {
        estimates.push(estimator.estimate(&plan, &ONE_A_SECOND).await?.as_secs());
        ledger.create(a_batch().of(1_000).build()).await?;
        estimator.created(&plan).await;
    }

    assert_eq!(estimates, [9, 19, 29]);
    Ok(())
}

pub async fn the_estimate_goes_by_the_speed_of_the_batch_that_finished_last(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let [first, second] = [ledger.one_job().await?, ledger.jobs_of(a_batch().of(50)).await?[0]];
    let plan = a_batch().of(1_000_000).build().plan;
    let estimate = async || Estimator::new(ledger.share()).estimate(&plan, &UNLIMITED).await;

    ledger.complete(second).await?;
    ledger.complete(first).await?;
    for ended in [first, second] {
        ledger.summarized(7, ended.batch).await?;
    }
    let before = estimate().await?;
    ledger.closed(second.batch, 0).await?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    ledger.closed(first.batch, 0).await?;
    let after = estimate().await?;

    // At the assumed 10,000 items a second, and at 100 in 30 ms.
    assert_eq!((before.as_secs(), after.as_secs()), (100, 300));
    Ok(())
}

/// What a process did in a batch that wrote nothing there lately.
pub async fn a_request_that_comes_again_is_answered_as_it_was(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let asked = || a_batch().of(1_000).with_id(77).asked_by(a_request("ann", "a thousand"));
    let first = ledger.create(asked().taking(9).build()).await?;
    ledger.complete(JobId { batch: first.batch, seq: 0, generation: 0 }).await?;
    ledger.create(a_batch().of(5_000).build()).await?;
    let before = ledger.batch(first.batch).await?;

    // Settings have changed meanwhile: jobs would be larger, and faster.
    let again = ledger.create(asked().in_jobs_of(500).taking(1).build()).await?;

    assert_eq!((first.batch, first.quantity, first.jobs, first.repeated), (id(77), 1_000, 10, false));
    assert_eq!(again, Created { repeated: true, ..first });
    assert_eq!(ledger.batch(first.batch).await?, before);
    assert_eq!(ledger.batches(None, ALL).await?.len(), 3);
    bystander.stands_still(&ledger).await
}

pub async fn a_key_of_another_request_is_refused(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let first = ledger.create(a_batch().asked_by(a_request("ann", "two hundred")).build()).await?;

    let other = ledger.create(a_batch().of(300).asked_by(a_request("ann", "three hundred")).build()).await;
    let same = ledger.create(a_batch().asked_by(a_request("ann", "two hundred")).build()).await?;

    assert!(matches!(other, Err(LedgerError::KeyReused(batch)) if batch == first.batch), "{other:?}");
    assert_eq!(same, Created { repeated: true, ..first });
    assert_eq!(ledger.batches(None, ALL).await?.len(), 2);
    bystander.stands_still(&ledger).await
}

pub async fn every_caller_has_keys_of_its_own(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let mut batches = HashSet::new();

    for caller in ["ann", "bob", ""] {
        let first = ledger.create(a_batch().asked_by(a_request(caller, "the same")).build()).await?;
        let again = ledger.create(a_batch().asked_by(a_request(caller, "the same")).build()).await?;
        assert_eq!((first.repeated, again.repeated, again.batch), (false, true, first.batch), "{caller}");
        batches.insert(first.batch);
    }

    assert_eq!(batches.len(), 3);
    Ok(())
}

pub async fn a_request_that_was_refused_keeps_no_key(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let taken = ledger.one_job().await?.batch.get();

    let refused = ledger.create(a_batch().with_id(taken).asked_by(a_request("ann", "taken")).build()).await;
    let made = ledger.create(a_batch().with_id(77).asked_by(a_request("ann", "free")).build()).await?;

    assert!(matches!(refused, Err(LedgerError::IdInUse(_))), "{refused:?}");
    assert_eq!((made.batch, made.repeated), (id(77), false));
    bystander.stands_still(&ledger).await
}

pub async fn a_key_is_free_again_when_its_time_is_up(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let asked =
        |remembered| a_batch().asked_by(CreateRequest { remembered, ..a_request("ann", "two hundred") }).build();
    let first = ledger.create(asked(CreateRequest::REMEMBERED)).await?;
    let still = ledger.create(asked(CreateRequest::REMEMBERED)).await?;
    let before = ledger.batch(first.batch).await?;

    let second = ledger.create(asked(Duration::ZERO)).await?;
    let again = ledger.create(asked(CreateRequest::REMEMBERED)).await?;

    assert_eq!((still.batch, still.repeated), (first.batch, true));
    assert!(second.batch != first.batch && !second.repeated, "{second:?}");
    assert_eq!((again.batch, again.repeated), (second.batch, true));
    assert_eq!(ledger.batch(first.batch).await?, before);
    bystander.stands_still(&ledger).await
}

pub async fn of_fifty_twins_at_once_one_makes_the_batch(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let mut twins = JoinSet::new();

    for _ in 0..50 {
        let (ledger, new) = (ledger.share(), a_batch().asked_by(a_request("ann", "two hundred")).build());
        twins.spawn(async move { ledger.create(new).await });
    }
    let answers = twins.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;

    let (again, first): (Vec<_>, Vec<_>) = answers.into_iter().partition(|created| created.repeated);
    assert_eq!((first.len(), again.len()), (1, 49));
    assert!(again.iter().all(|created| *created == Created { repeated: true, ..first[0] }), "{again:?}");
    assert_eq!(ledger.batches(None, ALL).await?.len(), 1);
    Ok(())
}

// plan

pub async fn a_batch_that_was_asked_for_has_no_jobs_before_it_is_planned(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;

    let asked = a_batch().of(250).in_jobs_of(100).with_prefix("QR");
    let options = a_batch().of(250).in_jobs_of(100).with_prefix("QR").build().options;
    let batch = ledger.asked(asked).await?;

    let record = ledger.batch(batch).await?;
    assert_eq!((record.status, record.quantity, &record.options), (BatchStatus::Pending, 250, &options));
    assert_eq!((record.jobs, record.items_created, record.round), (JobCounts::default(), 0, 0));
    assert!(is_recent(Some(record.created_at)) && record.finished_at.is_none());
    let progress = Progress::of(&record, &UNLIMITED, None);
    assert_eq!((progress.total, progress.percent, progress.eta_seconds), (0, 0, None));
    assert_eq!(ledger.unplanned().await?, [Unplanned { batch, quantity: 250, options }]);
    assert_eq!((ledger.open_jobs_of(batch).await?, ledger.end_task(batch).await?), (vec![], None));
    assert_eq!((ledger.items_of(batch).await?, ledger.failed_jobs(batch, ALL).await?), (vec![], vec![]));
    assert_eq!(ledger.claim(JobId { batch, seq: 0, generation: 0 }).await?, Claimed::Unknown);
    assert_eq!(ledger.close(batch, 0).await?, Closed::NothingToDo);
    assert!(matches!(ledger.retry(batch).await, Err(LedgerError::NotAllowed(_))));
    // It is not known how many jobs it will put in between.
    let plan = a_batch().of(200).build().plan;
    let estimated = Estimator::new(ledger.share()).estimate(&plan, &ONE_A_SECOND).await?;
    assert_eq!(estimated.as_secs(), 2 + 2 - 1, "two of the bystander's, two of its own, the first at once");
    assert_eq!(ledger.batch(batch).await?, record);
    bystander.stands_still(&ledger).await
}

pub async fn a_plan_gives_the_batch_its_jobs(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let [batch, other] = [ledger.asked(a_batch().of(250).with_prefix("QR")).await?, ledger.asked(a_batch()).await?];

    assert_eq!(ledger.plan(batch, cut(a_batch().of(250))).await?, Planned::Now);

    let planned = ledger.batch(batch).await?;
    assert_eq!((planned.status, planned.round, planned.started_at), (BatchStatus::Pending, 0, None));
    assert_eq!(planned.jobs, JobCounts { waiting: 3, ..JobCounts::default() });
    let open = ledger.open_jobs_of(batch).await?;
    assert_eq!(open.iter().map(|job| (job.first, job.quantity)).collect::<Vec<_>>(), [(0, 100), (100, 100), (200, 50)]);
    let work = ledger.work(open[0].job).await?;
    assert_eq!(
        (work.prefix.as_deref(), work.key_fingerprint.as_str(), work.missing),
        (Some("QR"), "f00d", vec![0..100])
    );
    ledger.finish_attempt(&work.claim, AttemptResult::Released, WORKED).await?;
    for job in open {
        ledger.complete(job.job).await?;
    }
    let closed = ledger.closed(batch, 0).await?;
    assert_eq!((closed.status, closed.items_created), (BatchStatus::Completed, 250));
    assert_eq!(ledger.unplanned().await?.iter().map(|asked| asked.batch).collect::<Vec<_>>(), [other]);
    bystander.stands_still(&ledger).await
}

pub async fn what_can_not_be_planned_fails_and_says_why(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let [batch, other] = [ledger.asked(a_batch()).await?, ledger.asked(a_batch()).await?];

    assert_eq!(ledger.plan(batch, too_many()).await?, Planned::Now);

    let refused = ledger.batch(batch).await?;
    assert_eq!((refused.status, refused.jobs, refused.round), (BatchStatus::Failed, JobCounts::default(), 1));
    assert_eq!(refused.error.as_deref(), Some("`quantity` must be 1 to 100, but is 200"));
    assert!(is_recent(refused.finished_at) && refused.started_at.is_none());
    let progress = Progress::of(&refused, &UNLIMITED, None);
    assert_eq!((progress.total, progress.percent, progress.eta_seconds), (0, 0, Some(0)));
    let finished = BatchFinished {
        batch_id: batch,
        round: 0,
        status: BatchStatus::Failed,
        quantity: 200,
        items_created: 0,
        failed_jobs: 0,
    };
    assert_eq!(ledger.events_of(batch).await?, [HookEvent::BatchFinished(finished)]);
    assert_eq!((ledger.end_task(batch).await?, ledger.close(batch, 1).await?), (None, Closed::NothingToDo));
    let report = ledger.retry(batch).await?;
    assert_eq!((report.found, report.recreated, report.status), (0, 0, BatchStatus::Failed));
    for wish in [BatchCommand::Cancel, BatchCommand::Pause, BatchCommand::Resume] {
        assert!(matches!(ledger.control(batch, wish).await, Err(LedgerError::NotAllowed(_))), "{wish:?}");
    }
    assert_eq!(ledger.plan(batch, cut(a_batch())).await?, Planned::NothingToDo);
    assert_eq!(ledger.batch(batch).await?, refused);
    assert_eq!(ledger.unplanned().await?.iter().map(|asked| asked.batch).collect::<Vec<_>>(), [other]);
    bystander.stands_still(&ledger).await
}

pub async fn of_many_planners_one_plans(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;

    // Settings may differ between processes, so one may refuse what another one plans.
    for round in 0..10 {
        let batch = ledger.asked(a_batch().of(10_000).in_jobs_of(10)).await?;
        let mut planners = JoinSet::new();
        for planner in 0..8 {
            let ledger = ledger.share();
            let refuses = round % 2 == 1 && planner % 2 == 1;
            planners.spawn(async move {
                let how = if refuses { too_many() } else { cut(a_batch().of(10_000).in_jobs_of(10)) };
                Ok::<_, LedgerError>((ledger.plan(batch, how).await?, refuses))
            });
        }
        let answers = planners.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;

        let first: Vec<_> = answers.iter().filter(|(planned, _)| *planned == Planned::Now).collect();
        let [(_, refused)] = first[..] else { return Err(format!("one, please: {first:?}").into()) };
        let planned = ledger.batch(batch).await?;
        assert_eq!(planned.status, if *refused { BatchStatus::Failed } else { BatchStatus::Pending });
        assert_eq!(planned.jobs.total(), if *refused { 0 } else { 1_000 });
        assert_eq!(ledger.open_jobs_of(batch).await?.len() as u64, planned.jobs.open());
    }
    bystander.stands_still(&ledger).await
}

pub async fn a_batch_that_was_cancelled_is_not_planned(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let batch = ledger.asked(a_batch()).await?;

    let cancelled = ledger.control(batch, BatchCommand::Cancel).await?;

    assert_eq!((cancelled.status, cancelled.jobs, cancelled.round), (BatchStatus::Cancelled, JobCounts::default(), 1));
    assert!(is_recent(cancelled.finished_at));
    assert_eq!(ledger.events_of(batch).await?.len(), 1);
    assert_eq!((ledger.unplanned().await?, ledger.end_task(batch).await?), (vec![], None));
    assert_eq!(ledger.plan(batch, cut(a_batch())).await?, Planned::NothingToDo);
    assert_eq!(ledger.plan(batch, too_many()).await?, Planned::NothingToDo);
    assert_eq!(ledger.batch(batch).await?, cancelled);
    bystander.stands_still(&ledger).await
}

pub async fn a_batch_that_is_paused_is_planned_and_stays_paused(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let [batch, refused] = [ledger.asked(a_batch()).await?, ledger.asked(a_batch()).await?];
    for batch in [batch, refused] {
        assert_eq!(ledger.control(batch, BatchCommand::Pause).await?.status, BatchStatus::Paused);
    }
    assert_eq!(ledger.unplanned().await?.len(), 2);
    assert_eq!(ledger.retry(batch).await?.found, 0);

    assert_eq!(ledger.plan(batch, cut(a_batch())).await?, Planned::Now);
    assert_eq!(ledger.plan(refused, too_many()).await?, Planned::Now);

    let planned = ledger.batch(batch).await?;
    assert_eq!((planned.status, planned.jobs.waiting), (BatchStatus::Paused, 2));
    assert_eq!(ledger.open_jobs_of(batch).await?, []);
    assert_eq!(ledger.batch(refused).await?.status, BatchStatus::Failed);
    assert_eq!(ledger.control(batch, BatchCommand::Resume).await?.status, BatchStatus::Pending);
    assert_eq!(ledger.open_jobs_of(batch).await?.len(), 2);
    // And one that goes on before it is planned.
    let early = ledger.asked(a_batch()).await?;
    ledger.control(early, BatchCommand::Pause).await?;
    assert_eq!(ledger.control(early, BatchCommand::Resume).await?.status, BatchStatus::Pending);
    assert_eq!(ledger.plan(early, cut(a_batch())).await?, Planned::Now);
    bystander.stands_still(&ledger).await
}

pub async fn not_too_many_batches_are_to_be_planned_at_a_time(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let mut asked = Vec::new();
    for _ in 0..105 {
        asked.push(ledger.asked(a_batch()).await?);
    }

    let first: Vec<_> = ledger.unplanned().await?.into_iter().map(|asked| asked.batch).collect();
    for batch in &first {
        ledger.plan(*batch, cut(a_batch())).await?;
    }
    let rest: Vec<_> = ledger.unplanned().await?.into_iter().map(|asked| asked.batch).collect();

    assert_eq!((&first[..], &rest[..]), (&asked[..100], &asked[100..]));
    Ok(())
}

pub async fn who_asks_and_who_creates_share_the_sequence(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let mut ids = vec![ledger.create(a_batch().build()).await?.batch, ledger.asked(a_batch()).await?];

    for taken in [4, 5, i64::pow(2, 53) - 1] {
        assert_eq!(ledger.asked(a_batch().with_id(taken)).await?, id(taken));
    }
    ids.push(ledger.asked(a_batch()).await?);
    ids.push(ledger.asked(a_batch()).await?);
    ids.push(ledger.create(a_batch().build()).await?.batch);
    let taken = ledger.create(a_batch().with_id(4).build()).await;

    assert_eq!(ids, [1, 2, 3, 6, 7].map(id));
    assert!(matches!(taken, Err(LedgerError::IdInUse(taken)) if taken == id(4)), "{taken:?}");
    Ok(())
}

pub async fn what_can_never_be_right_is_not_even_asked_for(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let many_jobs = || {
        let mut batch = a_batch();
        batch.options.max_jobs_per_batch = Some(100_001);
        batch
    };
    let table = [
        (a_batch().of(0), "`quantity` must be 1 to 9007199254740991"),
        (a_batch().of(1 << 53), "`quantity` must be 1 to 9007199254740991"),
        (a_batch().in_jobs_of(0), "`batch_size` must be 1 to 9007199254740991"),
        (many_jobs(), "`max_jobs_per_batch` must be 1 to 100000"),
        (a_batch().with_prefix(""), "`qr_code_prefix` must be 1 to 16 of A-Z a-z 0-9 _ -"),
        (a_batch().with_prefix("seventeen-letters"), "`qr_code_prefix` must be 1 to 16 of A-Z a-z 0-9 _ -"),
        (a_batch().with_prefix("two words"), "`qr_code_prefix` must be 1 to 16 of A-Z a-z 0-9 _ -"),
        (a_batch().with_prefix("\u{e4}"), "`qr_code_prefix` must be 1 to 16 of A-Z a-z 0-9 _ -"),
    ];

    for (batch, words) in table {
        let refused = ledger.asked(batch).await.map_err(|error| error.to_string());
        assert!(refused.as_ref().is_err_and(|error| error.contains(words)), "{refused:?} is not {words}");
    }
    let taken = ledger.asked(a_batch().with_id(1)).await;
    assert!(taken.is_err(), "{taken:?}");
    assert_eq!((ledger.batches(None, ALL).await?.len(), ledger.unplanned().await?), (1, vec![]));
    bystander.stands_still(&ledger).await
}

// begin

pub async fn the_first_begin_sets_the_batch_running(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().with_prefix("QR")).await?;

    let work = ledger.work(jobs[1]).await?;
    let started = ledger.batch(jobs[0].batch).await?;
    ledger.lose(jobs[0]).await?;
    let later = ledger.batch(jobs[0].batch).await?;

    assert_eq!((work.claim.job, work.claim.epoch, work.range), (jobs[1], 1, 100..200));
    assert_eq!((work.attempts_made, work.prefix.as_deref(), work.key_fingerprint.as_str()), (0, Some("QR"), "f00d"));
    assert_eq!((started.status, started.jobs.active, started.jobs.waiting), (BatchStatus::Running, 1, 1));
    assert!(is_recent(started.started_at));
    assert_eq!((later.started_at, later.jobs.active), (started.started_at, 2));
    bystander.stands_still(&ledger).await
}

pub async fn a_begin_says_what_is_missing(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let neighbour = ledger.claim_job(jobs[0]).await?;
    ledger.insert_chunk(&neighbour, chunk(0..100)).await?;

    let first = ledger.work(jobs[1]).await?;
    ledger.insert_chunk(&first.claim, chunk(100..110)).await?;
    ledger.insert_chunk(&first.claim, chunk(150..160)).await?;
    let second = ledger.work(jobs[1]).await?;
    ledger.insert_chunk(&second.claim, chunk(110..150)).await?;
    ledger.insert_chunk(&second.claim, chunk(160..200)).await?;
    let third = ledger.work(jobs[1]).await?;

    assert_eq!(first.missing, [100..200]);
    assert_eq!(second.missing, [110..150, 160..200]);
    assert_eq!(third.missing, []);
    Ok(())
}

pub async fn a_job_that_is_over_is_not_begun(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(400)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.fail(jobs[2]).await?;
    ledger.retry(jobs[0].batch).await?;
    ledger.fail(JobId { generation: 1, ..jobs[2] }).await?;
    let cancelled = ledger.one_job().await?;
    ledger.control(cancelled.batch, BatchCommand::Cancel).await?;

    let recreated = jobs[1];
    for over in [jobs[0], recreated, jobs[2], cancelled] {
        assert_eq!(ledger.claim(over).await?, Claimed::NothingToDo, "{over}");
    }
    let again = JobId { generation: 1, ..jobs[2] };
    assert_eq!(ledger.claim(again).await?, Claimed::Failed("no ink".into()));
    bystander.stands_still(&ledger).await
}

pub async fn a_job_that_does_not_exist_is_unknown(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;

    for unknown in [
        JobId { batch: id(4_711), ..job },
        JobId { seq: 1, ..job },
        JobId { seq: u64::MAX, ..job },
        JobId { generation: 1, ..job },
    ] {
        assert_eq!(ledger.claim(unknown).await?, Claimed::Unknown, "{unknown}");
    }
    assert_eq!(ledger.batch(job.batch).await?.status, BatchStatus::Pending);
    Ok(())
}

pub async fn a_job_of_a_paused_batch_is_not_begun(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.control(job.batch, BatchCommand::Pause).await?;

    assert_eq!(ledger.claim(job).await?, Claimed::Paused);

    ledger.control(job.batch, BatchCommand::Resume).await?;
    assert_eq!(ledger.claim_job(job).await?.epoch, 1);
    bystander.stands_still(&ledger).await
}

pub async fn a_delayed_job_may_be_begun(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    ledger.end(job, delayed(because("later"), Duration::from_secs(3_600))).await?;

    let work = ledger.work(job).await?;

    assert_eq!((work.claim.epoch, work.attempts_made), (2, 1));
    assert!(ledger.open_job(job).await?.is_some());
    Ok(())
}

pub async fn a_lost_worker_counts_as_a_crash_until_a_new_item_exists(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;

    for ordinal in 0..10 {
        ledger.lose(job).await?;
        let claim = ledger.claim_job(job).await?;
        ledger.insert_chunk(&claim, chunk(ordinal..ordinal + 1)).await?;
    }
    ledger.lose(job).await?;
    let claim = ledger.claim_job(job).await?;
    let nothing_new = ledger.insert_chunk(&claim, chunk(0..10)).await?;

    assert_eq!(nothing_new, ChunkInserted::New(0));
    assert!(matches!(ledger.claim(job).await?, Claimed::Poisoned(..)));
    Ok(())
}

pub async fn a_job_that_loses_its_worker_too_often_is_failed(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    ledger.complete(jobs[0]).await?;
    for _ in 0..3 {
        ledger.lose(jobs[1]).await?;
    }

    let poisoned = ledger.claim(jobs[1]).await?;

    let why = "lost its worker 3 times without a new item";
    assert_eq!(poisoned, Claimed::Poisoned(because(why)));
    assert_eq!(ledger.at_end_of(jobs[0].batch).await?, end_of(jobs[0].batch, 0));
    assert_eq!(ledger.claim(jobs[1]).await?, Claimed::Failed(why.into()));
    let failed = ledger.failed_jobs(jobs[0].batch, ALL).await?;
    assert_eq!((failed[0].seq, failed[0].crashes, failed[0].attempts, failed[0].error.as_str()), (1, 3, 0, why));
    assert!(
        ledger.events_of(jobs[0].batch).await?.iter().any(
            |event| matches!(event, HookEvent::JobFailed(job) if job.seq == 1 && job.error.as_deref() == Some(why))
        )
    );
    bystander.stands_still(&ledger).await
}

/// It slept through its job's end, and its own settlement looks just like that end.
pub async fn the_lost_worker_of_a_failed_job_settles_nothing(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    ledger.lose(job).await?;
    ledger.lose(job).await?;
    let sleeper = ledger.claim_job(job).await?;
    assert!(matches!(ledger.claim(job).await?, Claimed::Poisoned(..)));

    assert_eq!(
        ledger.finish_attempt(&sleeper, AttemptResult::Failed(because("mine")), WORKED).await?,
        Finished::Fenced
    );
    assert_eq!(ledger.insert_chunk(&sleeper, chunk(0..1)).await?, ChunkInserted::Fenced);
    Ok(())
}

pub async fn a_job_that_was_given_back_did_not_crash(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;

    for _ in 0..10 {
        ledger.end(job, AttemptResult::Released).await?;
    }

    let work = ledger.work(job).await?;
    assert_eq!((work.claim.epoch, work.attempts_made), (11, 0));
    Ok(())
}

// claim_and_insert

pub async fn a_first_chunk_comes_with_the_claim(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(300).with_prefix("QR")).await?;
    ledger.lose(jobs[0]).await?;

    let first = FirstChunk { prefix: Some("QR".into()), ..first_chunk(100..200, 100..150) };
    let claimed = ledger.claim_and_insert(jobs[1].into(), first).await?;

    let Claimed::Work(Work { claim, range, missing, written, prefix, key_fingerprint, attempts_made }) = claimed else {
        return Err(format!("{claimed:?}").into());
    };
    assert_eq!((claim.job, claim.epoch, range, missing, written), (jobs[1], 1, 100..200, vec![150..200], 50));
    assert_eq!((prefix.as_deref(), key_fingerprint.as_str(), attempts_made), (Some("QR"), "f00d", 0));
    assert_eq!(ledger.items_of(jobs[0].batch).await?, (100..150).collect::<Vec<_>>());
    assert_eq!(ledger.batch(jobs[0].batch).await?.items_created, 50);
    assert_eq!(ledger.insert_chunk(&claim, chunk(150..200)).await?, ChunkInserted::New(50));
    assert_eq!(ledger.finish_attempt(&claim, AttemptResult::Completed, WORKED).await?, DONE);
    bystander.stands_still(&ledger).await
}

pub async fn a_first_chunk_may_be_the_whole_job(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(250)).await?;
    ledger.lose(jobs[0]).await?;

    let claimed = ledger.claim_and_insert(jobs[2].into(), first_chunk(200..250, 200..250)).await?;

    let Claimed::Work(work) = claimed else { return Err(format!("{claimed:?}").into()) };
    assert_eq!((work.missing, work.inserted, ledger.items_of(jobs[2].batch).await?.len()), (vec![], 50, 50));
    assert_eq!(ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await?, DONE);
    Ok(())
}

/// The job is begun as ever, and whoever works it writes what is missing.
pub async fn a_first_chunk_stays_away_where_anything_is_odd(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let pending = ledger.jobs_of(a_batch()).await?;
    let jobs = ledger.jobs_of(a_batch().of(700)).await?;
    let partly = ledger.claim_job(jobs[0]).await?;
    ledger.insert_chunk(&partly, chunk(10..20)).await?;
    ledger.end(jobs[2], delayed(because("later"), Duration::ZERO)).await?;
    ledger.lose(jobs[3]).await?;
    let by_order = Delivery::External { batch: jobs[4].batch, seq: 4 };
    let table = [
        ("the batch was never begun", pending[0].into(), 0..100, 0..50, vec![0..100]),
        ("some items exist", jobs[0].into(), 0..100, 0..50, vec![0..10, 20..100]),
        ("another range was told", jobs[1].into(), 0..100, 0..50, vec![100..200]),
        ("it was tried before", jobs[2].into(), 200..300, 200..250, vec![200..300]),
        ("its worker was lost", jobs[3].into(), 300..400, 300..350, vec![300..400]),
        ("somebody ordered it", by_order, 400..500, 400..450, vec![400..500]),
        ("the chunk does not begin the job", jobs[5].into(), 500..600, 510..550, vec![500..600]),
        ("there is no chunk", jobs[6].into(), 600..700, 600..600, vec![600..700]),
    ];

    for (why, delivery, range, items, missing) in table {
        let claimed = ledger.claim_and_insert(delivery, first_chunk(range, items)).await?;
        // SQLite looks at the rows, and may write where none exists.
        let Claimed::Work(work) = claimed else { return Err(format!("{why}: {claimed:?}").into()) };
        let came = if work.missing == missing { 0 } else { 50 };
        assert_eq!(work.inserted, came, "{why}");
        let there = ledger.items_of(work.claim.job.batch).await?;
        let lacks: Vec<u64> = work.range.filter(|ordinal| !there.contains(ordinal)).collect();
        assert_eq!(work.missing.into_iter().flatten().collect::<Vec<_>>(), lacks, "{why}");
        if there.len() == 10 {
            assert_eq!(
                lacks,
                missing.into_iter().flatten().filter(|at| !there.contains(at)).collect::<Vec<_>>(),
                "{why}"
            );
        }
    }
    Ok(())
}

/// A batch had the id of another one, whose codes a worker remembered: a backup was restored.
pub async fn a_first_chunk_made_for_other_codes_stays_away(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300).with_prefix("QR")).await?;
    ledger.lose(jobs[0]).await?;
    let of_the_batch = |range: Range<u64>| {
        let items = range.start..range.start + 50;
        FirstChunk { prefix: Some("QR".into()), ..first_chunk(range, items) }
    };
    let others = [
        (jobs[1], FirstChunk { prefix: None, ..of_the_batch(100..200) }),
        (jobs[2], FirstChunk { key_fingerprint: "beef".into(), ..of_the_batch(200..300) }),
    ];

    for (job, chunk) in others {
        let claimed = ledger.claim_and_insert(job.into(), chunk.clone()).await?;

        let Claimed::Work(work) = claimed else { return Err(format!("{claimed:?}").into()) };
        assert_eq!((work.claim.job, work.missing), (job, vec![chunk.range]));
        assert_eq!((work.prefix.as_deref(), work.key_fingerprint.as_str()), (Some("QR"), "f00d"));
    }
    assert_eq!(ledger.items_of(jobs[0].batch).await?, Vec::<u64>::new());
    Ok(())
}

pub async fn no_first_chunk_comes_to_a_job_that_may_not_be_begun(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(400)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    let claim = async |job: JobId| {
        let first = job.seq * 100;
        ledger.claim_and_insert(job.into(), first_chunk(first..first + 100, first..first + 50)).await
    };

    assert_eq!(claim(jobs[0]).await?, Claimed::NothingToDo);
    assert_eq!(claim(jobs[1]).await?, Claimed::Failed("no ink".into()));
    assert_eq!(claim(JobId { generation: 1, ..jobs[2] }).await?, Claimed::Unknown);
    ledger.control(jobs[0].batch, BatchCommand::Pause).await?;
    assert_eq!(claim(jobs[2]).await?, Claimed::Paused);
    ledger.control(jobs[0].batch, BatchCommand::Cancel).await?;
    assert_eq!(claim(jobs[3]).await?, Claimed::NothingToDo);

    assert_eq!(ledger.items_of(jobs[0].batch).await?.len(), 100);
    Ok(())
}

/// A worker that is lost again and again right after its first chunk has written something new each
/// time but the first.
pub async fn a_worker_lost_after_its_first_chunk_counts_as_a_crash(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    ledger.lose(jobs[0]).await?;

    let claims = async || ledger.claim_and_insert(jobs[1].into(), first_chunk(100..200, 100..150)).await;
    for _ in 0..3 {
        assert!(matches!(claims().await?, Claimed::Work(_)));
    }

    assert!(matches!(claims().await?, Claimed::Poisoned(_)));
    Ok(())
}

// insert_and_complete

pub async fn a_last_chunk_completes_its_job(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let claim = ledger.claim_job(jobs[0]).await?;
    ledger.insert_chunk(&claim, chunk(0..50)).await?;

    let done = ledger.insert_and_complete(&claim, chunk(50..100), WORKED).await?;
    // The answer to a commit may be lost on the way, and the worker then asks again.
    let again = ledger.insert_and_complete(&claim, chunk(50..100), WORKED).await?;

    assert_eq!((done, again), (LastChunk::Completed, LastChunk::Completed));
    let batch = ledger.batch(jobs[0].batch).await?;
    assert_eq!((batch.jobs.completed, batch.jobs.waiting, batch.items_created), (1, 1, 100));
    assert_eq!(batch.measured, Measured { items: 100, worked: WORKED });
    let events = ledger.events_of(batch.batch_id).await?;
    assert!(
        matches!(&events[..], [HookEvent::JobCompleted(job)] if job.seq == 0 && job.items_created == 100),
        "{events:?}"
    );
    assert_eq!(ledger.claim(jobs[0]).await?, Claimed::NothingToDo);
    bystander.stands_still(&ledger).await
}

pub async fn a_last_chunk_changes_nothing_where_anything_is_odd(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;
    let half_of = async |seq: u64, items: u64| -> TestResult<_> {
        let claim = ledger.claim_job(jobs[seq as usize]).await?;
        ledger.insert_chunk(&claim, chunk(seq * 100..seq * 100 + items)).await?;
        Ok(claim)
    };
    let late = half_of(0, 50).await?;
    let _current = half_of(0, 50).await?;
    let lacking = half_of(1, 40).await?;
    let twice = half_of(2, 60).await?;
    let over = half_of(3, 50).await?;
    ledger.finish_attempt(&over, AttemptResult::Failed(because("no ink")), WORKED).await?;
    let paused = half_of(4, 50).await?;
    let before = ledger.items_of(jobs[0].batch).await?;
    let last = async |claim, from: u64| ledger.insert_and_complete(claim, chunk(from..from + 50), WORKED).await;

    assert_eq!(last(&late, 50).await?, LastChunk::Unchanged, "it was begun again");
    assert_eq!(last(&lacking, 150).await?, LastChunk::Unchanged, "another item is missing");
    assert_eq!(last(&twice, 250).await?, LastChunk::Unchanged, "some of them exist");
    assert_eq!(last(&over, 350).await?, LastChunk::Unchanged, "it failed");
    assert_eq!(last(&lacking, 160).await?, LastChunk::Unchanged, "they are not all the job's");
    ledger.control(jobs[0].batch, BatchCommand::Pause).await?;
    assert_eq!(last(&paused, 450).await?, LastChunk::Unchanged, "it is paused");
    ledger.control(jobs[0].batch, BatchCommand::Cancel).await?;
    assert_eq!(last(&paused, 450).await?, LastChunk::Unchanged, "it was cancelled");

    assert_eq!(ledger.items_of(jobs[0].batch).await?, before);
    assert_eq!(ledger.batch(jobs[0].batch).await?.jobs.completed, 0);
    Ok(())
}

// write

pub async fn items_are_written_once_however_often_they_come(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let claim = ledger.claim_job(jobs[0]).await?;

    assert_eq!(ledger.insert_chunk(&claim, chunk(0..50)).await?, ChunkInserted::New(50));
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..50)).await?, ChunkInserted::New(0));
    assert_eq!(ledger.insert_chunk(&claim, chunk(40..60)).await?, ChunkInserted::New(10));
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..0)).await?, ChunkInserted::New(0));

    assert_eq!(ledger.items_of(jobs[0].batch).await?, (0..60).collect::<Vec<_>>());
    assert_eq!(ledger.batch(jobs[0].batch).await?.items_created, 60);
    let item = &ledger.items(jobs[0].batch, page(Some(6), 1)).await?[0];
    assert_eq!((item.batch_id, item.ordinal, item.code.as_str()), (jobs[0].batch, 7, "code-7"));
    assert!(is_recent(Some(item.created_at)));
    bystander.stands_still(&ledger).await
}

/// A worker that was stopped past its turn wakes up and writes; nothing of it may land.
pub async fn a_worker_that_was_overtaken_writes_nothing(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    let slow = ledger.claim_job(job).await?;
    let fast = ledger.claim_job(job).await?;

    let late = ledger.insert_chunk(&slow, chunk(0..50)).await?;

    assert_eq!(late, ChunkInserted::Fenced);
    assert!(ledger.items_of(job.batch).await?.is_empty());
    assert_eq!(ledger.insert_chunk(&fast, chunk(0..50)).await?, ChunkInserted::New(50));
    bystander.stands_still(&ledger).await
}

pub async fn nothing_is_written_after_a_settlement(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let settlements =
        [AttemptResult::Released, AttemptResult::Failed(because("no")), delayed(because("no"), Duration::ZERO)];

    for how in settlements {
        let job = ledger.jobs_of(a_batch()).await?[0];
        let claim = ledger.claim_job(job).await?;
        ledger.finish_attempt(&claim, how, WORKED).await?;
        assert_eq!(ledger.insert_chunk(&claim, chunk(0..50)).await?, ChunkInserted::Fenced);
        assert_eq!(ledger.batch(job.batch).await?.items_created, 0);
    }
    Ok(())
}

pub async fn nothing_is_written_after_a_cancel(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;
    ledger.insert_chunk(&claim, chunk(0..10)).await?;
    ledger.control(job.batch, BatchCommand::Cancel).await?;

    assert_eq!(ledger.insert_chunk(&claim, chunk(10..20)).await?, ChunkInserted::Cancelled);
    assert_eq!(ledger.finish_attempt(&claim, AttemptResult::Released, WORKED).await?, Finished::Fenced);

    assert_eq!(ledger.items_of(job.batch).await?.len(), 10);
    assert_eq!(ledger.batch(job.batch).await?.jobs.cancelled, 1);
    bystander.stands_still(&ledger).await
}

pub async fn nothing_is_written_while_the_batch_is_paused(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;

    ledger.control(job.batch, BatchCommand::Pause).await?;
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..10)).await?, ChunkInserted::Paused);
    assert!(ledger.items_of(job.batch).await?.is_empty());

    ledger.control(job.batch, BatchCommand::Resume).await?;
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..10)).await?, ChunkInserted::New(10));
    bystander.stands_still(&ledger).await
}

pub async fn an_item_of_another_job_is_refused(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.jobs_of(a_batch()).await?[0];
    let claim = ledger.claim_job(job).await?;

    let stray = ledger.insert_chunk(&claim, chunk(99..101)).await;

    assert!(matches!(stray, Err(LedgerError::Refused { why }) if why.contains("item 100")));
    assert!(ledger.items_of(job.batch).await?.is_empty());
    Ok(())
}

// settle

pub async fn each_settlement_leaves_the_job_in_its_state(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;

    assert_eq!(ledger.complete(jobs[0]).await?, DONE);
    assert_eq!(ledger.fail(jobs[1]).await?, DONE);
    assert_eq!(ledger.end(jobs[2], delayed(because("later"), Duration::from_secs(60))).await?, DONE);
    assert_eq!(ledger.end(jobs[3], AttemptResult::Released).await?, DONE);
    ledger.lose(jobs[4]).await?;

    let batch = ledger.batch(jobs[0].batch).await?;
    assert_eq!(batch.jobs, JobCounts { waiting: 1, active: 1, delayed: 1, completed: 1, failed: 1, cancelled: 0 });
    assert_eq!(ledger.open_job(jobs[2]).await?, None, "it is not due");
    let failed = ledger.failed_jobs(batch.batch_id, ALL).await?;
    assert_eq!((failed[0].attempts, failed[0].error.as_str()), (1, "no ink"));
    assert!(is_recent(failed[0].finished_at));
    bystander.stands_still(&ledger).await
}

/// The answer to a commit may be lost on the way, and the worker then asks again.
pub async fn settling_again_answers_the_same(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let settlements = [
        AttemptResult::Released,
        delayed(because("once"), Duration::ZERO),
        delayed(because("twice"), Duration::ZERO),
        AttemptResult::Failed(because("at last")),
    ];

    for how in settlements {
        let claim = ledger.claim_job(jobs[0]).await?;
        for _ in 0..3 {
            assert_eq!(ledger.finish_attempt(&claim, how.clone(), WORKED).await?, DONE);
        }
    }
    let last = ledger.claim_job(jobs[1]).await?;
    ledger.insert_chunk(&last, chunk(100..200)).await?;
    for _ in 0..3 {
        let finished = ledger.finish_attempt(&last, AttemptResult::Completed, WORKED).await?;
        assert_eq!((finished, ledger.at_end_of(jobs[1].batch).await?), (DONE, end_of(jobs[1].batch, 0)));
    }

    let failed = ledger.failed_jobs(jobs[0].batch, ALL).await?;
    assert_eq!(failed[0].attempts, 3);
    assert_eq!(ledger.batch(jobs[0].batch).await?.measured.worked, WORKED * 5);
    assert_eq!(ledger.events_of(jobs[0].batch).await?.len(), 2);
    bystander.stands_still(&ledger).await
}

pub async fn a_worker_that_was_overtaken_settles_nothing(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    let slow = ledger.claim_job(job).await?;
    let fast = ledger.claim_job(job).await?;

    for how in [AttemptResult::Completed, AttemptResult::Released, AttemptResult::Failed(because("slow"))] {
        assert_eq!(ledger.finish_attempt(&slow, how, WORKED).await?, Finished::Fenced);
    }

    assert_eq!(ledger.batch(job.batch).await?.jobs.active, 1);
    assert_eq!(ledger.finish_attempt(&fast, AttemptResult::Failed(because("fast")), WORKED).await?, DONE);
    // Nor after a retry, when it is another job.
    ledger.closed(job.batch, 0).await?;
    ledger.retry(job.batch).await?;
    assert_eq!(ledger.finish_attempt(&fast, AttemptResult::Failed(because("fast")), WORKED).await?, Finished::Fenced);
    bystander.stands_still(&ledger).await
}

/// Each looks after its own end, as workers do: both may find the batch, and one at least must.
pub async fn of_two_last_jobs_one_at_least_finds_the_end(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    for _ in 0..30 {
        let jobs = ledger.jobs_of(a_batch()).await?;
        let holds = [ledger.claim_job(jobs[0]).await?, ledger.claim_job(jobs[1]).await?];
        assert_eq!(ledger.at_end_of(jobs[0].batch).await?, []);
        let ends = holds.map(|claim| {
            let ledger = ledger.share();
            tokio::spawn(async move {
                assert_eq!(ledger.finish_attempt(&claim, AttemptResult::Failed(because("no")), WORKED).await?, DONE);
                ledger.at_end(&[claim.job.batch]).await
            })
        });
        let mut found = Vec::new();
        for end in ends {
            found.extend(end.await??);
        }
        assert!((1..=2).contains(&found.len()), "{found:?}");
        assert!(found.iter().all(|task| vec![*task] == end_of(jobs[0].batch, 0)), "{found:?}");
    }
    Ok(())
}

pub async fn batches_at_their_end_are_told_from_others(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let mut batches = Vec::new();
    for status in BatchStatus::ALL {
        batches.push(batch_that_is(status, &ledger).await?);
    }
    let delayed = ledger.one_job().await?;
    ledger.end(delayed, super::support::delayed(because("later"), Duration::from_secs(60))).await?;
    let ended = ledger.jobs_of(a_batch()).await?;
    ledger.fail(ended[0]).await?;
    ledger.complete(ended[1]).await?;
    batches.extend([delayed.batch, ended[0].batch, ledger.asked(a_batch()).await?, id(4_711)]);

    assert_eq!(ledger.at_end(&batches).await?, end_of(ended[0].batch, 0));
    assert_eq!(ledger.at_end(&[]).await?, []);
    Ok(())
}

pub async fn a_job_given_back_is_as_if_it_had_not_been_begun(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    ledger.end(job, delayed(because("once"), Duration::ZERO)).await?;
    let before = ledger.open_job(job).await?;

    ledger.end(job, AttemptResult::Released).await?;

    assert_eq!(ledger.open_job(job).await?, before);
    assert_eq!(ledger.batch(job.batch).await?.jobs.waiting, 1);
    Ok(())
}

pub async fn a_job_of_a_paused_batch_is_given_back_without_a_crash(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;

    for _ in 0..5 {
        let claim = ledger.claim_job(job).await?;
        ledger.control(job.batch, BatchCommand::Pause).await?;
        for _ in 0..5 {
            assert_eq!(ledger.claim(job).await?, Claimed::Paused);
        }
        assert_eq!(ledger.finish_attempt(&claim, AttemptResult::Released, WORKED).await?, DONE);
        ledger.control(job.batch, BatchCommand::Resume).await?;
    }

    assert_eq!(ledger.claim_job(job).await?.epoch, 6);
    bystander.stands_still(&ledger).await
}

pub async fn the_time_of_all_attempts_is_added_up(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;

    ledger.end(jobs[0], AttemptResult::Released).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;

    let measured = ledger.batch(jobs[0].batch).await?.measured;
    assert_eq!(measured, Measured { items: 100, worked: WORKED * 3 });
    Ok(())
}

// close

pub async fn a_batch_is_closed_once(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;

    assert_eq!(ledger.close(job.batch, 1).await?, Closed::NothingToDo);
    let closed = ledger.closed(job.batch, 0).await?;
    for round in 0..3 {
        assert_eq!(ledger.close(job.batch, round).await?, Closed::NothingToDo);
    }
    assert_eq!(ledger.close(id(4_711), 0).await?, Closed::NothingToDo);

    assert_eq!((closed.status, closed.round, &closed.error), (BatchStatus::Completed, 1, &None));
    assert_eq!(closed.jobs, JobCounts { completed: 1, ..JobCounts::default() });
    assert!(is_recent(closed.finished_at));
    assert_eq!(ledger.batch(job.batch).await?, closed);
    assert_eq!(ledger.end_task(job.batch).await?, None);
    bystander.stands_still(&ledger).await
}

pub async fn a_batch_with_open_jobs_is_not_closed(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    assert_eq!(ledger.close(jobs[0].batch, 0).await?, Closed::NothingToDo);

    ledger.complete(jobs[0]).await?;
    ledger.lose(jobs[1]).await?;

    assert_eq!(ledger.close(jobs[0].batch, 0).await?, Closed::NothingToDo);
    assert_eq!(ledger.batch(jobs[0].batch).await?.status, BatchStatus::Running);
    Ok(())
}

/// It has no open jobs, but it is to have some.
pub async fn a_batch_that_is_not_planned_is_not_closed(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let batch = ledger.asked(a_batch()).await?;
    ledger.control(batch, BatchCommand::Pause).await?;

    assert_eq!(ledger.close(batch, 0).await?, Closed::NothingToDo);
    assert_eq!(ledger.batch(batch).await?.status, BatchStatus::Paused);
    Ok(())
}

pub async fn a_batch_with_failed_jobs_fails_and_says_why(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(400)).await?;
    ledger.end(jobs[3], AttemptResult::Failed(because("no paper"))).await?;
    ledger.end(jobs[1], AttemptResult::Failed(because("no ink"))).await?;
    ledger.complete(jobs[0]).await?;
    ledger.complete(jobs[2]).await?;

    let closed = ledger.closed(jobs[0].batch, 0).await?;

    assert_eq!((closed.status, closed.items_created), (BatchStatus::Failed, 200));
    assert_eq!(closed.jobs, JobCounts { completed: 2, failed: 2, ..JobCounts::default() });
    assert_eq!(closed.error.as_deref(), Some("2 of 4 jobs failed: no ink"));
    bystander.stands_still(&ledger).await
}

pub async fn a_paused_batch_is_closed_when_its_last_jobs_ended(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;
    ledger.insert_chunk(&claim, chunk(0..100)).await?;
    ledger.control(job.batch, BatchCommand::Pause).await?;

    let finished = ledger.finish_attempt(&claim, AttemptResult::Completed, WORKED).await?;

    assert_eq!((finished, ledger.at_end_of(job.batch).await?), (DONE, end_of(job.batch, 0)));
    assert_eq!(ledger.end_task(job.batch).await?, Some(StatusTask::End { batch: job.batch, round: 0 }));
    assert_eq!(ledger.closed(job.batch, 0).await?.status, BatchStatus::Completed);
    Ok(())
}

// steer

pub async fn a_cancel_ends_the_batch_and_its_open_jobs(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.end(jobs[2], delayed(because("later"), Duration::from_secs(60))).await?;
    ledger.lose(jobs[3]).await?;

    let cancelled = ledger.control(jobs[0].batch, BatchCommand::Cancel).await?;

    assert_eq!((cancelled.status, cancelled.round, &cancelled.error), (BatchStatus::Cancelled, 1, &None));
    assert_eq!(cancelled.jobs, JobCounts { completed: 1, failed: 1, cancelled: 3, ..JobCounts::default() });
    assert!(is_recent(cancelled.finished_at));
    assert_eq!(ledger.batch(jobs[0].batch).await?, cancelled);
    assert_eq!(ledger.open_jobs_of(jobs[0].batch).await?, []);
    assert_eq!(ledger.end_task(jobs[0].batch).await?, None);
    assert_eq!(ledger.items_of(jobs[0].batch).await?.len(), 100);
    bystander.stands_still(&ledger).await
}

pub async fn a_wish_is_granted_where_the_status_allows_it(support: impl Harness) -> TestResult {
    use BatchStatus::{Cancelled, Paused, Pending, Running};
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let granted = [
        (Pending, BatchCommand::Cancel, Cancelled),
        (Running, BatchCommand::Cancel, Cancelled),
        (Paused, BatchCommand::Cancel, Cancelled),
        (Pending, BatchCommand::Pause, Paused),
        (Running, BatchCommand::Pause, Paused),
        (Paused, BatchCommand::Resume, Pending),
    ];

    for (status, wish) in BatchStatus::ALL.into_iter().flat_map(|s| {
        [BatchCommand::Cancel, BatchCommand::Pause, BatchCommand::Resume].into_iter().map(move |wish| (s, wish))
    }) {
        let batch = batch_that_is(status, &ledger).await?;
        let before = ledger.batch(batch).await?;
        match granted.iter().find(|(from, of, _)| (*from, *of) == (status, wish)) {
            Some((.., to)) => assert_eq!(ledger.control(batch, wish).await?.status, *to, "{status} {wish:?}"),
            None => {
                let refused = ledger.control(batch, wish).await;
                assert!(
                    matches!(refused, Err(LedgerError::NotAllowed(refused)) if refused.status == status),
                    "{status} {wish:?}"
                );
                assert_eq!(ledger.batch(batch).await?, before);
            }
        }
    }
    bystander.stands_still(&ledger).await
}

async fn batch_that_is(status: BatchStatus, ledger: &Subject) -> TestResult<BatchId> {
    let job = match status {
        BatchStatus::Completed => ledger.completed_batch().await?,
        BatchStatus::Failed => ledger.failed_batch().await?,
        _ => ledger.one_job().await?,
    };
    match status {
        BatchStatus::Running => ledger.lose(job).await?,
        BatchStatus::Paused => drop(ledger.control(job.batch, BatchCommand::Pause).await?),
        BatchStatus::Cancelled => drop(ledger.control(job.batch, BatchCommand::Cancel).await?),
        BatchStatus::Pending | BatchStatus::Completed | BatchStatus::Failed => {}
    }
    assert_eq!(ledger.batch(job.batch).await?.status, status);
    Ok(job.batch)
}

pub async fn a_resume_leads_back_to_where_the_batch_was(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let [claimed, fresh] = [ledger.one_job().await?, ledger.one_job().await?];
    ledger.end(claimed, AttemptResult::Released).await?;
    for job in [claimed, fresh] {
        ledger.control(job.batch, BatchCommand::Pause).await?;
    }

    assert_eq!(ledger.control(claimed.batch, BatchCommand::Resume).await?.status, BatchStatus::Running);
    assert_eq!(ledger.control(fresh.batch, BatchCommand::Resume).await?.status, BatchStatus::Pending);
    Ok(())
}

pub async fn who_is_not_there_can_not_be_steered(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    for wish in [BatchCommand::Cancel, BatchCommand::Pause, BatchCommand::Resume] {
        assert!(matches!(ledger.control(id(9), wish).await, Err(LedgerError::NoSuchBatch(batch)) if batch == id(9)));
    }
    assert!(matches!(ledger.retry(id(9)).await, Err(LedgerError::NoSuchBatch(_))));
    assert!(matches!(ledger.batch(id(9)).await, Err(LedgerError::NoSuchBatch(_))));
    Ok(())
}

// retry

pub async fn a_retry_recreates_the_failed_jobs_and_no_other(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(400)).await?;
    ledger.complete(jobs[0]).await?;
    let half = ledger.claim_job(jobs[1]).await?;
    ledger.insert_chunk(&half, chunk(100..150)).await?;
    ledger.finish_attempt(&half, AttemptResult::Failed(set_aside(150..200, "bad")), WORKED).await?;
    ledger.fail(jobs[3]).await?;

    let report = ledger.retry(jobs[0].batch).await?;

    let batch = jobs[0].batch;
    let again = [1, 3].map(|seq| JobId { batch, seq, generation: 1 });
    assert_eq!((report.found, report.recreated, report.status), (2, 2, BatchStatus::Running));
    assert_eq!(report.job_ids, again.map(|job| job.to_string()));
    assert_eq!(report.skipped, []);
    assert_eq!(ledger.failed_jobs(batch, ALL).await?, []);
    assert_eq!(ledger.batch(batch).await?.jobs, JobCounts { waiting: 3, completed: 1, ..JobCounts::default() });
    let work = ledger.work(again[0]).await?;
    assert_eq!((work.attempts_made, work.missing), (0, vec![150..200]));
    assert_eq!(ledger.insert_chunk(&half, chunk(150..200)).await?, ChunkInserted::Fenced);
    bystander.stands_still(&ledger).await
}

pub async fn a_retry_runs_a_failed_batch_again_and_it_ends_again(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.failed_batch().await?;

    ledger.retry(job.batch).await?;
    let running = ledger.batch(job.batch).await?;
    let finished = ledger.complete(JobId { generation: 1, ..job }).await?;
    let at_end = ledger.at_end_of(job.batch).await?;
    let closed = ledger.closed(job.batch, 1).await?;

    assert_eq!((running.status, running.round, running.error), (BatchStatus::Running, 1, None));
    assert_eq!((running.finished_at, running.jobs.total()), (None, 1));
    assert_eq!((finished, at_end), (DONE, end_of(job.batch, 1)));
    assert_eq!((closed.status, closed.round, closed.items_created), (BatchStatus::Completed, 2, 100));
    bystander.stands_still(&ledger).await
}

/// Its worker was lost between the last item and the word that it was done, too often.
pub async fn a_failed_job_whose_items_all_exist_is_completed_by_a_retry(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let other = ledger.failed_batch().await?;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;
    ledger.insert_chunk(&claim, chunk(0..100)).await?;
    ledger.finish_attempt(&claim, AttemptResult::Failed(because("died at the door")), WORKED).await?;
    ledger.closed(job.batch, 0).await?;

    let report = ledger.retry(job.batch).await?;

    assert_eq!((report.found, report.recreated, report.job_ids), (1, 0, vec![]));
    assert_eq!((report.skipped.len(), report.skipped[0].job_id.as_str()), (1, job.to_string().as_str()));
    assert!(report.skipped[0].reason.contains("all its items exist"));
    assert_eq!(ledger.end_task(job.batch).await?, Some(StatusTask::End { batch: job.batch, round: 1 }));
    assert_eq!(ledger.closed(job.batch, 1).await?.status, BatchStatus::Completed);
    assert_eq!(ledger.failed_jobs(other.batch, ALL).await?.len(), 1);
    bystander.stands_still(&ledger).await
}

pub async fn of_two_retries_at_once_one_finds_nothing(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    for _ in 0..20 {
        let job = ledger.failed_batch().await?;
        let retries =
            [ledger.share(), ledger.share()].map(|ledger| tokio::spawn(async move { ledger.retry(job.batch).await }));
        let mut found = Vec::new();
        for retry in retries {
            found.push(retry.await??.found);
        }
        found.sort_unstable();
        assert_eq!(found, [0, 1]);
        assert_eq!(ledger.batch(job.batch).await?.jobs, JobCounts { waiting: 1, ..JobCounts::default() });
    }
    Ok(())
}

pub async fn a_retry_leaves_a_paused_batch_paused(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    ledger.fail(jobs[0]).await?;
    ledger.control(jobs[0].batch, BatchCommand::Pause).await?;

    let report = ledger.retry(jobs[0].batch).await?;

    assert_eq!((report.recreated, report.status), (1, BatchStatus::Paused));
    let again = JobId { generation: 1, ..jobs[0] };
    assert_eq!(ledger.claim(again).await?, Claimed::Paused);
    assert_eq!(ledger.control(again.batch, BatchCommand::Resume).await?.status, BatchStatus::Running);
    assert_eq!(ledger.open_jobs_of(again.batch).await?.len(), 2);
    bystander.stands_still(&ledger).await
}

pub async fn a_retry_is_refused_where_the_status_forbids_it(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    for status in [BatchStatus::Pending, BatchStatus::Completed, BatchStatus::Cancelled] {
        let batch = batch_that_is(status, &ledger).await?;
        let refused = ledger.retry(batch).await;
        assert!(matches!(refused, Err(LedgerError::NotAllowed(refused)) if refused.status == status));
    }
    Ok(())
}

pub async fn a_retry_without_failed_jobs_changes_nothing(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    for status in [BatchStatus::Running, BatchStatus::Paused] {
        let batch = batch_that_is(status, &ledger).await?;
        let before = ledger.batch(batch).await?;
        let report = ledger.retry(batch).await?;
        assert_eq!((report.found, report.recreated, report.status), (0, 0, status));
        assert_eq!(ledger.batch(batch).await?, before);
    }
    Ok(())
}

// batch, batches, items, item, failed_jobs

pub async fn counts_sum_to_the_jobs_in_every_state(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    for status in BatchStatus::ALL {
        let batch = batch_that_is(status, &ledger).await?;
        assert_eq!(ledger.batch(batch).await?.jobs.total(), 1, "{status}");
    }
    let listed = ledger.batches(None, ALL).await?;
    assert_eq!(listed.len(), 6);
    assert!(listed.iter().all(|batch| batch.jobs.total() == 1));
    Ok(())
}

pub async fn batches_are_listed_from_the_newest_by_pages_and_by_status(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    for number in 1..=5 {
        ledger.create(a_batch().with_id(number).build()).await?;
    }
    for number in [2, 4, 5] {
        ledger.control(id(number), BatchCommand::Cancel).await?;
    }
    let listed = async |status, slice| -> TestResult<Vec<i64>> {
        Ok(ledger.batches(status, slice).await?.iter().map(|batch| batch.batch_id.get()).collect())
    };

    assert_eq!(listed(None, page(None, 3)).await?, [5, 4, 3]);
    assert_eq!(listed(None, page(Some(3), 3)).await?, [2, 1]);
    assert_eq!(listed(Some(BatchStatus::Cancelled), page(None, 2)).await?, [5, 4]);
    assert_eq!(listed(Some(BatchStatus::Cancelled), page(Some(4), 2)).await?, [2]);
    assert_eq!(listed(Some(BatchStatus::Pending), ALL).await?, [3, 1]);
    assert!(listed(Some(BatchStatus::Failed), ALL).await?.is_empty());
    assert_eq!(ledger.batches(None, page(None, 1)).await?[0], ledger.batch(id(5)).await?);
    Ok(())
}

pub async fn items_are_listed_by_pages(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let _bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;

    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let found = ledger.items(job.batch, page(after, 30)).await?;
        let Some(last) = found.last() else { break };
        after = Some(last.ordinal);
        seen.extend(found.into_iter().map(|item| item.ordinal));
    }

    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert_eq!(ledger.items(job.batch, page(Some(u64::MAX), 30)).await?, []);
    Ok(())
}

pub async fn an_item_is_found_by_the_place_before_it(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.completed_batch().await?;
    let after = async |place| {
        let found = ledger.items(job.batch, page(place, 1)).await?;
        Ok::<_, LedgerError>(found.into_iter().map(|item| item.code).collect::<Vec<_>>())
    };

    assert_eq!(after(None).await?, ["code-0"]);
    assert_eq!(after(Some(98)).await?, ["code-99"]);
    assert!(after(Some(99)).await?.is_empty());
    assert!(after(Some(u64::MAX)).await?.is_empty());
    Ok(())
}

pub async fn failed_jobs_are_listed_by_pages_with_their_chunks(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let _bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(450)).await?;
    ledger.complete(jobs[1]).await?;
    let failure = set_aside(420..430, "a bad code");
    for job in [jobs[0], jobs[2], jobs[4]] {
        let first = job.seq * 100;
        let claim = ledger.claim_job(job).await?;
        ledger.insert_chunk(&claim, chunk(first..first + 20)).await?;
        ledger.finish_attempt(&claim, AttemptResult::Failed(failure.clone()), WORKED).await?;
    }

    let seqs = async |slice| -> TestResult<Vec<u64>> {
        Ok(ledger.failed_jobs(jobs[0].batch, slice).await?.iter().map(|job| job.seq).collect())
    };
    let last = ledger.failed_jobs(jobs[0].batch, page(Some(3), 10)).await?.remove(0);

    assert_eq!(seqs(page(None, 2)).await?, [0, 2]);
    assert_eq!(seqs(page(Some(2), 2)).await?, [4]);
    assert_eq!((last.job_id.as_str(), last.first, last.last), (jobs[4].to_string().as_str(), 400, 449));
    assert_eq!((last.items_created, last.attempts, last.crashes), (20, 1, 0));
    assert_eq!((last.error, last.failed_chunks), (failure.reason, failure.chunks.ranges));
    assert_eq!((last.more_failed_chunks, last.more_items), (0, 0));
    assert!(is_recent(last.started_at) && is_recent(last.finished_at));
    Ok(())
}

/// The worst that jobs can leave behind: every chunk failed for a long reason of its own.
async fn job_that_says_much(ledger: &Subject, job: JobId) -> TestResult {
    let first = job.seq * 100;
    let reason = |at| format!("{at} {}", "is too long. ".repeat(100));
    let chunks = (first..first + 100).map(|at| (at..at + 1, reason(at)));
    ledger.end(job, AttemptResult::Failed(chunks_set_aside(chunks))).await.map(drop)
}

pub async fn of_many_failed_chunks_the_first_are_listed_and_the_others_counted(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;

    job_that_says_much(&ledger, job).await?;

    let failed = ledger.failed_jobs(job.batch, ALL).await?.remove(0);
    assert_eq!(failed.failed_chunks.iter().map(|chunk| chunk.from).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert!(failed.failed_chunks.iter().all(|chunk| chunk.error.len() == 1024));
    assert_eq!((failed.more_failed_chunks, failed.more_items), (80, 80));
    assert!(failed.error.starts_with("100 items could not be written: 0 is too long"), "{}", failed.error);
    bystander.stands_still(&ledger).await
}

/// 300 of them made one answer of 64 MB.
pub async fn failed_jobs_are_listed_as_far_as_a_page_has_room(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(12_000)).await?;
    for job in &jobs {
        job_that_says_much(&ledger, *job).await?;
    }

    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    let mut more = true;
    while more {
        let portion = ledger.share().failed_jobs(jobs[0].batch, page(seen.last().copied(), 1_000)).await?;
        sizes.push(serde_json::to_vec(&portion.rows)?.len());
        seen.extend(portion.rows.iter().map(|job| job.seq));
        more = portion.left_out;
    }

    assert_eq!(seen, (0..120).collect::<Vec<_>>());
    assert!(sizes.iter().all(|size| *size <= PageRequest::MAX_BYTES), "{sizes:?}");
    assert!(sizes[..sizes.len() - 1].iter().all(|size| *size > PageRequest::MAX_BYTES * 9 / 10), "{sizes:?}");
    let few = ledger.share().failed_jobs(jobs[0].batch, page(None, 10)).await?;
    assert_eq!((few.rows.len(), few.left_out), (10, false));
    bystander.stands_still(&ledger).await
}

pub async fn lists_of_an_unknown_batch_are_refused(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    assert!(matches!(ledger.items(id(9), ALL).await, Err(LedgerError::NoSuchBatch(_))));
    assert!(matches!(ledger.failed_jobs(id(9), ALL).await, Err(LedgerError::NoSuchBatch(_))));
    Ok(())
}

// summarize

pub async fn a_list_shows_what_was_counted_last(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;
    let batch = jobs[0].batch;
    assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?, "all its jobs wait");

    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.end(jobs[2], delayed(because("later"), Duration::from_secs(60))).await?;
    let claim = ledger.claim_job(jobs[3]).await?;
    ledger.insert_chunk(&claim, chunk(300..310)).await?;
    assert_eq!(ledger.listed(batch).await?.jobs.waiting, 5, "nobody has counted");
    ledger.summarized(7, batch).await?;
    assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?);

    ledger.insert_chunk(&claim, chunk(310..320)).await?;
    ledger.summarized(8, batch).await?;
    assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?, "another process has counted");
    Ok(())
}

pub async fn what_is_over_is_listed_exactly_whoever_counts_late(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let completed = ledger.one_job().await?;
    ledger.lose(completed).await?;
    ledger.summarized(7, completed.batch).await?;
    ledger.complete(completed).await?;

    ledger.closed(completed.batch, 0).await?;
    ledger.summarize(7, vec![recent(completed.batch), recent(id(4_711))]).await?;

    let listed = ledger.listed(completed.batch).await?;
    assert_eq!(listed, ledger.batch(completed.batch).await?);
    assert_eq!((listed.jobs.completed, listed.jobs.total(), listed.items_created), (1, 1, 100));
    bystander.stands_still(&ledger).await
}

/// However many processes work a batch, its jobs are counted a few times a second, and at last by
/// one that has seen the last change.
pub async fn what_another_process_just_counted_is_counted_later(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let [one, other] = [ledger.one_job().await?, ledger.one_job().await?];
    assert_eq!(ledger.summarize(7, vec![recent(one.batch)]).await?, []);

    ledger.complete(one).await?;
    let passed_over = ledger.summarize(8, vec![recent(one.batch), recent(other.batch)]).await?;
    let listed = ledger.listed(one.batch).await?;
    // Its own count keeps no process from counting again.
    assert_eq!(ledger.summarize(8, vec![recent(other.batch)]).await?, []);
    tokio::time::sleep(COUNT_INTERVAL).await;
    assert_eq!(ledger.summarize(8, vec![recent(one.batch), recent(other.batch)]).await?, []);

    assert_eq!((passed_over, listed.jobs.waiting), (vec![one.batch], 1));
    assert_eq!(ledger.listed(one.batch).await?, ledger.batch(one.batch).await?);
    Ok(())
}

/// One statement would be too much for all of them, and the writer of SQLite is not kept by any.
pub async fn many_batches_are_counted_in_portions(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let mut jobs = Vec::new();
    for _ in 0..50 {
        jobs.push(ledger.one_job().await?);
        ledger.fail(jobs[jobs.len() - 1]).await?;
    }

    let left = ledger.summarize(7, jobs.iter().map(|job| recent(job.batch)).collect()).await?;

    assert_eq!(left, []);
    assert!(ledger.batches(None, ALL).await?.iter().all(|batch| batch.jobs.failed == 1));
    Ok(())
}

/// In one millisecond, often. The process is one whose row comes before that of the verbs in the
/// key.
pub async fn of_two_counts_at_once_the_later_one_is_listed(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    for _ in 0..50 {
        let job = ledger.one_job().await?;
        ledger.fail(job).await?;
        ledger.summarize(u64::MAX, vec![recent(job.batch)]).await?;
        ledger.retry(job.batch).await?;
        assert_eq!(ledger.listed(job.batch).await?, ledger.batch(job.batch).await?);
    }
    Ok(())
}

/// Nobody else would count them: no job of the batch need be worked afterwards.
pub async fn verbs_that_change_a_batch_as_a_whole_count_it(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let batch = jobs[0].batch;
    ledger.fail(jobs[0]).await?;
    let as_it_is = async |what: &str| -> TestResult {
        assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(())
    };

    ledger.control(batch, BatchCommand::Pause).await?;
    as_it_is("paused").await?;
    ledger.control(batch, BatchCommand::Resume).await?;
    as_it_is("resumed").await?;
    ledger.retry(batch).await?;
    as_it_is("retried").await?;
    ledger.complete(jobs[1]).await?;
    ledger.control(batch, BatchCommand::Cancel).await?;
    as_it_is("cancelled").await?;

    let failed = ledger.failed_batch().await?.batch;
    ledger.retry(failed).await?;
    assert_eq!(ledger.listed(failed).await?, ledger.batch(failed).await?, "retried after its end");
    Ok(())
}

// open_jobs, open_tasks

pub async fn open_jobs_shares_the_room_between_batches(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let large = ledger.jobs_of(a_batch().of(1_000)).await?[0].batch;
    let small = ledger.jobs_of(a_batch().of(200)).await?[0].batch;
    let fed = async |per_batch, total| -> TestResult<_> {
        let work = ledger.open_jobs(first_jobs(64, QueueCapacity { per_batch, total })).await?;
        let of = |batch| work.jobs.iter().filter(|open| open.job.batch == batch).count();
        Ok((of(large), of(small), work.left_out))
    };

    assert_eq!(fed(100, 100).await?, (10, 2, false));
    assert_eq!(fed(10, 20).await?, (10, 2, false));
    assert_eq!(fed(4, 100).await?, (4, 2, true));
    assert_eq!(fed(100, 8).await?, (4, 2, true));
    assert_eq!(fed(100, 1).await?, (1, 0, true));
    Ok(())
}

/// Half of them came first, half have the fewest open jobs, and no batch is fed that waits for
/// nothing but the clock.
pub async fn a_window_has_the_oldest_and_the_smallest_batches(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let resting = ledger.one_job().await?;
    ledger.end(resting, delayed(because("later"), Duration::from_secs(60))).await?;
    let mut batches = Vec::new();
    for quantity in [90_000, 80_000, 70_000, 60_000, 500, 400, 100_000] {
        batches.push(ledger.jobs_of(a_batch().of(quantity)).await?[0].batch);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    let found = ledger.open_jobs(first_jobs(4, QueueCapacity { per_batch: 1_000, total: 8 })).await?;

    let expected: HashSet<_> = [0, 5, 1, 4].map(|at| batches[at]).into();
    assert_eq!(found.window.iter().copied().collect::<HashSet<_>>(), expected);
    assert!(found.left_out);
    let jobs: HashSet<_> = found.jobs.iter().map(|open| (open.job.batch, open.job.seq)).collect();
    assert_eq!(jobs, expected.into_iter().flat_map(|batch| [(batch, 0), (batch, 1)]).collect());
    Ok(())
}

pub async fn a_batch_is_small_by_what_is_left_of_it(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let mut batches = Vec::new();
    for quantity in [90_000, 70_000, 80_000, 60_000] {
        batches.push(ledger.jobs_of(a_batch().of(quantity)).await?);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for job in &batches[2][..799] {
        ledger.end(*job, AttemptResult::Failed(because("no ink"))).await?;
    }
    ledger.summarized(7, batches[2][0].batch).await?;

    let found = ledger.open_jobs(first_jobs(2, ROOM)).await?;

    let window: HashSet<_> = found.window.into_iter().collect();
    assert_eq!(window, [0, 2].map(|at: usize| batches[at][0].batch).into());
    Ok(())
}

pub async fn tiny_batches_widen_the_window(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    for _ in 0..20 {
        ledger.one_job().await?;
    }

    let found = ledger.open_jobs(first_jobs(4, ROOM)).await?;

    assert_eq!((found.window.len(), found.jobs.len(), found.left_out), (20, 20, false));
    Ok(())
}

pub async fn a_full_window_leaves_out_what_was_looked_at_and_not_taken(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    // 64 of them have 448 jobs, which is not enough, so all are looked at; 72 have 504.
    for _ in 0..80 {
        ledger.jobs_of(a_batch().of(700)).await?;
    }

    let found = ledger.open_jobs(first_jobs(64, ROOM)).await?;

    assert_eq!((found.window.len(), found.left_out), (72, true));
    Ok(())
}

pub async fn what_was_offered_is_not_answered_again(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let [fed, new] = [ledger.jobs_of(a_batch().of(1_000)).await?, ledger.jobs_of(a_batch().of(1_000)).await?];
    for job in &fed[..2] {
        ledger.complete(*job).await?;
    }
    let room = QueueCapacity { per_batch: 4, total: 100 };
    let offered_to = HashMap::from([(fed[0].batch, 4)]);
    let look = async |refill, free| -> TestResult<_> {
        let query = JobQuery { offered_to: offered_to.clone(), refill, free, ..first_jobs(64, room) };
        let found = ledger.open_jobs(query).await?;
        let of = |batch| found.jobs.iter().filter(move |open| open.job.batch == batch).map(|open| open.job.seq);
        Ok((of(fed[0].batch).collect::<Vec<_>>(), of(new[0].batch).collect::<Vec<_>>()))
    };

    assert_eq!(look(false, 100).await?, (vec![], vec![0, 1, 2, 3]), "a new batch was called for");
    // Two of the four that were offered are done, so there is room for two more.
    assert_eq!(look(true, 100).await?, (vec![4, 5], vec![0, 1, 2, 3]));
    assert_eq!(look(true, 1).await?.0.len() + look(true, 1).await?.1.len(), 1, "the queue is full");
    Ok(())
}

pub async fn open_jobs_is_ranked_from_the_first_open_job(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let _bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(600)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.complete(jobs[1]).await?;
    ledger.fail(jobs[3]).await?;

    let open = ledger.open_jobs_of(jobs[0].batch).await?;

    let ranks: Vec<_> = open.iter().map(|open| (open.job.seq, open.rank)).collect();
    assert_eq!(ranks, [(2, 0), (4, 2), (5, 3)]);
    Ok(())
}

pub async fn a_delayed_job_is_open_work_when_it_is_due(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    ledger.end(jobs[1], delayed(because("later"), Duration::from_secs(3_600))).await?;
    ledger.end(jobs[2], delayed(because("soon"), Duration::from_millis(300))).await?;

    let early = ledger.every_open_job().await?;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let due = ledger.every_open_job().await?;

    let seqs = |found: &OpenJobs| found.jobs.iter().map(|open| open.job.seq).collect::<Vec<_>>();
    assert_eq!((seqs(&early), seqs(&due)), (vec![0], vec![0, 2]));
    let next = |found: OpenJobs| found.next_due.expect("a job is delayed");
    assert!(next(early) <= Duration::from_millis(300));
    let hour = Duration::from_secs(3_540)..=Duration::from_secs(3_600);
    assert!(hour.contains(&next(due)));
    Ok(())
}

/// After an outage, say. The next look comes soon, and finds others when these were begun.
pub async fn of_many_due_jobs_some_are_answered_at_a_time(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(510).in_jobs_of(1)).await?;
    for job in &jobs {
        ledger.end(*job, delayed(because("later"), Duration::ZERO)).await?;
    }
    tokio::time::sleep(Duration::from_millis(2)).await;

    let first = ledger.open_jobs(first_jobs(64, ROOM)).await?;
    for open in &first.due[..20] {
        ledger.lose(open.job).await?;
    }
    let second = ledger.open_jobs(first_jobs(64, ROOM)).await?;

    assert_eq!((first.due.len(), first.next_due), (500, Some(Duration::ZERO)));
    assert_eq!((second.due.len(), second.next_due), (490, None));
    Ok(())
}

/// The clock was wrong for a moment when the job was delayed.
pub async fn no_job_waits_longer_than_the_longest_backoff(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let year = Duration::from_secs(365 * 24 * 3_600);
    ledger.end(jobs[1], delayed(because("no ink"), year)).await?;
    let max_backoff = Duration::from_millis(200);
    let look = async || ledger.open_jobs(JobQuery { max_backoff, ..first_jobs(64, ROOM) }).await;

    let early = look().await?;
    tokio::time::sleep(max_backoff * 2).await;
    let due = look().await?;

    assert!(early.next_due.is_some_and(|due| due <= max_backoff), "{early:?}");
    assert!(early.due.is_empty());
    assert!(due.due.iter().any(|open| open.job == jobs[1] && open.attempts_made == 1), "{due:?}");
    Ok(())
}

pub async fn open_tasks_say_what_is_to_be_closed(support: impl Harness) -> TestResult {
    let ledger = support.ledger_with(Rules { hooks: HookKinds::default(), ..RULES }).await;
    let [job, open] = [ledger.one_job().await?, ledger.one_job().await?];
    ledger.fail(job).await?;
    ledger.lose(open).await?;

    let work = ledger.open_tasks(EVERY_TASK).await?;

    assert_eq!(work.status, [(StatusTask::End { batch: job.batch, round: 0 }, Duration::ZERO)]);
    assert!(!work.left_out);
    Ok(())
}

pub async fn open_jobs_of_a_paused_batch_is_left_alone(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;

    ledger.control(job.batch, BatchCommand::Pause).await?;
    let paused = ledger.every_open_job().await?;
    ledger.control(job.batch, BatchCommand::Resume).await?;
    let resumed = ledger.every_open_job().await?;

    assert_eq!((paused.jobs.len(), paused.left_out), (0, false));
    assert_eq!(resumed.jobs.len(), 1);
    Ok(())
}

// hook, settle_hook

pub async fn a_hook_is_there_until_it_is_delivered(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.fail(job).await?;
    let hook = ledger.hooks_of(job.batch).await?[0];
    assert!(ledger.hook(hook).await?.is_some());

    ledger.record_hook_outcome(hook, 0, HookOutcome::Delivered).await?;
    ledger.record_hook_outcome(hook, 0, HookOutcome::Delivered).await?;

    assert_eq!(ledger.hook(hook).await?, None);
    assert_eq!(ledger.hooks_of(job.batch).await?, []);
    assert_eq!(ledger.hook(HookId(4_711)).await?, None);
    // A queue may remember the id, so no other hook may have it.
    ledger.closed(job.batch, 0).await?;
    assert_ne!(ledger.hooks_of(job.batch).await?, [hook]);
    bystander.stands_still(&ledger).await
}

pub async fn a_hook_that_failed_is_due_again_later(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let others = ledger.hooks_of(id(1)).await?;
    assert_eq!(others.len(), 2);
    let job = ledger.one_job().await?;
    ledger.fail(job).await?;
    let hook = ledger.hooks_of(job.batch).await?[0];

    let again = HookOutcome::RetryLater { error: "no answer".into(), not_before: Utc::now() + Duration::from_secs(60) };
    ledger.record_hook_outcome(hook, 0, again.clone()).await?;
    ledger.record_hook_outcome(hook, 1, again).await?;

    let task = StatusTask::Hook { batch: job.batch, hook };
    let due = ledger.open_tasks(EVERY_TASK).await?.status.into_iter().find(|(of, _)| *of == task);
    assert!(due.is_some_and(|(_, delay)| delay > Duration::from_secs(50)));
    assert_eq!(ledger.hook(hook).await?.map(|hook| hook.attempts), Some(2));
    for other in others {
        assert_eq!(ledger.hook(other).await?.map(|hook| hook.attempts), Some(0));
    }
    bystander.stands_still(&ledger).await
}

pub async fn a_hook_that_was_given_up_is_not_called_any_more(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.fail(job).await?;
    let hook = ledger.hooks_of(job.batch).await?[0];

    ledger.record_hook_outcome(hook, 0, HookOutcome::GivenUp { error: "no answer".into() }).await?;

    assert_eq!(ledger.hook(hook).await?, None);
    assert_eq!(ledger.hooks_of(job.batch).await?, []);
    bystander.stands_still(&ledger).await
}

/// The answer to the first call was lost, so the caller calls again: the hook had one try less.
pub async fn a_call_of_a_hook_counts_once_however_often_its_outcome_is_recorded(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    ledger.fail(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    let hooks = ledger.hooks_of(jobs[0].batch).await?;
    let attempts = async || ledger.hook(hooks[0]).await.map(|hook| hook.map(|hook| hook.attempts));
    let again = || HookOutcome::RetryLater { error: "no answer".into(), not_before: Utc::now() };
    let given_up = || HookOutcome::GivenUp { error: "no answer".into() };

    ledger.record_hook_outcome(hooks[0], 0, again()).await?;
    ledger.record_hook_outcome(hooks[0], 0, again()).await?;
    ledger.record_hook_outcome(hooks[0], 0, given_up()).await?;
    assert_eq!(attempts().await?, Some(1), "the other two knew less");

    ledger.record_hook_outcome(hooks[0], 1, given_up()).await?;
    ledger.record_hook_outcome(hooks[0], 1, again()).await?;
    ledger.record_hook_outcome(hooks[0], 2, again()).await?;
    assert_eq!(attempts().await?, None);
    assert_eq!(ledger.hooks_of(jobs[0].batch).await?, hooks[1..]);
    assert_eq!(ledger.hook(hooks[1]).await?.map(|hook| hook.attempts), Some(0));
    bystander.stands_still(&ledger).await
}

/// Two workers called it: one had an answer and one had none. The host has been notified.
pub async fn a_delivery_counts_beside_a_failure(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.fail(job).await?;
    let hook = ledger.hooks_of(job.batch).await?[0];

    ledger
        .record_hook_outcome(hook, 0, HookOutcome::RetryLater { error: "no answer".into(), not_before: Utc::now() })
        .await?;
    ledger.record_hook_outcome(hook, 0, HookOutcome::Delivered).await?;

    assert_eq!(ledger.hook(hook).await?, None);
    assert_eq!(ledger.hooks_of(job.batch).await?, []);
    bystander.stands_still(&ledger).await
}

pub async fn ends_that_nobody_asks_for_are_not_written_down(support: impl Harness) -> TestResult {
    let none = HookKinds::default();
    let table = [
        (none, [0, 0, 0]),
        (HookKinds { batch_finished: true, ..none }, [1, 0, 0]),
        (HookKinds { job_failed: true, ..none }, [0, 1, 0]),
        (HookKinds { job_completed: true, ..none }, [0, 0, 1]),
    ];

    for (hooks, expected) in table {
        let ledger = support.ledger_with(Rules { hooks, ..RULES }).await;
        let jobs = ledger.jobs_of(a_batch()).await?;
        ledger.complete(jobs[0]).await?;
        ledger.fail(jobs[1]).await?;
        ledger.closed(jobs[0].batch, 0).await?;
        let mut told = [0, 0, 0];
        for event in ledger.events_of(jobs[0].batch).await? {
            told[match event {
                HookEvent::BatchFinished(_) => 0,
                HookEvent::JobFailed(_) => 1,
                HookEvent::JobCompleted(_) => 2,
            }] += 1;
        }
        assert_eq!(told, expected, "{hooks:?}");
    }
    Ok(())
}

pub async fn each_end_is_told_as_it_was(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let batch_id = jobs[0].batch;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.closed(batch_id, 0).await?;
    ledger.retry(batch_id).await?;
    ledger.control(batch_id, BatchCommand::Cancel).await?;

    let job = |seq: u64, items_created, attempts, error: Option<&str>| JobEnded {
        batch_id,
        job_id: jobs[seq as usize].to_string(),
        seq,
        first: seq * 100,
        quantity: 100,
        items_created,
        attempts,
        error: error.map(Into::into),
    };
    let finished = |round, status, failed_jobs| {
        HookEvent::BatchFinished(BatchFinished {
            batch_id,
            round,
            status,
            quantity: 200,
            items_created: 100,
            failed_jobs,
        })
    };
    assert_eq!(
        ledger.events_of(batch_id).await?,
        [
            HookEvent::JobCompleted(job(0, 100, 0, None)),
            HookEvent::JobFailed(job(1, 0, 1, Some("no ink"))),
            finished(0, BatchStatus::Failed, 1),
            finished(1, BatchStatus::Cancelled, 0),
        ]
    );
    let first = ledger.hooks_of(batch_id).await?[0];
    assert!(matches!(ledger.hook(first).await?, Some(Hook { attempts: 0, .. })));
    bystander.stands_still(&ledger).await
}

// code_key, lead, ping, shut

// forget

/// No time at all.
const LONG_AGO: Duration = Duration::ZERO;

/// A batch of `failed` failed jobs and one that was completed, closed.
async fn over(ledger: &Subject, failed: u64) -> TestResult<Vec<JobId>> {
    let jobs = ledger.jobs_of(a_batch().of((failed + 1) * 10).in_jobs_of(10)).await?;
    for job in &jobs[1..] {
        ledger.fail(*job).await?;
    }
    ledger.complete(jobs[0]).await?;
    ledger.closed(jobs[0].batch, 0).await?;
    Ok(jobs)
}

/// Forgets until there is nothing left, by portions of `max`, and answers all in one.
async fn forget_all(ledger: &Subject, max: u64) -> TestResult<Pruned> {
    let mut sum = Pruned::default();
    for _ in 0..1_000 {
        let portion = ledger.prune_history(LONG_AGO, max).await?;
        assert!(portion.jobs + portion.hooks <= max, "{portion:?}");
        sum = sum.and(portion);
        if !portion.left_out {
            return Ok(sum);
        }
    }
    Err(format!("there is no end to it: {sum:?}").into())
}

fn is_removed<T>(answer: &Result<T, LedgerError>, of: BatchId) -> bool {
    matches!(answer, Err(LedgerError::HistoryRemoved(batch)) if *batch == of)
}

pub async fn history_is_removed_by_portions_of_the_batch_that_ended_first(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let mut batches = Vec::new();
    for _ in 0..3 {
        batches.push(over(&ledger, 4).await?[0].batch);
    }
    let marks = async || {
        let mut marks = Vec::new();
        for batch in &batches {
            let marked = ledger.batch(*batch).await?.history_removed;
            match ledger.failed_jobs(*batch, ALL).await {
                Ok(failed) => assert_eq!((failed.len(), marked), (4, false)),
                refused => assert!(marked && is_removed(&refused, *batch), "{refused:?}"),
            }
            marks.push(marked);
        }
        Ok::<_, LedgerError>(marks)
    };
    let portion = |batches| Pruned { batches, jobs: 3, hooks: 0, left_out: true };

    assert_eq!(marks().await?, [false; 3]);
    assert_eq!(ledger.prune_history(LONG_AGO, 3).await?, portion(0));
    assert_eq!(marks().await?, [true, false, false]);
    assert_eq!(ledger.prune_history(LONG_AGO, 3).await?, portion(1));
    assert_eq!(marks().await?, [true, true, false]);
    for _ in 0..3 {
        ledger.prune_history(LONG_AGO, 3).await?;
    }
    assert_eq!(marks().await?, [true; 3]);
    assert_eq!(ledger.prune_history(LONG_AGO, 3).await?, Pruned { batches: 1, ..Pruned::default() });
    assert_eq!(ledger.prune_history(LONG_AGO, 3).await?, Pruned::default());
    bystander.stands_still(&ledger).await
}

pub async fn a_long_history_goes_by_portions(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let batch = ledger.create(a_batch().of(20_000).in_jobs_of(1).build()).await?.batch;
    ledger.control(batch, BatchCommand::Cancel).await?;

    let gone = forget_all(&ledger, 1_000).await?;

    assert_eq!((gone.batches, gone.jobs), (1, 20_000));
    assert_eq!(ledger.batch(batch).await?.jobs, JobCounts { cancelled: 20_000, ..JobCounts::default() });
    bystander.stands_still(&ledger).await
}

pub async fn what_is_open_or_over_since_lately_keeps_its_history(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let mut over = Vec::new();
    for status in BatchStatus::ALL {
        let batch = batch_that_is(status, &ledger).await?;
        over.extend(status.is_over().then_some(batch));
    }

    for kept in [Duration::from_secs(60), Duration::from_secs(10 * 366 * 24 * 60 * 60)] {
        assert_eq!(ledger.prune_history(kept, 1_000).await?, Pruned::default());
    }
    let gone = ledger.prune_history(LONG_AGO, 1_000).await?;

    assert_eq!((gone.batches, gone.jobs, gone.left_out), (3, 3, false));
    let all = ledger.batches(None, ALL).await?;
    let removed: HashSet<_> = all.iter().filter(|batch| batch.history_removed).map(|batch| batch.batch_id).collect();
    assert_eq!(removed, over.into_iter().collect());
    for open in all.iter().filter(|batch| !batch.status.is_over() && batch.quantity == 100) {
        assert_eq!(open.jobs.total(), 1);
        ledger.control(open.batch_id, BatchCommand::Cancel).await?;
    }
    bystander.stands_still(&ledger).await
}

pub async fn a_batch_without_history_stands_as_it_was_and_its_items_stay(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let new = || a_batch().with_id(77).asked_by(a_request("shop", "200"));
    let jobs = ledger.jobs_of(new()).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.closed(id(77), 0).await?;
    let (before, items) = (ledger.batch(id(77)).await?, ledger.items(id(77), ALL).await?);

    assert_eq!(forget_all(&ledger, 1).await?.jobs, 2);

    let after = ledger.batch(id(77)).await?;
    assert_eq!(after.jobs, JobCounts { completed: 1, failed: 1, ..JobCounts::default() });
    assert_eq!(after, rocket_batch::BatchRecord { history_removed: true, ..before });
    assert_eq!((items.len(), ledger.items(id(77), ALL).await?), (100, items));
    assert!(is_removed(&ledger.retry(id(77)).await, id(77)));
    for wish in [BatchCommand::Cancel, BatchCommand::Pause, BatchCommand::Resume] {
        assert!(matches!(ledger.control(id(77), wish).await, Err(LedgerError::NotAllowed(_))));
    }
    assert_eq!(ledger.close(id(77), 1).await?, Closed::NothingToDo);
    assert_eq!(ledger.end_task(id(77)).await?, None);
    assert!(ledger.create(new().build()).await?.repeated, "the request is remembered");
    assert!(matches!(ledger.create(a_batch().with_id(77).build()).await, Err(LedgerError::IdInUse(_))));
    bystander.stands_still(&ledger).await
}

/// A queue may hand a job out long after its batch was cancelled, and a worker may wake up as late.
pub async fn jobs_of_a_batch_without_history_are_over_for_whoever_still_has_them(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let late = ledger.claim_job(jobs[0]).await?;
    ledger.insert_chunk(&late, chunk(0..50)).await?;
    ledger.complete(jobs[1]).await?;
    ledger.control(late.job.batch, BatchCommand::Cancel).await?;

    forget_all(&ledger, 2).await?;

    for job in jobs {
        assert_eq!(ledger.claim(job).await?, Claimed::NothingToDo);
    }
    assert_eq!(ledger.claim(JobId { batch: id(4_711), ..late.job }).await?, Claimed::Unknown);
    let written = ledger.insert_chunk(&late, chunk(50..100)).await?;
    assert!(matches!(written, ChunkInserted::Fenced | ChunkInserted::Cancelled), "{written:?}");
    assert_eq!(ledger.finish_attempt(&late, AttemptResult::Completed, WORKED).await?, Finished::Fenced);
    assert_eq!(ledger.items_of(late.job.batch).await?.len(), 150);
    bystander.stands_still(&ledger).await
}

pub async fn of_a_retry_and_a_removal_at_once_one_wins(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;

    for round in 0..40 {
        let batch = over(&ledger, 3).await?[0].batch;
        let (one, other) = (ledger.share(), ledger.share());
        let retry = async move { one.retry(batch).await };
        let forget = async move { other.prune_history(LONG_AGO, 2).await };
        // Whoever comes first has the better chances; each does in turns.
        let (retried, pruned) = if round % 2 == 0 {
            let (retry, forget) = (tokio::spawn(retry), tokio::spawn(forget));
            (retry.await?, forget.await??)
        } else {
            let (forget, retry) = (tokio::spawn(forget), tokio::spawn(retry));
            (retry.await?, forget.await??)
        };

        let after = ledger.batch(batch).await?;
        if pruned.jobs == 0 {
            assert_eq!(retried?.found, 3);
            assert_eq!((after.status, after.history_removed), (BatchStatus::Running, false));
            assert_eq!(after.jobs, JobCounts { waiting: 3, completed: 1, ..JobCounts::default() });
            assert_eq!(ledger.open_jobs_of(batch).await?.len(), 3);
        } else {
            assert!(is_removed(&retried, batch), "{retried:?}");
            assert_eq!((after.status, after.history_removed), (BatchStatus::Failed, true));
            assert_eq!(after.jobs, JobCounts { completed: 1, failed: 3, ..JobCounts::default() });
        }
        forget_all(&ledger, 1_000).await?;
    }
    bystander.stands_still(&ledger).await
}

pub async fn a_batch_that_was_retried_is_forgotten_after_its_next_end(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = over(&ledger, 1).await?;
    let batch = jobs[0].batch;
    ledger.retry(batch).await?;

    assert_eq!(forget_all(&ledger, 10).await?, Pruned::default());
    ledger.complete(JobId { generation: 1, ..jobs[1] }).await?;
    assert_eq!(forget_all(&ledger, 10).await?, Pruned::default(), "it is to be closed");
    ledger.closed(batch, 1).await?;

    assert_eq!(forget_all(&ledger, 10).await?.jobs, 2);
    let after = ledger.batch(batch).await?;
    assert_eq!((after.status, after.history_removed, after.jobs.completed), (BatchStatus::Completed, true, 2));
    Ok(())
}

pub async fn many_who_remove_history_at_once_share_the_work(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    for failed in 0..20 {
        over(&ledger, failed % 5).await?;
    }

    let mut at_once = JoinSet::new();
    for _ in 0..4 {
        let ledger = ledger.share();
        at_once.spawn(async move {
            let mut sum = Pruned::default();
            loop {
                sum = sum.and(ledger.prune_history(LONG_AGO, 3).await?);
                if !sum.left_out {
                    return Ok::<_, LedgerError>(sum);
                }
            }
        });
    }
    let mut sum = Pruned::default();
    while let Some(share) = at_once.join_next().await {
        sum = sum.and(share??);
    }

    sum = sum.and(forget_all(&ledger, 3).await?);
    assert_eq!((sum.batches, sum.jobs, sum.hooks), (20, 60, 0));
    bystander.stands_still(&ledger).await
}

pub async fn hooks_that_were_given_up_go_with_the_history_and_open_ones_stay(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let given_up = || HookOutcome::GivenUp { error: "no answer".into() };
    let bystander = ledger.jobs_of(a_batch()).await?;
    ledger.fail(bystander[0]).await?;
    ledger.record_hook_outcome(ledger.hooks_of(bystander[0].batch).await?[0], 0, given_up()).await?;
    let batch = over(&ledger, 3).await?[0].batch;
    let hooks = ledger.hooks_of(batch).await?;
    assert_eq!(hooks.len(), 5);
    for hook in &hooks[..3] {
        ledger.record_hook_outcome(*hook, 0, given_up()).await?;
    }
    let (events, rows) = (ledger.events_of(batch).await?, |jobs, hooks| Pruned { jobs, hooks, ..Pruned::default() });

    assert_eq!(ledger.prune_history(LONG_AGO, 5).await?, Pruned { left_out: true, ..rows(4, 1) });
    assert_eq!(ledger.prune_history(LONG_AGO, 5).await?, Pruned { batches: 1, ..rows(0, 2) });

    assert_eq!(ledger.hooks_of(batch).await?, hooks[3..]);
    assert_eq!(ledger.events_of(batch).await?, events);
    // Given up only now, it goes the next time, and nothing else does.
    ledger.record_hook_outcome(hooks[3], 0, given_up()).await?;
    assert_eq!(forget_all(&ledger, 5).await?, Pruned { batches: 1, ..rows(0, 1) });
    ledger.record_hook_outcome(hooks[4], 0, HookOutcome::Delivered).await?;
    assert_eq!(forget_all(&ledger, 5).await?, Pruned::default());
    // That of the bystander was there all the time.
    ledger.complete(bystander[1]).await?;
    ledger.closed(bystander[0].batch, 0).await?;
    assert_eq!(forget_all(&ledger, 5).await?, Pruned { batches: 1, ..rows(2, 1) });
    Ok(())
}

pub async fn a_hook_given_up_beside_a_removal_of_history_leaves_nothing(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;

    for _ in 0..20 {
        let batch = over(&ledger, 1).await?[0].batch;
        let mut at_once = JoinSet::new();
        for hook in ledger.hooks_of(batch).await? {
            let ledger = ledger.share();
            let given_up = HookOutcome::GivenUp { error: "no answer".into() };
            at_once.spawn(async move { ledger.record_hook_outcome(hook, 0, given_up).await.map(|()| 0) });
        }
        let hooks = at_once.len() as u64;
        let other = ledger.share();
        at_once.spawn(async move { other.prune_history(LONG_AGO, 1_000).await.map(|pruned| pruned.hooks) });

        let mut removed = 0;
        while let Some(done) = at_once.join_next().await {
            removed += done??;
        }
        removed += forget_all(&ledger, 1_000).await?.hooks;

        assert_eq!(removed, hooks);
    }
    bystander.stands_still(&ledger).await
}

pub async fn the_first_code_key_is_kept(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let [first, second] = [1, 2].map(|byte| CodeKey::from_bytes([byte; 16]));

    assert_eq!(ledger.code_key(first.clone()).await?, first);
    assert_eq!(ledger.code_key(second).await?, first);
    Ok(())
}

pub async fn one_alone_has_the_lead(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    let lead = ledger.try_acquire_leadership().await?;
    assert!(lead.is_some());
    assert!(ledger.try_acquire_leadership().await?.is_none());
    drop(lead);
    assert!(ledger.try_acquire_leadership().await?.is_some());
    Ok(())
}

pub async fn a_ledger_that_was_shut_is_unavailable(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;
    ledger.ping().await?;

    tokio::join!(ledger.shutdown(), ledger.shutdown());
    ledger.shutdown().await;

    let answers = [
        ledger.ping().await.err(),
        ledger.create(a_batch().build()).await.err(),
        ledger.plan(job.batch, too_many()).await.err(),
        ledger.claim(job).await.err(),
        ledger.insert_chunk(&claim, chunk(0..1)).await.err(),
        ledger.finish_attempt(&claim, AttemptResult::Released, WORKED).await.err(),
        ledger.batch(job.batch).await.err(),
        ledger.items(job.batch, ALL).await.err(),
        ledger.every_open_job().await.err(),
        ledger.open_tasks(EVERY_TASK).await.err(),
        ledger.try_acquire_leadership().await.err(),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        assert!(matches!(answer, Some(LedgerError::Unavailable { .. })), "{number}: {answer:?}");
    }
    Ok(())
}

pub async fn a_verb_runs_to_its_end_when_nobody_waits_for_it(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;

    for ordinal in 0..100 {
        let write = ledger.insert_chunk(&claim, chunk(ordinal..ordinal + 1));
        // Polled once and dropped.
        let _ = tokio::time::timeout(Duration::ZERO, write).await;
    }

    // Some may still be under way, on connections of their own.
    ledger.insert_chunk(&claim, chunk(0..1)).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while ledger.items_of(job.batch).await?.len() < 100 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let items: HashSet<_> = ledger.items_of(job.batch).await?.into_iter().collect();
    assert_eq!(items.len(), 100);
    assert_eq!(ledger.batch(job.batch).await?.items_created, 100);
    Ok(())
}
