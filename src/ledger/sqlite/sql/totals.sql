-- totals: the counts of the whole ledger, without those of batches by status.
--
--   ?1 maximum number of started batches whose jobs are counted
--
-- Open jobs come from the latest summary of each started batch. Of a pending batch all jobs wait,
-- and the index has their number. The last item is that of a started batch, or of one of the
-- batches that finished last. A batch that finished before it was counted has no time of its last
-- item, but finished right after it. One index has the batches with working time, the other one
-- those with a history.

WITH started AS (
    SELECT id, jobs FROM rocket_batch_batches INDEXED BY rocket_batch_batches_started
    WHERE jobs > 0 AND status IN ('running', 'paused')
    ORDER BY id LIMIT ?1
), counted AS (
    SELECT coalesce(s.waiting, started.jobs) AS waiting, s.active, s.delayed
    FROM started
    LEFT JOIN rocket_batch_summaries s ON s.batch = started.id AND s.process = (
        SELECT process FROM rocket_batch_summaries WHERE batch = started.id ORDER BY counted_at DESC LIMIT 1
    )
)
SELECT coalesce((SELECT sum(waiting) FROM counted), 0) + coalesce((
           SELECT sum(jobs) FROM rocket_batch_batches INDEXED BY rocket_batch_batches_pending
           WHERE jobs > 0 AND status = 'pending'
       ), 0) AS waiting,
       coalesce((SELECT sum(active) FROM counted), 0) AS active,
       coalesce((SELECT sum(delayed) FROM counted), 0) AS delayed,
       nullif(min(
           coalesce((
               SELECT created_at FROM rocket_batch_batches INDEXED BY rocket_batch_batches_open
               WHERE jobs > 0 AND status IN ('pending', 'running') ORDER BY created_at, id LIMIT 1
           ), 9223372036854775807),
           coalesce((
               SELECT created_at FROM rocket_batch_batches INDEXED BY rocket_batch_batches_unplanned
               WHERE jobs IS NULL AND status = 'pending' ORDER BY id LIMIT 1
           ), 9223372036854775807)
       ), 9223372036854775807) AS oldest_open,
       nullif(max(
           coalesce((
               SELECT max(s.last_item_at) FROM started JOIN rocket_batch_summaries s ON s.batch = started.id
           ), 0),
           coalesce((
               SELECT max(last_item_at) FROM (
                   SELECT coalesce(last_item_at, iif(items_created > 0, finished_at, NULL)) AS last_item_at
                   FROM rocket_batch_batches INDEXED BY rocket_batch_batches_measured
                   WHERE finished_at IS NOT NULL AND worked_ms > 0 ORDER BY finished_at DESC LIMIT 100
               )
           ), 0),
           coalesce((
               SELECT max(last_item_at) FROM (
                   SELECT coalesce(last_item_at, iif(items_created > 0, finished_at, NULL)) AS last_item_at
                   FROM rocket_batch_batches INDEXED BY rocket_batch_batches_with_history
                   WHERE finished_at IS NOT NULL AND history <> 'pruned' ORDER BY finished_at DESC LIMIT 100
               )
           ), 0)
       ), 0) AS last_item_at,
       (SELECT count(*) FROM rocket_batch_hooks INDEXED BY rocket_batch_hooks_given_up WHERE state = 'given_up')
           AS hooks_given_up
