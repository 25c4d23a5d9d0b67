-- summarize: keeps the counts of open batches, for those who list them.
--
--   $1 process               $5 delayed      $8 items that exist        $11 items that this process wrote lately
--   $2 batches, bigint[]     $6 completed    $9 time worked, ms         $12 when it wrote the last of them, timestamptz[]
--   $3 waiting  $4 active    $7 failed       $10 when it was counted
--
-- Returns the batches whose counts are kept. All but the process are arrays with an element for
-- each batch.
--
-- A batch that is over keeps no row, and nothing would ever remove one that came after its end. So
-- the batch is locked for as long as the row is written, against `close` and whoever else changes
-- it as a whole: each of them locks it first, and either ends before, and is seen, or finds the
-- row. Counting is another statement, before this one, since a lock that is held while many jobs
-- are counted would keep a pause waiting. And this one waits for no lock: where somebody holds the
-- batch its counts are dropped, and it is counted again. Claims lock the batch alike, and neither
-- waits for the other.

WITH open AS MATERIALIZED (
    SELECT id FROM batches WHERE id = ANY ($2) AND jobs > 0 AND finished_at IS NULL ORDER BY id FOR SHARE SKIP LOCKED
)
INSERT INTO summaries AS s
    (process, batch, waiting, active, delayed, completed, failed, items_created, worked_ms, counted_at, recent_items, last_item_at)
SELECT $1::bigint, counted.*
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
            $10::timestamptz[], $11::bigint[], $12::timestamptz[])
    AS counted (batch, waiting, active, delayed, completed, failed, items_created, worked_ms, counted_at, recent_items, last_item_at)
JOIN open ON open.id = counted.batch
ORDER BY counted.batch
ON CONFLICT (batch, process) DO UPDATE
SET waiting = excluded.waiting, active = excluded.active, delayed = excluded.delayed, completed = excluded.completed,
    failed = excluded.failed, items_created = excluded.items_created, worked_ms = excluded.worked_ms,
    counted_at = excluded.counted_at, recent_items = excluded.recent_items,
    last_item_at = coalesce(excluded.last_item_at, s.last_item_at), version = s.version + 1
RETURNING batch
