-- summarize: stores the counts of open batches, for lists.
--
--   $1 process               $5 delayed      $8 items created     $11 items this process inserted
--   $2 batches, bigint[]     $6 completed    $9 time worked, ms       in the last ten seconds
--   $3 waiting  $4 active    $7 failed       $10 counted at       $12 time of the last insert by
--                                                                     this process, timestamptz[]
--
-- All parameters but the process are arrays with one element per batch. Returns the batches whose
-- counts were stored.
--
-- A finished batch must have no summary, because no later statement would delete the summary. So
-- this statement locks the batch while it writes. `close`, and every verb that changes a whole
-- batch, locks the batch first. Either that verb commits first and this statement finds the batch
-- finished, or that verb finds the row written here and deletes it.
--
-- Counting is a separate statement, run before this one, since a lock held while many jobs are
-- counted would delay a pause. This statement waits for no lock: the counts of a locked batch are
-- dropped, and the batch is counted again later. Claims lock the batch in the same mode, so neither
-- blocks the other.

WITH open AS MATERIALIZED (
    SELECT id FROM batches WHERE id = ANY ($2) AND jobs > 0 AND finished_at IS NULL ORDER BY id FOR SHARE SKIP LOCKED
)
INSERT INTO summaries AS s
    (process, batch, waiting, active, delayed, completed, failed, items_created, worked_ms, counted_at,
        recent_items, last_item_at)
SELECT $1::bigint, counted.*
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[],
            $10::timestamptz[], $11::bigint[], $12::timestamptz[])
    AS counted (batch, waiting, active, delayed, completed, failed, items_created, worked_ms, counted_at,
        recent_items, last_item_at)
JOIN open ON open.id = counted.batch
ORDER BY counted.batch
ON CONFLICT (batch, process) DO UPDATE
SET waiting = excluded.waiting, active = excluded.active, delayed = excluded.delayed, completed = excluded.completed,
    failed = excluded.failed, items_created = excluded.items_created, worked_ms = excluded.worked_ms,
    counted_at = excluded.counted_at, recent_items = excluded.recent_items,
    last_item_at = coalesce(excluded.last_item_at, s.last_item_at), version = s.version + 1
RETURNING batch
