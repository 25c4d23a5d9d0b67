-- open_jobs: the batches that came first, of those that have a job to work.
--
--   $1 at most so many    $2 counts the jobs of each no further than this
--
-- The jobs are counted themselves: summaries lag behind by many jobs where jobs are short.

SELECT b.id, (
    SELECT count(*) FROM (SELECT FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL LIMIT $2) job
) AS ready
FROM batches b
WHERE b.jobs > 0 AND b.status IN ('pending', 'running')
  AND EXISTS (SELECT FROM jobs WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL)
ORDER BY b.created_at, b.id
LIMIT $1
