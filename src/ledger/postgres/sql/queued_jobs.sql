-- open_jobs: counts the jobs of some batches that were offered and are still waiting or active.
-- Some of them may no longer be in the queue.
--
--   $1 batches, bigint[]
--   $2 first job number not yet offered, per batch, bigint[]
--   $3 stop counting the jobs of a batch at this number

SELECT b.id, queued.jobs
FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS b (id, offered_to, position)
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs
    FROM (
        SELECT FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL
            AND seq < b.offered_to LIMIT $3
    ) job
) queued
ORDER BY b.position
