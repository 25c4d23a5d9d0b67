-- summarize: stores the counts of an open batch, for lists.
--
--   ?1 batch      ?5 delayed          ?9 time worked, ms
--   ?2 process    ?6 completed        ?10 counted at, microseconds
--   ?3 waiting    ?7 failed           ?11 items inserted by this process in the last ten seconds
--   ?4 active     ?8 items created    ?12 time of the last insert by this process
--                                     ?13 versions of deleted rows
--
-- The counts come from an earlier snapshot, so the batch may be finished by now. A finished batch
-- gets no row.

INSERT INTO rocket_batch_summaries
    (batch, process, waiting, active, delayed, completed, failed, items_created, worked_ms, counted_at,
        recent_items, last_item_at, version)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 + 1
FROM rocket_batch_batches
WHERE id = ?1 AND jobs > 0 AND finished_at IS NULL
ON CONFLICT (batch, process) DO UPDATE
SET waiting = excluded.waiting, active = excluded.active, delayed = excluded.delayed, completed = excluded.completed,
    failed = excluded.failed, items_created = excluded.items_created, worked_ms = excluded.worked_ms,
    counted_at = excluded.counted_at, recent_items = excluded.recent_items,
    last_item_at = coalesce(excluded.last_item_at, last_item_at), version = version + excluded.version
