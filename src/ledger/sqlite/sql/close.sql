-- close, control, plan: finishes a batch and stores the counts of its jobs, even if it has none.
--
--   ?1 batch     ?3 error    ?5 completed    ?7 cancelled        ?9 time worked, milliseconds
--   ?2 status    ?4 now      ?6 failed       ?8 items created
--
-- After this, lists read this row. The summaries are deleted afterwards, so their versions are
-- added to the batch's.

UPDATE rocket_batch_batches
SET status = ?2, error = ?3, finished_at = ?4, completed = ?5, failed = ?6, cancelled = ?7, items_created = ?8,
    worked_ms = ?9,
    -- A batch without a summary took less than a second.
    last_item_at = nullif(max(
        coalesce(last_item_at, 0),
        coalesce(
            (SELECT max(last_item_at) FROM rocket_batch_summaries WHERE batch = ?1), CASE WHEN ?8 > 0 THEN ?4 ELSE 0 END
        )
    ), 0),
    close_tries = 0, close_not_before = NULL, close_error = NULL,
    jobs = coalesce(jobs, 0), round = round + 1,
    version = version + 1 + (SELECT coalesce(sum(version), 0) FROM rocket_batch_summaries WHERE batch = ?1)
WHERE id = ?1
