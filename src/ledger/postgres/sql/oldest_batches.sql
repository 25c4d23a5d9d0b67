-- open_jobs: the batches that came first, of those that have a job to work.
--
--   $1 at most so many

SELECT b.id, coalesce(s.open, b.jobs) AS open
FROM (
    SELECT id, jobs, created_at
    FROM batches
    WHERE jobs > 0 AND status IN ('pending', 'running')
      AND EXISTS (SELECT FROM jobs WHERE batch = batches.id AND finished_at IS NULL AND not_before IS NULL)
    ORDER BY created_at, id
    LIMIT $1
) b
LEFT JOIN LATERAL (
    SELECT waiting + active + delayed AS open FROM summaries WHERE batch = b.id ORDER BY counted_at DESC LIMIT 1
) s ON true
ORDER BY b.created_at, b.id
