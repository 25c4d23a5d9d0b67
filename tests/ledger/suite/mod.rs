//! The tests that every ledger passes, one file per verb. A backend implements
//! [`Harness`](crate::subject::Harness) and calls `every_ledger!(harness)`.

pub mod audit;
pub mod changes;
pub mod claim;
pub mod claim_and_insert;
pub mod close;
pub mod control;
pub mod create;
pub mod feed;
pub mod finish_attempt;
pub mod finish_hook;
pub mod hooks;
pub mod insert_and_complete;
pub mod insert_chunk;
pub mod item_checks;
pub mod lifecycle;
pub mod manual_retry;
pub mod plan;
pub mod prune_history;
pub mod read;
pub mod retry;
pub mod stateful;
pub mod summarize;
pub mod totals;
pub mod traces;
pub mod views;
pub mod workers;

/// Every test, run against the ledgers of one harness.
macro_rules! every_ledger {
    ($harness:expr) => {
        every_ledger! { $harness;
            changes::a_batch_is_returned_when_its_version_differs
            changes::open_and_just_finished_batches_are_found
            changes::activity_is_summed_over_processes
            create::a_new_batch_is_pending_and_all_its_jobs_are_waiting
            create::rejects_an_id_in_use
            create::the_sequence_skips_used_ids_and_ignores_large_ones
            create::a_batch_of_a_hundred_thousand_jobs_is_created_and_fed
            create::the_estimate_includes_jobs_of_open_batches
            create::the_estimate_includes_batches_created_just_now
            create::the_estimate_uses_the_speed_of_the_batch_that_finished_last
            create::a_repeated_request_gets_its_first_result
            create::rejects_the_key_of_another_request
            create::each_caller_has_separate_keys
            create::a_refused_request_does_not_use_up_its_key
            create::an_expired_key_can_be_used_again
            create::only_one_of_fifty_equal_concurrent_requests_creates_the_batch

            traces::every_attempt_and_hook_has_the_position_of_the_request

            plan::a_requested_batch_has_no_jobs_before_it_is_planned
            plan::plan_inserts_the_jobs_of_a_batch
            plan::a_batch_that_can_not_be_planned_fails_with_the_reason
            plan::only_one_of_many_concurrent_plans_takes_effect
            plan::a_cancelled_batch_is_not_planned
            plan::a_paused_batch_is_planned_and_stays_paused
            plan::unplanned_batches_are_returned_up_to_a_limit
            plan::requested_and_created_batches_share_the_sequence
            plan::a_request_with_invalid_values_is_rejected
            plan::a_request_beyond_the_settings_is_rejected

            claim::the_first_claim_sets_the_batch_running
            claim::a_claim_returns_the_missing_items
            claim::a_finished_job_is_not_claimed
            claim::a_nonexistent_job_is_unknown
            claim::a_job_of_a_paused_batch_is_not_claimed
            claim::a_delayed_job_can_be_claimed
            claim::a_lost_worker_counts_as_a_crash_until_a_new_item_exists
            claim::a_job_that_loses_its_worker_too_often_fails
            claim::the_lost_worker_of_a_failed_job_records_nothing
            claim::a_released_job_did_not_crash

            claim_and_insert::a_first_chunk_is_inserted_with_the_claim
            claim_and_insert::a_first_chunk_may_be_the_whole_job
            claim_and_insert::a_first_chunk_is_not_inserted_unless_the_job_is_as_expected
            claim_and_insert::a_first_chunk_made_for_other_codes_is_not_inserted
            claim_and_insert::no_first_chunk_is_inserted_into_a_job_that_can_not_be_claimed
            claim_and_insert::a_worker_lost_after_its_first_chunk_counts_as_a_crash
            insert_and_complete::a_last_chunk_completes_its_job
            insert_and_complete::a_last_chunk_changes_nothing_unless_the_job_is_as_expected
            insert_chunk::items_are_inserted_once_however_often_they_are_sent
            insert_chunk::rejects_a_chunk_from_a_superseded_claim
            insert_chunk::rejects_a_chunk_after_the_attempt_finished
            insert_chunk::rejects_a_chunk_after_a_cancel
            insert_chunk::rejects_a_chunk_while_the_batch_is_paused
            insert_chunk::rejects_an_item_of_another_job

            finish_attempt::each_result_leaves_the_job_in_its_state
            finish_attempt::finishing_again_returns_the_same
            finish_attempt::rejects_a_result_from_a_superseded_claim
            finish_attempt::at_least_one_of_two_concurrent_last_jobs_finds_the_end
            finish_attempt::only_batches_without_open_jobs_are_at_their_end
            finish_attempt::a_released_job_is_as_if_it_had_not_been_claimed
            finish_attempt::a_job_of_a_paused_batch_is_released_without_a_crash
            finish_attempt::the_time_of_all_attempts_is_added_up

            close::a_batch_is_closed_once
            close::a_batch_with_open_jobs_is_not_closed
            close::an_unplanned_batch_is_not_closed
            close::a_batch_with_failed_jobs_fails_with_the_reason
            close::a_paused_batch_is_closed_when_its_last_jobs_finished

            finish_hook::a_finish_hook_writes_in_the_transaction_that_closes_a_batch
            finish_hook::a_failed_finish_hook_leaves_the_batch_open_until_a_later_call
            finish_hook::a_batch_waits_for_the_next_call_of_its_finish_hook
            finish_hook::a_panic_of_a_finish_hook_is_an_error
            finish_hook::a_cancel_is_rejected_with_the_error_of_the_finish_hook
            finish_hook::a_batch_that_waits_for_its_finish_hook_can_be_cancelled
            finish_hook::a_batch_that_can_not_be_planned_stays_unplanned_while_its_finish_hook_fails
            finish_hook::a_retry_ends_the_wait_for_a_finish_hook
            finish_hook::a_paused_batch_waits_for_its_finish_hook_too
            finish_hook::a_failed_finish_hook_undoes_no_other_closing
            finish_hook::a_finish_hook_writes_once_although_many_close_the_batch

            control::a_cancel_finishes_the_batch_and_its_open_jobs
            control::a_command_succeeds_in_the_statuses_that_allow_it_and_fails_in_others
            control::a_resume_restores_the_status_before_the_pause
            control::a_nonexistent_batch_can_not_be_controlled

            retry::a_retry_recreates_the_failed_jobs_and_no_other
            retry::a_retried_batch_runs_and_finishes_again
            retry::a_failed_job_whose_items_all_exist_is_completed_by_a_retry
            retry::only_one_of_two_concurrent_retries_finds_jobs
            retry::a_retry_leaves_a_paused_batch_paused
            retry::a_retry_is_rejected_where_the_status_forbids_it
            retry::a_retry_without_failed_jobs_changes_nothing
            retry::a_retry_recreates_only_the_selected_jobs
            retry::a_dry_run_reports_what_a_retry_does_and_changes_nothing

            audit::each_change_of_a_batch_has_an_entry
            audit::a_refused_change_and_a_dry_run_have_no_entry
            audit::a_repeated_request_has_one_entry
            audit::a_batch_requested_in_the_database_has_an_entry
            audit::a_job_retried_by_a_tool_of_the_queue_has_an_entry
            audit::of_many_equal_commands_one_has_an_entry
            audit::the_audit_is_searched_by_time_actor_and_action
            audit::the_audit_of_a_batch_is_listed_in_pages
            audit::a_page_of_a_search_looks_at_a_bounded_number_of_entries
            audit::an_entry_can_not_be_altered_or_removed
            audit::old_entries_are_removed_in_portions_and_nothing_else

            read::counts_sum_to_the_jobs_in_every_state
            read::batches_are_listed_newest_first_in_pages_and_by_status
            read::items_are_listed_in_pages
            read::an_item_is_found_by_the_ordinal_before_it
            read::failed_jobs_are_listed_in_pages_with_their_failed_chunks
            read::lists_the_first_failed_chunks_and_counts_the_others
            read::failed_jobs_are_listed_up_to_the_size_of_a_page
            read::failed_jobs_are_grouped_by_their_errors
            read::failure_groups_are_listed_up_to_the_size_of_a_page
            read::a_job_map_has_a_cell_for_each_job_or_for_several
            read::jobs_are_listed_in_pages_and_by_state
            read::a_page_of_jobs_in_one_state_looks_at_a_bounded_number
            read::jobs_are_listed_up_to_the_size_of_a_page
            read::lists_of_an_unknown_batch_are_rejected

            feed::open_jobs_shares_the_capacity_between_batches
            feed::a_window_has_the_oldest_and_the_smallest_batches
            feed::a_batch_is_small_if_few_jobs_are_left
            feed::tiny_batches_widen_the_window
            feed::a_full_window_leaves_out_other_candidates
            feed::offered_jobs_are_not_returned_again
            feed::open_jobs_are_ranked_from_the_first_open_job
            summarize::a_list_shows_the_latest_counts
            summarize::finished_batches_are_listed_exactly_despite_late_counts
            summarize::a_batch_counted_by_another_process_is_counted_later
            summarize::many_batches_are_counted_in_portions
            summarize::the_later_of_two_concurrent_counts_is_listed
            summarize::verbs_that_change_a_whole_batch_count_it
            feed::a_delayed_job_is_returned_when_it_is_due
            feed::no_job_waits_longer_than_the_longest_backoff
            feed::due_jobs_are_returned_up_to_a_limit
            feed::open_tasks_includes_batches_to_close
            feed::open_jobs_ignores_a_paused_batch

            hooks::a_hook_exists_until_it_is_delivered
            hooks::a_hook_that_failed_is_due_again_later
            totals::an_empty_ledger_has_no_totals
            totals::totals_count_batches_by_status_and_open_jobs
            totals::totals_include_unplanned_and_paused_batches
            totals::totals_count_only_hooks_that_were_given_up

            hooks::open_hooks_counts_those_that_wait_for_a_call
            hooks::a_hook_that_was_given_up_is_not_returned_again
            hooks::a_hook_call_counts_once_however_often_its_outcome_is_recorded
            hooks::a_delivery_counts_even_after_a_failure
            hooks::events_without_hooks_are_not_recorded
            hooks::each_event_is_recorded_as_it_was

            prune_history::history_is_removed_in_portions_oldest_batch_first
            prune_history::a_long_history_is_removed_in_portions
            prune_history::open_and_recently_finished_batches_keep_their_history
            prune_history::a_pruned_batch_and_its_items_stay_as_they_were
            prune_history::jobs_of_a_pruned_batch_have_nothing_to_do
            prune_history::only_one_of_a_concurrent_retry_and_removal_succeeds
            prune_history::a_retried_batch_is_pruned_after_it_finishes_again
            prune_history::concurrent_removals_share_the_work
            prune_history::given_up_hooks_are_removed_with_the_history_and_open_ones_stay
            prune_history::a_hook_given_up_during_a_removal_is_removed_too

            item_checks::a_whole_batch_has_no_gap_and_no_stranger
            item_checks::gaps_are_found_and_repaired_exactly
            item_checks::wrong_codes_are_found
            item_checks::missing_items_are_explained_by_the_state_of_their_job
            item_checks::a_repair_leaves_a_paused_batch_paused
            item_checks::a_pruned_batch_is_repaired
            item_checks::a_pruned_failed_batch_is_not_repaired
            item_checks::only_one_of_two_concurrent_repairs_finds_gaps
            item_checks::a_concurrent_worker_never_makes_a_false_gap
            item_checks::a_check_is_joined_continued_and_answered_again
            item_checks::a_large_batch_is_checked_and_repaired_in_bounded_memory
            item_checks::random_deletions_are_found_and_repaired

            views::a_host_reads_batches
            views::a_host_reads_jobs
            views::a_host_reads_items
            views::a_host_can_change_nothing_through_a_view
            views::a_host_reads_workers

            workers::a_process_is_listed_as_it_last_reported_until_it_is_removed
            workers::only_a_recent_report_of_a_process_that_runs_jobs_counts_as_a_worker
            workers::a_process_that_inserted_an_item_counts_as_a_worker

            lifecycle::the_first_code_key_is_stored
            lifecycle::a_ledger_keeps_its_identity_and_no_other_has_it
            lifecycle::one_process_has_the_leadership
            lifecycle::a_closed_ledger_is_unavailable
            lifecycle::a_dropped_verb_runs_to_completion

            manual_retry::a_manually_retried_job_is_revived
            manual_retry::an_unacknowledged_failure_is_not_a_manual_retry
            manual_retry::a_revived_job_that_fails_again_can_be_revived_again
            manual_retry::a_revived_job_can_be_released_delayed_and_lost
            manual_retry::a_revived_job_has_no_crashes
            manual_retry::a_manually_retried_job_waits_for_its_paused_batch
            manual_retry::a_job_of_a_cancelled_batch_is_not_revived
            manual_retry::a_job_of_a_partly_pruned_batch_is_not_revived
            manual_retry::a_recreated_job_is_not_revived
            manual_retry::a_batch_with_a_revived_job_is_not_closed
            manual_retry::both_ends_of_a_revived_batch_are_recorded
            manual_retry::a_job_is_revived_once
            manual_retry::an_external_delivery_claims_a_waiting_job
            manual_retry::an_external_delivery_of_an_active_or_delayed_job_is_ignored
            manual_retry::superseding_an_external_claim_is_not_a_crash
            manual_retry::an_external_delivery_revives_no_job
            manual_retry::an_external_delivery_of_an_unworkable_job_is_rejected

            stateful::verbs_in_any_order_keep_the_counts_consistent
        }
    };
    ($harness:expr; $($file:ident :: $claim:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $claim() -> $crate::support::TestResult {
            $crate::suite::$file::$claim($harness).await
        }
    )* };
}
