-- summarize: keeps the counts of an open batch, for those who list it. A batch that is over keeps
-- no row.
--
--   ?1 batch      ?4 active     ?7 failed           ?10 when it was counted, microseconds
--   ?2 process    ?5 delayed    ?8 items that exist ?11 items that this process wrote lately
--   ?3 waiting    ?6 completed  ?9 time worked, ms  ?12 when it wrote the last of them
--   ?13 versions of rows that were removed
--
-- It was counted on a snapshot before this transaction, so the batch may be over by now.

INSERT INTO batch_summaries
    (batch, process, waiting, active, delayed, completed, failed, items_created, worked_ms, counted_at, recent_items, last_item_at, version)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 + 1
FROM batch_batches
WHERE id = ?1 AND jobs > 0 AND finished_at IS NULL
ON CONFLICT (batch, process) DO UPDATE
SET waiting = excluded.waiting, active = excluded.active, delayed = excluded.delayed, completed = excluded.completed,
    failed = excluded.failed, items_created = excluded.items_created, worked_ms = excluded.worked_ms,
    counted_at = excluded.counted_at, recent_items = excluded.recent_items,
    last_item_at = coalesce(excluded.last_item_at, last_item_at), version = version + excluded.version
